"""What must be listened on: the listening ends of all services, gathered into one listener per socket.

Several services share one address and port when they can be told apart on it (configuration.md §2): WebSockets and
tunnels over WebSocket by Host and path, plain SOCKS tunnels by the names in them. Whoever shares must agree on TLS.

Host names are not resolved here. What two names turn out to share is seen when the gateway has resolved them; it then
asks :func:`conflicts` and :func:`merged_tls` again, about the ends that met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from kwic.config.ends import End, ends
from kwic.config.model import Bind, GatewayConfig, TlsOptions
from kwic.config.problem import Place, Problem, Severity
from kwic.config.words import shown

WILDCARDS = frozenset({None, "0.0.0.0", "::"})


class Speech(Enum):
    """What is spoken on a socket first, after TLS."""

    HTTP = "WebSocket"
    SOCKS = "a SOCKS tunnel"
    BYTES = "plain bytes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One listening socket, or one per address of an interface or a name."""

    socket: Bind
    ends: tuple[End, ...]
    """What is served there, in the order of the file."""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.ends[0].secure

    @property
    def speech(self) -> Speech:
        """What is spoken on it."""
        return speech(self.ends[0])

    @property
    def tls(self) -> TlsOptions:
        """The TLS options that its services agree on."""
        return merged_tls(self.ends)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that the certificate must fit, in order: none for wildcards and interfaces."""
        named = [end.address for end in self.ends if end.address.interface is None]
        return tuple(dict.fromkeys(address.host for address in named if address.host not in WILDCARDS))


def listeners(config: GatewayConfig) -> tuple[Listener, ...]:
    """:returns: one listener per socket, in the order of the file. A wildcard takes in what it covers on its port."""
    found = [end for service in config.services for end in ends(service) if end.listens]
    wildcards = {end.socket for end in found if is_wildcard(end.socket)}
    gathered: dict[Bind, list[End]] = {}
    for end in found:
        gathered.setdefault(_covering(end.socket, wildcards), []).append(end)
    return tuple(Listener(socket=socket, ends=tuple(shared)) for socket, shared in gathered.items())


def _covering(socket: Bind, wildcards: set[Bind]) -> Bind:
    """:returns: the wildcard that has a socket's port already: every address, or every one of its family."""
    family = "::" if socket.host is not None and ":" in socket.host else "0.0.0.0"
    candidates = (Bind(host=host, port=socket.port) for host in (None, family))
    return next((candidate for candidate in candidates if candidate in wildcards), socket)


def is_wildcard(socket: Bind) -> bool:
    """:returns: whether a socket is on every address of the machine."""
    return socket.interface is None and socket.host in WILDCARDS


def speech(end: End) -> Speech:
    """:returns: what is spoken at an end."""
    if end.address.is_websocket:
        return Speech.HTTP
    return Speech.SOCKS if end.is_tunnel else Speech.BYTES


def merged_tls(shared: Iterable[End]) -> TlsOptions:
    """:returns: for each TLS option the first value that one of the ends gives: those that say nothing go along."""
    options = [end.tls for end in shared]
    return TlsOptions(
        verify_client=next((each.verify_client for each in options if each.verify_client is not None), None),
        protocols=next((each.protocols for each in options if each.protocols is not None), None),
        ciphers=next((each.ciphers for each in options if each.ciphers is not None), None),
        encryption=all(each.encryption for each in options),
    )


def option_place(shared: Iterable[End], option: str) -> Place:
    """:returns: where the first of some ends that has an ``ssl.*`` option has it; else where the first end itself is."""
    found = list(shared)
    places = (end.options.places.get(name) for end in found for name in _names(end, option))
    return next((place for place in places if place is not None), found[0].place)


def _names(end: End, option: str) -> tuple[str, ...]:
    """:returns: how an end may call an ``ssl.*`` option: that which counts first."""
    return (f"socks.{option}", option) if end.is_tunnel else (option,)


def conflicts(shared: Iterable[End]) -> Iterator[Problem]:
    """:returns: an error for each way in which ends that share one socket cannot; both services are named."""
    # An address that one service lists twice is another mistake, and reported as such.
    found = list({(end.service.name, end.address): end for end in shared}.values())
    for first, second in pairwise(found):
        if first.secure is not second.secure:
            secure, clear = (first, second) if first.secure else (second, first)
            yield _conflict(second, first, f"{_name(secure)} speaks TLS and {_name(clear)} does not")
        elif speech(first) is not speech(second) or speech(first) is Speech.BYTES:
            yield _conflict(second, first, f"{_claim(first)} and {_claim(second)} cannot be told apart")
    if found and found[0].secure:
        for option, value in _AGREED.items():
            yield from _disagreements(found, option, value)
    yield from _same_routes(found)


_AGREED: dict[str, Callable[[TlsOptions], str]] = {
    "ssl.verify-client": lambda tls: tls.verify_client.value if tls.verify_client else "",
    "ssl.protocols": lambda tls: ",".join(tls.protocols or ()),
    "ssl.ciphers": lambda tls: ",".join(tls.ciphers or ()),
}

_DEFAULTS: Mapping[str, str] = {"ssl.verify-client": "none", "ssl.protocols": "TLSv1.2,TLSv1.3"}
"""What saying nothing means."""


def _disagreements(found: list[End], option: str, value: Callable[[TlsOptions], str]) -> Iterator[Problem]:
    outspoken = [end for end in found if value(end.tls)]
    for end in outspoken[1:]:
        first, one, other = outspoken[0], value(outspoken[0].tls), value(end.tls)
        if one != other:
            yield _conflict(
                end, first, f"{_name(first)} has {option} {one} and {_name(end)} has {other}", option
            )


def silences(shared: Iterable[End]) -> Iterator[Problem]:
    """:returns: a warning for each end that says nothing of a TLS option, and gets what another one on its socket asks for."""
    found = [end for end in shared if end.secure]
    for option, value in _AGREED.items():
        asking = [end for end in found if value(end.tls) not in ("", _DEFAULTS.get(option))]
        silent = [end for end in found if asking and not value(end.tls)]
        for end in silent:
            first, name = asking[0], _names(end, option)[0]
            asked = value(first.tls)
            yield Problem(
                place=end.place,
                message=f"{_name(end)} says nothing of {name}, and gets {asked} from {_name(first)}: "
                f"both listen at {_where(end, first)}",
                hint=f"write {name} {asked} here too, or use another port",
                severity=Severity.WARNING,
            )


def _same_routes(found: list[End]) -> Iterator[Problem]:
    """Two services for one Host and path; tunnels may share them with each other."""
    routes: dict[tuple[str, str], End] = {}
    for end in found:
        if speech(end) is not Speech.HTTP:
            continue
        first = routes.setdefault((end.address.authority, end.address.path), end)
        if first is not end and not (first.is_tunnel and end.is_tunnel):
            message = f"{_name(first)} and {_name(end)} both serve {end.address}"
            yield Problem(place=end.place, message=message, hint="give one of them another path or host")


def _conflict(end: End, other: End, what: str, option: str = "") -> Problem:
    place = option_place([end], option) if option else end.place
    hint = f"make both agree on {option}, or use another port" if option else "use another port"
    return Problem(place=place, message=f"{what}, and both listen at {_where(end, other)}", hint=hint)


def _where(end: End, other: End) -> str:
    socket = end.socket if end.socket == other.socket else Bind(port=end.socket.port)
    return f"port {socket}" if socket == Bind(port=socket.port) else str(socket)


def _name(end: End) -> str:
    return f"service {shown(end.service.name)}"


def _claim(end: End) -> str:
    return f"{_name(end)} ({speech(end).value})"
