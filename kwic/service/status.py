"""What a gateway says of itself: everything on the status page, the health check, and the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from kwic import __version__
from kwic.service.gateway import Gateway
from kwic.service.proxy import Proxy
from kwic.service.uplink import Uplink
from kwic.transport.tunnel import Tunnel


def status(gateway: Gateway) -> dict[str, Any]:
    """Everything, for the status page."""
    context = gateway.context
    return {
        "version": __version__,
        "node": context.node,
        "instance": context.instance,
        "config": gateway.config.file,
        "draining": gateway.draining,
        "uptime_s": round(context.reactor.seconds() - gateway.started_s, 3),
        "clients": len(context.relays),
        "listeners": [
            {"address": str(listener), "listening": listener.listening, "accepts": socket.purpose}
            for listener, socket in gateway.listening.listeners
        ],
        "services": [_service(name, server) for name, server in gateway.servers.items()],
        "tunnels": list(_tunnels(gateway)),
        "socks": list(_socks(gateway)),
        "names": {
            name: [tunnel.peer for tunnel in tunnels] for name, tunnels in gateway.names.held().items()
        },
        "members": [
            {
                "node": member.node,
                "instance": member.instance,
                "suspect": member.suspect,
                "leaving": member.leaving,
                "load": member.load,
                "names": dict(member.names),
            }
            for member in gateway.membership.members()
        ],
    }


def _service(name: str, server: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": name,
        "type": server.service.type,
        "accepts": [str(accept) for accept in server.service.accepts],
    }
    if isinstance(server, Proxy):
        shown |= {
            "connects": [str(connect) for connect in server.service.connects],
            "waiting": server.waiting,
            "served": server.served,
            "failed": server.failed,
            "paths": sum(not path.facts.leaving for path in server.source.paths()),
        }
    return shown


def _tunnels(gateway: Gateway) -> Iterator[dict[str, Any]]:
    now = gateway.context.reactor.seconds()
    for uplink in gateway.uplinks:
        if not isinstance(uplink, Uplink):
            continue
        for peer in uplink.peers:
            if peer.tunnel is not None:
                yield {
                    "direction": "out",
                    "peer": peer.node,
                    "peer_instance": peer.instance,
                    "uri": str(uplink.address),
                    **_tunnel(peer.tunnel, now),
                    "names": list(uplink.names),
                }
    for inbound in gateway.entrances.tunnels:
        for guest in inbound.guests:
            yield {
                "direction": "in",
                "peer": guest.node,
                "peer_instance": guest.instance,
                "uri": getattr(guest.tunnel.transport, "uri", ""),
                **_tunnel(guest.tunnel, now),
                "names": list(gateway.names.of(guest.tunnel)),
            }


def _socks(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """The SOCKS connections that wait for a client, where a peer cannot multiplex."""
    for uplink in gateway.uplinks:
        socks = uplink.socks if isinstance(uplink, Uplink) else uplink
        if socks.running:
            yield {"direction": "out", "uri": socks.where, "waiting": dict(socks.waiting)}
    waiting = Counter(name for inbound in gateway.entrances.socks for name in inbound.waiting_for())
    if waiting:
        yield {"direction": "in", "waiting": dict(waiting)}


def _tunnel(tunnel: Tunnel, now: float) -> dict[str, Any]:
    return {
        "up_s": round(now - (tunnel.up_since_s or now), 3),
        "rtt_ms": None if tunnel.rtt_s is None else round(tunnel.rtt_s * 1000, 3),
        "streams": len(tunnel.streams),
        "clients": tunnel.clients,
        "bytes_in": tunnel.bytes_in,
        "suspect": tunnel.suspect,
        "draining": tunnel.draining,
    }


def health(gateway: Gateway) -> tuple[int, str]:
    """200 while clients are taken, 503 while the gateway starts or drains."""
    if gateway.draining or not gateway.running:
        return 503, "draining\n"
    return 200, "ok\n"


def metrics(gateway: Gateway) -> str:
    """The figures, in the Prometheus text format."""
    proxies = [(name, server) for name, server in gateway.servers.items() if isinstance(server, Proxy)]
    tunnels = list(_tunnels(gateway))
    families: list[tuple[str, str, str, Iterable[tuple[str, float]]]] = [
        (
            "kwic_clients",
            "gauge",
            "Client connections that are joined now.",
            [("", len(gateway.context.relays))],
        ),
        ("kwic_tunnels", "gauge", "Tunnels that are up.", [("", len(tunnels))]),
        (
            "kwic_tunnels_suspect",
            "gauge",
            "Tunnels that left something unanswered.",
            [("", sum(tunnel["suspect"] for tunnel in tunnels))],
        ),
        ("kwic_members", "gauge", "Other members of the cluster.", [("", len(gateway.membership.members()))]),
        ("kwic_draining", "gauge", "1 while the gateway is stopping.", [("", gateway.draining)]),
        _by_service("kwic_clients_waiting", "gauge", "Clients that wait for a path.", proxies, "waiting"),
        _by_service("kwic_clients_served_total", "counter", "Clients that were joined.", proxies, "served"),
        _by_service(
            "kwic_clients_failed_total", "counter", "Clients that were turned away.", proxies, "failed"
        ),
    ]
    return "".join(_family(*family) for family in families)


def _by_service(
    name: str, kind: str, text: str, proxies: list[tuple[str, Proxy]], attribute: str
) -> tuple[str, str, str, list[tuple[str, float]]]:
    return (
        name,
        kind,
        text,
        [(f'{{service="{_escaped(service)}"}}', getattr(proxy, attribute)) for service, proxy in proxies],
    )


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {float(value):g}" for labels, value in samples]
    return "\n".join(lines) + "\n"
