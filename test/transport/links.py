"""Two ends joined in memory: a link with a bounded buffer, on a clock that the test moves."""

from __future__ import annotations

from collections import deque

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport, IConsumer, IPushProducer)
class LinkEnd:
    """
    One end of a link.

    What is written waits in a buffer until the link is pumped; more than `limit` waiting pauses the producer, as a socket would.
    """

    disconnecting = False

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.other: LinkEnd
        self.protocol = None
        self.buffer: deque[bytes] = deque()
        self.reading = True
        self.connected = True
        self.closing: Failure | None = None
        self.producer = None
        self.producer_paused = False
        self.frozen = False

    # writing
    def write(self, data) -> None:
        assert isinstance(data, bytes | bytearray | memoryview)
        if self.connected and self.closing is None and data:
            self.buffer.append(bytes(data))
            if self.producer is not None and not self.producer_paused and self.waiting > self.limit:
                self.producer_paused = True
                self.producer.pauseProducing()

    def writeSequence(self, data) -> None:
        self.write(b"".join(data))

    @property
    def waiting(self) -> int:
        return sum(map(len, self.buffer))

    def registerProducer(self, producer, streaming) -> None:
        assert self.producer is None
        self.producer = producer
        self.producer_paused = False

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        if self.closing is None:
            self.disconnecting = True
            self.closing = Failure(ConnectionDone())

    def abortConnection(self) -> None:
        if self.connected:
            self.buffer.clear()
            self.closing = Failure(ConnectionLost())
            self._end(Failure(ConnectionAborted()))
            self.other._end(Failure(ConnectionLost()))

    def getPeer(self):
        return StringTransport().getPeer()

    def getHost(self):
        return StringTransport().getHost()

    # reading
    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    def _end(self, reason: Failure) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(reason)

    def move(self, size: int) -> bool:
        """Carry at most so many bytes over; whether anything happened."""
        if self.frozen or not self.other.connected or not self.other.reading:
            return False
        if self.buffer:
            piece = self.buffer.popleft()
            if len(piece) > size:
                self.buffer.appendleft(piece[size:])
                piece = piece[:size]
            self.other.protocol.dataReceived(piece)
            if self.producer_paused and not self.buffer and self.producer is not None:
                self.producer_paused = False
                self.producer.resumeProducing()
            return True
        if self.closing is not None and self.connected:
            reason = self.closing
            self.other._end(reason)
            self._end(reason)
            return True
        return False


class Link:
    """Two ends and what lies between them."""

    def __init__(self, limit: int = 65536) -> None:
        self.a = LinkEnd("a", limit)
        self.b = LinkEnd("b", limit)
        self.a.other, self.b.other = self.b, self.a

    def connect(self, a, b) -> None:
        """Give each end its protocol."""
        self.a.protocol, self.b.protocol = a, b
        a.makeConnection(self.a)
        b.makeConnection(self.b)

    def pump(self, size: int = 65536, rounds: int = 100_000) -> None:
        """Carry bytes over until nothing moves."""
        for _ in range(rounds):
            moved = self.a.move(size)
            if not self.b.move(size) and not moved:
                return
        raise AssertionError("the link never came to rest")
