"""
TCP connections with little around them: for clients that come and go by the thousand.

Twisted's own name each connection for its old log, copy what they send, ask the reactor before each write, and close through two more turns of it. A
`LeanConnection` does for its protocol, its producer and its reactor what Twisted's do, without that, and is built on their public interfaces alone. It serves
accepted sockets (`listen`) and dialled ones (`lean_connect`). Where the reactor has no file descriptors, Twisted's own are used.
"""

from __future__ import annotations

import functools
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from errno import EAGAIN, ENOBUFS, EPIPE
from typing import Any

from twisted.internet import main
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    ILoggingContext,
    IPushProducer,
    IReadWriteDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: A read begins with so many bytes, and grows up to so many while reads are full: fewer and larger pieces cost less all the way (docs/performance.md).
FIRST_READ_BYTES = 16_384
READ_BYTES = 261_748
"""Of a client or a server: with the headers of a tunnel, and in TLS, it is a little less than `CARRIER_READ_BYTES`, and not cut in two there."""
CARRIER_READ_BYTES = 262_144
"""Of a tunnel."""
#: At most so much is offered to the socket in one call: a peer that reads as fast as we write must not keep us.
SEND_BYTES = 1_048_576
#: Pieces that wait are sent together up to this size; larger ones go by themselves, uncopied.
JOIN_BYTES = 65_536

TcpAddress = IPv4Address | IPv6Address

#: Makes a close a reset (SO_LINGER, on, for no time).
_RESETTING = struct.pack("ii", 1, 0)
_DONE = Failure(main.CONNECTION_DONE)
"""One for all: it is met at the end of each connection."""
#: What a send may fail with although nothing has broken: there is no room, or the peer had sent its end of stream before it closed altogether.
UNBROKEN = (EAGAIN, ENOBUFS, EPIPE)


def fits(reactor: Any) -> bool:
    """:returns: whether the connections of a reactor can be ours: it watches file descriptors, and real ones."""
    return isinstance(reactor, PosixReactorBase)


def tune(connection: socket.SocketType) -> None:
    """Send small writes at once, and let the kernel notice a peer that vanished. Sockets that a listener accepts inherit it on Linux."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def tcp_address(where: tuple[Any, ...]) -> TcpAddress:
    """:returns: the address that Python's sockets know as `where`; one of IPv6 with its scope, where it has one."""
    if len(where) == 2:
        return IPv4Address("TCP", *where)
    host, *rest = where
    if where[3]:
        host, _ = socket.getnameinfo(where, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return IPv6Address("TCP", host, *rest)


def _declares_half_close(kind: type) -> bool:
    return bool(IHalfCloseableProtocol.implementedBy(kind))


#: Whether the protocols of a class are told of an end of stream, and live on: remembered, as it is asked of each connection.
half_closes: Callable[[type], bool] = functools.cache(_declares_half_close)


class Outbound(Enum):
    """How far our own direction is."""

    OPEN = "bytes may be written"
    FINISHING = "an end of stream follows what waits"
    FINISHED = "the end of stream is sent"


# looked up for each client and each message: a member of an enum costs ten times as much in Python 3.11
_OPEN = Outbound.OPEN
_FINISHING = Outbound.FINISHING
_FINISHED = Outbound.FINISHED


@implementer(
    ITCPTransport,
    IConsumer,
    IPushProducer,
    IReadWriteDescriptor,
    IHalfCloseableDescriptor,
    ILoggingContext,
    ISystemHandle,
)
class LeanConnection:
    """
    A TCP connection, accepted or dialled.

    :param connected: its socket, which does not block.
    :param protocol: what is told of it, once it has been begun.
    :param peer: the other end.
    :param reactor: watches it.
    """

    log = Logger()

    tuned = True
    """It has been given what `tune` gives."""

    # There are two of these for each client: no dictionary each, and no queue that nothing waits in.
    __slots__ = (
        "__weakref__",
        "_begun",
        "_broken",
        "_outbound",
        "_peer",
        "_read_bytes",
        "_read_ended",
        "_reading",
        "_waiting",
        "_writing",
        "bufferSize",
        "connected",
        "disconnected",
        "disconnecting",
        "fileno",
        "high_bytes",
        "patient",
        "producer",
        "producerPaused",
        "protocol",
        "reactor",
        "socket",
        "streamingProducer",
        "waiting_bytes",
    )

    def __init__(self, connected: socket.SocketType, protocol: Any, peer: TcpAddress, reactor: Any) -> None:
        self.socket = connected
        self.fileno: Callable[[], int] = connected.fileno
        self.protocol = protocol
        self.reactor = reactor
        self._peer = peer
        #: Bytes may go both ways; not any more once it was aborted.
        self.connected = True
        #: It is closed as soon as nothing waits.
        self.disconnecting = False
        #: The protocol has been told of its end.
        self.disconnected = False
        #: It may wait while others are served (see `lean_reactor`).
        self.patient = False
        #: What one read may take, at most.
        self.bufferSize = READ_BYTES
        #: More than this waiting to be sent pauses the producer, and at half of it he goes on; None for `bufferSize`.
        self.high_bytes: int | None = None
        #: What has been written and not been sent.
        self.waiting_bytes = 0
        self.producer: Any = None
        self.producerPaused = False
        self.streamingProducer = False
        self._waiting: deque[bytes | memoryview] | None = None
        self._outbound = _OPEN
        self._read_bytes = FIRST_READ_BYTES
        self._read_ended = False
        #: A send was told that it is broken. The kernel says so once: a read finds an end of stream afterwards, and must not believe it.
        self._broken = False
        # What the reactor is asked for; until it is begun, what it will be asked for.
        self._begun = False
        self._reading = True
        self._writing = False

    def __repr__(self) -> str:
        return f"<TCP connection with {self._peer.host}>"

    def begin(self) -> None:
        """Introduce the protocol, and read unless it wants to be asked first."""
        try:
            self.protocol.makeConnection(self)
        except Exception:  # noqa: BLE001 - as one that fails later: it is logged, and the connection is closed
            self.log.failure("a protocol could not take its connection")
            self.abortConnection()
            return
        self._begun = True
        if self._reading:
            self.reactor.addReader(self)
        if self._writing:
            self.reactor.addWriter(self)

    # -- IReadWriteDescriptor: what the reactor finds -------------------------------------------------------------------------

    def doRead(self) -> Any:
        """
        Read, in pieces as large as they come.

        :returns: why there is no connection any more: an exception.
        """
        size = self._read_bytes
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            if self._broken:
                return main.CONNECTION_LOST
            self.readConnectionLost(_DONE)
            return None
        got = len(data)
        if got == size:
            self._read_bytes = min(4 * size, self.bufferSize)
        elif got < size >> 4 and size > FIRST_READ_BYTES:
            self._read_bytes = max(size >> 2, FIRST_READ_BYTES)
        self.protocol.dataReceived(data)
        return None

    def doWrite(self) -> Any:
        """
        Send what waits, and let the producer go on when little is left.

        :returns: why there is no connection any more: an exception.
        """
        if not self.connected:
            # It was ended by what had just been read.
            return None
        if self.waiting_bytes and not self._send():
            return main.CONNECTION_LOST
        if self.waiting_bytes:
            if self.producerPaused and self.waiting_bytes <= self._high_bytes() // 2:
                self._resume_producer()
            return None
        self.stopWriting()
        if self.producer is not None and (self.producerPaused or not self.streamingProducer):
            self._resume_producer()
        elif self.disconnecting:
            return main.CONNECTION_DONE
        elif self._outbound is _FINISHING:
            self._finish()
        return None

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer sent its end of stream."""
        if not half_closes(type(self.protocol)):
            self.connectionLost(reason)
            return
        self._read_ended = True
        try:
            self.protocol.readConnectionLost()
        except Exception:  # noqa: BLE001 - as Twisted does: logged, and the connection is closed
            self._failed()
        if self._reading:
            self.stopReading()

    def writeConnectionLost(self, reason: Failure) -> None:
        """No reactor says so; of our own end of stream the protocol is told when it is sent."""
        self.connectionLost(reason)

    def connectionLost(self, reason: Failure) -> None:
        """Both directions are over: close the socket, and tell the producer and the protocol, once."""
        if self.disconnected:
            return
        self.disconnected = True
        self.connected = False
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        if self._reading:
            self.stopReading()
        if self._writing:
            self.stopWriting()
        self._close(reset=isinstance(reason.value, ConnectionAborted))
        self._waiting, self.waiting_bytes = None, 0
        protocol, self.protocol = self.protocol, None
        protocol.connectionLost(reason)

    def _close(self, *, reset: bool) -> None:
        closing = self.socket
        del self.socket
        try:
            if reset:
                closing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
            # No other process has it (close-on-exec), so this sends the end of stream: no need for a shutdown before.
            closing.close()
        except OSError:
            pass

    def _failed(self) -> None:
        """The protocol raised an exception, which is being handled."""
        self.log.failure("a protocol failed: its connection is closed")
        self.connectionLost(Failure())

    def logPrefix(self) -> str:
        """For Twisted's old log."""
        return "TCP"

    # -- what the reactor is asked for ----------------------------------------------------------------------------------------

    def startReading(self) -> None:
        """Wait for bytes."""
        if not (self._reading or self._read_ended or self.disconnected):
            self._reading = True
            if self._begun:
                self.reactor.addReader(self)

    def stopReading(self) -> None:
        """Wait for them no more."""
        if self._reading:
            self._reading = False
            if self._begun:
                self.reactor.removeReader(self)

    def startWriting(self) -> None:
        """Wait for room."""
        if not (self._writing or self.disconnected):
            self._writing = True
            if self._begun:
                self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Wait for it no more."""
        if self._writing:
            self._writing = False
            if self._begun:
                self.reactor.removeWriter(self)

    # -- IPushProducer: what the protocol says to what we deliver -------------------------------------------------------------

    pauseProducing = stopReading

    def resumeProducing(self) -> None:
        """Deliver again."""
        if self.connected and not self.disconnecting:
            self.startReading()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- ITransport -----------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """
        Send bytes when the reactor finds that they can be, together with what is written until then.

        :raises TypeError: they are of another type.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"bytes are sent, not {type(data).__name__}")
        if data and self.connected and self._outbound is not _FINISHED:
            self._keep(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces, as `write` does."""
        self.write(b"".join(data))

    def send_now(self, data: bytes | memoryview) -> None:
        """
        Send at once what the socket takes, in the order of what was written; the rest waits.

        :param data: bytes, or a view of bytes that may change afterwards.
        """
        if (
            self.waiting_bytes
            or not self.connected
            or self.disconnecting
            or self._outbound is not _OPEN
            or not data
        ):
            self.write(data if type(data) is bytes else bytes(data))
            return
        try:
            sent = self.socket.send(data if len(data) <= SEND_BYTES else memoryview(data)[:SEND_BYTES])
        except OSError as problem:
            # It is full. Or it is lost: the reactor will find out, and say so, in its own time.
            self._broken = problem.errno not in UNBROKEN
            sent = 0
        if sent < len(data):
            rest = memoryview(data)[sent:]
            self._keep(rest if type(data) is bytes else bytes(rest))

    def loseConnection(self) -> None:
        """Close when everything has been sent; nothing is read any more."""
        if not self.connected or self.disconnecting:
            return
        if self._outbound is _FINISHED:
            self.connectionLost(_DONE)
        else:
            self.disconnecting = True
            self.startWriting()
            self.stopReading()

    def end_at_once(self) -> bool:
        """
        Close now instead of in another turn of the reactor, when everything that was written has left.

        :returns: whether that could be done; `connectionLost` has been called then.
        """
        if not self.connected or self.disconnecting or self.waiting_bytes:
            return False
        self.connectionLost(_DONE)
        return True

    def loseWriteConnection(self) -> None:
        """Send an end of stream behind what waits, at once when nothing does; the peer's direction flows on."""
        if not self.connected or self.disconnecting or self._outbound is not _OPEN:
            return
        # One that is asked for more is asked until he has no more.
        if self.waiting_bytes or (self.producer is not None and not self.streamingProducer):
            self._outbound = _FINISHING
        else:
            self._finish()

    def abortConnection(self) -> None:
        """Drop what waits, and reset the connection; the protocol is told soon."""
        if self.connected:
            self.connected = False
            self.stopReading()
            self.stopWriting()
            self.reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def getPeer(self) -> TcpAddress:
        """The other end."""
        return self._peer

    def getHost(self) -> TcpAddress:
        """This end."""
        return tcp_address(self.socket.getsockname())

    def getHandle(self) -> socket.SocketType:
        """The socket."""
        return self.socket

    def getTcpNoDelay(self) -> bool:
        """:returns: whether small writes are sent at once."""
        return bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once, or gather them."""
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)
        except OSError:
            # macOS says so of a connection that the peer has closed; whoever reads it will notice.
            pass

    def getTcpKeepAlive(self) -> bool:
        """:returns: whether the kernel looks for a silent peer."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Let the kernel look for a silent peer, or not."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    # -- IConsumer ------------------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Pause this producer while too much waits, or ask it for more when nothing does.

        :param streaming: the former.
        """
        if self.producer is not None:
            raise RuntimeError(f"{self.producer} is registered already, {producer} cannot be")
        if not self.connected:
            producer.stopProducing()
            return
        self.producer, self.streamingProducer, self.producerPaused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self.producer = None
        if self.connected and (self.disconnecting or self._outbound is _FINISHING):
            self.startWriting()

    def _high_bytes(self) -> int:
        return self.bufferSize if self.high_bytes is None else self.high_bytes

    def _resume_producer(self) -> None:
        self.producerPaused = False
        if self.producer is not None:
            self.producer.resumeProducing()

    # -- sending --------------------------------------------------------------------------------------------------------------

    def _keep(self, piece: bytes | memoryview) -> None:
        """Have a piece wait, and the producer when that is too much."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(piece)
        self.waiting_bytes += len(piece)
        self.startWriting()
        # Each time: somebody else may have let him go on.
        if self.producer is not None and self.streamingProducer and self.waiting_bytes > self._high_bytes():
            self.producerPaused = True
            self.producer.pauseProducing()

    def _next_piece(self) -> bytes | memoryview:
        """The first piece that waits, after it was joined with those behind it while they are small."""
        waiting = self._waiting
        assert waiting, "bytes wait"
        first = waiting[0]
        if len(waiting) == 1 or len(first) >= JOIN_BYTES:
            return first
        small, size = [waiting.popleft()], len(first)
        while waiting and size < JOIN_BYTES and len(waiting[0]) < JOIN_BYTES:
            piece = waiting.popleft()
            small.append(piece)
            size += len(piece)
        first = b"".join(small)
        waiting.appendleft(first)
        return first

    def _send(self) -> bool:
        """
        Send what the socket takes of the first piece that waits.

        :returns: whether there still is a connection.
        """
        piece = self._next_piece()
        try:
            sent = self.socket.send(piece if len(piece) <= SEND_BYTES else memoryview(piece)[:SEND_BYTES])
        except BlockingIOError:
            return True
        except OSError as problem:
            return problem.errno == ENOBUFS
        waiting = self._waiting
        assert waiting, "it was sent of a piece"
        self.waiting_bytes -= sent
        if not self.waiting_bytes:
            self._waiting = None
        elif sent == len(piece):
            waiting.popleft()
        else:
            waiting[0] = memoryview(piece)[sent:]
        return True

    def _finish(self) -> None:
        """Send the end of stream, and say that it was."""
        self._outbound = _FINISHED
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if half_closes(type(self.protocol)):
            try:
                self.protocol.writeConnectionLost()
            except Exception:  # noqa: BLE001 - as Twisted does: logged, and the connection is closed
                self._failed()
