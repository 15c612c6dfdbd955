"""An open WebSocket: the rules of RFC 6455 that a peer may break."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel

from kwic.transport.websocket_transport import WebSocketFailed
from test.transport.open_case import BINARY, CLOSE, PING, TEXT, ClientSide, OpenCase

BOTH_SIDES = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
"""The same properties are tried at the server's and at the client's."""


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


class ClientRulesTests(ClientSide, ServerRulesTests):
    """Rules that a server may break."""


class ClientPropertyTests(ClientSide, ServerPropertyTests):
    """What holds whatever comes, dialled."""
