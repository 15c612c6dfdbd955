"""Transports that are written to at a limited rate."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from kwic.transport.paced import PacedTransport
from test.transport.links import Link
from test.transport.test_pipe import Half, Producer

RATE = 1000


class PacedTests(SynchronousTestCase):
    """A thousand bytes per second on a link in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = Link()
        self.near, self.far = Half(), Half()
        self.link.connect(self.near, self.far)
        self.below: Any = self.link.a
        self.paced = PacedTransport(self.below, RATE, self.clock, high_bytes=2000)

    def heard(self) -> int:
        """Bytes that have arrived."""
        self.link.pump()
        return sum(len(item) for item in self.far.heard if isinstance(item, bytes))

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)

    def test_what_it_is(self) -> None:
        """A transport with the half-close of the one below."""
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.paced)
        self.assertFalse(self.paced.half_closes)
        self.assertEqual(self.paced.getPeer(), self.below.getPeer())
        self.assertEqual(self.paced.getHost(), self.below.getHost())

    def test_rate(self) -> None:
        """Bytes leave at the rate, in order, and nothing is scheduled when all are gone."""
        sent = bytes(range(256)) * 20
        self.paced.write(sent)
        for second in (1, 2, 3):
            self.pass_time(1)
            self.assertLess(abs(self.heard() - second * RATE), RATE * 0.2)
        self.pass_time(3)
        self.heard()
        self.assertEqual(b"".join(self.far.heard), sent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_little_at_a_time(self) -> None:
        """A connection that says little is not slowed."""
        for count in range(1, 6):
            self.paced.writeSequence([b"some", b"thing"])
            self.assertEqual(self.heard(), 9 * count)
            self.pass_time(0.1)

    def test_producer(self) -> None:
        """The producer is paused while too much waits, and resumed at half of it."""
        producer = Producer()
        self.paced.registerProducer(producer, True)
        self.paced.write(b"x" * 3000)
        self.assertEqual(producer.calls, ["pauseProducing"])
        self.pass_time(1.7)
        self.assertEqual(producer.calls, ["pauseProducing"])
        self.pass_time(0.5)
        self.assertEqual(producer.calls, ["pauseProducing", "resumeProducing"])
        self.paced.unregisterProducer()
        self.paced.write(b"x" * 3000)
        self.assertEqual(len(producer.calls), 2)

    def test_pull_producer(self) -> None:
        """A pull producer is asked when there is room."""
        producer = Producer()
        self.paced.registerProducer(producer, False)
        self.paced.write(b"x")
        self.assertEqual(producer.calls, ["resumeProducing"] * 2)

    def test_link_is_slower(self) -> None:
        """When the transport below is full, what the rate allows waits for it."""
        self.link.b.reading = False
        self.below.limit = 500
        self.paced.write(b"x" * 5000)
        self.pass_time(10)
        self.assertLess(self.below.waiting, 1000)
        self.link.b.reading = True
        for _ in range(10):
            self.heard()
            self.pass_time(1)
        self.assertEqual(self.heard(), 5000)

    def test_close(self) -> None:
        """A close, or an end of stream, follows what waits; what is written behind it is dropped."""
        self.paced.write(b"x" * 1500)
        self.assertAlmostEqual(self.paced.needs_s, 1.4)
        self.paced.loseConnection()
        self.assertTrue(self.paced.disconnecting)
        self.paced.write(b"too late")
        self.pass_time(1)
        self.assertFalse(self.below.disconnecting)
        self.pass_time(1)
        self.assertEqual(self.heard(), 1500)
        self.assertEqual(self.far.heard[-1], "ConnectionDone")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_end_of_stream(self) -> None:
        """So does an end of stream, and a close may follow it."""
        calls: list[str] = []
        self.below.loseWriteConnection = lambda: calls.append("end")
        self.paced.write(b"x" * 150)
        self.paced.loseWriteConnection()
        self.assertEqual(calls, [])
        self.pass_time(1)
        self.assertEqual(calls, ["end"])
        self.paced.stopProducing()
        self.assertTrue(self.below.disconnecting)

    def test_websocket_close(self) -> None:
        """A WebSocket's close code is passed on."""
        calls: list[Any] = []
        self.below.close = lambda *how: calls.append(how)
        self.paced.close(1014, "why")
        self.assertEqual(calls, [(1014, "why")])

    def test_reset(self) -> None:
        """A reset waits for nothing."""
        self.paced.write(b"x" * 1500)
        self.paced.abortConnection()
        self.assertEqual(self.far.heard[-1:], ["ConnectionLost"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """When the connection is gone, what waits is forgotten."""
        self.paced.write(b"x" * 1500)
        self.below.producer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.paced.stop()

    def test_reading(self) -> None:
        """Reading is paused and resumed below."""
        self.paced.pauseProducing()
        self.assertFalse(self.below.reading)
        self.paced.resumeProducing()
        self.assertTrue(self.below.reading)
