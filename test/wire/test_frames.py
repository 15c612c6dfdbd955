"""WebSocket frames: the header, and the decoder that reads frames in any pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError, ProtocolError
from kwic.wire.frames import (
    CONTROL_MAXIMUM_BYTES,
    KEY_BYTES,
    Bytes,
    CloseCode,
    Control,
    FrameDecoder,
    FrameError,
    Opcode,
    close_payload,
    frame_header,
)

KEY = b"\x37\xfa\x21\x3d"
"""The key of the examples in RFC 6455, section 5.7."""

EDGES = (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537)
"""Around each change of the length's form."""


def mask(data: Bytes, key: bytes) -> bytes:
    """XOR, byte by byte."""
    return bytes(byte ^ key[at % KEY_BYTES] for at, byte in enumerate(data))


def frame(
    opcode: int, payload: bytes = b"", *, key: bytes | None = None, fin: bool = True, rsv: int = 0
) -> bytes:
    """A frame as RFC 6455 5.2 draws it, written down anew here."""
    size = len(payload)
    second = 0 if key is None else 0x80
    if size < 126:
        length = bytes((second | size,))
    elif size < 65_536:
        length = bytes((second | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((second | 127,)) + size.to_bytes(8, "big")
    first = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    return first + length + (payload if key is None else key + mask(payload, key))


def decoder(*, masked: bool) -> FrameDecoder:
    """A decoder that unmasks byte by byte."""
    return FrameDecoder(masked=masked, mask=mask)


def items_of(reader: FrameDecoder, chunk: bytes) -> Iterator[bytes | Control]:
    """What a chunk brings, one after the other."""
    view, at = memoryview(chunk), 0
    message = reader.whole(view)
    if message is not None:
        yield bytes(message)
        return
    while True:
        item, at = reader.next(view, at)
        if item is None:
            assert at == len(view), "it stopped early"
            return
        yield item if isinstance(item, Control) else bytes(item)


def read(reader: FrameDecoder, chunk: bytes) -> list[bytes | Control]:
    """Everything that a chunk brings."""
    return list(items_of(reader, chunk))


def joined(items: list[bytes | Control]) -> list[bytes | Control]:
    """Items with neighbouring pieces of messages put together, whatever their split; pieces of nothing are left out."""
    found: list[bytes | Control] = []
    for item in items:
        if isinstance(item, Control):
            found.append(item)
        elif found and isinstance(found[-1], bytes):
            found[-1] += item
        elif item:
            found.append(item)
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Bytes cut at some places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def everything(chunks: list[bytes], *, masked: bool) -> list[bytes | Control]:
    """What a decoder makes of chunks."""
    reader = decoder(masked=masked)
    return joined([item for chunk in chunks for item in read(reader, chunk)])


keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
places = st.lists(st.integers(0, 100_000), max_size=12)
sizes = st.one_of(st.integers(0, 300), st.sampled_from(EDGES))
payloads = sizes.map(lambda size: (bytes(range(251)) * (size // 251 + 1))[:size])
controls = st.builds(
    lambda opcode, payload: Control(opcode=opcode, payload=payload),
    st.sampled_from([Opcode.CLOSE, Opcode.PING, Opcode.PONG]),
    st.binary(max_size=CONTROL_MAXIMUM_BYTES),
)
fragments = st.lists(st.tuples(payloads, st.lists(controls, max_size=2)), min_size=1, max_size=4)
"""A message: the payload of each of its frames, and the control frames that follow each."""


def spoilt(whole: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Frames with some of their bytes changed."""
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] ^= value
    return bytes(data)


some_frames = st.lists(
    st.builds(
        lambda opcode, payload, key, fin: frame(opcode, payload, key=key, fin=fin),
        st.sampled_from(list(Opcode)),
        st.binary(max_size=20),
        st.one_of(st.none(), keys),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
).map(b"".join)
garbage = st.one_of(
    st.binary(max_size=200),
    st.builds(spoilt, some_frames, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)),
)


class WholeTests(SynchronousTestCase):
    """A message that is just what was received."""

    def test_messages(self) -> None:
        """It is found at once whatever its size, masked or not, and the decoder is where it was."""
        for masked in (False, True):
            for size in (*EDGES, 8, 125, 126, 127, 65_535, 65_536):
                payload = bytes(index % 251 for index in range(size))
                chunk = frame(Opcode.BINARY, payload, key=KEY if masked else None)
                reader = decoder(masked=masked)
                for _ in range(2):
                    found = reader.whole(memoryview(chunk))
                    # What is shorter than the longest header has to be looked at more closely.
                    self.assertEqual(
                        None if found is None else bytes(found), payload if len(chunk) >= 14 else None
                    )

    def test_anything_else(self) -> None:
        """Everything else is left for a closer look: parts, more than one, fragments, control frames, text, a wrong mask."""
        payload = bytes(20)
        message = frame(Opcode.BINARY, payload, key=KEY)
        for chunk in (
            message[:-1],
            message + b"\x82",
            message + message,
            frame(Opcode.BINARY, payload, key=KEY, fin=False),
            frame(Opcode.CONTINUATION, payload, key=KEY),
            frame(Opcode.PING, payload, key=KEY),
            frame(Opcode.TEXT, payload, key=KEY),
            frame(Opcode.BINARY, payload),
            frame(Opcode.BINARY, payload, key=KEY, rsv=4),
        ):
            self.assertIsNone(decoder(masked=True).whole(memoryview(chunk)))

    def test_within_another(self) -> None:
        """Bytes that look like a message are none within a payload, a header or a message in fragments."""
        message = frame(Opcode.BINARY, bytes(20), key=KEY)
        for before in (
            frame(Opcode.BINARY, bytes(99), key=KEY)[:-50],
            message[:3],
            frame(Opcode.BINARY, bytes(9), key=KEY, fin=False),
        ):
            reader = decoder(masked=True)
            read(reader, before)
            self.assertIsNone(reader.whole(memoryview(message)))

    def test_a_length_that_could_be_shorter(self) -> None:
        """It breaks the same rule as anywhere else."""
        with self.assertRaises(FrameError):
            decoder(masked=False).whole(memoryview(b"\x82\x7e\x00\x10" + bytes(16)))


class HeaderTests(SynchronousTestCase):
    """What is written."""

    def test_numbers(self) -> None:
        """Opcodes, codes and sizes are those of the RFC."""
        self.assertEqual(
            {one.name: one for one in Opcode},
            {"CONTINUATION": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10},
        )
        self.assertEqual((CloseCode.PROTOCOL_ERROR, CONTROL_MAXIMUM_BYTES, KEY_BYTES), (1002, 125, 4))

    def test_the_examples_of_the_rfc(self) -> None:
        """The headers of RFC 6455, section 5.7, come out to the byte."""
        for made, expected in (
            (frame_header(Opcode.TEXT, 5, None), "8105"),
            (frame_header(Opcode.TEXT, 5, KEY), "818537fa213d"),
            (frame_header(Opcode.PING, 5, None), "8905"),
            (frame_header(Opcode.PONG, 5, KEY), "8a8537fa213d"),
            (frame_header(Opcode.BINARY, 256, None), "827e0100"),
            (frame_header(Opcode.BINARY, 65_536, None), "827f0000000000010000"),
        ):
            self.assertEqual(made.hex(), expected)

    def test_every_form_of_the_length(self) -> None:
        """The shortest form is used, on both sides of each edge, with a key and without."""
        for size in EDGES:
            for key in (None, KEY):
                whole = frame(Opcode.BINARY, bytes(size), key=key)
                header = frame_header(Opcode.BINARY, size, key)
                self.assertEqual(header, whole[: len(whole) - size])

    def test_the_longest_payload(self) -> None:
        """63 bits of length are written."""
        self.assertEqual(
            frame_header(Opcode.BINARY, 2**63 - 1, None), b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"
        )

    def test_close_payload(self) -> None:
        """A Close carries its code and reason, as far as a control frame reaches."""
        self.assertEqual(close_payload(1000), b"\x03\xe8")
        self.assertEqual(close_payload(1002, b"no"), b"\x03\xeano")
        self.assertEqual(len(close_payload(1000, bytes(123))), CONTROL_MAXIMUM_BYTES)
        self.assertRaises(MisuseError, close_payload, 1000, bytes(124))


class DecoderTests(SynchronousTestCase):
    """What is read."""

    def test_the_examples_of_the_rfc(self) -> None:
        """Its masked and unmasked frames are read, whole and byte by byte (the text ones as binary)."""
        for masked, given_, expected in (
            (False, "820548656c6c6f", [b"Hello"]),
            (True, "828537fa213d7f9f4d5158", [b"Hello"]),
            (False, "020348656c80026c6f", [b"Hello"]),
            (False, "890548656c6c6f", [Control(opcode=Opcode.PING, payload=b"Hello")]),
            (True, "8a8537fa213d7f9f4d5158", [Control(opcode=Opcode.PONG, payload=b"Hello")]),
        ):
            data = bytes.fromhex(given_)
            self.assertEqual(everything([data], masked=masked), expected)
            self.assertEqual(everything([bytes((byte,)) for byte in data], masked=masked), expected)

    def test_every_form_of_the_length(self) -> None:
        """Payloads on both sides of each edge arrive, and what follows them too."""
        for size in EDGES:
            payload = (b"0123456789" * (size // 10 + 1))[:size]
            for key in (None, KEY):
                data = frame(Opcode.BINARY, payload, key=key) + frame(Opcode.BINARY, b"end", key=key)
                self.assertEqual(everything([data], masked=key is not None), [payload + b"end"])

    def test_a_piece_is_a_view(self) -> None:
        """Without a mask nothing is copied: the piece is a part of what was read."""
        data = bytearray(frame(Opcode.BINARY, b"abc"))
        item, at = decoder(masked=False).next(memoryview(data), 0)
        assert isinstance(item, memoryview)
        self.assertEqual((bytes(item), at), (b"abc", 5))
        data[2:] = b"xyz"
        self.assertEqual(bytes(item), b"xyz")

    def test_control_frames_are_copies(self) -> None:
        """What a control frame says does not change with the buffer that it was read into."""
        data = bytearray(frame(Opcode.PING, b"abc"))
        item, _ = decoder(masked=False).next(memoryview(data), 0)
        data[2:] = b"xyz"
        self.assertEqual(item, Control(opcode=Opcode.PING, payload=b"abc"))

    def test_stopping_between_two_items(self) -> None:
        """One item at a time: whoever stops finds the next one where he was told to go on, also in another buffer."""
        reader = decoder(masked=False)
        data = frame(Opcode.BINARY, b"one") + frame(Opcode.PING) + frame(Opcode.BINARY, b"two")
        first, at = reader.next(memoryview(data), 0)
        rest = data[at:]
        second, at = reader.next(memoryview(rest), 0)
        third, end = reader.next(memoryview(rest), at)
        self.assertEqual(second, Control(opcode=Opcode.PING, payload=b""))
        self.assertEqual((first, third, end), (b"one", b"two", len(rest)))

    def test_empty_frames(self) -> None:
        """Frames of nothing, many of them, are no items and no error; an empty control frame is one."""
        for key in (None, KEY):
            reader = decoder(masked=key is not None)
            data = frame(Opcode.BINARY, key=key) * 1000 + frame(Opcode.PONG, key=key)
            self.assertEqual(read(reader, data), [Control(opcode=Opcode.PONG, payload=b"")])
            self.assertEqual(read(reader, b""), [])

    def test_control_frames_within_a_message(self) -> None:
        """They come between the pieces that they stand between."""
        data = b"".join((
            frame(Opcode.BINARY, b"a", fin=False),
            frame(Opcode.PING, b"1"),
            frame(Opcode.CONTINUATION, b"b", fin=False),
            frame(Opcode.PONG, b"2"),
            frame(Opcode.CONTINUATION, b"c"),
            frame(Opcode.BINARY, b"d"),
        ))  # fmt: skip
        ping, pong = (
            Control(opcode=Opcode.PING, payload=b"1"),
            Control(opcode=Opcode.PONG, payload=b"2"),
        )
        for chunks in ([data], [bytes((byte,)) for byte in data]):
            self.assertEqual(everything(chunks, masked=False), [b"a", ping, b"b", pong, b"cd"])


class RuleTests(SynchronousTestCase):
    """What a peer may not send."""

    def refused(self, data: bytes, *, masked: bool = False) -> str:
        """The same error, whole and byte by byte."""
        first = self.assertRaises(FrameError, read, decoder(masked=masked), data)
        reader = decoder(masked=masked)
        second = self.assertRaises(FrameError, lambda: [read(reader, bytes((byte,))) for byte in data])
        self.assertIsInstance(first, ProtocolError)
        self.assertEqual((first.code, str(first)), (CloseCode.PROTOCOL_ERROR, str(second)))
        return str(first)

    def test_reserved_bits(self) -> None:
        """Each of the three reserved bits is refused: no extension was agreed."""
        for rsv in range(1, 8):
            self.assertIn("reserved", self.refused(frame(Opcode.BINARY, b"x", rsv=rsv)))

    def test_reserved_opcodes(self) -> None:
        """Opcodes that the RFC keeps for later are refused."""
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.assertIn("reserved", self.refused(frame(opcode, b"x")))

    def test_text(self) -> None:
        """A text message has no place in a tunnel, whole or in fragments."""
        self.assertIn("text", self.refused(frame(Opcode.TEXT, b"x")))
        self.assertIn("text", self.refused(frame(Opcode.TEXT, b"x", fin=False)))

    def test_masking(self) -> None:
        """A client that does not mask is refused, and so is a server that does."""
        for opcode in (Opcode.BINARY, Opcode.PING, Opcode.CLOSE):
            self.assertIn("masked", self.refused(frame(opcode, b"xx"), masked=True))
            self.assertIn("masked", self.refused(frame(opcode, b"xx", key=KEY), masked=False))

    def test_fragmentation(self) -> None:
        """A message must have begun to go on, and be over before the next one."""
        start, more = frame(Opcode.BINARY, b"x", fin=False), frame(Opcode.CONTINUATION, b"x", fin=False)
        end = frame(Opcode.CONTINUATION, b"x")
        for data in (end, more, start + end + end, start + more + frame(Opcode.BINARY, b"x"), start + start):
            self.assertIn("message", self.refused(data))

    def test_control_frames(self) -> None:
        """They are whole, and at most 125 bytes long."""
        for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            self.assertIn("fragmented", self.refused(frame(opcode, b"xx", fin=False)))
            self.assertIn("too long", self.refused(frame(opcode, bytes(126))))
            self.assertIn("too long", self.refused(frame(opcode, bytes(65_536))[:10]))
            self.assertEqual(
                everything([frame(opcode, bytes(125))], masked=False),
                [Control(opcode=opcode, payload=bytes(125))],
            )

    def test_lengths(self) -> None:
        """A length is written in the shortest form, and its first bit is not set."""
        for data in (
            b"\x82\x7e" + (125).to_bytes(2, "big"),
            b"\x82\x7e" + bytes(2),
            b"\x82\x7f" + (65_535).to_bytes(8, "big"),
            b"\x82\x7f" + bytes(8),
            b"\x82\x7f" + (2**63).to_bytes(8, "big"),
            b"\x82\x7f" + b"\xff" * 8,
        ):
            self.assertIn("length", self.refused(data))

    def test_the_longest_payload(self) -> None:
        """A frame of 2**63 - 1 bytes is begun like any other: nothing is kept of it, so nothing is too long."""
        reader = decoder(masked=False)
        self.assertEqual(read(reader, frame_header(Opcode.BINARY, 2**63 - 1, None) + b"abc"), [b"abc"])
        self.assertEqual(read(reader, b"def"), [b"def"])

    def test_what_came_before_a_fault(self) -> None:
        """Items before a broken frame are given, however they were read."""
        data = frame(Opcode.BINARY, b"good") + frame(Opcode.PING, b"p") + frame(Opcode.TEXT, b"bad")
        reader = decoder(masked=False)
        view = memoryview(data)
        first, at = reader.next(view, 0)
        second, at = reader.next(view, at)
        self.assertEqual((first, second), (b"good", Control(opcode=Opcode.PING, payload=b"p")))
        self.assertRaises(FrameError, reader.next, view, at)


class PropertyTests(SynchronousTestCase):
    """What holds for any frames and any garbage."""

    @given(st.lists(fragments, max_size=4), st.lists(keys, min_size=1, max_size=5), st.booleans(), places)
    def test_round_trip(self, messages, some_keys, masked, where) -> None:
        """Whatever is sent arrives, whatever the fragments, the keys, the control frames in between and the reads."""
        sent: list[bytes | Control] = []
        data = b""
        count = 0

        def add(opcode: int, payload: bytes, fin: bool) -> None:
            nonlocal data, count
            key = some_keys[count % len(some_keys)] if masked else None
            data += frame(opcode, payload, key=key, fin=fin)
            count += 1

        for message in messages:
            for number, (payload, between) in enumerate(message):
                last = number == len(message) - 1
                add(Opcode.CONTINUATION if number else Opcode.BINARY, payload, last)
                sent.append(payload)
                for control in between:
                    add(control.opcode, control.payload, True)
                    sent.append(control)
        self.assertEqual(everything(cut(data, where), masked=masked), joined(sent))
        self.assertEqual(everything([data], masked=masked), joined(sent))

    @given(payloads.filter(lambda payload: len(payload) < 400), keys)
    def test_byte_by_byte(self, payload, key) -> None:
        """One byte at a time gives the same bytes; the key turns with them."""
        data = frame(Opcode.BINARY, payload, key=key) + frame(Opcode.PING, payload[:125], key=key)
        reader = decoder(masked=True)
        found = joined([item for byte in data for item in read(reader, bytes((byte,)))])
        ping = Control(opcode=Opcode.PING, payload=payload[:125])
        self.assertEqual(found, joined([payload, ping]))

    @given(st.sampled_from(list(Opcode)), sizes, st.one_of(st.none(), keys))
    def test_headers(self, opcode, size, key) -> None:
        """A header that is written is the one that the RFC draws."""
        whole = frame(opcode, bytes(size), key=key)
        self.assertEqual(frame_header(opcode, size, key), whole[: len(whole) - size])

    @given(garbage, places, st.booleans())
    def test_garbage(self, data, where, masked) -> None:
        """Garbage gives items or a FrameError, never another error, and the same however it is read."""

        def outcome(chunks: list[bytes]) -> tuple[list[bytes | Control], str]:
            reader = decoder(masked=masked)
            items: list[bytes | Control] = []
            try:
                for chunk in chunks:
                    items.extend(items_of(reader, chunk))
            except FrameError as error:
                return joined(items), str(error)
            return joined(items), ""

        whole = outcome([data])
        self.assertEqual(outcome(cut(data, where)), whole)
        self.assertEqual(outcome([bytes((byte,)) for byte in data]), whole)
