"""How the streams of a session are opened, accepted and ended, frame by frame."""

from __future__ import annotations

from kwic.errors import MisuseError
from kwic.wire.events import (
    CreditGranted,
    DataReceived,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    StreamReset,
)
from kwic.wire.limits import SKIPPED_MAXIMUM, UNACKNOWLEDGED_MAXIMUM, Limits
from kwic.wire.session import Session
from kwic.wire.yamux import (
    INITIAL_WINDOW_BYTES,
    STREAM_MAXIMUM,
    FloodError,
    IllegalFrameError,
)
from test.wire.pair import data, ping, update, written
from test.wire.session_case import ACK, FIN, RST, SYN, SessionCase


class OpenTests(SessionCase):
    """Streams that we open."""

    def test_numbers(self) -> None:
        """The dialler's streams are odd, the listener's even, and each begins with a SYN."""
        self.assertEqual(self.session.output_bytes, 0)
        self.assertEqual([self.session.open(), self.session.open()], [1, 3])
        self.assertEqual(self.session.output_bytes, 24)
        self.assertEqual(written(self.session), update(1, 0, SYN) + update(3, 0, SYN))
        self.assertEqual(Session(dialer=False).open(), 2)
        self.assertEqual((self.session.streams, self.session.counters.streams_opened), (2, 2))

    def test_acknowledged(self) -> None:
        """The peer's ACK is an event, once; saying it again says nothing."""
        number = self.session.open()
        self.assertTrue(self.session.is_open(number))
        self.assertEqual(self.session.receive(update(1, 0, ACK)), [StreamAcknowledged(stream=1)])
        self.assertEqual(self.session.receive(update(1, 0, ACK)), [])

    def test_acknowledged_without_saying_so(self) -> None:
        """Data, credit or an end from the peer tell as much as an ACK; an empty frame does not."""
        said = [StreamAcknowledged(stream=1)]
        for frame in (data(1, b"x"), update(1, 1), update(1, 0, FIN), data(1, b"x", FIN)):
            self.session = self.make()
            self.session.open()
            self.session.finish(1)
            self.assertEqual(self.session.receive(update(1)), [])
            self.assertEqual(self.session.receive(frame)[:1], said)
        self.session = self.make()
        self.session.open()
        self.assertEqual(self.session.receive(update(1, 0, ACK | RST)), [*said, StreamReset(stream=1)])

    def test_acknowledged_with_the_first_data(self) -> None:
        """The ACK may come with data, with credit and with a FIN."""
        self.session.open()
        self.assertEqual(
            self.session.receive(data(1, b"hi", ACK | FIN)),
            [StreamAcknowledged(stream=1), DataReceived(stream=1, data=b"hi"), StreamFinished(stream=1)],
        )
        self.session.open()
        self.assertEqual(
            self.session.receive(update(3, 5, ACK)),
            [StreamAcknowledged(stream=3), CreditGranted(stream=3, credit=INITIAL_WINDOW_BYTES + 5)],
        )

    def test_refused(self) -> None:
        """A peer that refuses a stream resets it."""
        self.session.open()
        self.assertEqual(self.session.receive(update(1, 0, RST)), [StreamReset(stream=1)])
        self.assertEqual((self.session.streams, self.session.credit(1)), (0, 0))

    def test_too_many_unacknowledged(self) -> None:
        """256 opens may be unanswered; an answer, a refusal or a reset of ours makes room for the next."""
        for _ in range(UNACKNOWLEDGED_MAXIMUM):
            self.session.open()
        self.assertFalse(self.session.can_open)
        with self.assertRaises(MisuseError):
            self.session.open()
        self.session.receive(update(1, 0, ACK) + update(3, 0, RST))
        self.session.reset(5)
        for _ in range(3):
            self.session.open()
        self.assertFalse(self.session.can_open)

    def test_too_many_streams(self) -> None:
        """The limit of streams counts those of both sides."""
        self.session = self.make(streams_maximum=2)
        self.session.receive(update(2, 0, SYN))
        self.assertTrue(self.session.can_open)
        self.open()
        self.assertFalse(self.session.can_open)
        self.session.reset(2)
        self.assertTrue(self.session.can_open)

    def test_numbers_run_out(self) -> None:
        """The last number is used, and none after it."""
        self.session._next_own = STREAM_MAXIMUM
        self.assertFalse(self.session.exhausted)
        self.assertEqual(self.session.open(), STREAM_MAXIMUM)
        self.assertTrue(self.session.exhausted)
        self.assertFalse(self.session.can_open)


class AcceptTests(SessionCase):
    """Streams that the peer opens."""

    def test_acknowledged_at_once(self) -> None:
        """A SYN is an event, and its ACK is ready to be written."""
        self.assertEqual(self.session.receive(update(2, 0, SYN)), [StreamOpened(stream=2)])
        self.assertEqual(written(self.session), update(2, 0, ACK))
        self.assertEqual(self.session.counters.streams_accepted, 1)

    def test_syn_with_everything(self) -> None:
        """A SYN may bring data, an end, credit or a reset along."""
        self.assertEqual(
            self.session.receive(data(2, b"all", SYN | FIN)),
            [StreamOpened(stream=2), DataReceived(stream=2, data=b"all"), StreamFinished(stream=2)],
        )
        self.assertEqual(
            self.session.receive(update(4, 9, SYN)),
            [StreamOpened(stream=4), CreditGranted(stream=4, credit=INITIAL_WINDOW_BYTES + 9)],
        )
        self.assertEqual(
            self.session.receive(update(6, 0, SYN | RST)), [StreamOpened(stream=6), StreamReset(stream=6)]
        )

    def test_not_the_peers_number(self) -> None:
        """The peer cannot open a stream with a number of ours."""
        self.assert_breaks(update(3, 0, SYN), IllegalFrameError, "not the peer's to open")
        self.session = Session(dialer=False, limits=Limits(budget=self.budget))
        self.assertEqual(self.session.receive(update(1, 0, SYN)), [StreamOpened(stream=1)])
        self.assert_breaks(update(4, 0, SYN), IllegalFrameError, "not the peer's to open")

    def test_number_used_twice(self) -> None:
        """A number is used once, whether its stream is open or over."""
        self.session.receive(update(2, 0, SYN) + update(2, 0, RST))
        self.assert_breaks(update(2, 0, SYN), IllegalFrameError, "opened before")

    def test_peer_acknowledges_its_own(self) -> None:
        """An acknowledgement of what the peer itself opened says nothing."""
        self.assertEqual(self.session.receive(update(2, 0, SYN | ACK)), [StreamOpened(stream=2)])

    def test_numbers_may_swap(self) -> None:
        """Two streams may come in another order than they were numbered; a number left out is not open meanwhile."""
        self.session.receive(update(6, 0, SYN))
        self.assertEqual(self.session.receive(update(2, 0, SYN)), [StreamOpened(stream=2)])
        self.assert_breaks(update(4, 0, RST), IllegalFrameError, "stream 4 was never opened")

    def test_swapped_number_used_twice(self) -> None:
        """A number that was left out at first is used once too."""
        self.session.receive(update(6, 0, SYN) + update(2, 0, SYN))
        self.assert_breaks(update(2, 0, SYN), IllegalFrameError, "opened before")

    def test_too_many_numbers_left_out(self) -> None:
        """Leaving out more than 256 numbers is an error."""
        self.session.receive(update(2 * SKIPPED_MAXIMUM + 2, 0, SYN))
        self.assert_breaks(update(2 * SKIPPED_MAXIMUM + 6, 0, SYN), IllegalFrameError, "leaves out")

    def test_too_many_opens(self) -> None:
        """Of opens that nobody had time to acknowledge, those beyond 256 are refused."""
        burst = b"".join(update(2 * n, 0, SYN) for n in range(1, UNACKNOWLEDGED_MAXIMUM + 2))
        self.assertEqual(len(self.session.receive(burst)), UNACKNOWLEDGED_MAXIMUM)
        refused = 2 * UNACKNOWLEDGED_MAXIMUM + 2
        self.assertEqual(written(self.session)[-12:], update(refused, 0, RST))
        self.assertEqual(self.session.counters.streams_refused, 1)
        # the acknowledgements are written: the peer may go on
        more = b"".join(update(refused + 2 * n, 0, SYN) for n in range(1, UNACKNOWLEDGED_MAXIMUM + 1))
        self.assertEqual(len(self.session.receive(more)), UNACKNOWLEDGED_MAXIMUM)

    def test_too_many_streams(self) -> None:
        """A stream beyond the limit is refused, the session goes on."""
        self.session = self.make(streams_maximum=1)
        self.session.receive(update(2, 0, SYN))
        self.assertEqual(self.session.receive(update(4, 0, SYN)), [])
        self.assertEqual(written(self.session), update(2, 0, ACK) + update(4, 0, RST))

    def test_refused_stream_may_have_sent(self) -> None:
        """What the opener sent before it heard of the refusal is dropped, up to its first credit."""
        self.session = self.make(streams_maximum=0)
        self.assertEqual(self.session.receive(data(2, b"hello", SYN)), [])
        rest = INITIAL_WINDOW_BYTES - len(b"hello")
        self.assertEqual(self.session.receive(data(2, bytes(rest))), [])
        self.assert_breaks(data(2, b"x"), FloodError, "1 bytes more")


class EndTests(SessionCase):
    """How streams end."""

    def test_we_finish_first(self) -> None:
        """After our FIN the peer goes on; its FIN ends the stream."""
        number = self.open()
        self.session.finish(number)
        self.assertEqual(written(self.session), update(number, 0, FIN))
        self.assertEqual(len(self.session.receive(data(number, b"more"))), 1)
        self.assertEqual(self.session.receive(update(number, 0, FIN)), [StreamFinished(stream=number)])
        self.assertFalse(self.session.is_open(number))

    def test_peer_finishes_first(self) -> None:
        """After the peer's FIN we go on; our FIN ends the stream."""
        number = self.open()
        self.session.receive(update(number, 0, FIN))
        self.session.send(number, b"more")
        self.session.finish(number)
        self.assertEqual(self.session.streams, 0)

    def test_reset_by_us(self) -> None:
        """A reset is written and the stream forgotten; what is over can be ended again without harm."""
        number = self.open()
        self.session.reset(number)
        self.assertEqual(written(self.session), update(number, 0, RST))
        self.session.reset(number)
        self.session.finish(number)
        self.session.consumed(number, 5, 0.0, None)
        self.assertFalse(self.session.output_bytes)

    def test_never_opened(self) -> None:
        """What never was cannot be ended."""
        for act in (self.session.finish, self.session.reset):
            with self.assertRaises(MisuseError):
                act(1)
            with self.assertRaises(MisuseError):
                act(2)
        with self.assertRaises(MisuseError):
            self.session.consumed(1, 0, 0.0, None)

    def test_reset_within_a_frame(self) -> None:
        """The rest of a payload whose stream was reset meanwhile is dropped."""
        number = self.open()
        frame = data(number, b"abcdef", FIN)
        self.session.receive(frame[:14])
        self.session.reset(number)
        self.assertEqual(self.session.receive(frame[14:] + ping(1)), [])
        self.assertEqual(written(self.session)[-12:], ping(1, ACK))

    def test_reset_with_payload(self) -> None:
        """A reset that carries bytes is a reset; the bytes are dropped."""
        number = self.open()
        self.assertEqual(self.session.receive(data(number, b"bye", RST)), [StreamReset(stream=number)])
        self.assertEqual(self.session.receive(ping(1)), [])

    def test_late_frames(self) -> None:
        """What the peer sent before it heard of our reset is dropped quietly."""
        number = self.open()
        self.session.reset(number)
        self.session.take_output()
        late = (
            data(number, b"late", FIN) + update(number, 5) + update(number, 0, RST) + update(number, 0, ACK)
        )
        self.assertEqual(self.session.receive(late), [])
        self.assertFalse(self.session.output_bytes)
        self.assertEqual(self.session.counters.late_frames, 4)

    def test_late_data_without_end(self) -> None:
        """Late bytes are dropped up to the credit that the stream had left, and not for ever."""
        number = self.open()
        self.session.receive(data(number, b"before"))
        self.session.reset(number)
        left = INITIAL_WINDOW_BYTES - len(b"before")
        self.assertEqual(self.session.receive(data(number, bytes(left))), [])
        self.assert_breaks(data(number, b"x"), FloodError, "forgotten streams")

    def test_late_frames_of_the_peers_stream(self) -> None:
        """The same holds for a stream that the peer opened."""
        self.session.receive(update(2, 0, SYN))
        self.session.reset(2)
        self.assertEqual(self.session.receive(data(2, b"late")), [])

    def test_frames_for_nothing(self) -> None:
        """A frame for a stream that nobody opened is an error, whoever might have opened it."""
        self.assert_breaks(data(1, b"x"), IllegalFrameError, "stream 1 was never opened")
        self.session = self.make()
        self.assert_breaks(update(2, 1), IllegalFrameError, "stream 2 was never opened")
        for number in (1, 2):
            self.session = Session(dialer=False, limits=Limits(budget=self.budget))
            self.assert_breaks(update(number, 1), IllegalFrameError, f"stream {number} was never opened")
