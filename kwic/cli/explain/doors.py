"""The sockets that an instance listens on, what answers on each, and where it meets the other members of its cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kwic.cli.explain.papers import versions
from kwic.cli.explain.story import Answer, Door
from kwic.cli.explain.view import Key, View, asked, bound, key_of
from kwic.config.ends import End, Side
from kwic.config.listen import Speech
from kwic.config.model import Address, bracketed
from kwic.config.words import listed, shown
from kwic.service.sockets import Socket
from kwic.transport.resolver import is_ip

_CLEAR = {Speech.HTTP: "HTTP, no TLS", Speech.BYTES: "TCP, no TLS", Speech.SOCKS: "SOCKS, no TLS"}


def doors(view: View) -> Iterator[Door]:
    """:returns: the doors, in the order of the file; the addresses of one interface or name are one door."""
    gathered: dict[tuple[int, tuple[Key, ...]], list[Socket]] = {}
    for socket in view.sockets:
        gathered.setdefault((socket.port, tuple(map(key_of, socket.ends))), []).append(socket)
    for same in gathered.values():
        yield _door(view, same)


def _door(view: View, same: Sequence[Socket]) -> Door:
    first = same[0]
    facts = []
    if first.secure:
        shows = dict.fromkeys(view.papers.as_server(host) for host in first.hosts or ("",))
        facts = [("shows", text) for text in shows]
    facts.append(("lets in", view.papers.identity(first.ends[0], first.tls)))
    return Door(
        addresses=tuple(bound(socket) for socket in same),
        unknown=_unknown(first.host),
        secure=first.secure,
        tls=_spoken(first),
        facts=tuple(facts),
        answers=tuple(_answers(first)),
    )


def _unknown(host: str) -> str:
    if host.startswith("@"):
        return (
            f"not an interface of this machine, or without an address yet; --resolve {host}=ADDR gives it one"
        )
    if not is_ip(host):
        return "every address of that name; --look-up asks name servers"
    return ""


def _spoken(socket: Socket) -> str:
    if socket.secure:
        return f"TLS {versions(socket.tls)}, {asked(socket.tls)}"
    if socket.ends[0].address.secure:
        return "clear: something in front of it takes the TLS off"
    return _CLEAR[socket.speech]


def _answers(socket: Socket) -> Iterator[Answer]:
    gathered: dict[str, list[End]] = {}
    for end in socket.ends:
        at = f"{end.address.authority}{end.address.path}" if socket.speech is Speech.HTTP else ""
        gathered.setdefault(at, []).append(end)
    for at, shared in gathered.items():
        names = tuple(dict.fromkeys(end.service.name for end in shared if end.side is Side.ACCEPT))
        callers = "clients"
        if shared[0].is_tunnel:
            callers = "agents" if shared[0].side is Side.CONNECT else "gateways"
        yield Answer(at=at, what=_what(shared, callers), callers=callers, services=names)


def _what(shared: Sequence[End], callers: str) -> str:
    end = shared[0]
    if end.is_tunnel:
        names = listed((shown(key) for each in shared for key in each.keys), "and")
        return f"tunnels of {callers} that {'offer' if end.side is Side.CONNECT else 'ask for'} {names}"
    if end.service.type == "balancer":
        return f"{end.service.name}: sends clients on to a member"
    return end.service.name


def cluster_facts(view: View) -> Iterator[tuple[str, str]]:
    """:returns: where the members of the cluster meet; nothing without one."""
    cluster = view.config.cluster
    if cluster is None:
        return
    yield "name", cluster.name
    for accept in cluster.accepts:
        hosts = (
            view.names.interface_addresses(accept.interface)
            if accept.interface is not None
            else view.names.host_addresses(accept.host)
        )
        named = (host if host.startswith("@") else bracketed(host) for host in hosts)
        yield "listens", listed((f"{host}:{accept.port}" for host in named), "and")
    if not cluster.accepts:
        yield "listens", "nowhere: it is told of the other members, and has no links to them"
    yield "looks at", listed(map(_sought, cluster.connects), "and") or "nobody: others must dial it"
    if not cluster.accepts:
        return
    if view.config.security.keystore is None:
        yield "TLS", "none: whoever can reach it may be a member"
    else:
        yield "TLS", f"1.3; a member has our own key, or a certificate from {view.papers.trusted()}"


def _sought(address: Address) -> str:
    return f"{address} (multicast)" if address.scheme == "udp" else str(address)
