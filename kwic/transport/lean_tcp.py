"""
TCP connections of Twisted's kind with less around them: for clients that come and go by the thousand.

Twisted's own name each connection for its old log, cut and copy what they send, close through two more turns of the reactor, and dial with a Deferred, two timers
and twice the system calls. `LeanConnection` is Twisted's `Server` without that, for both sides: sockets that were accepted and such that were dialled.
Where Twisted's is another one than this file knows, or the reactor has no file descriptors, Twisted's own are used.
"""

from __future__ import annotations

import inspect
import os
import socket
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN, ENOBUFS
from typing import Any

from twisted.internet import error, main, tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReadWriteDescriptor,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.python.failure import Failure
from zope.interface import implementer

#: A read begins with so many bytes, and grows up to so many while reads are full: fewer and larger pieces cost less all the way (docs/performance.md).
FIRST_READ_BYTES = 16_384
READ_BYTES = 262_144
#: At most so much is offered to the socket in one call; Twisted's own 128 KiB would cut our messages in two.
SEND_BYTES = 1_048_576

#: The methods that are replaced or called, with their parameters as this file knows them.
_KNOWN = {
    "__init__": ["self", "sock", "protocol", "client", "server", "sessionno", "reactor"],
    "doRead": ["self"],
    "doWrite": ["self"],
    "writeSomeData": ["self", "data"],
    "_isSendBufferFull": ["self"],
    "_closeSocket": ["self", "orderly"],
    "connectionLost": ["self", "reason"],
}
_DONE = Failure(main.CONNECTION_DONE)
_PENDING = (EINPROGRESS, EALREADY, EAGAIN)


def is_known(kind: type[tcp.Server]) -> bool:
    """:returns: whether Twisted's connections are those that this file knows."""
    methods = {name: getattr(kind, name, None) for name in _KNOWN}
    return all(
        method is not None and list(inspect.signature(method).parameters) == _KNOWN[name]
        for name, method in methods.items()
    )


IS_KNOWN = is_known(tcp.Server)


def fits(reactor: Any) -> bool:
    """:returns: whether the connections of a reactor can be ours."""
    return IS_KNOWN and isinstance(reactor, PosixReactorBase)


def tune(connection: socket.socket) -> None:
    """Send small writes at once, and let the kernel notice a peer that vanished. Sockets that a listener accepts inherit it on Linux."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class LeanConnection(tcp.Server):
    """A TCP connection, accepted or dialled; `server` is None for the latter."""

    tuned = True
    """It has been given what `tune` gives."""
    SEND_LIMIT = SEND_BYTES
    bufferSize = READ_BYTES
    patient = False
    """It may wait while others are served (see `lean_reactor`)."""
    high_bytes: int | None = None
    """More than this waiting to be sent pauses the producer, and at half of it he goes on; None for Twisted's `bufferSize`."""

    def __init__(
        self, sock: socket.socket, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any
    ) -> None:
        tcp.Connection.__init__(self, sock, protocol, reactor)
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.logstr = "TCP"
        self._read_bytes = FIRST_READ_BYTES
        self.startReading()
        self.connected = 1

    def __repr__(self) -> str:
        return f"<TCP connection with {self.hostname}>"

    def doRead(self) -> Any:
        """Read, in pieces as large as they come."""
        size = self._read_bytes
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        got = len(data)
        if got == size:
            self._read_bytes = min(4 * size, self.bufferSize)
        elif got < size >> 4 and size > FIRST_READ_BYTES:
            self._read_bytes = size >> 2
        self.protocol.dataReceived(data)
        return None

    @property
    def waiting_bytes(self) -> int:
        """What has been written and not been sent."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def _isSendBufferFull(self) -> bool:
        return self.waiting_bytes > self._high_bytes

    @property
    def _high_bytes(self) -> int:
        return self.bufferSize if self.high_bytes is None else self.high_bytes

    def doWrite(self) -> Any:
        """Send what waits, and let the producer go on when little is left."""
        problem = super().doWrite()
        producer: Any = self.producer
        if (
            self.producerPaused
            and producer is not None
            and problem is None
            and self.waiting_bytes <= self._high_bytes // 2
        ):
            self.producerPaused = False
            producer.resumeProducing()
        return problem

    def writeSomeData(self, data: Any) -> Any:
        """Send what the socket takes."""
        if len(data) > self.SEND_LIMIT:
            data = memoryview(data)[: self.SEND_LIMIT]
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as problem:
            return 0 if problem.errno == ENOBUFS else main.CONNECTION_LOST

    def send_now(self, data: Any) -> None:
        """
        Send at once what the socket takes, in the order of what was written; the rest waits.

        :param data: bytes, or a view of bytes that may change afterwards.
        """
        if (
            self._tempDataLen
            or self.dataBuffer
            or not self.connected
            or self.disconnecting
            or self._writeDisconnecting
            or not data
        ):
            self.write(data if type(data) is bytes else bytes(data))
            return
        sent = self.writeSomeData(data)
        if not isinstance(sent, int):
            # The connection is lost: the reactor will find out, and say so, in its own time.
            self.write(bytes(data))
        elif sent < len(data):
            self.write(bytes(memoryview(data)[sent:]))

    def end_at_once(self) -> bool:
        """
        Close now instead of in another turn of the reactor, when everything that was written has left.

        :returns: whether that could be done; `connectionLost` has been called then.
        """
        if not self.connected or self.disconnecting or self.dataBuffer or self._tempDataLen:
            return False
        self.connectionLost(_DONE)
        return True

    def _closeSocket(self, orderly: bool) -> None:
        if not orderly:
            super()._closeSocket(orderly)
            return
        try:
            # No other process has it (close-on-exec), so this sends the end of stream: no need for a shutdown before.
            self.socket.close()
        except OSError:
            pass


@implementer(IReadWriteDescriptor)
class Connecting:
    """
    A socket that is being connected.

    :param reactor: waits.
    :param host: a literal address; an IPv6 one may have a scope.
    :param port: the port.
    :param factory: makes the protocol.
    :param timeout_s: for the whole attempt.
    """

    def __init__(
        self, reactor: Any, host: str, port: int, factory: IProtocolFactory, timeout_s: float
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._timeout_s = timeout_s
        self._timer: IDelayedCall | None = None
        self._outcome: Deferred[IProtocol] = Deferred(lambda _: self._stop())
        self._host, self._port = host, port
        self._where: Any = (host, port)
        self._socket: socket.socket | None = None

    def begin(self) -> Deferred[IProtocol]:
        """
        Connect.

        :returns: fires with the protocol once it is connected; fails with a `ConnectError`. Cancelling it gives up.
        """
        try:
            self._socket = self._make_socket()
        except OSError as problem:
            self._fail(error.ConnectBindError(problem.errno, problem.strerror))
            return self._outcome
        # A far end on this machine has answered by the second call: no need to wait for the reactor.
        if self._look() and self._look():
            self._reactor.addWriter(self)
            self._timer = self._reactor.callLater(self._timeout_s, self._fail, error.TimeoutError())
        return self._outcome

    def _make_socket(self) -> socket.socket:
        family = socket.AF_INET
        if ":" in self._host:
            # Looks at the scope, and asks nobody.
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            family, _, _, _, self._where = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=flags
            )[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            tune(made)
        except OSError:
            made.close()
            raise
        return made

    def _look(self) -> bool:
        """:returns: whether there is still something to wait for."""
        if self._socket is None:
            return False
        code = self._socket.connect_ex(self._where)
        if code in _PENDING:
            return True
        if code in (0, EISCONN):
            self._connected()
        else:
            self._fail(error.getConnectError((code, os.strerror(code))))
        return False

    def _connected(self) -> None:
        connected, self._socket = self._take(), None
        kind = IPv4Address if len(self._where) == 2 else IPv6Address
        try:
            protocol = self._factory.buildProtocol(kind("TCP", *self._where))
        except Exception:  # noqa: BLE001 - whoever asked for the connection is told
            connected.close()
            self._outcome.errback(Failure())
            return
        if protocol is None:
            connected.close()
            self._outcome.errback(Failure(error.ConnectError(string="the connection is not wanted")))
            return
        transport = LeanConnection(connected, protocol, self._where, None, 0, self._reactor)
        protocol.makeConnection(transport)
        self._outcome.callback(protocol)

    def _take(self) -> socket.socket:
        """The socket, with nobody waiting for it any more."""
        taken = self._socket
        assert taken is not None
        if self._timer is not None:
            self._reactor.removeWriter(self)
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        return taken

    def _stop(self) -> None:
        if self._socket is not None:
            self._take().close()
            self._socket = None

    def _fail(self, reason: Exception) -> None:
        self._stop()
        self._outcome.errback(Failure(reason))

    # -- IReadWriteDescriptor -----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket's."""
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:
        """Nobody asked to read."""

    def doWrite(self) -> None:
        """There is an outcome."""
        self._look()

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


def connect(
    reactor: Any, host: str, port: int, factory: IProtocolFactory, timeout_s: float
) -> Deferred[IProtocol]:
    """
    Dial a literal address.

    :param reactor: one for which `fits`.
    :returns: fires with the factory's protocol; fails with a `ConnectError`.
    """
    return Connecting(reactor, host, port, factory, timeout_s).begin()
