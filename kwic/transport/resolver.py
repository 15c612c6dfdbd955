"""
Names to addresses: the system's resolver, with fixed answers in front of it, and the addresses of network interfaces.

`--resolve HOST=ADDR[,ADDR]` gives the fixed answers, so that a whole scenario runs on one machine from unmodified files; `--resolve @eth0=ADDR`
stands in for an interface. Nothing here blocks the reactor once it runs: connections are resolved by the reactor's own threads, anew each time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import ifaddr
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from kwic.config.problem import BadValueError
from kwic.errors import SetupError
from kwic.transport.listen import has_ipv6

UNKNOWN_HOST_HINT = "add it to DNS or /etc/hosts, say its address with --resolve HOST=ADDR, or write in tcp.bind where to listen instead"


@dataclass(frozen=True)
class FixedNames:
    """
    The answers given on the command line.

    :param hosts: addresses by lower-case host name.
    :param interfaces: addresses by interface name, without the @.
    :param ipv6: whether this machine has IPv6, so that a bare port means both families.
    """

    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    interfaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ipv6: bool = field(default_factory=has_ipv6)

    @classmethod
    def parse(cls, definitions: Iterable[str]) -> FixedNames:
        """
        Read `HOST=ADDR[,ADDR]` and `@INTERFACE=ADDR[,ADDR]`.

        :raises SetupError: when a definition is not of that form.
        """
        hosts: dict[str, tuple[str, ...]] = {}
        interfaces: dict[str, tuple[str, ...]] = {}
        for definition in definitions:
            name, _, values = definition.partition("=")
            addresses = tuple(value.strip() for value in values.split(",") if value.strip())
            if not name.strip("@ ") or not addresses or not all(map(is_ip, addresses)):
                raise SetupError(
                    f"--resolve {definition}: write HOST=ADDR[,ADDR] or @INTERFACE=ADDR[,ADDR] with IP addresses"
                )
            if name.startswith("@"):
                interfaces[name[1:]] = addresses
            else:
                hosts[name.lower()] = addresses
        return cls(hosts, interfaces)

    def interface_addresses(self, name: str) -> tuple[str, ...]:
        """
        The addresses of an interface, IPv4 first, link-local ones with their scope; none when it has none yet.

        :raises SetupError: when there is no such interface; it lists those there are.
        """
        if name in self.interfaces:
            return self.interfaces[name]
        adapters = [
            adapter
            for adapter in ifaddr.get_adapters(include_unconfigured=True)
            if name.lower() in (adapter.name.lower(), adapter.nice_name.lower())
        ]
        if not adapters:
            real = {adapter.name for adapter in ifaddr.get_adapters(include_unconfigured=True)}
            there = sorted(real.union(self.interfaces))
            raise SetupError(f"there is no network interface {name}; there are: {', '.join(there)}")
        found = [_text(ip.ip) for adapter in adapters for ip in adapter.ips]
        return tuple(sorted(dict.fromkeys(found), key=lambda address: ":" in address))

    def host_addresses(self, host: str) -> tuple[str, ...]:
        """
        Every address of a host to listen on. Blocks: for the time before the reactor runs.

        :raises BadValueError: when the name does not resolve; it says what to do.
        """
        if is_ip(host):
            return (host,)
        if host.lower() in self.hosts:
            return self.hosts[host.lower()]
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise BadValueError(
                f"the host name {host} cannot be resolved: {error.strerror or error}", UNKNOWN_HOST_HINT
            ) from error
        return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))


def is_ip(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address, with or without a scope."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _text(ip: str | tuple[str, int, int]) -> str:
    if isinstance(ip, str):
        return ip
    address, _, scope = ip
    return f"{address}%{scope}" if scope and ipaddress.ip_address(address).is_link_local else address


@implementer(IHostResolution)
@dataclass
class FixedResolution:
    """An answer that is there already."""

    name: str

    def cancel(self) -> None:
        """Too late: it was answered at once."""


def take_back(question: IHostResolution | None) -> None:
    """Wait no longer for the answer to a question, if there is one under way."""
    if question is not None:
        try:
            question.cancel()
        except NotImplementedError:
            # Twisted's own resolver cannot: the answer finds nobody who waits for it.
            pass


@implementer(IHostnameResolver)
class FixedResolver:
    """
    Answers from fixed names, and asks another resolver for the rest.

    :param names: the fixed answers.
    :param below: who else is asked.
    """

    def __init__(self, names: FixedNames, below: IHostnameResolver) -> None:
        self._names = names
        self._below = below

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Resolve a name (see `IHostnameResolver`)."""
        fixed = self._names.hosts.get(hostName.lower())
        if fixed is None:
            return self._below.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolution = FixedResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for address in fixed:
            kind = IPv6Address if ":" in address else IPv4Address
            if addressTypes is None or kind in addressTypes:
                resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution
