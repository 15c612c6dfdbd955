"""The frames of tunnels opposite Autobahn's: each decodes what the other encodes, byte by byte and split at random."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.autobahn_channel import ClientChannel, ServerChannels
from kwic.transport.lean_channel import LeanChannel
from kwic.wire.http_head import HeadReader, parse_request, parse_response
from test.transport.websocket_case import frame

BOTH_SIDES = settings(deadline=None)
SIZES = (1, 4, 125, 126, 127, 511, 512, 513, 65_535, 65_536, 262_144)
"""Around each change of the length's form, and of the way of masking."""


class Wire:
    """What a channel writes to, and what it wrote."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        assert type(data) is bytes, type(data)
        self.written += data

    def take(self) -> bytes:
        """What was written since the last time."""
        written, self.written = self.written, b""
        return written


class Listening:
    """Hears from a channel, and remembers."""

    def __init__(self) -> None:
        self.data = b""
        self.events: list[tuple[Any, ...]] = []

    def message_received(self, data: bytes, is_text: bool) -> None:
        assert not is_text
        self.data += data

    def close_received(self, code: int, reason: str) -> None:
        self.events.append(("closed", code, reason))

    def channel_failed(self, code: int, why: str) -> None:
        self.events.append(("failed", code))


def autobahn_pair() -> tuple[tuple[Any, Wire], tuple[Any, Wire]]:
    """Autobahn's client and server, after their handshake, as they are opened for tunnels without a subprotocol."""
    ends = Wire(), Wire()
    client = ClientChannel(
        ends[0],  # type: ignore[arg-type]
        host="h",
        port=80,
        target="/",
        protocols=(),
        headers=(),
        limit_bytes=None,
        reject_text=True,
    )
    found = HeadReader().receive(ends[0].take())
    assert found is not None
    server = ServerChannels().open(
        ends[1],  # type: ignore[arg-type]
        parse_request(found[0]),
        subprotocol=None,
        headers=(),
        limit_bytes=None,
        reject_text=True,
    )
    found = HeadReader().receive(ends[1].take())
    assert found is not None
    client.answered(parse_response(found[0]))
    return (client, ends[0]), (server, ends[1])


class End:
    """One channel, its wire and what it heard."""

    def __init__(self, channel: Any, wire: Wire) -> None:
        self.channel, self.wire = channel, wire
        self.heard = Listening()
        channel.user = self.heard


def lean(*, client: bool) -> End:
    """One of ours."""
    wire = Wire()
    return End(LeanChannel(wire, client=client), wire)


class OppositeAutobahnCase(SynchronousTestCase):
    """A channel of ours and one of Autobahn's; which of them is the client, the test says."""

    def ends(self, *, client: bool) -> tuple[End, End]:
        """Ours and theirs."""
        theirs = autobahn_pair()[1 if client else 0]
        return lean(client=client), End(*theirs)

    def both(self, check: Callable[[End, End], None]) -> None:
        """Try it as client and as server."""
        for client in (True, False):
            with self.subTest(client=client):
                check(*self.ends(client=client))

    def pump(self, *ends: End, sizes: tuple[int, ...] = (1 << 30,)) -> None:
        """Carry over what was written, in pieces of these sizes in turn, until nothing more is said."""
        turn = itertools.cycle(sizes)
        one, other = ends
        while one.wire.written or other.wire.written:
            for end, opposite in ((one, other), (other, one)):
                data = end.wire.take()
                while data:
                    size = next(turn)
                    opposite.channel.receive(data[:size])
                    data = data[size:]


class BytesOppositeAutobahnTests(OppositeAutobahnCase):
    """Messages."""

    def test_sizes(self) -> None:
        """A message of each size arrives, both ways, whole and one byte at a time."""

        def check(ours: End, theirs: End) -> None:
            for size in SIZES:
                payload = bytes(range(256)) * (size // 256 + 1)
                for cuts in ((1 << 30,), (1,)) if size < 1000 else ((1 << 30,), (4096, 1)):
                    for one, other in ((ours, theirs), (theirs, ours)):
                        one.channel.send(payload[:size])
                        self.pump(ours, theirs, sizes=cuts)
                        self.assertEqual(other.heard.data, payload[:size])
                        other.heard.data = b""

        self.both(check)

    def test_pieces(self) -> None:
        """A message in pieces is one message for Autobahn: as many frames as calls."""

        def check(ours: End, theirs: End) -> None:
            frames: list[int] = []
            begin = theirs.channel.onFrameBegin
            theirs.channel.onFrameBegin = lambda: (begin(), frames.append(1))
            ours.channel.send_pieces([b"head", memoryview(b"x" * 70_000), b""])
            ours.channel.send_pieces([b"a", b"b"])
            self.pump(ours, theirs)
            self.assertEqual(theirs.heard.data, b"head" + b"x" * 70_000 + b"ab")
            self.assertEqual(len(frames), 2)

        self.both(check)

    def test_any_split(self) -> None:
        """Any messages, cut in any way, with pings in between, arrive both ways, and every ping is answered."""

        def check(client: bool) -> None:
            @settings(BOTH_SIDES, max_examples=60)
            @given(
                st.lists(st.tuples(st.booleans(), st.binary(max_size=700), st.booleans()), max_size=8),
                st.lists(st.integers(1, 300), min_size=1, max_size=6),
            )
            def passes(messages: list[tuple[bool, bytes, bool]], sizes: list[int]) -> None:
                ours, theirs = self.ends(client=client)
                expected = {id(ours): b"", id(theirs): b""}
                for from_us, payload, pinged in messages:
                    one, other = (ours, theirs) if from_us else (theirs, ours)
                    one.channel.send(payload)
                    expected[id(other)] += payload
                    if pinged:
                        one.channel.send_ping()
                self.pump(ours, theirs, sizes=tuple(sizes))
                self.assertEqual(ours.heard.data, expected[id(ours)])
                self.assertEqual(theirs.heard.data, expected[id(theirs)])
                self.assertEqual((ours.heard.events, theirs.heard.events), ([], []))

            passes()

        for client in (True, False):
            check(client)

    def test_fragments_of_autobahn(self) -> None:
        """Messages that Autobahn sends in frames and in chunks of frames arrive, with a ping inside."""

        def check(ours: End, theirs: End) -> None:
            channel = theirs.channel
            channel.sendFrame(opcode=2, payload=b"one ", fin=False)
            channel.sendFrame(opcode=9, payload=b"in between")
            channel.sendFrame(opcode=0, payload=b"", fin=False)
            channel.sendFrame(opcode=0, payload=b"two", fin=True)
            self.pump(ours, theirs, sizes=(1,))
            self.assertEqual(ours.heard.data, b"one two")

        self.both(check)

    def test_the_same_refusals(self) -> None:
        """What Autobahn refuses is refused here with the same code, and what it takes is taken."""

        @settings(BOTH_SIDES, max_examples=200)
        @given(
            st.lists(
                st.tuples(
                    st.sampled_from([0, 2, 2, 2, 8, 9, 10, 1, 3, 11]),
                    st.sampled_from([True, True, False]),
                    st.sampled_from([0, 0, 0, 0, 4]),
                    st.binary(max_size=130),
                ),
                max_size=5,
            ),
            st.booleans(),
        )
        def same(frames: list[tuple[int, bool, int, bytes]], client: bool) -> None:
            ours = lean(client=client)
            theirs = End(*autobahn_pair()[0 if client else 1])
            for opcode, fin, rsv, payload in frames:
                data = frame(opcode, payload, fin=fin, rsv=rsv, masked=not client)
                for end in (ours, theirs):
                    end.channel.receive(data)
                # Autobahn goes on to look at a frame after it has refused it.
                self.assertEqual(ours.heard.events, theirs.heard.events[:1])
                self.assertEqual(ours.heard.data, theirs.heard.data)
                if ours.heard.events:
                    break

        same()


class ControlOppositeAutobahnTests(OppositeAutobahnCase):
    """Closes, pings and pongs."""

    def test_closes(self) -> None:
        """Code and reason arrive, whoever closes, and the other end answers with the same code."""

        def check(ours: End, theirs: End) -> None:
            for closing, other in ((ours, theirs), (theirs, ours)):
                for code, reason in ((1000, ""), (1001, "leaving"), (1014, "ä" * 100), (4999, "x" * 200)):
                    one, two = (closing, other)
                    if one.heard.events:
                        mine = self.ends(client=ours.channel._keys is not None)
                        one, two = mine if closing is ours else mine[::-1]
                    one.channel.send_close(code, reason)
                    one.channel.send(b"late")
                    self.pump(one, two, sizes=(3,))
                    said = "ä" * 61 if "ä" in reason else reason[:123]
                    self.assertEqual(two.heard.events, [("closed", code, said)])
                    self.assertEqual(one.heard.events, [("closed", code, "")])
                    self.assertEqual(two.heard.data, b"")

        self.both(check)

    def test_a_close_without_a_code(self) -> None:
        """It is answered without one."""

        def check(ours: End, theirs: End) -> None:
            theirs.channel.sendCloseFrame()
            self.pump(ours, theirs)
            self.assertEqual(ours.heard.events, [("closed", 1005, "")])
            self.assertEqual(theirs.heard.events, [("closed", 1005, "")])

        self.both(check)

    def test_closes_that_cross(self) -> None:
        """Both close at once: each hears the other's, and nothing more is said."""

        def check(ours: End, theirs: End) -> None:
            ours.channel.send_close(1000, "a")
            theirs.channel.send_close(1001, "b")
            self.pump(ours, theirs)
            self.assertEqual(ours.heard.events, [("closed", 1001, "b")])
            self.assertEqual(theirs.heard.events, [("closed", 1000, "a")])

        self.both(check)

    def test_data_behind_our_close(self) -> None:
        """What comes in between our Close and the other's is dropped, pings too."""

        def check(ours: End, theirs: End) -> None:
            ours.channel.send_close(1000, "")
            theirs.channel.send(b"in flight")
            theirs.channel.send_ping()
            self.pump(ours, theirs)
            self.assertEqual((ours.heard.data, theirs.heard.data), (b"", b""))
            self.assertEqual(ours.heard.events, [("closed", 1000, "")])

        self.both(check)

    def test_pings_and_pongs(self) -> None:
        """A ping is answered with its payload; a pong is nothing; both ways, byte by byte."""

        def check(ours: End, theirs: End) -> None:
            pongs: list[bytes] = []
            theirs.channel._onPong = pongs.append
            for payload in (b"", b"x", bytes(125)):
                theirs.channel.sendFrame(opcode=9, payload=payload)
            theirs.channel.sendFrame(opcode=10, payload=b"unasked")
            ours.channel.send_ping()
            self.pump(ours, theirs, sizes=(1,))
            self.assertEqual(pongs, [b"", b"x", bytes(125)])
            self.assertEqual((ours.heard.events, theirs.heard.events), ([], []))

        self.both(check)

    def test_held_pongs(self) -> None:
        """While pongs are held none is sent; then only the newest; none is left over for the next time."""

        def check(ours: End, theirs: End) -> None:
            pongs: list[bytes] = []
            theirs.channel._onPong = pongs.append
            ours.channel.hold_pongs(True)
            for number in range(100):
                theirs.channel.sendFrame(opcode=9, payload=str(number).encode())
            self.pump(ours, theirs)
            self.assertEqual(pongs, [])
            for _ in range(2):
                ours.channel.hold_pongs(False)
                self.pump(ours, theirs)
                self.assertEqual(pongs, [b"99"])

        self.both(check)

    def test_a_held_pong_after_the_end(self) -> None:
        """A pong that was held is not sent behind a Close."""

        def check(ours: End, theirs: End) -> None:
            ours.channel.hold_pongs(True)
            theirs.channel.send_ping()
            self.pump(ours, theirs)
            ours.channel.send_close(1000, "")
            close = ours.wire.written
            ours.channel.hold_pongs(False)
            self.assertEqual(ours.wire.written, close)

        self.both(check)

    def test_a_pause_between_frames_of_one_read(self) -> None:
        """A user that pauses in the middle of a read gets the rest when it resumes, in order, closes too."""

        def check(ours: End, theirs: End) -> None:
            for payload in (b"a", b"b", b"c"):
                theirs.channel.send(payload)
            theirs.channel.send_close(1000, "bye")
            read = bytearray(theirs.wire.take())
            take = ours.heard.message_received

            def message_received(data: bytes, is_text: bool) -> None:
                take(data, is_text)
                ours.channel.pause()

            ours.heard.message_received = message_received  # type: ignore[method-assign]
            ours.channel.receive(memoryview(read))
            read[:] = bytes(len(read))
            for expected in (b"a", b"ab", b"abc"):
                self.assertTrue(ours.channel.pending)
                self.assertEqual((ours.heard.data, ours.heard.events), (expected, []))
                ours.channel.resume()
            self.assertFalse(ours.channel.pending)
            self.assertEqual(ours.heard.events, [("closed", 1000, "bye")])

        self.both(check)

    def test_sending_behind_a_close(self) -> None:
        """Nothing goes out behind a Close: no message, no ping, no second Close."""

        def check(ours: End, theirs: End) -> None:
            ours.channel.send_close(1000, "")
            close = ours.wire.written
            ours.channel.send(b"x")
            ours.channel.send_pieces([b"x"])
            ours.channel.send_ping()
            ours.channel.send_close(1001, "")
            self.assertEqual(ours.wire.written, close)

        self.both(check)

    def test_stopping(self) -> None:
        """A channel that was stopped hears nothing more, in the middle of a read too."""

        def check(ours: End, theirs: End) -> None:
            ours.heard.message_received = lambda data, is_text: ours.channel.stop()  # type: ignore[method-assign]
            theirs.channel.send(b"a")
            theirs.channel.send_close(1000, "")
            self.pump(ours, theirs)
            theirs.channel.send(b"b")
            self.assertEqual((ours.heard.events, ours.channel.pending), ([], False))

        self.both(check)


class KeyTests(SynchronousTestCase):
    """Masking keys."""

    def test_every_frame_has_its_own(self) -> None:
        """RFC 6455 5.3: a key is fresh for each frame, control frames too."""
        ours = lean(client=True)
        seen = set()
        for number in range(3000):
            (ours.channel.send_ping if number % 2 else lambda: ours.channel.send(b""))()
            header = ours.wire.take()
            self.assertEqual(len(header), 6)
            seen.add(header[2:])
        self.assertGreater(len(seen), 2990)

    def test_a_server_masks_nothing(self) -> None:
        """What a server sends is on the wire as it is."""
        ours = lean(client=False)
        ours.channel.send(b"plain")
        self.assertEqual(ours.wire.take(), b"\x82\x05plain")
