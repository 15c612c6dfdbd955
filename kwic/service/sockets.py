"""The sockets that a configuration asks for, once its names and interfaces have become addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kwic.config.ends import End
from kwic.config.listen import Listener as Wanted
from kwic.config.listen import Speech, conflicts, merged_tls, speech
from kwic.config.model import Bind, TlsOptions
from kwic.config.problem import BadValueError, ConfigError, Problem
from kwic.errors import SetupError
from kwic.transport.listen import ANY_IPV4, ANY_IPV6
from kwic.transport.resolver import FixedNames


@dataclass(frozen=True, kw_only=True)
class Socket:
    """One address and port, and what is served there."""

    host: str
    port: int
    ends: tuple[End, ...]

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.ends[0].secure

    @property
    def speech(self) -> Speech:
        """What is spoken, after TLS."""
        return speech(self.ends[0])

    @property
    def tls(self) -> TlsOptions:
        """The TLS options that its services agree on."""
        return merged_tls(self.ends)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that the certificate must fit."""
        return Wanted(socket=Bind(port=self.port), ends=self.ends).hosts

    @property
    def purpose(self) -> str:
        """The accepts that it serves."""
        return ", ".join(dict.fromkeys(str(end.address) for end in self.ends))


def sockets(wanted: Iterable[Wanted], names: FixedNames) -> tuple[Socket, ...]:
    """
    Resolve what is to be listened on. Blocks: for the time before the reactor runs, or for a thread.

    :returns: one for each address and port; none for an interface that has no address yet.
    :raises ConfigError: names or interfaces cannot be resolved, each told with the accept that asks for it; or two services that meet on
        a socket cannot share it.
    """
    found: dict[tuple[str, int], list[End]] = {}
    unknown: list[Problem] = []
    # Each end by itself: the configuration cannot know of which family a name is that a wildcard may cover.
    for end in (end for listener in wanted for end in listener.ends):
        try:
            hosts = _addresses(end.socket, names)
        except BadValueError as error:
            unknown.append(
                Problem(place=end.place, message=f"{end.address}: {error.message}", hint=error.hint)
            )
        except SetupError as error:
            unknown.append(Problem(place=end.place, message=f"{end.address}: {error}"))
        else:
            for host in hosts:
                _add(found.setdefault((host, end.socket.port), []), [end])
    if unknown:
        raise ConfigError(unknown)
    for host, port in list(found):
        wildcard = ANY_IPV6 if ":" in host else ANY_IPV4
        if host != wildcard and (wildcard, port) in found:
            _add(found[wildcard, port], found.pop((host, port)))
    problems = [problem for ends in found.values() for problem in conflicts(ends)]
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return tuple(Socket(host=host, port=port, ends=tuple(ends)) for (host, port), ends in found.items())


def missing(wanted: Iterable[Wanted], names: FixedNames) -> tuple[Wanted, ...]:
    """
    What cannot be listened on because its interface has no address.

    :raises SetupError: when there is no such interface.
    """
    return tuple(
        listener
        for listener in wanted
        if listener.socket.interface is not None and not _addresses(listener.socket, names)
    )


def _add(ends: list[End], more: Iterable[End]) -> None:
    ends.extend(end for end in more if end not in ends)


def _addresses(socket: Bind, names: FixedNames) -> Sequence[str]:
    if socket.interface is not None:
        return names.interface_addresses(socket.interface)
    if socket.host is not None:
        return names.host_addresses(socket.host)
    return (ANY_IPV4, ANY_IPV6) if names.ipv6 else (ANY_IPV4,)
