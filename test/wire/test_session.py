"""One session against frames written by hand: its states, its own frames, and its end."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.events import (
    DataReceived,
    PongReceived,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    WentAway,
)
from kwic.wire.limits import ANSWERS_MAXIMUM
from kwic.wire.stream_state import TRANSITIONS, StreamInput, StreamState
from kwic.wire.yamux import (
    INITIAL_WINDOW_BYTES,
    STREAM_MAXIMUM,
    FloodError,
    GoAwayCode,
    IllegalFrameError,
    MalformedFrameError,
)
from test.wire.pair import Pair, data, go_away, ping, update, written
from test.wire.session_case import ACK, FIN, RST, SYN, SessionCase

LIVE = tuple(state for state in StreamState if state not in {StreamState.IDLE, StreamState.CLOSED})

FRAMES = {
    StreamInput.RECEIVE_ACK: update(1, 0, ACK),
    StreamInput.RECEIVE_DATA: data(1, b"x"),
    StreamInput.RECEIVE_CREDIT: update(1, 1),
    StreamInput.RECEIVE_FIN: update(1, 0, FIN),
    StreamInput.RECEIVE_RST: update(1, 0, RST),
}
"""What the peer can do to stream 1 once it is open."""


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
        self.assertFalse(self.session.output_bytes)


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
