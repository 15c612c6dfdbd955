"""TCP to a name or to an address."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint


def tcp_endpoint(reactor: Any, host: str, port: int, timeout_s: float) -> IStreamClientEndpoint:
    """:returns: an endpoint for a host and port.

    A name is resolved anew for each connect, and all its addresses are tried, a moment apart (RFC 8305). For a literal
    address no resolver is asked: that would cost a thread.

    :param host: without brackets; an IPv6 address may have a scope.
    :param timeout_s: for each address.
    """
    try:
        version = ip_address(host.partition("%")[0]).version
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout=timeout_s)
    kind = TCP6ClientEndpoint if version == 6 else TCP4ClientEndpoint
    return kind(reactor, host, port, timeout=timeout_s)
