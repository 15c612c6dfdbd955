"""An open WebSocket: reading when we want, writing when the peer does, and silence."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from kwic.transport.websocket_transport import WebSocketClosed, WebSocketFailed
from test.transport.memory_network import Recorder
from test.transport.open_case import BINARY, PING, PONG, ClientSide, OpenCase, Producer


class ServerPauseTests(OpenCase):
    """Reading when we want, and writing when the peer does."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with()

    def test_nothing_while_paused(self) -> None:
        """What was read already waits; the connection below is not read; all comes in order on resume."""
        self.transport.pauseProducing()
        below = self.peer.transport.other
        self.assertFalse(below.reading)
        below.protocol.dataReceived(b"".join(self.frame(BINARY, bytes((i,))) for i in range(60)))
        self.send(self.frame(BINARY, b"later"))
        self.assertEqual(self.ours.received, [])
        self.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(self.ours.data, bytes(range(60)) + b"later")
        self.assertTrue(below.reading)

    def test_pausing_within_a_delivery(self) -> None:
        """A protocol that pauses while it is given a message gets no further one."""
        self.ours._on_data = lambda protocol, _: protocol.transport.pauseProducing()
        self.send(*(self.frame(BINARY, bytes((i,))) for i in range(10)))
        self.assertEqual(self.ours.received, [b"\x00"])
        for count in range(2, 11):
            self.transport.resumeProducing()
            self.network.settle()
            self.assertEqual(len(self.ours.received), count)

    def test_pausing_and_resuming_within_a_delivery(self) -> None:
        """A protocol may do both: the order stays."""

        def both(protocol: Recorder, _: bytes) -> None:
            protocol.transport.pauseProducing()  # type: ignore[union-attr]
            protocol.transport.resumeProducing()  # type: ignore[union-attr]

        self.ours._on_data = both
        self.send(*(self.frame(BINARY, bytes((i,))) for i in range(10)))
        self.assertEqual(self.ours.data, bytes(range(10)))

    def test_pausing_in_a_streamed_message(self) -> None:
        """In a tunnel a pause takes effect within a message."""
        self.open_with(message_limit_bytes=None)
        self.ours._on_data = lambda protocol, _: protocol.transport.pauseProducing()
        self.send(self.frame(BINARY, b"x" * 200_000))
        self.assertLess(len(self.ours.data), 70_000)
        self.ours._on_data = None
        self.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(self.ours.data, b"x" * 200_000)

    def test_the_end_waits_too(self) -> None:
        """A Close that was read while paused is seen after what came before it."""
        self.transport.pauseProducing()
        self.peer.transport.other.protocol.dataReceived(self.frame(BINARY, b"last") + self.close_frame(1000))
        self.network.settle()
        self.assertIsNone(self.ours.lost)
        self.transport.resumeProducing()
        self.assertEqual(self.ours.received, [b"last"])
        self.assert_end(WebSocketClosed, 1000)
        self.assert_idle()

    def test_a_reset_waits_for_what_was_read(self) -> None:
        """Bytes that were read before the connection was lost are delivered before that is told."""
        for more, kind, code in (
            (b"", WebSocketFailed, 1006),
            (self.close_frame(1000), WebSocketClosed, 1000),
        ):
            self.open_with()
            self.transport.pauseProducing()
            self.peer.transport.other.protocol.dataReceived(self.frame(BINARY, b"last") + more)
            self.peer.transport.abortConnection()
            self.network.settle()
            self.assertIsNone(self.ours.lost)
            self.transport.resumeProducing()
            self.assertEqual(self.ours.received, [b"last"])
            self.assert_end(kind, code)
            self.assert_idle()

    def test_a_reset_with_nothing_waiting(self) -> None:
        """A lost connection with nothing to deliver is told at once, paused or not."""
        self.transport.pauseProducing()
        self.peer.transport.abortConnection()
        self.assert_end(WebSocketFailed, 1006)
        self.transport.resumeProducing()
        self.assert_idle()

    def test_leaving_while_paused_after_a_reset(self) -> None:
        """A protocol that gives up instead of resuming is told the end then."""
        for leave in ("loseConnection", "abortConnection"):
            self.open_with()
            self.transport.pauseProducing()
            self.peer.transport.other.protocol.dataReceived(self.frame(BINARY, b"last"))
            self.peer.transport.abortConnection()
            self.network.settle()
            getattr(self.transport, leave)()
            self.assertIsNotNone(self.ours.lost)
            self.assertEqual(self.ours.received, [])
            self.assert_idle()

    def test_closing_while_paused(self) -> None:
        """A paused WebSocket can be closed: what comes is dropped up to the answer."""
        self.transport.pauseProducing()
        self.send(self.frame(BINARY, b"x" * 100_000))
        self.transport.loseConnection()
        self.send(self.close_frame(1000))
        self.assertEqual(self.ours.received, [])
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_pausing_twice(self) -> None:
        """Twice is once."""
        self.transport.resumeProducing()
        self.transport.pauseProducing()
        self.transport.pauseProducing()
        self.transport.resumeProducing()
        self.send(self.frame(BINARY, b"x"))
        self.assertEqual(self.ours.received, [b"x"])

    def test_back_pressure(self) -> None:
        """A producer is paused while the peer does not read, and resumed when it has."""
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.peer.transport.reading = False
        self.transport.write(b"x" * 60_000)
        self.assertEqual(producer.told, [])
        self.transport.write(b"x" * 10_000)
        self.network.settle()
        self.assertEqual(producer.told, ["pause"])
        self.peer.transport.reading = True
        self.network.settle()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.transport.unregisterProducer()

    def test_a_producer_while_full(self) -> None:
        """A producer that comes while the peer does not read is paused at once; a second one is refused."""
        self.peer.transport.reading = False
        self.transport.write(b"x" * 100_000)
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.assertEqual(producer.told, ["pause"])
        self.assertRaises(RuntimeError, self.transport.registerProducer, Producer(), True)
        self.peer.transport.reading = True
        self.network.settle()
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_a_pull_producer(self) -> None:
        """A pull producer is asked for more whenever what it wrote is gone; then push producers come into their own."""
        wanted = [b"a", b"b", b"c"]
        transport = self.transport

        class Pull:
            def resumeProducing(self) -> None:
                if wanted:
                    transport.write(wanted.pop(0))
                else:
                    transport.unregisterProducer()

            def stopProducing(self) -> None:
                raise AssertionError("not stopped")

        transport.registerProducer(Pull(), False)
        self.assertEqual(self.heard(), [(BINARY, b"a"), (BINARY, b"b"), (BINARY, b"c")])
        producer = Producer()
        transport.registerProducer(producer, True)
        self.peer.transport.reading = False
        transport.write(b"x" * 100_000)
        self.assertEqual(producer.told, ["pause"])

    def test_a_producer_of_a_lost_connection(self) -> None:
        """A producer is stopped when the connection is lost."""
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.peer.transport.abortConnection()
        self.network.settle()
        self.assertEqual(producer.told, ["stop"])

    def test_pings_of_who_does_not_read(self) -> None:
        """A peer that pings and does not read costs no memory: the newest Ping is answered when it reads again."""
        for options in ({}, {"message_limit_bytes": None}):
            self.open_with(**options)
            below = self.peer.transport.other
            self.peer.transport.reading = False
            for number in range(20_000):
                below.protocol.dataReceived(self.frame(PING, number.to_bytes(4, "big") * 30))
            self.assertLess(len(below.written), 70_000)
            self.peer.transport.reading = True
            newest = (19_999).to_bytes(4, "big") * 30
            self.assertEqual(self.heard()[-1], (PONG, newest))

    def test_closing_with_a_producer(self) -> None:
        """A registered producer, paused even, does not keep a closed WebSocket open."""
        self.transport.registerProducer(Producer(), True)
        self.peer.transport.reading = False
        self.transport.write(b"x" * 100_000)
        self.transport.loseConnection()
        self.peer.transport.reading = True
        self.send(self.close_frame(1000))
        self.assert_end(ConnectionDone)
        self.transport.unregisterProducer()
        self.assert_idle()

    def test_a_producer_too_late(self) -> None:
        """Whoever wants to produce into a closed WebSocket is told to stop."""
        self.transport.loseConnection()
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.assertEqual(producer.told, ["stop"])

    def test_a_consumer_that_is_gone(self) -> None:
        """Being stopped as a producer closes the WebSocket."""
        self.transport.stopProducing()
        self.assert_close(1000)


class ServerInactivityTests(OpenCase):
    """``ws.inactivity.timeout``."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with(inactivity_timeout_s=55.0)

    def test_ping_then_close(self) -> None:
        """After half the time a Ping, after the other half Close 1001, then the connection is closed."""
        self.network.pass_time(27.4)
        self.assertEqual(self.heard(), [])
        self.network.pass_time(0.2)
        self.assertEqual(self.heard(), [(PING, b"")])
        self.network.pass_time(27.5)
        self.assert_close(1001)
        self.network.pass_time(5.1)
        self.assert_end(WebSocketFailed, 1001)
        self.assert_idle()

    def test_a_peer_that_answers(self) -> None:
        """A peer that answers, or says anything, is left alone; one Ping per half of the time."""
        for round_ in range(1, 5):
            self.network.pass_time(27.5, 2.5)
            self.assertEqual(self.heard(), [(PING, b"")] * round_)
            self.send(self.frame(PONG))
        self.assertIsNone(self.ours.lost)

    def test_a_peer_that_talks(self) -> None:
        """While bytes come, no Ping is sent: half a frame counts too."""
        data = self.frame(BINARY, b"x" * 100)
        for i in range(20):
            self.send(data[i : i + 1])
            self.network.pass_time(20, 5)
        self.assertEqual(self.heard(), [])

    def test_not_while_we_do_not_read(self) -> None:
        """A paused WebSocket is not judged; when it is resumed the time begins anew."""
        self.network.pass_time(20, 5)
        self.transport.pauseProducing()
        self.network.pass_time(500, 50)
        self.assertEqual(self.heard(), [])
        self.transport.resumeProducing()
        self.network.pass_time(27.4, 1)
        self.assertEqual(self.heard(), [])
        self.network.pass_time(0.2)
        self.assertEqual(self.heard(), [(PING, b"")])

    def test_nothing_is_left_behind(self) -> None:
        """A closed WebSocket has no timer."""
        self.send(self.close_frame(1000))
        self.assert_idle()


class ClientPauseTests(ClientSide, ServerPauseTests):
    """Reading when we want, dialled."""


class ClientInactivityTests(ClientSide, ServerInactivityTests):
    """``ws.inactivity.timeout``, dialled."""
