"""A transport that is written to at a limited rate (`tcp.maximum.outbound.rate`); reading is not touched."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from zope.interface import implementer

from kwic.policy.pace import Pace
from kwic.transport.leg import can_half_close


@implementer(ITransport, IConsumer, IPushProducer)
class PacedTransport:
    """
    Writes to another transport, no faster than a rate.

    :param below: the transport; it is to be written to through this one only.
    :param rate: bytes per second.
    :param clock: for waiting.
    :param high_bytes: more than this waiting pauses the producer; at half of it he goes on.
    """

    def __init__(self, below: Any, rate: int, clock: IReactorTime, high_bytes: int = 65_536) -> None:
        self.high_bytes = high_bytes
        self.half_closes = can_half_close(below)
        self._below = below
        self._clock = clock
        self._rate = rate
        self._pace = Pace(rate, clock.seconds())
        self._queue: deque[bytes | memoryview] = deque()
        self._queued_bytes = 0
        self._timer: IDelayedCall | None = None
        self._ending: Callable[[], None] | None = None
        self._producer: Any = None
        self._streaming = True
        self._producer_paused = False
        self._below_full = False
        below.registerProducer(_Gate(self), True)

    # -- ITransport ---------------------------------------------------------------------------------------------------------

    @property
    def disconnecting(self) -> bool:
        """Whether nothing more is taken."""
        return self._ending is not None or bool(getattr(self._below, "disconnecting", False))

    def write(self, data: bytes) -> None:
        """Queue bytes; they leave when the rate allows."""
        if data and self._ending is None:
            self._queue.append(data)
            self._queued_bytes += len(data)
            self._send()
            if self._producer is not None and self._queued_bytes > self.high_bytes:
                self._pause()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Queue several pieces."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """An end of stream behind what is queued."""
        self._end(self._below.loseWriteConnection)

    def loseConnection(self) -> None:
        """Close behind what is queued."""
        self._end(self._below.loseConnection)

    def close(self, code: int, reason: str) -> None:
        """Close a WebSocket behind what is queued."""
        self._end(lambda: self._below.close(code, reason))

    def abortConnection(self) -> None:
        """Close at once."""
        self.stop()
        self._below.abortConnection()

    def stop(self) -> None:
        """The connection is over: forget what waits."""
        self._queue.clear()
        self._queued_bytes = 0
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    @property
    def needs_s(self) -> float:
        """How long it takes until what waits has left, when the other end keeps up."""
        return self._queued_bytes / self._rate

    def getPeer(self) -> IAddress:
        """The other end of the transport below."""
        peer: IAddress = self._below.getPeer()
        return peer

    def getHost(self) -> IAddress:
        """Our end of the transport below."""
        host: IAddress = self._below.getHost()
        return host

    # -- IConsumer ----------------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause this producer while too much waits."""
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer = None

    # -- IPushProducer: reading is the business of the transport below ------------------------------------------------------

    def pauseProducing(self) -> None:
        """Read nothing."""
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self._below.resumeProducing()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- within -------------------------------------------------------------------------------------------------------------

    def below_is_full(self, *, full: bool) -> None:
        """The transport below has enough to send, or has room again."""
        self._below_full = full
        self._send()

    def _send(self) -> None:
        while self._queue and not self._below_full:
            size = self._pace.take(len(self._queue[0]), self._clock.seconds())
            if not size:
                self._wait()
                break
            self._below.write(self._next(size))
        if self._ending is not None and not self._queue:
            self._finish(self._ending)
        elif self._producer is not None and self._queued_bytes <= self.high_bytes // 2:
            self._resume()

    def _next(self, size: int) -> bytes:
        piece = self._queue.popleft()
        if size < len(piece):
            view = memoryview(piece)
            self._queue.appendleft(view[size:])
            piece = view[:size]
        self._queued_bytes -= size
        return bytes(piece)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self._clock.callLater(self._pace.wait_s(self._queued_bytes), self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._send()

    def _pause(self) -> None:
        if self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _resume(self) -> None:
        if self._producer_paused or not self._streaming:
            self._producer_paused = False
            self._producer.resumeProducing()

    def _end(self, end: Callable[[], None]) -> None:
        self._ending = end
        self._producer = None
        if not self._queue:
            self._finish(end)

    def _finish(self, end: Callable[[], None]) -> None:
        self._ending = _nothing
        # Twisted's TLS transport does not close while a producer is registered.
        self._below.unregisterProducer()
        end()


class _Gate:
    """Is paused and resumed by the transport below."""

    def __init__(self, paced: PacedTransport) -> None:
        self._paced = paced

    def pauseProducing(self) -> None:
        self._paced.below_is_full(full=True)

    def resumeProducing(self) -> None:
        self._paced.below_is_full(full=False)

    def stopProducing(self) -> None:
        self._paced.stop()


def _nothing() -> None:
    """It ended already."""
