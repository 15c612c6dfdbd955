"""An open WebSocket: bytes, messages, back-pressure, liveness, and how it ends."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Factory
from twisted.logger import LogLevel
from zope.interface import implementer
from zope.interface.verify import verifyObject

from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_transport import WebSocketClosed, WebSocketFailed
from test.transport.memory_network import Recorder
from test.transport.websocket_case import (
    HOST,
    WebSocketCase,
    accept_of,
    close_frame,
    frame,
    parse_frames,
    ws,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
BOTH_SIDES = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
"""The same properties are tried at the server's and at the client's."""


@implementer(IPushProducer)
class Producer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class RawServer(Recorder):
    """Answers an upgrade request as it should be, and is told the rest by the test."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        head, end, _ = self.data.partition(b"\r\n\r\n")
        if end and not hasattr(self, "answered"):
            self.answered = True
            key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            self.transport.write(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n".encode()
            )

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        return parse_frames(self.data.partition(b"\r\n\r\n")[2])


class OpenCase(WebSocketCase):
    """An open WebSocket of ours, ``self.ours`` its protocol, and a raw peer that writes frames by hand."""

    peer_masks = True
    accept: dict[str, Any] = {}

    ours: Any = None

    def open_with(self, **options: Any) -> None:
        """Open one; an earlier one is dropped."""
        self.drop()
        self.peer: Any
        self.peer, self.ours = self.open(**options)
        self.transport: Any = self.ours.transport

    def drop(self) -> None:
        """Drop what is open."""
        if self.ours is not None and self.ours.lost is None:
            self.transport.abortConnection()
            self.network.settle()

    def send(self, *frames: bytes) -> None:
        """The peer writes some frames."""
        self.say(self.peer, b"".join(frames))

    def frame(self, opcode: int, payload: bytes = b"", **how: Any) -> bytes:
        """A frame as the peer has to make it."""
        return frame(opcode, payload, **{"masked": self.peer_masks, **how})

    def close_frame(self, code: int | None = None, reason: bytes = b"") -> bytes:
        """A Close frame as the peer has to make it."""
        return close_frame(code, reason, masked=self.peer_masks)

    def heard(self, *, but: int = 0) -> list[tuple[int, bytes]]:
        """The frames that the peer got."""
        self.network.settle()
        return [found for found in self.peer.frames if found[0] != but]

    def assert_close(self, code: int) -> None:
        """The peer's last frame is a Close with that code."""
        opcode, payload = self.heard()[-1]
        self.assertEqual((opcode, int.from_bytes(payload[:2], "big")), (CLOSE, code))

    def assert_end(self, kind: type[Exception], code: int | None = None) -> None:
        """Our protocol was told so."""
        self.network.settle()
        assert self.ours.lost is not None, "not told yet"
        self.assertIsInstance(self.ours.lost.value, kind)
        if code is not None:
            self.assertEqual(self.ours.lost.value.code, code)


class ServerBytesTests(OpenCase):
    """Bytes out and in."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with()

    def test_interfaces(self) -> None:
        """It is a transport, a consumer and a producer."""
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.transport)

    def test_write(self) -> None:
        """What is written is one binary message, whatever kind of bytes it is."""
        self.transport.write(b"one")
        self.transport.write(bytearray(b"two"))
        self.transport.write(memoryview(b"three"))
        self.assertEqual(self.heard(), [(BINARY, b"one"), (BINARY, b"two"), (BINARY, b"three")])

    def test_write_a_sequence(self) -> None:
        """A sequence is one message."""
        self.transport.writeSequence([b"a", b"b", b"c"])
        self.assertEqual(self.heard(), [(BINARY, b"abc")])

    def test_write_nothing(self) -> None:
        """Nothing is no message."""
        self.transport.write(b"")
        self.transport.writeSequence([])
        self.assertEqual(self.heard(), [])

    def test_write_text(self) -> None:
        """Text goes out as text where that is asked for."""
        self.transport.write_text("grüß".encode())
        self.assertEqual(self.heard(), [(TEXT, "grüß".encode())])

    def test_write_much(self) -> None:
        """More than the limit is several messages within it, also from a view."""
        data = bytes(range(256)) * 1200
        self.transport.write(data)
        self.transport.write(memoryview(data))
        lengths = [len(payload) for _, payload in self.heard()]
        self.assertEqual(lengths, [131072, 131072, 45056] * 2)
        self.assertEqual(b"".join(payload for _, payload in self.heard()), data * 2)

    def test_message_sizes(self) -> None:
        """Every way to write a length is understood, and made."""
        for size in (1, 125, 126, 127, 65535, 65536, 131072):
            self.send(self.frame(BINARY, b"x" * size))
            self.transport.write(b"y" * size)
            self.assertEqual(self.ours.received.pop(), b"x" * size)
            self.assertEqual(self.heard()[-1], (BINARY, b"y" * size))

    def test_receive(self) -> None:
        """Text, binary and fragments are bytes alike, whole messages each; empty ones are nothing."""
        self.send(
            self.frame(TEXT, "grüß".encode()),
            self.frame(BINARY, b"\xff\x00"),
            self.frame(BINARY, b""),
            self.frame(BINARY, b"a", fin=False),
            self.frame(0, b"b", fin=False),
            self.frame(0, b"", fin=False),
            self.frame(0, b"c"),
        )
        self.assertEqual(self.ours.received, ["grüß".encode(), b"\xff\x00", b"abc"])

    def test_kind_of_message(self) -> None:
        """Whoever cares learns while a message is delivered whether it was text."""
        kinds: list[bool] = []
        self.ours._on_data = lambda protocol, _: kinds.append(protocol.transport.receiving_text)
        self.send(self.frame(TEXT, b"a"), self.frame(BINARY, b"b"))
        self.assertEqual(kinds, [True, False])

    def test_pings(self) -> None:
        """A Ping is answered with its payload, also within a fragmented message; a Pong is nothing."""
        self.send(
            self.frame(BINARY, b"a", fin=False),
            self.frame(PING, b"x" * 125),
            self.frame(PONG, b"unasked"),
            self.frame(PING),
            self.frame(0, b"b"),
        )
        self.assertEqual(self.heard(), [(PONG, b"x" * 125), (PONG, b"")])
        self.assertEqual(self.ours.received, [b"ab"])

    def test_addresses(self) -> None:
        """Host and peer are those of the connection below; there is no certificate without TLS."""
        below = self.peer.transport.other
        self.assertEqual(self.transport.getPeer(), below.getPeer())
        self.assertEqual(self.transport.getHost(), below.getHost())
        self.assertIsNone(self.transport.getPeerCertificate())

    def test_no_half_close(self) -> None:
        """Nobody may take it for something that can be closed in one direction."""
        self.assertFalse(self.transport.half_closes)


class ServerBytesByteByByteTests(ServerBytesTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1

    def test_write_much(self) -> None:
        """As above, in less."""

    def test_message_sizes(self) -> None:
        """As above, in less."""
        for size in (1, 125, 126, 70000):
            self.send(self.frame(BINARY, b"x" * size))
            self.assertEqual(self.ours.received.pop(), b"x" * size)


class ServerTunnelTests(OpenCase):
    """A WebSocket for a tunnel: no limit, no waiting, no text."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with(message_limit_bytes=None, reject_text=True)

    def test_parts_are_delivered_as_they_come(self) -> None:
        """A long message is not collected."""
        whole = self.frame(BINARY, bytes(range(250)) * 4000)
        self.send(whole[:500_000])
        self.assertGreater(len(self.ours.data), 490_000)
        self.send(whole[500_000:])
        self.assertEqual(self.ours.data, bytes(range(250)) * 4000)

    def test_large_messages(self) -> None:
        """Messages of 256 KiB go out whole."""
        self.transport.write(b"x" * 300_000)
        self.assertEqual([len(payload) for _, payload in self.heard()], [262144, 300_000 - 262144])

    def test_text(self) -> None:
        """Text is a protocol error: 1002, and nothing of it is delivered."""
        self.send(self.frame(BINARY, b"ok"), self.frame(TEXT, b"no"), self.frame(BINARY, b"late"))
        self.assertEqual(self.ours.received, [b"ok"])
        self.assert_close(1002)
        self.send(self.close_frame(1002))
        self.assert_end(WebSocketFailed, 1002)
        self.assert_idle()


class ServerRulesTests(OpenCase):
    """Rules of RFC 6455 that a peer may break."""

    def breaks(self, code: int, *frames: bytes) -> None:
        """Frames that end a fresh WebSocket with that code; nothing after them is delivered."""
        self.open_with(message_limit_bytes=1000)
        self.send(self.frame(BINARY, b"before"), *frames, self.frame(BINARY, b"after"))
        self.assertEqual(self.ours.received, [b"before"])
        self.assert_close(code)
        self.assertEqual(len([found for found in self.heard() if found[0] == CLOSE]), 1)
        self.assertTrue(self.transport.disconnecting)
        self.transport.write(b"late")
        self.network.pass_time(5.1)
        self.assert_end(WebSocketFailed, code)
        self.assert_idle()

    def test_masks(self) -> None:
        """Clients must mask, servers must not."""
        self.breaks(1002, self.frame(BINARY, b"x", masked=not self.peer_masks))

    def test_reserved_bits(self) -> None:
        """No extension was agreed, so no reserved bit may be set."""
        for rsv in (1, 2, 4, 7):
            self.breaks(1002, self.frame(BINARY, b"x", rsv=rsv))

    def test_reserved_opcodes(self) -> None:
        """Opcodes that mean nothing are refused."""
        for opcode in (3, 7, 11, 15):
            self.breaks(1002, self.frame(opcode, b"x"))

    def test_control_frames(self) -> None:
        """Control frames are whole and short."""
        self.breaks(1002, self.frame(PING, b"x", fin=False))
        self.breaks(1002, self.frame(PING, b"x" * 126))

    def test_fragments(self) -> None:
        """A continuation continues something; a message is ended before the next begins."""
        self.breaks(1002, self.frame(0, b"x"))
        self.breaks(1002, self.frame(BINARY, b"x", fin=False), self.frame(BINARY, b"y"))

    def test_lengths(self) -> None:
        """A length is written in the shortest way, and has no sign."""
        mask_bit, mask = (0x80, b"\0\0\0\0") if self.peer_masks else (0, b"")
        self.breaks(1002, bytes((0x82, mask_bit | 126, 0, 1)) + mask + b"x")
        self.breaks(1002, bytes((0x82, mask_bit | 127)) + (1).to_bytes(8, "big") + mask + b"x")
        self.breaks(1002, bytes((0x82, mask_bit | 127)) + b"\xff" * 8 + mask)

    def test_text_that_is_none(self) -> None:
        """Text is UTF-8, also across fragments, and ends where a character ends."""
        self.breaks(1007, self.frame(TEXT, b"\xff"))
        self.breaks(1007, self.frame(TEXT, b"\xc3", fin=False), self.frame(0, b"x"))
        self.breaks(1007, self.frame(TEXT, b"a\xc3"))

    def test_too_big(self) -> None:
        """A message above the limit is refused by its header, in one frame or in several."""
        self.breaks(1009, self.frame(BINARY, b"x" * 1001))
        self.breaks(1009, self.frame(BINARY, b"x" * 600, fin=False), self.frame(0, b"x" * 401))
        self.breaks(1009, self.frame(BINARY, b"x" * 100_000))

    def test_just_not_too_big(self) -> None:
        """A message of just the limit is delivered."""
        self.open_with(message_limit_bytes=1000)
        self.send(self.frame(BINARY, b"x" * 600, fin=False), self.frame(0, b"x" * 400))
        self.assertEqual(self.ours.received, [b"x" * 1000])

    def test_close_codes_that_are_none(self) -> None:
        """Codes that may not be sent, and a Close of one byte, are refused."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            self.breaks(1002, self.close_frame(code))
        self.breaks(1002, self.frame(CLOSE, b"x"))

    def test_close_reasons_that_are_none(self) -> None:
        """A reason is UTF-8."""
        self.breaks(1007, self.close_frame(1000, b"\xff"))

    def test_nothing_but_one_line(self) -> None:
        """A peer that breaks rules leaves no traceback, and nothing worse than a line of information."""
        self.breaks(1002, b"\xff" * 100)
        self.assertEqual([e for e in self.events if e["log_level"] > LogLevel.info], [])


class ServerRulesByteByByteTests(ServerRulesTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1


class ServerEndTests(OpenCase):
    """How a WebSocket ends."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with()

    def test_the_peer_closes(self) -> None:
        """The peer's Close is answered with its code, and the connection is closed at once."""
        for code, kind in (
            (None, WebSocketClosed),
            (1000, WebSocketClosed),
            (1001, WebSocketClosed),
            (1002, WebSocketFailed),
            (1011, WebSocketFailed),
            (1012, WebSocketFailed),
            (1014, WebSocketFailed),
            (3000, WebSocketFailed),
            (4999, WebSocketFailed),
        ):
            self.open_with()
            self.send(self.frame(BINARY, b"last"), self.close_frame(code, b"bye" if code else b""))
            self.assertEqual(self.ours.received, [b"last"])
            self.assertEqual(self.heard()[-1], (CLOSE, b"" if code is None else code.to_bytes(2, "big")))
            self.assert_end(kind, 1005 if code is None else code)
            self.assertIsInstance(
                self.ours.lost.value, ConnectionDone if kind is WebSocketClosed else ConnectionLost
            )
            self.assertFalse(self.peer.transport.other.aborted)
            self.assert_idle()

    def test_what_the_end_says(self) -> None:
        """The end names code and reason in one line."""
        self.send(self.close_frame(1014, b"no route"))
        self.assertEqual(str(self.ours.lost.value), "the WebSocket failed (1014: no route)")
        self.open_with()
        self.send(self.close_frame(1000))
        self.assertEqual(str(self.ours.lost.value), "the WebSocket closed (1000)")

    def test_a_reason_for_the_log(self) -> None:
        """A reason with line ends and terminal sequences in it stays one harmless line."""
        self.send(self.close_frame(1011, b"a\nCLOSED: \x1b[2J"))
        self.assertEqual(str(self.ours.lost.value), "the WebSocket failed (1011: a?CLOSED: ?[2J)")

    def test_we_close(self) -> None:
        """LoseConnection sends what was written, then Close 1000, and waits for the answer."""
        self.transport.write(b"last")
        self.transport.loseConnection()
        self.transport.write(b"late")
        self.assertEqual(self.heard(), [(BINARY, b"last"), (CLOSE, b"\x03\xe8")])
        self.assertIsNone(self.ours.lost)
        self.send(self.frame(BINARY, b"in flight"), self.close_frame(1000))
        self.assertEqual(self.ours.received, [])
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_we_close_with_a_code(self) -> None:
        """Every code that may be sent can be, with a reason that is cut between characters."""
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999):
            self.open_with()
            self.transport.close(code, "ä" * 100)
            self.assertEqual(self.heard(), [(CLOSE, code.to_bytes(2, "big") + "ä".encode() * 61)])
            self.send(self.close_frame(code))
            self.assert_end(ConnectionDone)

    def test_both_close(self) -> None:
        """Two Close frames that cross are an end like any other."""
        self.transport.loseConnection()
        self.peer.transport.write(self.close_frame(1001))
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_closing_twice(self) -> None:
        """One Close is enough."""
        self.transport.loseConnection()
        self.transport.loseConnection()
        self.transport.close(1011)
        self.assertEqual(len(self.heard()), 1)

    def test_no_answer(self) -> None:
        """A peer that does not answer our Close is waited for 5 s; then the connection is closed, not aborted."""
        self.transport.loseConnection()
        self.network.pass_time(4.9)
        self.assertIsNone(self.ours.lost)
        self.network.pass_time(0.2)
        self.assert_end(ConnectionDone)
        self.assertFalse(self.peer.transport.other.aborted)
        self.assert_idle()

    def test_a_slow_reader_gets_everything(self) -> None:
        """A peer that reads slowly gets what was written before the Close, however long it takes to begin."""
        self.peer.transport.reading = False
        self.transport.write(b"x" * 500_000)
        self.transport.loseConnection()
        self.network.pass_time(30, 5)
        self.peer.transport.reading = True
        self.assertEqual(sum(len(payload) for op, payload in self.heard() if op == BINARY), 500_000)
        self.assert_close(1000)
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_who_never_reads(self) -> None:
        """A peer that reads nothing for a minute after the end is dropped."""
        self.peer.transport.reading = False
        self.transport.write(b"x" * 500_000)
        self.transport.loseConnection()
        self.network.pass_time(66, 5)
        self.assert_end(ConnectionDone)
        self.assertTrue(self.peer.transport.other.aborted)
        self.assert_idle()

    def test_we_abort(self) -> None:
        """AbortConnection resets the connection without a word."""
        self.transport.abortConnection()
        self.transport.abortConnection()
        self.assert_end(ConnectionAborted)
        self.assertEqual(self.heard(), [])
        self.assertTrue(self.peer.transport.other.aborted)
        self.assert_idle()

    def test_we_abort_while_closing(self) -> None:
        """A closing WebSocket can be aborted."""
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.assert_end(ConnectionAborted)
        self.assert_idle()

    def test_cut_off(self) -> None:
        """A connection that ends without a Close may have lost bytes: never a clean end, code 1006."""
        for leave in ("loseConnection", "abortConnection"):
            self.open_with()
            getattr(self.peer.transport, leave)()
            self.assert_end(WebSocketFailed, 1006)
            self.transport.write(b"late")
            self.transport.loseConnection()
            self.transport.abortConnection()
            self.assert_idle()

    def test_cut_off_within_a_message(self) -> None:
        """Half a message is not delivered."""
        self.send(self.frame(BINARY, b"x" * 100)[:50])
        self.peer.transport.loseConnection()
        self.assert_end(WebSocketFailed, 1006)
        self.assertEqual(self.ours.received, [])

    def test_after_the_peers_close(self) -> None:
        """What comes behind a Close is dropped."""
        self.send(self.close_frame(1000), self.frame(BINARY, b"late"), self.close_frame(1011))
        self.assertEqual(self.ours.received, [])
        self.assert_end(WebSocketClosed, 1000)
        self.assert_idle()

    def test_closing_within_a_delivery(self) -> None:
        """A protocol may close, or abort, while it is given a message; the rest of the read is dropped."""
        for leave in ("loseConnection", "abortConnection"):
            self.open_with()
            self.ours._on_data = lambda protocol, _, leave=leave: getattr(protocol.transport, leave)()
            self.send(self.frame(BINARY, b"one"), self.frame(BINARY, b"two"), self.close_frame(1000))
            self.assertEqual(self.ours.received, [b"one"])
            self.assertIsNotNone(self.ours.lost)
            self.assert_idle()

    def test_a_protocol_that_fails(self) -> None:
        """An exception of the protocol reaches whoever delivered the bytes, as on any transport."""

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        self.ours._on_data = fail
        self.peer.transport.write(self.frame(BINARY, b"x"))
        self.assertRaises(RuntimeError, self.network.settle)


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


class ServerPropertyTests(OpenCase):
    """What holds whatever comes."""

    @settings(BOTH_SIDES, max_examples=60)
    @given(
        st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), max_size=5),
        st.lists(st.integers(1, 400), min_size=1),
        st.booleans(),
    )
    def test_any_split(self, messages: list[list[bytes]], sizes: list[int], tunnel: bool) -> None:
        """However messages are fragmented and cut into reads, with Pings in between, the bytes are the same."""
        self.open_with(message_limit_bytes=None if tunnel else 131072)
        data = b""
        for fragments in messages:
            for number, fragment in enumerate(fragments):
                last = number == len(fragments) - 1
                data += self.frame(BINARY if number == 0 else 0, fragment, fin=last) + self.frame(PING)
        turn = 0
        while data:
            size = sizes[turn % len(sizes)]
            self.peer.transport.other.protocol.dataReceived(data[:size])
            data, turn = data[size:], turn + 1
        whole = [b"".join(fragments) for fragments in messages]
        self.assertEqual(self.ours.data, b"".join(whole))
        if not tunnel:
            self.assertEqual(self.ours.received, [message for message in whole if message])
        self.assertIsNone(self.ours.lost)

    @settings(BOTH_SIDES, max_examples=100)
    @given(st.lists(st.binary(max_size=200), max_size=6), st.booleans())
    def test_garbage(self, reads: list[bytes], tunnel: bool) -> None:
        """Garbage is refused or waited for: no exception, at most one Close, and nothing left when the peer goes."""
        self.open_with(message_limit_bytes=None if tunnel else 1000, reject_text=tunnel)
        for data in reads:
            self.send(data)
        self.assertLessEqual([opcode for opcode, _ in self.heard()].count(CLOSE), 1)
        self.peer.transport.abortConnection()
        self.network.settle()
        self.assertIsNotNone(self.ours.lost)
        self.assert_idle()

    @settings(BOTH_SIDES, max_examples=100)
    @given(
        st.lists(
            st.tuples(st.integers(0, 15), st.booleans(), st.booleans(), st.binary(max_size=130)), max_size=6
        )
    )
    def test_frames_of_any_kind(self, frames: list[tuple[int, bool, bool, bytes]]) -> None:
        """Frames in any order are delivered or refused; after a refusal nothing is delivered."""
        self.open_with(message_limit_bytes=1000)
        refused = None
        for opcode, fin, masked, payload in frames:
            self.send(self.frame(opcode, payload, fin=fin, masked=masked))
            if refused is not None:
                self.assertEqual(len(self.ours.received), refused)
            elif self.transport.disconnecting:
                refused = len(self.ours.received)
        self.peer.transport.abortConnection()
        self.network.settle()
        self.assertIsNotNone(self.ours.lost)
        self.assert_idle()


# -- the same for the dialling side ---------------------------------------------------------------------------------------


class ClientSide:
    """Mixed in: our WebSocket was dialled, the raw peer is a server."""

    peer_masks = False
    _port = 8000

    def open_with(self: Any, **options: Any) -> None:
        self.drop()
        servers: list[RawServer] = []

        def build(_: object) -> RawServer:
            servers.append(RawServer())
            return servers[-1]

        listener = Factory()
        listener.buildProtocol = build  # type: ignore[method-assign]
        self._port += 1
        self.network.listen(HOST, self._port, listener)
        endpoint = WebSocketEndpoint(self.network, ws(port=self._port), **options)
        opened = endpoint.connect(Factory.forProtocol(Recorder))
        self.network.settle()
        self.ours = self.successResultOf(opened)
        self.transport = self.ours.transport
        self.peer = servers[-1]


class ClientBytesTests(ClientSide, ServerBytesTests):
    """Bytes out and in, dialled."""


class ClientBytesByteByByteTests(ClientSide, ServerBytesByteByByteTests):
    """Bytes out and in, dialled, a byte at a time."""


class ClientTunnelTests(ClientSide, ServerTunnelTests):
    """A WebSocket for a tunnel, dialled."""


class ClientRulesTests(ClientSide, ServerRulesTests):
    """Rules that a server may break."""


class ClientEndTests(ClientSide, ServerEndTests):
    """How a dialled WebSocket ends."""


class ClientPauseTests(ClientSide, ServerPauseTests):
    """Reading when we want, dialled."""


class ClientInactivityTests(ClientSide, ServerInactivityTests):
    """``ws.inactivity.timeout``, dialled."""


class ClientPropertyTests(ClientSide, ServerPropertyTests):
    """What holds whatever comes, dialled."""
