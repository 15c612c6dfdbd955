"""
Listens on an address, and on nothing else: `[::]` is every IPv6 address, `0.0.0.0` every IPv4 address.

Linux lets a socket on `::` take IPv4 clients as well, unless it is told not to: they would have odd addresses, and nobody could listen on
`0.0.0.0` beside it.
"""

from __future__ import annotations

import functools
import os
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from kwic.transport.lean_tcp import LeanConnection, fits, tcp_address, tune

#: Connections that may wait to be accepted: a burst of clients must not be turned away by the kernel.
BACKLOG = 1024

#: So many more are taken the next time when there were as many as were taken.
MORE_ACCEPTS = 20

#: So many are taken at once where other processes take some too: one would take all while the others wake up.
SHARED_ACCEPTS = 4

#: So many are taken at once where each begins with a TLS handshake, a millisecond or more: a thousand peers that come at one moment are let in
#: little by little, and whoever is connected already has its turn in between.
TLS_ACCEPTS = 4

ANY_IPV4 = "0.0.0.0"
ANY_IPV6 = "::"


class _Port(tcp.Port):
    """A socket that takes no IPv4 clients where it is an IPv6 one, and whose clients are lean."""

    log = Logger()
    factory: Any
    socket: Any

    #: Other processes of ours have it, or one like it, too.
    shared = False
    #: So many are taken at once, at most.
    most_accepts = BACKLOG
    #: Closing it is enough, and leaves it open for other processes.
    _shouldShutdown = False

    def createInternetSocket(self) -> socket.socket:
        """Tell it so before it is bound."""
        created: socket.socket = super().createInternetSocket()
        if self.shared:
            created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self.addressFamily == socket.AF_INET6:
            created.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tune(created)
        return created

    def doRead(self) -> None:
        """Take those who came, or some of them; as many more next time as there seem to be."""
        most = min(self.numberAccepts, self.most_accepts)
        taken = self._take(most)
        if taken is None:
            # There are no file descriptors left, or the like: Twisted knows what to do.
            self.numberAccepts = most
            super().doRead()
        else:
            self.numberAccepts = most + MORE_ACCEPTS if taken == most else max(1, taken)

    def take_all(self) -> None:
        """Take everybody whom the kernel has let in for us: we are about to stop."""
        self._take(BACKLOG)

    def _take(self, most: int) -> int | None:
        """:returns: how many came, `most` at most; None when they could not be let in."""
        # What `socket.accept` does before it makes an object of the file descriptor that costs three times as much.
        accept = self.socket._accept  # noqa: SLF001
        for taken in range(most):
            try:
                number, where = accept()
            except BlockingIOError:
                return taken
            except OSError:
                return None
            connected = socket.SocketType(self.addressFamily, socket.SOCK_STREAM, 0, number)
            connected.setblocking(False)
            self._serve(connected, where)
        return most

    def _serve(self, connected: socket.SocketType, where: tuple[Any, ...]) -> None:
        peer = tcp_address(where)
        try:
            protocol = self.factory.buildProtocol(peer)
        except Exception:  # noqa: BLE001 - the others are to be served
            self.log.failure("a client could not be served")
            protocol = None
        if protocol is None:
            connected.close()
        else:
            LeanConnection(connected, protocol, peer, self.reactor).begin()


def listen(
    reactor: Any,
    host: str,
    port: int,
    factory: IProtocolFactory,
    *,
    shared: bool = False,
    inherited: int | None = None,
) -> IListeningPort:
    """
    Listen.

    :param reactor: IReactorTCP.
    :param host: an address; an IPv6 one may have a scope.
    :param port: the port.
    :param factory: makes the protocols.
    :param shared: whether other processes of ours listen there too (SO_REUSEPORT, where the socket is not inherited).
    :param inherited: the file descriptor of a socket that listens there already; it is closed here.
    :raises CannotListenError: that is not possible.
    """
    if not fits(reactor):
        listening: IListeningPort = reactor.listenTCP(port, factory, backlog=BACKLOG, interface=host)
        return listening
    if inherited is None:
        made = _Port(port, factory, BACKLOG, host, reactor)
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = _Port._fromListeningDescriptor(reactor, inherited, family, factory)  # noqa: SLF001 - what adoptStreamPort does
        made.addressFamily = family
        os.close(inherited)
    made.shared = shared
    if isinstance(factory, TLSMemoryBIOFactory):
        made.most_accepts = TLS_ACCEPTS
    elif shared:
        made.most_accepts = SHARED_ACCEPTS
    made.startListening()
    return made


@functools.cache
def has_ipv6() -> bool:
    """:returns: whether this machine has IPv6, so that there is something to listen on."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((ANY_IPV6, 0))
    except OSError:
        return False
    return True
