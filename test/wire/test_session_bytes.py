"""The bytes on the streams of a session, and their credit, frame by frame."""

from __future__ import annotations

from kwic.errors import MisuseError
from kwic.wire.events import (
    CreditGranted,
    DataReceived,
    StreamFinished,
)
from kwic.wire.yamux import (
    CREDIT_MAXIMUM_BYTES,
    FRAME_WRITTEN_MAXIMUM_BYTES,
    INITIAL_WINDOW_BYTES,
    CreditExceededError,
)
from test.wire.pair import data, update, written
from test.wire.session_case import FIN, SYN, SessionCase


class SendTests(SessionCase):
    """Bytes that we send."""

    def test_payload_is_not_copied(self) -> None:
        """The object that was given is the object to be written."""
        number = self.open()
        for payload in (b"bytes", bytearray(b"array"), memoryview(b"view")):
            self.session.send(number, payload)
            head, chunk = self.session.take_output()
            self.assertEqual(head, data(number, bytes(payload))[:12])
            self.assertIs(chunk, payload)

    def test_before_the_acknowledgement(self) -> None:
        """Nothing is waited for: a stream may be opened, written and finished in one flight."""
        number = self.session.open()
        self.session.send(number, b"request")
        self.session.finish(number)
        self.assertEqual(written(self.session), update(1, 0, SYN) + data(1, b"request") + update(1, 0, FIN))

    def test_large_payload_is_cut(self) -> None:
        """No frame of more than 256 KiB is written."""
        number = self.open()
        self.session.receive(update(number, INITIAL_WINDOW_BYTES))
        payload = bytes(range(256)) * 1025
        self.session.send(number, payload)
        self.assertEqual(self.session.output_bytes, len(payload) + 24)
        chunks = self.session.take_output()
        self.assertEqual([len(chunk) for chunk in chunks], [12, FRAME_WRITTEN_MAXIMUM_BYTES, 12, 256])
        self.assertEqual(b"".join(chunks[1::2]), payload)
        self.assertEqual(self.session.counters.payload_bytes_sent, len(payload))

    def test_nothing(self) -> None:
        """Sending nothing writes nothing, even on a stream that is over."""
        self.session.send(self.open(), b"")
        self.session.send(99, b"")
        self.assertFalse(self.session.output_bytes)

    def test_beyond_the_credit(self) -> None:
        """Sending more than the credit is our own mistake; nothing is sent and nothing changes."""
        number = self.open()
        with self.assertRaises(MisuseError):
            self.session.send(number, bytes(INITIAL_WINDOW_BYTES + 1))
        self.assertEqual(self.session.credit(number), INITIAL_WINDOW_BYTES)
        self.assertFalse(self.session.output_bytes)

    def test_after_the_end(self) -> None:
        """After FIN there is no credit and nothing can be sent."""
        number = self.open()
        self.session.finish(number)
        self.assertEqual(self.session.credit(number), 0)
        with self.assertRaises(MisuseError):
            self.session.send(number, b"x")
        with self.assertRaises(MisuseError):
            self.session.finish(number)

    def test_on_no_stream(self) -> None:
        """A stream that is over takes no bytes."""
        with self.assertRaises(MisuseError):
            self.session.send(1, b"x")

    def test_written_by_the_owner(self) -> None:
        """While there is nothing else to write, the owner may write the payload itself, behind the header that it is given."""
        stream = self.open()
        self.assertEqual(self.session.begin_frame(stream, 5), data(stream, b"hello")[:12])
        self.assertEqual(self.session.output_bytes, 0)
        self.assertEqual(self.session.counters.payload_bytes_sent, 5)
        self.assertEqual(self.session.credit(stream), INITIAL_WINDOW_BYTES - 5)
        self.assertIsNotNone(self.session.begin_frame(stream, INITIAL_WINDOW_BYTES - 5))
        self.assertIsNone(self.session.begin_frame(stream, 1))
        self.assertEqual(self.session.credit(stream), 0)

    def test_not_written_by_the_owner(self) -> None:
        """Not before what waits, not in more than one frame, and not where nothing may be sent."""
        stream = self.open()
        self.session.receive(update(stream, INITIAL_WINDOW_BYTES))
        self.assertIsNone(self.session.begin_frame(stream, FRAME_WRITTEN_MAXIMUM_BYTES + 1))
        self.assertIsNone(self.session.begin_frame(stream + 2, 1))
        self.session.send(stream, b"x")
        self.assertIsNone(self.session.begin_frame(stream, 1))
        self.session.finish(stream)
        self.session.take_output()
        self.assertIsNone(self.session.begin_frame(stream, 1))

    def test_credit_granted(self) -> None:
        """What the peer grants can be sent."""
        number = self.open()
        self.session.send(number, bytes(INITIAL_WINDOW_BYTES))
        self.assertEqual(self.session.credit(number), 0)
        self.assertEqual(self.session.receive(update(number, 10)), [CreditGranted(stream=number, credit=10)])
        self.assertEqual(self.session.credit(number), 10)

    def test_credit_beyond_32_bits(self) -> None:
        """A peer that has lost count is at fault."""
        self.open()
        self.assert_breaks(update(1, CREDIT_MAXIMUM_BYTES), CreditExceededError, "do not fit 32 bits")

    def test_late_credit(self) -> None:
        """Credit for a stream that we finished is no news."""
        number = self.open()
        self.session.finish(number)
        self.assertEqual(self.session.receive(update(number, 10)), [])


class ReceiveTests(SessionCase):
    """Bytes that the peer sends."""

    def test_in_pieces(self) -> None:
        """Bytes are handed on as they come, the end behind the last of them."""
        number = self.open()
        frame = data(number, b"abc", FIN)
        self.assertEqual(self.session.receive(frame[:13]), [DataReceived(stream=1, data=b"a")])
        self.assertEqual(
            self.session.receive(frame[13:]), [DataReceived(stream=1, data=b"bc"), StreamFinished(stream=1)]
        )
        self.assertEqual(self.session.counters.payload_bytes_received, 3)

    def test_end_without_bytes(self) -> None:
        """A FIN may come on an empty frame of either type; an empty frame alone says nothing."""
        number = self.open()
        self.assertEqual(self.session.receive(data(number) + update(number)), [])
        self.assertEqual(self.session.receive(data(number, b"", FIN)), [StreamFinished(stream=number)])

    def test_ends_of_two_streams(self) -> None:
        """An end that came with bytes does not hide the next one that comes without."""
        self.open()
        self.open()
        events = self.session.receive(data(1, b"last", FIN) + update(3, 0, FIN))
        self.assertEqual(events[1:], [StreamFinished(stream=1), StreamFinished(stream=3)])

    def test_beyond_the_credit(self) -> None:
        """The announcement of a byte too many is an error, before the bytes come."""
        number = self.open()
        self.session.receive(data(number, bytes(INITIAL_WINDOW_BYTES)))
        self.assert_breaks(data(number, b"x")[:12], CreditExceededError, "1 bytes were sent on a credit of 0")

    def test_credit_is_returned(self) -> None:
        """Half a window consumed is half a window granted anew."""
        number = self.open()
        half = INITIAL_WINDOW_BYTES // 2
        self.session.receive(data(number, bytes(half)))
        self.session.consumed(number, half - 1, 0.0, None)
        self.assertFalse(self.session.output_bytes)
        self.session.consumed(number, 1, 0.0, None)
        self.assertEqual(written(self.session), update(number, half))

    def test_window_grows(self) -> None:
        """A stream that uses its window up within two round trips gets a larger one, until it is over."""
        number = self.open()
        half = INITIAL_WINDOW_BYTES // 2
        for now_s in (0.0, 0.1):
            self.session.receive(data(number, bytes(half)))
            self.session.consumed(number, half, now_s, 0.1)
        self.assertEqual(written(self.session)[-12:], update(number, half + INITIAL_WINDOW_BYTES))
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes - INITIAL_WINDOW_BYTES)
        self.session.reset(number)
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes)

    def test_finished_peer_needs_no_credit(self) -> None:
        """Nothing is returned to a peer that sends no more."""
        number = self.open()
        self.session.receive(data(number, bytes(INITIAL_WINDOW_BYTES), FIN))
        self.session.consumed(number, INITIAL_WINDOW_BYTES, 0.0, None)
        self.assertFalse(self.session.output_bytes)

    def test_consuming_too_much(self) -> None:
        """Only what came can be consumed."""
        with self.assertRaises(MisuseError):
            self.session.consumed(self.open(), 1, 0.0, None)
