"""The types of services: what each accepts, connects and may be told, and what replaces those that KWIC does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from kwic.config.reading import Named
from kwic.config.units import count_from, one_of, parse_size, parse_time_s

BALANCER = "balancer"
STREAMS = ("tcp", "ssl", "ws", "wss")
MOST_TUNNELS = 64
"""To one address of the other side: more share no more bandwidth, and each costs memory on both sides."""
MOST_REPEATS = 1000


class ConnectStrategy(Enum):
    """When KWIC 5 dialled; here every client is dialled for when it comes."""

    IMMEDIATE = "immediate"
    PREPARED = "prepared"
    DEFERRED = "deferred"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceType:
    """What a service of one type has."""

    accepts: tuple[str, ...]
    """The schemes it may accept; at least one accept is needed."""
    connects: tuple[str, ...] = ()
    """The schemes it may connect to; empty when it connects to nothing, else at least one connect is needed."""
    is_balanced: bool = True
    """Whether it may stand behind a balancer."""
    properties: Mapping[str, Named] = field(default_factory=dict)


TYPES: Mapping[str, ServiceType] = {
    "proxy": ServiceType(
        accepts=(*STREAMS, "pipe"),
        connects=(*STREAMS, "pipe"),
        properties={
            "maximum.pending.bytes": Named(parse=parse_size, attribute="maximum_pending_bytes"),
            "maximum.recovery.interval": Named(parse=parse_time_s, attribute="maximum_recovery_interval_s"),
            "prepared.connection.count": Named(
                parse=count_from(0, MOST_TUNNELS), attribute="prepared_connection_count"
            ),
            "connect.strategy": Named(
                parse=one_of(ConnectStrategy), idle="the far end is dialled when a client comes"
            ),
            "internal.maximum.transferred.bytes": Named(
                parse=str, idle="connections last as long as both ends want"
            ),
        },
    ),
    "echo": ServiceType(
        accepts=STREAMS,
        properties={"repeat": Named(parse=count_from(1, MOST_REPEATS), attribute="repeat")},
    ),
    BALANCER: ServiceType(accepts=("ws", "wss"), is_balanced=False),
}

REFUSED_TYPES: Mapping[str, str] = {
    "http.proxy": "use a proxy service with tcp or ssl addresses: it carries HTTP like any other bytes",
    "http.balancer": "use a balancer service for WebSocket, or a load balancer in front of several instances",
    "directory": "serve files with a web server, and reach it through a proxy service",
    "broadcast": "use a message broker, and reach it through a proxy service",
    "amqp.proxy": "use a proxy service from ws to the broker's tcp address",
    "redis": "use a proxy service to the server's tcp address",
    "jms": "use a proxy service to the broker's tcp address",
    "jms.proxy": "use a proxy service to the broker's tcp address",
    "stomp.jms": "use a proxy service to the broker's tcp address",
    "stomp.proxy": "use a proxy service to the broker's tcp address",
    "stomp.interceptor": "use a proxy service to the broker's tcp address",
    "xmpp.proxy": "use a proxy service to the server's tcp address",
    "kerberos5.proxy": "use a proxy service to the key distribution centre's tcp address",
    "turn.proxy": "use a TURN server of its own",
    "turn.rest": "use a TURN server of its own",
    "management.jmx": "use the admin address of the gateway: it answers /status, /health and /metrics",
    "management.snmp": "use the admin address of the gateway: it answers /status, /health and /metrics",
    "snmp": "use the admin address of the gateway: it answers /status, /health and /metrics",
    "session": "remove it: people do not log in here",
    "update.check": "remove it: updates come the way the gateway was installed",
    "update.check.management": "remove it: updates come the way the gateway was installed",
    "keepalive": "remove it: use ws.inactivity.timeout",
}
"""The other types of KWIC 5 and of the gateway it was built on, and what to do about them."""
