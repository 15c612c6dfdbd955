"""Connections within the process."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from kwic.transport.leg import can_half_close
from kwic.transport.pipe import HIGH_BYTES, PipeEnd, connect


class Hearing(Protocol):
    """Hears bytes and ends."""

    transport: Any

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: Failure) -> None:
        self.heard.append(type(reason.value).__name__)


@implementer(IHalfCloseableProtocol)
class Half(Hearing):
    """Hears the end of the stream, too."""

    def readConnectionLost(self) -> None:
        self.heard.append("end")

    def writeConnectionLost(self) -> None:
        """We said all."""


class Producer:
    """Can be paused."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class PipeTests(SynchronousTestCase):
    """Two ends."""

    def setUp(self) -> None:
        self.a, self.b = Half(), Half()
        connect("pipe://x", self.a, self.b)

    def test_what_it_is(self) -> None:
        """It is a transport that can be half-closed."""
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, PipeEnd("x"))
        self.assertTrue(can_half_close(self.a.transport))
        self.assertEqual(str(self.a.transport.getPeer()), "pipe://x")
        self.assertEqual(self.b.transport.getHost(), self.a.transport.getPeer())

    def test_bytes(self) -> None:
        """Bytes arrive at once and in order, both ways."""
        self.a.transport.write(b"one")
        self.a.transport.writeSequence([b"two", b"three"])
        self.b.transport.write(b"back")
        self.assertEqual((self.a.heard, self.b.heard), ([b"back"], [b"one", b"twothree"]))

    def test_half_close(self) -> None:
        """One direction ends while the other flows on; when both have, the connection is done."""
        self.a.transport.loseWriteConnection()
        self.a.transport.write(b"too late")
        self.b.transport.write(b"answer")
        self.assertEqual((self.a.heard, self.b.heard), ([b"answer"], ["end"]))
        self.b.transport.loseWriteConnection()
        self.assertEqual(
            (self.a.heard, self.b.heard), ([b"answer", "end", "ConnectionDone"], ["end", "ConnectionDone"])
        )

    def test_close(self) -> None:
        """A close ends both, once the other end has read everything."""
        self.b.transport.pauseProducing()
        self.a.transport.write(b"last words")
        self.a.transport.loseConnection()
        self.b.transport.write(b"unwanted")
        self.assertEqual((self.a.heard, self.b.heard), ([], []))
        self.b.transport.resumeProducing()
        self.assertEqual(
            (self.a.heard, self.b.heard), (["ConnectionDone"], [b"last words", "ConnectionDone"])
        )

    def test_both_close(self) -> None:
        """Both may close while neither reads."""
        for end in (self.a, self.b):
            end.transport.pauseProducing()
        for end in (self.a, self.b):
            end.transport.write(b"unread")
        self.a.transport.loseConnection()
        self.b.transport.loseConnection()
        self.assertEqual((self.a.heard, self.b.heard), (["ConnectionDone"], ["ConnectionDone"]))

    def test_close_after_half_close(self) -> None:
        """An end that has said all may close then."""
        self.b.transport.pauseProducing()
        self.a.transport.loseWriteConnection()
        self.a.transport.loseConnection()
        self.b.transport.resumeProducing()
        self.assertEqual((self.a.heard, self.b.heard), (["ConnectionDone"], ["end", "ConnectionDone"]))

    def test_reset(self) -> None:
        """A reset is one for the other end, and what waits is lost."""
        self.b.transport.pauseProducing()
        self.a.transport.write(b"lost")
        self.a.transport.abortConnection()
        self.assertEqual((self.a.heard, self.b.heard), (["ConnectionAborted"], ["ConnectionLost"]))
        self.b.transport.abortConnection()
        self.b.transport.write(b"nobody")
        self.b.transport.resumeProducing()
        self.assertEqual(self.b.heard, ["ConnectionLost"])

    def test_no_half_close(self) -> None:
        """A protocol that knows no half-close is closed by an end of stream."""
        a, b = Hearing(), Hearing()
        connect("pipe://x", a, b)
        a.transport.write(b"x")
        a.transport.loseWriteConnection()
        self.assertEqual((a.heard, b.heard), (["ConnectionDone"], [b"x", "ConnectionDone"]))

    def test_back_pressure(self) -> None:
        """More than the bound waiting at a paused end pauses the writer; he goes on at half of it."""
        producer = Producer()
        self.a.transport.registerProducer(producer, True)
        self.b.transport.pauseProducing()
        self.a.transport.write(b"x" * HIGH_BYTES)
        self.assertEqual(producer.calls, [])
        self.a.transport.write(b"x")
        self.a.transport.write(b"x")
        self.assertEqual(producer.calls, ["pauseProducing"])
        self.b.transport.resumeProducing()
        self.assertEqual(producer.calls, ["pauseProducing", "resumeProducing"])
        self.assertRaises(RuntimeError, self.a.transport.registerProducer, producer, True)
        self.a.transport.unregisterProducer()
        self.a.transport.abortConnection()
        self.a.transport.registerProducer(producer, True)
        self.assertEqual(producer.calls[-1], "stopProducing")

    def test_pull_producer(self) -> None:
        """A pull producer is asked whenever there is room."""
        producer = Producer()
        self.a.transport.registerProducer(producer, False)
        self.a.transport.write(b"x")
        self.b.transport.pauseProducing()
        self.a.transport.write(b"x" * HIGH_BYTES)
        self.assertEqual(producer.calls, ["resumeProducing"] * 2)

    def test_pause_within(self) -> None:
        """An end that pauses while it reads keeps the rest."""
        self.b.dataReceived = lambda data: (  # type: ignore[method-assign]
            self.b.heard.append(data),
            self.b.transport.pauseProducing(),
        )
        self.a.transport.write(b"one")
        self.a.transport.write(b"two")
        self.assertEqual(self.b.heard, [b"one"])
        self.b.transport.resumeProducing()
        self.assertEqual(self.b.heard, [b"one", b"two"])
        self.b.transport.stopProducing()
        self.assertEqual(self.a.heard, ["ConnectionDone"])
