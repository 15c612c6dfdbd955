"""The WebSocket of a tunnel, whose frames are not Autobahn's: it does what every WebSocket does."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kwic.transport.websocket_transport import WebSocketFailed
from test.transport import test_websocket_end, test_websocket_flow
from test.transport.open_case import BINARY, CLOSE, PING, TEXT, ClientSide, OpenCase

BOTH_SIDES = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class Tunnelled(OpenCase):
    """Mixed in: the WebSocket is one for a tunnel."""

    tunnel = True


class LeanEndTests(Tunnelled, test_websocket_end.ServerEndTests):
    """How a tunnel's WebSocket ends."""

    def test_cut_off_within_a_message(self) -> None:
        """What came of a message is delivered, and the end is no clean one."""
        self.send(self.frame(BINARY, b"x" * 100)[:50])
        self.peer.transport.loseConnection()
        self.assert_end(WebSocketFailed, 1006)
        self.assertLess(0, len(self.ours.data))
        self.assertEqual(self.ours.data.strip(b"x"), b"")


class LeanPauseTests(Tunnelled, test_websocket_flow.ServerPauseTests):
    """Reading when we want, writing when the peer does."""


class LeanInactivityTests(Tunnelled, test_websocket_flow.ServerInactivityTests):
    """Silence."""


class LeanRulesTests(Tunnelled):
    """Rules of RFC 6455 that a peer may break, and what is said then."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with()

    def breaks(self, code: int, *frames: bytes) -> None:
        """Frames that end a fresh WebSocket with that code; nothing after them is delivered, looked at or answered."""
        self.open_with()
        bad = b"".join(frames)
        self.send(self.frame(BINARY, b"before"), bad, self.frame(PING), self.frame(BINARY, b"after"))
        self.send(self.frame(PING), self.frame(BINARY, b"later"))
        self.assertEqual(self.ours.data.removesuffix(b"-"), b"before")
        self.assertEqual([opcode for opcode, _ in self.heard()], [CLOSE])
        self.assert_close(code)
        self.assertTrue(self.transport.disconnecting)
        self.transport.write(b"late")
        self.network.pass_time(5.1)
        self.assert_end(WebSocketFailed, code)
        self.assert_idle()

    def test_frames(self) -> None:
        """Whatever the decoder refuses is a protocol error."""
        for bad in (
            self.frame(BINARY, b"x", masked=not self.peer_masks),
            self.frame(BINARY, b"x", rsv=2),
            self.frame(3, b"x"),
            self.frame(PING, b"x", fin=False),
            self.frame(0, b"x"),
            self.frame(TEXT, b"x"),
            b"\xff" * 100,
        ):
            self.breaks(1002, bad)
        self.breaks(1002, self.frame(BINARY, b"-", fin=False), self.frame(BINARY, b"y"))

    def test_close_codes_that_are_none(self) -> None:
        """Codes that may not be sent, and a Close of one byte, are refused."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            self.breaks(1002, self.close_frame(code))
        self.breaks(1002, self.frame(CLOSE, b"x"))

    def test_close_reasons_that_are_none(self) -> None:
        """A reason is UTF-8."""
        self.breaks(1007, self.close_frame(1000, b"\xff"))

    def test_a_broken_frame_while_closing(self) -> None:
        """After our Close, garbage is not answered with a second one."""
        self.transport.loseConnection()
        self.send(b"\xff" * 100, self.close_frame(1000))
        self.assertEqual([opcode for opcode, _ in self.heard()], [CLOSE])
        self.network.pass_time(5.1)
        self.assertIsNotNone(self.ours.lost)
        self.assert_idle()

    def test_nothing(self) -> None:
        """Nothing written is no message."""
        self.transport.write(b"")
        self.transport.writeSequence([])
        self.transport.writeSequence([b"", b""])
        self.assertEqual(self.heard(), [])

    def test_a_sequence_is_one_message(self) -> None:
        """Pieces of any kind go out as one frame."""
        self.transport.writeSequence([b"one ", memoryview(b"two "), bytearray(b"three")])
        self.assertEqual(self.heard(), [(BINARY, b"one two three")])

    def test_garbage(self) -> None:
        """Nothing that a peer sends is an exception."""

        @settings(BOTH_SIDES, max_examples=100)
        @given(st.lists(st.binary(max_size=200), max_size=6))
        def check(reads: list[bytes]) -> None:
            self.open_with()
            for data in reads:
                self.send(data)
            self.assertLessEqual([opcode for opcode, _ in self.heard()].count(CLOSE), 1)
            self.peer.transport.abortConnection()
            self.network.settle()
            self.assertIsNotNone(self.ours.lost)
            self.assert_idle()

        check()


class LeanRulesByteByByteTests(LeanRulesTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1


class DialledLeanEndTests(ClientSide, LeanEndTests):
    """How a dialled tunnel's WebSocket ends."""


class DialledLeanPauseTests(ClientSide, LeanPauseTests):
    """Reading when we want, dialled."""


class DialledLeanInactivityTests(ClientSide, LeanInactivityTests):
    """Silence, dialled."""


class DialledLeanRulesTests(ClientSide, LeanRulesTests):
    """Rules that a server may break."""
