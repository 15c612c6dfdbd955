"""One session against frames written by hand."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.events import (
    CreditGranted,
    DataReceived,
    PongReceived,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    StreamReset,
    WentAway,
)
from kwic.wire.limits import ANSWERS_MAXIMUM, SKIPPED_MAXIMUM, UNACKNOWLEDGED_MAXIMUM, Limits
from kwic.wire.session import Session
from kwic.wire.stream_state import TRANSITIONS, StreamInput, StreamState
from kwic.wire.window import Budget
from kwic.wire.yamux import (
    CREDIT_MAXIMUM_BYTES,
    FRAME_WRITTEN_MAXIMUM_BYTES,
    INITIAL_WINDOW_BYTES,
    STREAM_MAXIMUM,
    CreditExceededError,
    Flag,
    FloodError,
    GoAwayCode,
    IllegalFrameError,
    MalformedFrameError,
    YamuxError,
)
from test.wire.pair import Pair, data, go_away, ping, update, written

SYN, ACK, FIN, RST = Flag.SYN, Flag.ACK, Flag.FIN, Flag.RST


LIVE = tuple(state for state in StreamState if state not in {StreamState.IDLE, StreamState.CLOSED})

FRAMES = {
    StreamInput.RECEIVE_ACK: update(1, 0, ACK),
    StreamInput.RECEIVE_DATA: data(1, b"x"),
    StreamInput.RECEIVE_CREDIT: update(1, 1),
    StreamInput.RECEIVE_FIN: update(1, 0, FIN),
    StreamInput.RECEIVE_RST: update(1, 0, RST),
}
"""What the peer can do to stream 1 once it is open."""


class SessionCase(SynchronousTestCase):
    """A dialler's session, its peer played by hand."""

    def setUp(self) -> None:
        """A fresh session."""
        self.session = self.make()

    def make(self, **limits: int) -> Session:
        """A session with limits of its own."""
        self.budget = Budget()
        return Session(dialer=True, limits=Limits(budget=self.budget, **limits))

    def open(self) -> int:
        """A stream of ours, acknowledged; nothing is left to write."""
        number = self.session.open()
        self.session.receive(update(number, 0, ACK))
        self.session.take_output()
        return number

    def assert_breaks(self, frame: bytes, error: type[YamuxError], words: str) -> None:
        """The frame kills the session, which says goodbye with a protocol error."""
        with self.assertRaises(error) as caught:
            self.session.receive(frame)
        self.assertIn(words, str(caught.exception))
        self.assertTrue(self.session.dead)
        self.assertEqual(written(self.session)[-12:], go_away(GoAwayCode.PROTOCOL_ERROR))
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes)


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
        self.assertFalse(self.session.has_output)

    def test_beyond_the_credit(self) -> None:
        """Sending more than the credit is our own mistake; nothing is sent and nothing changes."""
        number = self.open()
        with self.assertRaises(MisuseError):
            self.session.send(number, bytes(INITIAL_WINDOW_BYTES + 1))
        self.assertEqual(self.session.credit(number), INITIAL_WINDOW_BYTES)
        self.assertFalse(self.session.has_output)

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
        self.assertFalse(self.session.has_output)
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
        self.assertFalse(self.session.has_output)

    def test_consuming_too_much(self) -> None:
        """Only what came can be consumed."""
        with self.assertRaises(MisuseError):
            self.session.consumed(self.open(), 1, 0.0, None)


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
        self.assertFalse(self.session.has_output)

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
        self.assertFalse(self.session.has_output)
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


class StateTests(SessionCase):
    """Every state of a stream with every frame the peer can send."""

    def bring_to(self, state: StreamState) -> None:
        """A session whose stream 1 is in a state."""
        self.session = self.make()
        self.session.open()
        if state not in {StreamState.OPENING, StreamState.OPENING_FINISHED}:
            self.session.receive(update(1, 0, ACK))
        if state in {StreamState.FINISHED, StreamState.OPENING_FINISHED}:
            self.session.finish(1)
        if state is StreamState.PEER_FINISHED:
            self.session.receive(update(1, 0, FIN))

    def test_every_pair(self) -> None:
        """The session accepts what the table allows, an acknowledgement taken as said, and is dead after anything else."""
        for begin, (happening, frame) in product(LIVE, FRAMES.items()):
            state = begin
            self.bring_to(state)
            if happening in {StreamInput.RECEIVE_DATA, StreamInput.RECEIVE_CREDIT, StreamInput.RECEIVE_FIN}:
                state = TRANSITIONS.get((state, StreamInput.RECEIVE_ACK), state)
            following = TRANSITIONS.get((state, happening))
            if following is None:
                self.assert_breaks(frame, IllegalFrameError, f"{happening.name} in state {state.name}")
                continue
            self.session.receive(frame)
            self.assertEqual(self.session.is_open(1), following is not StreamState.CLOSED)


class SessionFrameTests(SessionCase):
    """Frames that belong to no stream."""

    def test_ping_is_answered(self) -> None:
        """The answer carries the same value."""
        self.assertEqual(self.session.receive(ping(77)), [])
        self.assertEqual(written(self.session), ping(77, ACK))

    def test_pong(self) -> None:
        """The answer to a ping of ours is an event, once; an answer to nothing is none."""
        value = self.session.ping()
        self.assertEqual(written(self.session), ping(value))
        self.assertEqual(self.session.receive(ping(value, ACK)), [PongReceived(value=value)])
        self.assertEqual(self.session.receive(ping(value, ACK)), [])

    def test_ping_values_wrap(self) -> None:
        """After the last value of 32 bits comes the first."""
        self.session._ping = STREAM_MAXIMUM
        self.assertEqual([self.session.ping(), self.session.ping()], [STREAM_MAXIMUM, 0])

    def test_peer_goes_away(self) -> None:
        """No stream is opened any more; what is open runs on, and the peer may still open."""
        number = self.open()
        self.assertEqual(self.session.receive(go_away(0)), [WentAway(code=0)])
        self.assertTrue(self.session.peer_went_away)
        self.assertFalse(self.session.can_open)
        with self.assertRaises(MisuseError):
            self.session.open()
        self.session.send(number, b"goes on")
        self.assertEqual(self.session.receive(update(2, 0, SYN)), [StreamOpened(stream=2)])

    def test_we_go_away(self) -> None:
        """What the peer opens after our go-away is refused; we may still open."""
        self.session.go_away(GoAwayCode.NORMAL)
        self.assertEqual(self.session.receive(update(2, 0, SYN)), [])
        self.assertEqual(written(self.session), go_away(0) + update(2, 0, RST))
        self.assertTrue(self.session.can_open)

    def test_malformed(self) -> None:
        """Garbage ends the session; events before it are lost with it, and its streams."""
        self.open()
        self.assert_breaks(b"GET / HTTP/1.1\r\n", MalformedFrameError, "version 71")
        self.assertEqual(self.session.streams, 0)


class FloodTests(SessionCase):
    """Peers that keep us busy."""

    def test_control_frames(self) -> None:
        """Between two ticks a peer may send so many frames without payload; frames with payload do not count."""
        self.session = self.make(control_frames_per_tick=3)
        self.session.receive(update(2, 0, SYN) + 2 * ping(1) + 9 * data(2, b"x"))
        self.session.tick()
        self.session.receive(update(2) + go_away(0) + data(2))
        self.assert_breaks(ping(1), FloodError, "more control frames")

    def test_answers_that_nobody_takes(self) -> None:
        """A peer that asks and does not read costs bounded memory."""
        self.session.receive(ANSWERS_MAXIMUM * ping(1))
        self.session.take_output()
        self.session.receive(ANSWERS_MAXIMUM * ping(1))
        self.assert_breaks(ping(1), FloodError, "does not read")


class DeathTests(SessionCase):
    """Sessions that are over."""

    def test_abandon(self) -> None:
        """An abandoned session has no streams, takes nothing and gives its windows back."""
        number = self.open()
        half = INITIAL_WINDOW_BYTES // 2
        for now_s in (0.0, 0.1):
            self.session.receive(data(number, bytes(half)))
            self.session.consumed(number, half, now_s, 0.1)
        self.session.abandon()
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes)
        self.assertEqual(self.session.receive(b"anything"), [])
        self.assertEqual((self.session.streams, self.session.can_open), (0, False))
        self.session.abandon()

    def test_dead_sessions_do_nothing(self) -> None:
        """Streams of a dead session are over; the session itself cannot be used."""
        number = self.open()
        self.session.abandon()
        self.assertEqual(self.session.credit(number), 0)
        self.session.finish(number)
        self.session.reset(number)
        for act in (self.session.open, self.session.ping, lambda: self.session.go_away(GoAwayCode.NORMAL)):
            with self.assertRaises(MisuseError):
                act()
        self.assertFalse(self.session.has_output)


class PairTests(SynchronousTestCase):
    """Two sessions opposite each other."""

    def test_request_and_answer(self) -> None:
        """A stream carries bytes both ways and ends on both sides."""
        pair = Pair()
        number = pair.dialer.open()
        pair.dialer.send(number, b"ping")
        pair.dialer.finish(number)
        at_dialer, at_listener = pair.settle()
        self.assertEqual(at_dialer, [StreamAcknowledged(stream=1)])
        self.assertEqual(
            at_listener,
            [StreamOpened(stream=1), DataReceived(stream=1, data=b"ping"), StreamFinished(stream=1)],
        )
        pair.listener.send(number, b"pong")
        pair.listener.finish(number)
        self.assertEqual(pair.settle()[0], [DataReceived(stream=1, data=b"pong"), StreamFinished(stream=1)])
        self.assertEqual((pair.dialer.streams, pair.listener.streams), (0, 0))
