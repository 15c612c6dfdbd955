"""How much is given to a tunnel's connection at once, and in which order."""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.portions import MOST_MESSAGE_BYTES
from kwic.transport import line as line_module
from kwic.transport.lean_tcp import LeanConnection, tcp_address
from kwic.transport.line import ASK_BYTES, Line, connection_below
from kwic.transport.tunnel import FIRST_BYTES, Tunnel
from test.transport.links import Link, LinkEnd
from test.transport.real_tcp import Ends, connected
from test.transport.test_tunnel import Recorder, User
from test.wire.test_tcp_info import packed

MBIT_20 = 2_500_000
STEP_S = 0.001


class SlowEnd(LinkEnd):
    """
    One end of a line with a rate, and its kernel: takes everything, sends at the rate, and asks for more when half of its share is left.

    :param rate: bytes a second.
    """

    def __init__(self, name: str, rate: int) -> None:
        super().__init__(name, limit=1 << 40)
        self.rate = rate
        self.socket = self
        self.producerPaused = False
        self.mark = 1 << 32
        self.asked = False
        self._allowance = 0.0

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert option == socket.TCP_INFO
        window = int(self.rate * 0.04 / 1000)
        return packed(segment_bytes=1000, window=window, round_trip_us=40_000, unsent=self.waiting)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert option == socket.TCP_NOTSENT_LOWAT
        self.mark = value

    def startWriting(self) -> None:
        self.asked = True

    def run(self, seconds: float) -> None:
        """Send for so long."""
        self._allowance = self._allowance + self.rate * seconds if self.buffer else 0.0
        while self.buffer and self._allowance >= 1:
            size = min(len(self.buffer[0]), int(self._allowance))
            self._allowance -= size
            self.move(size)
        if self.asked and 2 * self.waiting < self.mark:
            self.asked = self.producerPaused = False
            self.producer.resumeProducing()


class SlowLineTests(SynchronousTestCase):
    """A tunnel over 20 Mbit/s."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.users = User(), User()
        self.near = Tunnel(self.users[0], self.clock, dialer=True, peer="b")
        self.far = Tunnel(self.users[1], self.clock, dialer=False, peer="a")
        self.link = Link()
        self.link.a, self.link.b = SlowEnd("a", MBIT_20), SlowEnd("b", MBIT_20)
        self.link.a.other, self.link.b.other = self.link.b, self.link.a
        self.link.connect(self.near, self.far)
        self.run_for(0.1)

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            for end in (self.link.a, self.link.b):
                end.run(STEP_S)

    def open(self) -> tuple[Any, Any]:
        """A stream: this end of it, and who hears at the other."""
        stream = self.near.open(Recorder())
        self.run_for(0.01)
        return stream, self.users[1].streams[-1].protocol

    def until_heard(self, far: Any, size: int) -> float:
        """Seconds until so many bytes have arrived."""
        began = self.clock.seconds()
        while len(far.heard) < size:
            self.run_for(STEP_S)
        return self.clock.seconds() - began

    def test_interactive_beside_bulk(self) -> None:
        """A keystroke waits for no more than a message of bulk and what the kernel holds, and bulk has the rest of the line."""
        bulk, bulk_far = self.open()
        keys, keys_far = self.open()
        bulk.write(bytes(1_000_000))
        self.run_for(0.05)
        waits = []
        for _ in range(15):
            keys.write(b"k")
            waits.append(self.until_heard(keys_far, len(waits) + 1))
            self.run_for(0.007)
        self.assertLess(max(waits), 0.012)
        self.assertLess(self.until_heard(bulk_far, 1_000_000), 1_000_000 / MBIT_20)
        self.assertLess(self.clock.seconds(), 0.15 + 1_000_000 / MBIT_20 * 1.05)

    def test_little_is_given_at_once(self) -> None:
        """What waits in the kernel is a message and half of its share, at most."""
        bulk, _ = self.open()
        bulk.write(bytes(1_000_000))
        most = 0
        for _ in range(100):
            self.run_for(STEP_S)
            most = max(most, self.link.a.waiting)
        self.assertTrue(16_384 <= most <= 16_384 + 4096 + 200, most)

    def test_many_that_begin_leave_half_to_the_others(self) -> None:
        """Streams that always have just a little do not starve one that has much."""
        bulk, bulk_far = self.open()
        others = [self.open() for _ in range(8)]
        bulk.write(bytes(400_000))
        for _ in range(200):
            for stream, _ in others:
                if not stream.queued_bytes:
                    stream.write(bytes(FIRST_BYTES // 2))
            self.run_for(STEP_S)
        moved = sum(len(far.heard) for _, far in others)
        self.assertGreater(len(bulk_far.heard), moved)
        self.assertGreater(moved, 0.4 * len(bulk_far.heard))

    def test_a_line_that_becomes_fast(self) -> None:
        """Portions follow the rate, up and down."""
        bulk, _ = self.open()
        bulk.write(bytes(200_000))
        self.run_for(0.02)
        self.link.a.rate = 1_000_000_000
        self.run_for(0.1)
        bulk.write(bytes(300_000))
        self.run_for(0.01)
        self.assertEqual(self.near._line.message_bytes, MOST_MESSAGE_BYTES)
        self.assertEqual(self.link.a.mark, 4_194_304)


class Telling:
    """A producer that counts."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class LineTests(SynchronousTestCase):
    """What is done to real connections."""

    if not sys.platform.startswith("linux"):
        skip = "TCP_INFO and TCP_NOTSENT_LOWAT are Linux's"

    def setUp(self) -> None:
        self.patch(line_module, "ASK_S", 0.0)

    def ends(self) -> Ends:
        ends = Ends()
        self.addCleanup(ends.close)
        return ends

    def test_not_asked_all_the_time(self) -> None:
        """A line that has just been asked is not asked again however much it has taken: it is a fast one."""
        self.patch(line_module, "ASK_S", 99.0)
        line = Line(self.ends().connection)
        self.patch(line, "_socket", Answering(packed(window=10, unsent=20_000)))
        line.gave(9 * ASK_BYTES)
        self.assertFalse(line.is_slow)

    def test_waits_for_the_kernel(self) -> None:
        """On a slow line whoever writes is paused after a message, and resumed by the connection when the kernel asks for more."""
        ends = self.ends()
        producer = Telling()
        ends.connection.registerProducer(producer, True)
        line = Line(ends.connection)
        slow = packed(window=10, unsent=20_000)
        self.patch(line, "_socket", Answering(slow))
        line.gave(ASK_BYTES)
        self.assertEqual((producer.told, line.is_slow), (["pause"], True))
        line.gave(100)
        self.assertEqual(producer.told, ["pause"])
        self.assertIn(ends.connection, ends.reactor.writers)
        ends.connection.doWrite()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertNotIn(ends.connection, ends.reactor.writers)

    def test_nobody_to_pause(self) -> None:
        """A connection that nobody produces for, or that is closing, is left alone."""
        ends = self.ends()
        line = Line(ends.connection)
        self.patch(line, "_socket", Answering(packed(window=10, unsent=20_000)))
        line.gave(ASK_BYTES)
        self.assertNotIn(ends.connection, ends.reactor.writers)

    def test_loopback(self) -> None:
        """On a fast connection nothing is asked after small messages, and nobody is paused."""
        ends = self.ends()
        producer = Telling()
        ends.connection.registerProducer(producer, True)
        line = Line(ends.connection)
        self.assertFalse(line.is_slow)
        self.patch(line, "_socket", None)
        line.gave(ASK_BYTES - 1)
        self.assertEqual(producer.told, [])

    def test_the_mark(self) -> None:
        """The kernel is told how much may wait in it, when that changes."""
        ends = self.ends()
        line = Line(ends.connection)
        told = Answering(packed(window=10))
        self.patch(line, "_socket", told)
        line.gave(ASK_BYTES)
        line.gave(ASK_BYTES)
        self.assertEqual(told.marks, [8192])

    def test_nothing_waits_in_front(self) -> None:
        """A slow connection of ours pauses as soon as the kernel does not take all; a fast one has its buffer."""
        ours, peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        connection = LeanConnection(ours, None, tcp_address(("127.0.0.1", 1)), self.ends().reactor)
        line = Line(connection)
        self.assertIsNone(connection.high_bytes)
        self.patch(line, "_socket", Answering(packed(window=10)))
        line.gave(ASK_BYTES)
        self.assertEqual(connection.high_bytes, 0)

    def test_what_is_no_tcp(self) -> None:
        """A socket of another kind, one that is closed, and none at all, are given everything."""
        ours, peer = socket.socketpair()
        peer.close()
        connection = LeanConnection(ours, None, tcp_address(("127.0.0.1", 1)), self.ends().reactor)
        for found in (Line(connection), Line(LinkEnd("a", 1)), Line(None)):
            found.gave(ASK_BYTES)
            self.assertEqual(found.message_bytes, MOST_MESSAGE_BYTES)
        ours.close()
        self.assertFalse(Line(connection).is_slow)

    def test_below(self) -> None:
        """What carries a WebSocket over TLS is found at the bottom."""

        class Above:
            below: Any = None
            transport: Any = None

        tls, websocket = Above(), Above()
        tls.transport = bottom = object()
        websocket.below = tls
        self.assertIs(connection_below(websocket), bottom)


class Answering:
    """A socket that always says the same."""

    def __init__(self, info: bytes) -> None:
        self.info = info
        self.marks: list[int] = []

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return self.info

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.marks.append(value)
