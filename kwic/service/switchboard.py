"""
What the streams that a peer opens in a tunnel may reach.

    CONNECT name   a destination of ours, when the peer may reach it
    BIND name      the peer offers a name, when it may
    kwic:nodes     the peer wants to be told which nodes there are

Who may is decided from the peer's certificate, anew for every stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol as Interface

from twisted.logger import Logger

from kwic.config.model import Service
from kwic.service.reverse import Names
from kwic.transport.negotiation import Acceptor
from kwic.transport.stream import Stream
from kwic.transport.tls import PeerIdentity
from kwic.transport.tunnel import Tunnel
from kwic.wire.socks5 import Command, Rep, Request

#: The reserved name under which a dialler asks to be told which nodes there are (protocol.md).
NODES = "kwic:nodes"


class Destination(Interface):
    """Something that a stream can be connected to."""

    service: Service

    def request(self, acceptor: Acceptor, sender: str) -> None:
        """Dial, and accept or refuse the stream."""


@dataclass(frozen=True, kw_only=True)
class Switchboard:
    """
    The exchange at the end of a tunnel.

    :param clock: for the deadline of requests.
    :param destinations: what may be reached, by rendezvous key or path.
    :param names: where the peer's offers go; None when it may offer nothing.
    :param offerable: the services here that connect to a name: they decide who may offer it.
    :param subscribe: takes the acceptor of a stream that asked for the nodes; None when there is nothing to tell.
    """

    clock: object
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    names: Names | None = None
    offerable: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    subscribe: Callable[[Acceptor], None] | None = None

    log = Logger()

    def connect(self, tunnel: Tunnel, stream: Stream, identity: PeerIdentity | None) -> None:
        """Take a stream that the peer opened."""

        def on_request(acceptor: Acceptor, request: Request) -> None:
            self._request(tunnel, acceptor, request, identity)

        stream.attach(Acceptor(self.clock, on_request))  # type: ignore[arg-type]

    def _request(
        self, tunnel: Tunnel, acceptor: Acceptor, request: Request, identity: PeerIdentity | None
    ) -> None:
        if request.command is Command.CONNECT and request.host == NODES and self.subscribe is not None:
            self.subscribe(acceptor)
        elif request.command is Command.CONNECT:
            self._reach(tunnel, acceptor, request.host, identity)
        elif request.command is Command.BIND and self.names is not None:
            self._offer(tunnel, acceptor, request.host, identity)
        else:
            acceptor.refuse(Rep.COMMAND_NOT_SUPPORTED)

    def _reach(self, tunnel: Tunnel, acceptor: Acceptor, name: str, identity: PeerIdentity | None) -> None:
        destination = self.destinations.get(name)
        if destination is None:
            self.log.warn("{peer} asked for {name}, which is not here", peer=tunnel.peer, name=name)
            acceptor.refuse(Rep.HOST_UNREACHABLE)
        elif not permitted(destination.service, identity):
            self.log.warn(
                "{peer} ({who}) may not reach {service}: its certificate has none of the required names",
                peer=tunnel.peer,
                who=who(identity),
                service=destination.service.name,
            )
            acceptor.refuse(Rep.NOT_ALLOWED)
        else:
            destination.request(acceptor, tunnel.peer)

    def _offer(self, tunnel: Tunnel, acceptor: Acceptor, name: str, identity: PeerIdentity | None) -> None:
        services = self.offerable.get(name, ())
        refusing = [service for service in services if not permitted(service, identity)]
        if refusing:
            self.log.warn(
                "{peer} ({who}) may not offer {name}: service {service} requires another certificate",
                peer=tunnel.peer,
                who=who(identity),
                name=name,
                service=refusing[0].name,
            )
            acceptor.refuse(Rep.NOT_ALLOWED)
            return
        if not services:
            self.log.warn(
                "{peer} offers {name}, which no service here connects to", peer=tunnel.peer, name=name
            )
        assert self.names is not None
        withdraw = self.names.offer(name, tunnel)
        if withdraw is None:
            acceptor.refuse(Rep.NOT_ALLOWED)
            return
        self.log.info("{peer} offers {name}", peer=tunnel.peer, name=name)
        acceptor.register(withdraw)


def permitted(service: Service, identity: PeerIdentity | None) -> bool:
    """Whether a peer may offer or reach a service."""
    return service.permits(None if identity is None else identity.names)


def who(identity: PeerIdentity | None) -> str:
    """A peer as its certificate calls it."""
    return "no certificate" if identity is None else f"CN={identity.common_name}"
