"""Tests of a tunnel: streams between two real ends, joined in memory."""

from __future__ import annotations

from functools import partial

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from kwic.errors import MisuseError
from kwic.transport.stream import Stream
from kwic.transport.tunnel import HALF_OPEN_S, PINGS_MAXIMUM, Tunnel
from test.transport.links import Link


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """Remembers what happened to it."""

    def __init__(self) -> None:
        self.heard = b""
        self.events: list[str] = []
        self.reason = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def readConnectionLost(self) -> None:
        self.events.append("end")

    def writeConnectionLost(self) -> None:
        self.events.append("end sent")

    def connectionLost(self, reason) -> None:
        self.reason = reason
        self.events.append("lost")


class User:
    """Takes every stream, and remembers."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.events: list[str] = []

    def tunnel_up(self, tunnel) -> None:
        self.events.append("up")

    def stream_opened(self, tunnel, stream) -> None:
        self.streams.append(stream)
        stream.attach(Recorder())

    def tunnel_changed(self, tunnel) -> None:
        self.events.append("suspect" if tunnel.suspect else "draining" if tunnel.draining else "trusted")

    def tunnel_down(self, tunnel, reason) -> None:
        self.events.append(f"down: {reason.getErrorMessage()}")


class TunnelCase(SynchronousTestCase):
    """Two tunnels that are each other's far end."""

    limit = 65536

    def setUp(self) -> None:
        self.clock = Clock()
        self.users = User(), User()
        self.dialer = Tunnel(self.users[0], self.clock, dialer=True, peer="b")
        self.listener = Tunnel(self.users[1], self.clock, dialer=False, peer="a")
        self.link = Link(self.limit)
        self.link.connect(self.dialer, self.listener)
        self.link.pump()

    def open(self):
        """A stream from the dialer: both transports and both protocols."""
        near = Recorder()
        stream = self.dialer.open(near)
        self.link.pump()
        far = self.users[1].streams[-1]
        return stream, near, far, far.protocol


class StreamTests(TunnelCase):
    """What a stream does as a transport."""

    def test_interfaces(self) -> None:
        """A stream is what protocols expect of a transport."""
        stream, *_ = self.open()
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, stream)

    def test_bytes_go_both_ways(self) -> None:
        """What one end writes the other hears."""
        stream, near, far_stream, far = self.open()
        stream.write(b"hello")
        far_stream.write(b"world")
        self.link.pump(size=1)
        self.assertEqual((near.heard, far.heard), (b"world", b"hello"))

    def test_more_than_the_window(self) -> None:
        """A megabyte passes through a window of a quarter of that."""
        stream, _, _, far = self.open()
        data = bytes(range(256)) * 4096
        stream.write(data)
        self.link.pump()
        self.assertEqual(far.heard, data)

    def test_end_of_stream_leaves_the_other_direction(self) -> None:
        """A half-close arrives behind the bytes, and the answer still comes."""
        stream, near, far_stream, far = self.open()
        stream.write(b"question")
        stream.loseWriteConnection()
        self.link.pump()
        self.assertEqual((far.heard, far.events), (b"question", ["end"]))
        far_stream.write(b"answer")
        far_stream.loseWriteConnection()
        self.link.pump()
        self.assertEqual(near.heard, b"answer")
        self.assertEqual(near.events, ["end sent", "end", "lost"])
        self.assertEqual(far.events, ["end", "end sent", "lost"])
        self.assertTrue(near.reason.check(ConnectionDone))
        self.assertEqual((self.dialer.streams, self.listener.streams), ({}, {}))

    def test_reset(self) -> None:
        """An abort of one end is a lost connection at the other."""
        stream, near, _, far = self.open()
        stream.abortConnection()
        self.link.pump()
        self.assertEqual(near.events, ["lost"])
        self.assertTrue(far.reason.check(ConnectionLost))

    def test_refusal_arrives_before_the_reset(self) -> None:
        """What was written before `reset_when_sent` is heard."""
        _, near, far_stream, _ = self.open()
        far_stream.write(b"no")
        far_stream.reset_when_sent()
        self.link.pump()
        self.assertEqual((near.heard, near.events), (b"no", ["lost"]))

    def test_a_slow_reader_stops_only_itself(self) -> None:
        """A paused stream holds at most its window, and another stream flows on."""
        slow, _, slow_far, slow_recorder = self.open()
        quick, _, _, quick_recorder = self.open()
        slow_far.pauseProducing()
        slow.write(b"s" * 1_000_000)
        quick.write(b"q" * 1_000_000)
        self.link.pump()
        self.assertEqual(len(quick_recorder.heard), 1_000_000)
        self.assertEqual(slow_recorder.heard, b"")
        self.assertEqual(slow.queued_bytes, 1_000_000 - 262_144)
        slow_far.resumeProducing()
        self.link.pump()
        self.assertEqual(len(slow_recorder.heard), 1_000_000)

    def test_producer_is_paused_and_resumed(self) -> None:
        """Who writes too much is told to pause, and to go on when it left."""

        class Source:
            calls: list[str] = []

            def pauseProducing(self) -> None:
                self.calls.append("pause")

            def resumeProducing(self) -> None:
                self.calls.append("resume")

            def stopProducing(self) -> None:
                self.calls.append("stop")

        stream, _, far_stream, _ = self.open()
        far_stream.pauseProducing()
        stream.registerProducer(Source(), True)
        self.assertRaises(RuntimeError, stream.registerProducer, Source(), True)
        stream.write(b"x" * 400_000)
        self.assertEqual(Source.calls, ["pause"])
        far_stream.resumeProducing()
        self.link.pump()
        self.assertEqual(Source.calls, ["pause", "resume"])
        stream.unregisterProducer()

    def test_producer_that_wants_to_be_asked(self) -> None:
        """It is asked for more until it has no more; what is written afterwards leaves at once again."""
        stream, _, _, far = self.open()
        left = [b"one ", b"two ", b"three "]

        class Source:
            def resumeProducing(self) -> None:
                if left:
                    stream.write(left.pop(0))
                else:
                    stream.unregisterProducer()

            def stopProducing(self) -> None:
                pass

        stream.registerProducer(Source(), False)
        self.link.pump()
        stream.write(b"four")
        self.assertEqual(stream.queued_bytes, 0)
        stream.loseWriteConnection()
        self.link.pump()
        self.assertEqual((far.heard, far.events), (b"one two three four", ["end"]))

    def test_end_of_stream_waits_for_the_reader(self) -> None:
        """A paused reader learns of the end after the bytes before it."""
        stream, _, far_stream, far = self.open()
        far_stream.pauseProducing()
        stream.write(b"last words")
        stream.loseWriteConnection()
        self.link.pump()
        self.assertEqual((far.heard, far.events), (b"", []))
        far_stream.resumeProducing()
        self.assertEqual((far.heard, far.events), (b"last words", ["end"]))

    def test_a_slow_reader_outlives_the_tunnel(self) -> None:
        """Who has everything but has not read it yet gets it, also when the other end has gone in the meantime."""
        stream, near, far_stream, _ = self.open()
        stream.pauseProducing()
        stream.loseWriteConnection()
        far_stream.write(b"the whole answer")
        far_stream.loseWriteConnection()
        self.link.pump()
        self.listener.close()
        self.link.pump()
        self.assertFalse(self.dialer.up)
        self.assertNotIn("lost", near.events)
        stream.resumeProducing()
        self.assertEqual((near.heard, near.events), (b"the whole answer", ["end sent", "end", "lost"]))
        self.assertTrue(near.reason.check(ConnectionDone))
        self.assertEqual(self.dialer.streams, {})

    def test_a_slow_reader_may_give_up_after_the_tunnel(self) -> None:
        """Who has not read everything when the tunnel has gone may still end abruptly."""
        stream, near, far_stream, _ = self.open()
        stream.pauseProducing()
        stream.loseWriteConnection()
        far_stream.write(b"the whole answer")
        far_stream.loseWriteConnection()
        self.link.pump()
        self.listener.close()
        self.link.pump()
        stream.abortConnection()
        self.assertEqual((near.heard, near.events), (b"", ["end sent", "lost"]))

    def test_a_slow_reader_may_close(self) -> None:
        """Who closes without having read all of what the other end has said and finished is done at once."""
        for last_words in (b"the whole answer", b""):
            stream, near, far_stream, far = self.open()
            stream.pauseProducing()
            far_stream.write(last_words)
            far_stream.loseWriteConnection()
            self.link.pump()
            stream.loseConnection()
            self.link.pump()
            self.assertEqual((near.heard, near.events), (b"", ["lost"]))
            self.assertTrue(near.reason.check(ConnectionDone))
            self.assertEqual(far.events, ["end sent", "end", "lost"])
            self.assertEqual((self.dialer.streams, self.listener.streams), ({}, {}))

    def test_late_bytes_for_a_closed_stream(self) -> None:
        """Bytes for a stream that was closed here reset it at the other end."""
        stream, near, far_stream, far = self.open()
        stream.loseConnection()
        self.link.pump()
        self.assertTrue(near.reason.check(ConnectionDone))
        self.assertEqual(far.events, ["end"])
        far_stream.write(b"anybody there?")
        self.link.pump()
        self.assertEqual(far.events, ["end", "lost"])

    def test_half_open_streams_do_not_stay(self) -> None:
        """A stream that we closed and the peer never does is reset in the end."""
        stream, _, _, far = self.open()
        stream.loseConnection()
        for _ in range(int(HALF_OPEN_S) + 4):
            self.clock.advance(1)
            self.link.pump()
        self.assertEqual(far.events, ["end", "lost"])
        self.assertEqual((self.dialer.session.streams, self.listener.session.streams), (0, 0))


class BlockedLinkTests(TunnelCase):
    """What a full link does."""

    def test_streams_take_turns(self) -> None:
        """A bulk stream does not keep another one waiting for long."""
        bulk, _, _, _ = self.open()
        other, _, _, far = self.open()
        self.link.a.frozen = True
        bulk.write(b"b" * 262_144)
        other.write(b"o" * 10)
        self.link.a.frozen = False
        moved = 0
        while not far.heard:
            self.assertTrue(self.link.a.move(16_384))
            moved += 16_384
        self.assertLess(moved, 262_144 + 65_536 + 16_384)

    def message_of_two(self, size: int) -> tuple[int, int]:
        """How much of two streams, of which the first has so much and the second a lot, is in the next message."""
        first, *_ = self.open()
        second, *_ = self.open()
        self.dialer.pauseProducing()
        first.write(b"a" * size)
        second.write(b"b" * 200_000)
        self.dialer.resumeProducing()
        message, *_ = self.link.a.buffer
        return message.count(b"a"), message.count(b"b")

    def test_what_is_left_is_filled(self) -> None:
        """What one stream leaves of a message is the next one's."""
        self.assertEqual(self.message_of_two(200_000), (200_000, 62_144))

    def test_shorter_turns_among_many(self) -> None:
        """Where many wait, several share a message."""
        streams = [self.open()[0] for _ in range(20)]
        self.dialer.pauseProducing()
        for number, stream in enumerate(streams):
            stream.write(bytes((200 + number,)) * 200_000)
        self.dialer.resumeProducing()
        message, *_ = self.link.a.buffer
        self.assertEqual([message.count(200 + number) for number in range(5)], [65_536] * 4 + [0])

    def test_no_scraps(self) -> None:
        """Unless it is so little that a frame of it is not worth while."""
        self.assertEqual(self.message_of_two(262_000), (262_000, 0))

    def test_nothing_is_taken_while_the_link_is_full(self) -> None:
        """A link that does not move holds a bounded number of bytes."""
        self.link.a.frozen = True
        streams = [self.dialer.open(Recorder()) for _ in range(20)]
        for stream in streams:
            stream.write(b"x" * 200_000)
        self.assertLess(self.link.a.waiting, 65_536 + 262_144 + 4096)
        self.link.a.frozen = False
        self.link.pump()
        self.assertEqual([len(far.protocol.heard) for far in self.users[1].streams], [200_000] * 20)


class GatheringTests(TunnelCase):
    """A link that takes the bytes of one turn of the reactor together."""

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(1)
        self.dialer.transport_gathers = self.listener.transport_gathers = True

    def waits(self) -> list[str]:
        """What is to happen at the end of this turn."""
        return [
            call.func.__name__
            for call in self.clock.getDelayedCalls()
            if call.getTime() <= self.clock.seconds()
        ]

    def test_first_bytes_at_once(self) -> None:
        """The first bytes leave at once, those that follow in the same turn at its end."""
        stream, _, _, far = self.open()
        self.clock.advance(0)
        stream.write(b"first")
        self.link.pump()
        self.assertEqual(far.heard, b"first")
        stream.write(b" second")
        stream.write(b" third")
        self.link.pump()
        self.assertEqual(far.heard, b"first")
        self.clock.advance(0)
        self.link.pump()
        self.assertEqual(far.heard, b"first second third")

    def test_large_pieces_at_once(self) -> None:
        """What is large gains nothing from company: it leaves at once, unless something small waits for the end of the turn."""
        stream, _, _, far = self.open()
        self.clock.advance(0)
        other, _, _, other_far = self.open()
        self.clock.advance(0)
        stream.write(b"first")
        stream.write(b"x" * 20_000)
        other.write(b"y" * 20_000)
        self.link.pump()
        self.assertEqual((len(far.heard), len(other_far.heard)), (20_005, 20_000))
        stream.write(b"small")
        other.write(b"y" * 20_000)
        self.link.pump()
        self.assertEqual((len(far.heard), len(other_far.heard)), (20_005, 20_000))
        self.clock.advance(0)
        self.link.pump()
        self.assertEqual((len(far.heard), len(other_far.heard)), (20_010, 40_000))

    def test_a_view(self) -> None:
        """A view of bytes that change afterwards may be written, whether it leaves at once or has to wait."""
        stream, _, _, far = self.open()
        self.clock.advance(0)
        buffer = bytearray(b"first")
        for _ in range(3):
            stream.write(memoryview(buffer))
            buffer[:] = b"other"
        self.clock.advance(0)
        self.link.pump()
        self.assertEqual(far.heard, b"firstotherother")

    def test_nothing_to_send(self) -> None:
        """What only reads waits for the end of no turn."""
        stream, _, _, far = self.open()
        self.clock.advance(0)
        self.assertEqual(self.waits(), [])
        stream.write(b"hello")
        self.link.pump()
        self.assertEqual(far.heard, b"hello")
        self.assertEqual(self.waits(), ["_uncork"])

    def test_end_in_the_same_turn(self) -> None:
        """A tunnel that is ended by what it reads ends, even when it has sent already in the same turn and has nothing more to say."""
        stream, _, _, far = self.open()
        self.clock.advance(0)
        far.dataReceived = lambda data: self.listener.close()
        self.listener.ping()
        self.link.a.other.buffer.clear()
        stream.write(b"go")
        self.link.pump()
        self.clock.advance(0)
        self.link.pump()
        self.assertFalse(self.dialer.up)
        self.assertFalse(self.listener.up)


class LivenessTests(TunnelCase):
    """Silence, suspicion, death, farewell."""

    def run_for(self, seconds: float, *, pump: bool = True) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            if pump:
                self.link.pump()

    def test_a_sign_of_life(self) -> None:
        """Whoever asks for one is told when it comes, and not before, however many ask."""
        told: list[int] = []
        self.link.b.frozen = True
        for number in range(2 * PINGS_MAXIMUM):
            self.dialer.ping(partial(told.append, number))
        self.link.pump()
        self.assertEqual(told, [])
        self.link.b.frozen = False
        self.link.pump()
        self.assertEqual(told, list(range(2 * PINGS_MAXIMUM)))
        self.dialer.ping(partial(told.append, 99))
        self.link.a.abortConnection()
        self.dialer.ping(partial(told.append, 100))
        self.assertEqual(len(told), 2 * PINGS_MAXIMUM)

    def test_an_idle_tunnel_lives(self) -> None:
        """Pings keep a quiet tunnel up."""
        self.run_for(30)
        self.assertTrue(self.dialer.up and self.listener.up)
        self.assertIsNotNone(self.dialer.rtt_s)

    def test_silence_is_death(self) -> None:
        """Five seconds without a byte end the tunnel and its streams."""
        _, near, _, _ = self.open()
        self.link.a.frozen = self.link.b.frozen = True
        self.run_for(5.2)
        self.assertFalse(self.dialer.up)
        self.assertEqual(near.events, ["lost"])
        self.assertIn("suspect", self.users[0].events)
        self.assertIn("nothing was received", self.users[0].events[-1])

    def test_a_suspect_that_answers_is_trusted_again(self) -> None:
        """A tunnel that left something unanswered is taken back with its first answer."""
        self.dialer.suspect_now()
        self.assertTrue(self.dialer.suspect)
        self.link.pump()
        self.assertEqual(self.users[0].events[-2:], ["suspect", "trusted"])

    def test_delay(self) -> None:
        """How long answers take is known from the answers, and sooner from their absence."""
        self.assertEqual(self.dialer.delay_s, 0.0)
        self.dialer.open(Recorder())
        self.clock.advance(0.4)
        self.assertAlmostEqual(self.dialer.delay_s, 0.4)
        self.link.pump()
        self.assertAlmostEqual(self.dialer.delay_s, 0.1)
        self.dialer.open(Recorder()).abortConnection()
        self.clock.advance(0.4)
        self.assertAlmostEqual(self.dialer.delay_s, 0.1)

    def test_draining(self) -> None:
        """A tunnel whose peer drains takes no new streams, and the open ones run on."""
        stream, _, far_stream, far = self.open()
        empty: list[bool] = []
        self.listener.drain(lambda: empty.append(True))
        self.link.pump()
        self.assertEqual(self.users[0].events[-1], "draining")
        self.assertRaises(MisuseError, self.dialer.open, Recorder())
        stream.write(b"still here")
        self.link.pump()
        self.assertEqual((far.heard, empty), (b"still here", []))
        stream.loseWriteConnection()
        far_stream.loseWriteConnection()
        self.link.pump()
        self.assertEqual(empty, [True])

    def test_closing_behind_the_last_bytes(self) -> None:
        """A tunnel that ends with its last stream still carries that stream's bytes and its end."""
        stream, near, far_stream, _ = self.open()
        stream.loseWriteConnection()
        self.link.pump()
        self.listener.drain(self.listener.close)
        self.link.pump()
        far_stream.write(b"last words")
        far_stream.loseWriteConnection()
        self.link.pump()
        self.assertEqual((near.heard, near.events), (b"last words", ["end sent", "end", "lost"]))
        self.assertTrue(near.reason.check(ConnectionDone))
        self.assertIn("down", self.users[0].events[-1])

    def test_garbage_ends_the_tunnel(self) -> None:
        """A peer that speaks something else is told so and let go, without a traceback."""
        self.link.a.other.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.link.pump()
        self.assertFalse(self.listener.up)
        self.assertIn("down", self.users[1].events[-1])
        self.clock.advance(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_asked_of_a_peer_that_broke_a_rule(self) -> None:
        """Until such a tunnel is down it asks nothing more, whoever wants to know."""
        self.link.a.frozen = self.link.b.frozen = True
        self.listener.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.listener.suspect_now()
        self.listener.drain()
        self.listener.ping()
        self.clock.advance(0.9)
        self.assertTrue(self.listener.up)

    def test_a_client_with_a_fault(self) -> None:
        """A fault in one protocol does not keep the others, or whoever dials again, from learning that the tunnel is gone."""
        _, near, _, _ = self.open()
        _, other, _, _ = self.open()
        near.connectionLost = lambda reason: 1 // 0
        self.dialer.abort("for a test")
        self.assertEqual((other.events, self.users[0].events[-1][:4]), (["lost"], "down"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_fault_of_one(self) -> None:
        """A fault that comes of what was received resets the stream that it came for, on both sides; the others, and the tunnel, go on."""
        stream, near, _, far = self.open()
        other, _, _, other_far = self.open()
        far.dataReceived = lambda data: 1 // 0
        far.connectionLost = lambda reason: 1 // 0
        stream.write(b"which it cannot take")
        other.write(b"and others can")
        self.link.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(near.events[-1], "lost")
        self.assertEqual(other_far.heard, b"and others can")
        self.assertTrue(self.dialer.up)
        self.assertEqual((len(self.dialer.streams), len(self.listener.streams)), (1, 1))

    def test_a_fault_of_nobody(self) -> None:
        """A fault of whoever waits for an answer is logged, and nothing else."""
        self.dialer.ping(lambda: 1 // 0)
        self.link.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.dialer.up)

    def test_nothing_is_left_behind(self) -> None:
        """A closed tunnel has no timers."""
        self.dialer.close()
        self.link.pump()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([user.events[0] for user in self.users], ["up", "up"])
