"""Names and interfaces where the gateway does not run: what is not known is left as it is, and no name server is asked."""

from __future__ import annotations

from dataclasses import dataclass

from kwic.errors import SetupError
from kwic.transport.resolver import FixedNames


@dataclass(frozen=True)
class OfflineNames(FixedNames):
    """
    The answers given on the command line, and names for the rest.

    :param ipv6: whether a bare port means both families: where the gateway runs there may be IPv6, whatever there is here.
    :param own_interfaces: whether the interfaces of this machine stand for those of the gateway's.
    :param look_up: whether to ask name servers after all.
    """

    ipv6: bool = True
    own_interfaces: bool = False
    look_up: bool = False

    @classmethod
    def of(cls, names: FixedNames, *, own_interfaces: bool = False, look_up: bool = False) -> OfflineNames:
        """:returns: the same answers, and names for the rest."""
        return cls(names.hosts, names.interfaces, own_interfaces=own_interfaces, look_up=look_up)

    def interface_addresses(self, name: str) -> tuple[str, ...]:
        """:returns: its addresses; else the interface itself, as it is written: ``@eth0``."""
        if name not in self.interfaces and not self.own_interfaces:
            return (f"@{name}",)
        try:
            return super().interface_addresses(name) or (f"@{name}",)
        except SetupError:
            return (f"@{name}",)

    def host_addresses(self, host: str) -> tuple[str, ...]:
        """:returns: its addresses; else the host name."""
        if host.lower() not in self.hosts and not self.look_up:
            return (host,)
        try:
            return super().host_addresses(host)
        except SetupError:
            return (host,)
