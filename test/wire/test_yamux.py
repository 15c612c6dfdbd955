"""Frames: the header, and the reader that cuts bytes into them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import ProtocolError
from kwic.wire.yamux import (
    CREDIT_MAXIMUM_BYTES,
    FRAME_READ_MAXIMUM_BYTES,
    FRAME_WRITTEN_MAXIMUM_BYTES,
    INITIAL_WINDOW_BYTES,
    STREAM_MAXIMUM,
    Flag,
    Frame,
    FrameReader,
    FrameType,
    GoAwayCode,
    MalformedFrameError,
    Payload,
    header,
)
from test.wire.pair import byte_by_byte, data, go_away, ping, update


def read(reader: FrameReader, chunk: bytes) -> list[Frame | Payload]:
    """Everything that a chunk brings."""
    return list(reader.receive(chunk))


def joined(items: list[Frame | Payload]) -> list[Frame | bytes]:
    """Items with the pieces of each payload put together, whatever their split."""
    found: list[Frame | bytes] = []
    for item in items:
        if isinstance(item, Frame):
            found.append(item)
        elif isinstance(found[-1], Frame):
            found.append(bytes(item.data))
        else:
            found[-1] += item.data
    return found


stream_frames = st.builds(
    lambda kind, flags, stream, length: (
        data(stream, bytes(length), flags) if kind is FrameType.DATA else update(stream, length, flags)
    ),
    st.sampled_from([FrameType.DATA, FrameType.WINDOW_UPDATE]),
    st.integers(0, 15),
    st.integers(1, 2**32 - 1),
    st.integers(0, 300),
)
frames = st.one_of(
    stream_frames,
    st.builds(ping, st.integers(0, 2**32 - 1), st.sampled_from([Flag.SYN, Flag.ACK])),
    st.builds(go_away, st.integers(0, 2**32 - 1)),
)


class NumberTests(SynchronousTestCase):
    """The numbers of the specification."""

    def test_numbers(self) -> None:
        """Types, flags and codes are those that every peer knows."""
        self.assertEqual(
            {one.name: one for one in FrameType}, {"DATA": 0, "WINDOW_UPDATE": 1, "PING": 2, "GO_AWAY": 3}
        )
        self.assertEqual({one.name: one for one in Flag}, {"NONE": 0, "SYN": 1, "ACK": 2, "FIN": 4, "RST": 8})
        self.assertEqual(
            {one.name: one for one in GoAwayCode}, {"NORMAL": 0, "PROTOCOL_ERROR": 1, "INTERNAL_ERROR": 2}
        )
        self.assertEqual((INITIAL_WINDOW_BYTES, FRAME_WRITTEN_MAXIMUM_BYTES), (262_144, 262_144))
        self.assertEqual((STREAM_MAXIMUM, CREDIT_MAXIMUM_BYTES), (2**32 - 1, 2**32 - 1))


class HeaderTests(SynchronousTestCase):
    """What a header looks like on the wire."""

    def test_layout(self) -> None:
        """Version, type, flags, stream and length stand in network byte order, as the specification draws them."""
        self.assertEqual(
            header(FrameType.WINDOW_UPDATE, Flag.SYN | Flag.FIN, 0x01020304, 0x0A0B0C0D),
            bytes.fromhex("00 01 0005 01020304 0a0b0c0d"),
        )

    def test_read_back(self) -> None:
        """What was written is read."""
        [frame] = read(FrameReader(), update(7, 99, Flag.ACK))
        self.assertEqual(frame, Frame(FrameType.WINDOW_UPDATE, Flag.ACK, 7, 99))


class FrameReaderTests(SynchronousTestCase):
    """Cutting a byte stream into frames."""

    def test_short_header_is_not_yet(self) -> None:
        """Eleven bytes of a header bring nothing, the twelfth brings the frame."""
        reader = FrameReader()
        self.assertEqual(read(reader, ping(1)[:11]), [])
        self.assertEqual(read(reader, ping(1)[11:]), [Frame(FrameType.PING, Flag.SYN, 0, 1)])

    def test_payload_comes_in_pieces(self) -> None:
        """A payload is handed on as it arrives, and its last piece is marked."""
        reader = FrameReader()
        frame = data(3, b"abcdef")
        self.assertEqual(read(reader, frame[:14])[1:], [Payload(b"ab", False)])
        self.assertEqual(read(reader, frame[14:]), [Payload(b"cdef", True)])

    def test_large_piece_is_a_view(self) -> None:
        """A payload that fills its read is not copied."""
        chunk = data(3, bytes(1000))
        [_, payload] = read(FrameReader(), chunk)
        self.assertIsInstance(payload.data, memoryview)
        self.assertIs(payload.data.obj, chunk)

    def test_small_piece_is_a_copy(self) -> None:
        """A piece of less than an eighth of its read does not hold that read in memory."""
        share = 8 * 100 - 12 - 12 - 99
        [_, small, _, _] = read(FrameReader(), data(3, bytes(99)) + data(5, bytes(share)))
        [_, large, _, _] = read(FrameReader(), data(3, bytes(100)) + data(5, bytes(share - 1)))
        self.assertIsInstance(small.data, bytes)
        self.assertIsInstance(large.data, memoryview)

    def test_mutable_input(self) -> None:
        """Bytes may come in a bytearray or in a view of one."""
        chunk = bytearray(ping(1) + data(1, b"x"))
        self.assertEqual(len(read(FrameReader(), chunk)), 3)
        self.assertEqual(len(read(FrameReader(), memoryview(chunk))), 3)

    @given(st.lists(frames, max_size=20), st.data())
    def test_any_split(self, sent: list[bytes], choose: st.DataObject) -> None:
        """However the bytes are split, the same frames and payloads come out."""
        stream = b"".join(sent)
        expected = joined(read(FrameReader(), stream))
        cuts = sorted(choose.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
        reader = FrameReader()
        found: list[Frame | Payload] = []
        for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            found += read(reader, stream[start:stop])
        self.assertEqual(joined(found), expected)
        self.assertEqual(sum(isinstance(item, Frame) for item in expected), len(sent))

    @given(st.lists(frames, max_size=5))
    def test_byte_by_byte(self, sent: list[bytes]) -> None:
        """One byte at a time brings the same as all at once."""
        stream = b"".join(sent)
        reader = FrameReader()
        found = [item for piece in byte_by_byte(stream) for item in read(reader, piece)]
        self.assertEqual(joined(found), joined(read(FrameReader(), stream)))

    @given(st.binary(max_size=200))
    def test_garbage(self, garbage: bytes) -> None:
        """Whatever comes, the only exception is the one for a malformed frame."""
        try:
            read(FrameReader(), garbage)
        except MalformedFrameError as error:
            self.assertIsInstance(error, ProtocolError)


class MalformedFrameTests(SynchronousTestCase):
    """Headers that no peer may send."""

    def assert_malformed(self, head: bytes, words: str) -> None:
        """The reader refuses it and says why; byte by byte too."""
        for pieces in ([head], list(byte_by_byte(head))):
            reader = FrameReader()
            with self.assertRaises(MalformedFrameError) as caught:
                for piece in pieces:
                    read(reader, piece)
            self.assertIn(words, str(caught.exception))

    def test_version(self) -> None:
        """Another version is another protocol."""
        self.assert_malformed(b"\x01" + ping(1)[1:], "version 1")

    def test_http_is_not_yamux(self) -> None:
        """An HTTP answer on a tunnel is recognised as none of ours."""
        self.assert_malformed(b"HTTP/1.1 400 Bad", "version 72")

    def test_type(self) -> None:
        """There are four types."""
        self.assert_malformed(b"\x00\x04" + ping(1)[2:], "type 4")

    def test_stream_frames_need_a_stream(self) -> None:
        """DATA and WINDOW_UPDATE on stream 0 mean nothing."""
        self.assert_malformed(data(0, b""), "DATA belongs to a stream")
        self.assert_malformed(update(0, 1), "WINDOW_UPDATE belongs to a stream")

    def test_session_frames_have_none(self) -> None:
        """PING and GO_AWAY on a stream mean nothing."""
        self.assert_malformed(header(FrameType.PING, Flag.SYN, 1, 0), "PING belongs to the session")
        self.assert_malformed(header(FrameType.GO_AWAY, Flag.NONE, 1, 0), "GO_AWAY belongs to the session")

    def test_flags(self) -> None:
        """There are four flags; PING takes one of two of them, GO_AWAY none."""
        self.assert_malformed(update(1, 0, 0x10), "flags 0x0010")
        self.assert_malformed(ping(0, Flag.NONE), "PING with flags 0x0000")
        self.assert_malformed(ping(0, Flag.SYN | Flag.ACK), "PING with flags 0x0003")
        self.assert_malformed(header(FrameType.GO_AWAY, Flag.FIN, 0, 0), "GO_AWAY with flags 0x0004")

    def test_length(self) -> None:
        """A payload of more than 1 MiB is refused when it is announced, not when it has come."""
        self.assert_malformed(
            header(FrameType.DATA, Flag.NONE, 1, FRAME_READ_MAXIMUM_BYTES + 1), "1048577 bytes"
        )
        longest = header(FrameType.DATA, Flag.NONE, 1, FRAME_READ_MAXIMUM_BYTES)
        self.assertEqual(len(read(FrameReader(), longest)), 1)

    def test_credit_has_no_frame_limit(self) -> None:
        """The length of a WINDOW_UPDATE is credit and no payload follows it."""
        items = read(FrameReader(), update(1, 2**32 - 1) + ping(5))
        self.assertEqual([item.length for item in items], [2**32 - 1, 5])
