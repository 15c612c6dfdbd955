"""
A connection within the process: two ends, each a transport like any other, with half-close, resets and a bounded buffer.

What one end writes the other reads at once, unless it has paused; then it waits there, and more than `HIGH_BYTES` waiting pauses the writer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

#: More than this waiting to be read pauses the writer; at half of it he goes on.
HIGH_BYTES = 65_536


@implementer(IAddress)
@dataclass(frozen=True)
class PipeAddress:
    """Both ends of a pipe."""

    name: str

    def __str__(self) -> str:
        return self.name


class _Mark(Enum):
    FIN = "no more bytes, and the other direction flows on"
    CLOSE = "no more bytes, and none wanted"


@implementer(ITransport, IConsumer, IPushProducer)
class PipeEnd:
    """
    One end.

    :param name: of the pipe, for logs.
    """

    half_closes = True
    disconnecting = False

    def __init__(self, name: str) -> None:
        self.high_bytes = HIGH_BYTES
        self.protocol: IProtocol | None = None
        self.connected = True
        self._name = name
        self._other: PipeEnd
        self._held: deque[bytes | _Mark] = deque()
        self._held_bytes = 0
        self._paused = False
        self._write_over = False
        self._read_over = False
        self._producer: Any = None
        self._streaming = True
        self._producer_paused = False

    # -- ITransport ---------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Give bytes to the other end."""
        if data and self.connected and not self._write_over:
            self._other._arrived(data)  # noqa: SLF001 - the two ends are one thing
            self._check_producer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Several pieces."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """An end of stream; the other direction flows on."""
        if self.connected and not self._write_over:
            self._write_over = True
            self._other._arrived(_Mark.FIN)  # noqa: SLF001

    def loseConnection(self) -> None:
        """Close, once the other end has read what was written."""
        if self.connected and not self.disconnecting:
            self.disconnecting = self._write_over = True
            self._other._arrived(_Mark.CLOSE)  # noqa: SLF001
            self._held = deque(item for item in self._held if isinstance(item, _Mark))
            self.resumeProducing()

    def abortConnection(self) -> None:
        """Close at once: a reset for the other end."""
        if self.connected:
            self._lost(Failure(ConnectionAborted()))
            self._other._lost(Failure(ConnectionLost("the pipe was reset")))  # noqa: SLF001

    def getPeer(self) -> IAddress:
        """The pipe."""
        return PipeAddress(self._name)

    def getHost(self) -> IAddress:
        """The pipe."""
        return PipeAddress(self._name)

    # -- IConsumer ----------------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause this producer while too much waits at the other end."""
        if self._producer is not None:
            raise RuntimeError(f"a producer is registered with {self._name} already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer = None

    # -- IPushProducer ------------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Read nothing."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Read what waits, and go on."""
        self._paused = False
        self._deliver()
        if self.connected:
            self._other._check_producer()  # noqa: SLF001

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- within -------------------------------------------------------------------------------------------------------------

    def _arrived(self, item: bytes | _Mark) -> None:
        if isinstance(item, bytes):
            if self.disconnecting:
                return
            self._held_bytes += len(item)
        self._held.append(item)
        self._deliver()

    def _deliver(self) -> None:
        while self._held and not self._paused and self.connected:
            item = self._held.popleft()
            if isinstance(item, bytes):
                self._held_bytes -= len(item)
                self.protocol.dataReceived(item)  # type: ignore[union-attr]
            elif item is _Mark.FIN:
                self._ended()
            else:
                self._both_lost()

    def _ended(self) -> None:
        """The other end has said all."""
        self._read_over = True
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is None:
            self.loseConnection()
        elif not self.disconnecting:
            half.readConnectionLost()
        if self.connected and self._other._read_over:  # noqa: SLF001
            self._both_lost()

    def _both_lost(self) -> None:
        done = Failure(ConnectionDone())
        self._lost(done)
        self._other._lost(done)  # noqa: SLF001

    def _lost(self, reason: Failure) -> None:
        if self.connected:
            self.connected = False
            self._held.clear()
            self._producer = None
            if self.protocol is not None:
                self.protocol.connectionLost(reason)

    def _check_producer(self) -> None:
        if self._producer is None:
            return
        waiting = self._other._held_bytes  # noqa: SLF001
        if waiting > self.high_bytes:
            if not self._producer_paused and self._streaming:
                self._producer_paused = True
                self._producer.pauseProducing()
        elif (self._producer_paused or not self._streaming) and waiting <= self.high_bytes // 2:
            self._producer_paused = False
            self._producer.resumeProducing()


def connect(name: str, one: IProtocol, other: IProtocol) -> None:
    """
    Join two protocols by a pipe.

    :param name: of the pipe, for logs.
    """
    ends = PipeEnd(name), PipeEnd(name)
    ends[0]._other, ends[1]._other = ends[1], ends[0]  # noqa: SLF001
    for end, protocol in zip(ends, (one, other), strict=True):
        end.protocol = protocol
    for end, protocol in zip(ends, (one, other), strict=True):
        protocol.makeConnection(end)
