"""
Dials a literal address with as little as possible.

Twisted's own takes a Deferred, two timers and twice the system calls. Here who dials is called, at once where the far end is on this machine and has answered by the
second call; only otherwise the reactor waits, and a timer with it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReadWriteDescriptor,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.transport.lean_tcp import LeanConnection, TcpAddress, tcp_address, tune

_PENDING = (EINPROGRESS, EALREADY, EAGAIN)
#: Linux makes sockets that do not block; elsewhere they are told.
_NOT_BLOCKING: int = getattr(socket, "SOCK_NONBLOCK", 0)
_KIND = socket.SOCK_STREAM | _NOT_BLOCKING

Build = Callable[[TcpAddress], Any]
"""Makes the protocol for a connection with an address; None for none."""


@implementer(IStreamClientEndpoint)
class LeanEndpoint:
    """
    A literal address to be dialled.

    :param reactor: one that fits (see `lean_tcp`).
    :param address: an IPv6 one may have a scope.
    :param port: the port.
    :param timeout_s: for each attempt.
    """

    def __init__(self, reactor: Any, address: str, port: int, timeout_s: float) -> None:
        self.reactor = reactor
        self.timeout_s = timeout_s
        self._address, self._port = address, port
        self._has_scope = ":" in address
        self._peer: TcpAddress | None = None

    def where(self) -> tuple[int, Any]:
        """
        What is dialled. The interface of a scope may have come and gone since the last time.

        :returns: the address family, and the address as Python's sockets know it.
        :raises OSError: there is no such interface.
        """
        if not self._has_scope:
            return socket.AF_INET, (self._address, self._port)
        # Looks at the scope, and asks nobody.
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        family, _, _, _, where = socket.getaddrinfo(
            self._address, self._port, type=socket.SOCK_STREAM, flags=flags
        )[0]
        return family, where

    def peer(self, where: Any) -> TcpAddress:
        """:returns: the address that was dialled, for protocols: one for all connections."""
        if self._has_scope:
            return tcp_address(where)
        if self._peer is None:
            self._peer = tcp_address(where)
        return self._peer

    def dial(
        self, build: Build, connected: Callable[[Any], object], failed: Callable[[Failure], object]
    ) -> Callable[[], None]:
        """
        Connect.

        :param build: makes the protocol.
        :param connected: called with it once it has its connection, which may be before this returns.
        :param failed: called with a `ConnectError`, or what `build` raised; so may this.
        :returns: what gives up, if neither was called yet.
        """
        attempt = Connecting(self, build, connected, failed)
        attempt.begin()
        return attempt.stop

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        :returns: fires with the factory's protocol; fails with a `ConnectError`. Cancelling it gives up.
        """
        outcome: Deferred[IProtocol] = Deferred(lambda _: attempt.stop())
        attempt = Connecting(self, protocolFactory.buildProtocol, outcome.callback, outcome.errback)
        attempt.begin()
        return outcome


@implementer(IReadWriteDescriptor)
class Connecting:
    """
    A socket that is being connected.

    :param endpoint: what is dialled.
    """

    log = Logger()

    __slots__ = (
        "__weakref__",
        "_build",
        "_connected",
        "_endpoint",
        "_failed",
        "_socket",
        "_timer",
        "_where",
    )

    def __init__(
        self,
        endpoint: LeanEndpoint,
        build: Build,
        connected: Callable[[Any], object],
        failed: Callable[[Failure], object],
    ) -> None:
        self._endpoint = endpoint
        self._build = build
        self._connected = connected
        self._failed = failed
        self._timer: IDelayedCall | None = None
        self._where: Any = None
        self._socket: socket.SocketType | None = None

    def begin(self) -> None:
        """Connect."""
        try:
            self._socket = self._make_socket()
        except OSError as problem:
            self._fail(error.ConnectBindError(problem.errno, problem.strerror))
            return
        code = self._socket.connect_ex(self._where)
        if code in _PENDING:
            # A far end on this machine has answered by the second call: no need to wait for the reactor.
            code = self._socket.connect_ex(self._where)
        if code in _PENDING:
            reactor = self._endpoint.reactor
            reactor.addWriter(self)
            self._timer = reactor.callLater(self._endpoint.timeout_s, self._fail, error.TimeoutError())
        else:
            self._decide(code)

    def stop(self) -> None:
        """Give up; nothing happens when there was an outcome."""
        if self._socket is not None:
            self._take().close()

    def _make_socket(self) -> socket.SocketType:
        family, self._where = self._endpoint.where()
        made = socket.SocketType(family, _KIND)
        try:
            if not _NOT_BLOCKING:
                made.setblocking(False)
            tune(made)
        except OSError:
            made.close()
            raise
        return made

    def _decide(self, code: int) -> None:
        """There is an outcome."""
        if code in (0, EISCONN):
            self._succeed()
        else:
            self._fail(error.getConnectError((code, os.strerror(code))))

    def _succeed(self) -> None:
        connected = self._take()
        peer = self._endpoint.peer(self._where)
        try:
            protocol = self._build(peer)
        except Exception:  # noqa: BLE001 - whoever asked for the connection is told
            connected.close()
            self._failed(Failure())
            return
        if protocol is None:
            connected.close()
            self._failed(Failure(error.ConnectError(string="the connection is not wanted")))
            return
        connection = LeanConnection(connected, protocol, peer, self._endpoint.reactor)
        connection.begin()
        try:
            self._connected(protocol)
        except Exception:  # noqa: BLE001 - others are served by what called us
            self.log.failure("what was connected cannot be used")
            connection.abortConnection()

    def _take(self) -> socket.SocketType:
        """The socket, with nobody waiting for it any more."""
        taken = self._socket
        assert taken is not None
        if self._timer is not None:
            self._endpoint.reactor.removeWriter(self)
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        self._socket = None
        return taken

    def _fail(self, reason: Exception) -> None:
        self.stop()
        self._failed(Failure(reason))

    # -- IReadWriteDescriptor -----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket's."""
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:
        """Nobody asked to read."""

    def doWrite(self) -> None:
        """There may be an outcome."""
        if self._socket is not None:
            code = self._socket.connect_ex(self._where)
            if code not in _PENDING:
                self._decide(code)

    def connectionLost(self, reason: Failure) -> None:
        """There is one, and it is no good: the socket knows which."""
        if self._socket is not None:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._fail(
                error.getConnectError((code, os.strerror(code)))
                if code
                else error.ConnectError(string=reason.getErrorMessage())
            )

    def logPrefix(self) -> str:
        """For Twisted's old log."""
        return "TCP"
