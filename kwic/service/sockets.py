"""The sockets that a configuration asks for, once its names and interfaces have become addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kwic.config.ends import End
from kwic.config.listen import Listener as Wanted
from kwic.config.listen import Speech, conflicts, merged_tls, speech
from kwic.config.model import Bind, TlsOptions
from kwic.config.problem import ConfigError
from kwic.errors import SetupError
from kwic.transport.resolver import FixedNames

ANY_IPV4 = "0.0.0.0"
ANY_IPV6 = "::"


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
    Resolve what is to be listened on. Blocks: for the time before the reactor runs.

    :raises SetupError: when a name or an interface cannot be resolved, or two services that meet on a socket cannot share it.
    """
    found: dict[tuple[str, int], list[End]] = {}
    for listener in wanted:
        for host in _addresses(listener, names):
            ends = found.setdefault((host, listener.socket.port), [])
            ends.extend(end for end in listener.ends if end not in ends)
    for host, port in list(found):
        for wildcard in (ANY_IPV6, ANY_IPV4):
            covers = host != wildcard and (wildcard, port) in found and (":" in host or wildcard == ANY_IPV4)
            if covers and (host, port) in found:
                found[wildcard, port].extend(found.pop((host, port)))
    problems = [problem for ends in found.values() for problem in conflicts(ends)]
    if problems:
        raise ConfigError(problems)
    return tuple(Socket(host=host, port=port, ends=tuple(ends)) for (host, port), ends in found.items())


def _addresses(listener: Wanted, names: FixedNames) -> Sequence[str]:
    socket = listener.socket
    try:
        if socket.interface is not None:
            return names.interface_addresses(socket.interface)
        return names.host_addresses(socket.host) if socket.host is not None else (ANY_IPV4,)
    except SetupError as error:
        accepts = ", ".join(dict.fromkeys(str(end.address) for end in listener.ends))
        raise SetupError(f"{accepts}: {error}") from error
