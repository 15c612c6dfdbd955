"""
Listens on an address, and on nothing else: `[::]` is every IPv6 address, `0.0.0.0` every IPv4 address.

Linux lets a socket on `::` take IPv4 clients as well, unless it is told not to: they would have odd addresses, and nobody could listen on
`0.0.0.0` beside it.
"""

from __future__ import annotations

import functools
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.posixbase import PosixReactorBase

from kwic.transport import lean_tcp

#: Connections that may wait to be accepted: a burst of clients must not be turned away by the kernel.
BACKLOG = 1024

ANY_IPV4 = "0.0.0.0"
ANY_IPV6 = "::"


class _Port(tcp.Port):
    """A socket that takes no IPv4 clients where it is an IPv6 one, and whose clients are lean."""

    def createInternetSocket(self) -> socket.socket:
        """Tell it so before it is bound."""
        created: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            created.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if lean_tcp.fits(self.reactor):
            self.transport = lean_tcp.LeanConnection
            lean_tcp.tune(created)
        return created


def listen(reactor: Any, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
    """
    Listen.

    :param reactor: IReactorTCP.
    :param host: an address; an IPv6 one may have a scope.
    :param port: the port.
    :param factory: makes the protocols.
    :raises CannotListenError: that is not possible.
    """
    listening: IListeningPort
    if isinstance(reactor, PosixReactorBase):
        listening = _Port(port, factory, BACKLOG, host, reactor)
        listening.startListening()
    else:
        listening = reactor.listenTCP(port, factory, backlog=BACKLOG, interface=host)
    return listening


@functools.cache
def has_ipv6() -> bool:
    """:returns: whether this machine has IPv6, so that there is something to listen on."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((ANY_IPV6, 0))
    except OSError:
        return False
    return True
