"""What holds for every session, whatever is done to it: searched for with hypothesis."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from kwic.wire.events import DataReceived, Event, PongReceived, StreamFinished, StreamOpened, StreamReset
from kwic.wire.limits import Limits
from kwic.wire.session import Session
from kwic.wire.window import WINDOW_MAXIMUM_BYTES, Budget
from kwic.wire.yamux import (
    FRAME_WRITTEN_MAXIMUM_BYTES,
    INITIAL_WINDOW_BYTES,
    Frame,
    FrameReader,
    FrameType,
    YamuxError,
    header,
)
from test.wire.pair import Pair, byte_by_byte, payload_of, written

PATTERN = bytes(range(251)) * 2500
"""Bytes whose place can be told from their value: 251 is prime to every power of two."""


class End:
    """One end of the pair, with what a test knows about it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.other: End
        self.on_the_way = bytearray()
        self.known: list[int] = []
        self.sent: dict[int, int] = defaultdict(int)
        self.received: dict[int, int] = defaultdict(int)
        self.parked: dict[int, int] = defaultdict(int)
        self.finished: set[int] = set()
        self.heard_finish: set[int] = set()
        self.reset: set[int] = set()
        self.pings: set[int] = set()

    def collect(self) -> None:
        """Put what the session wants to write on the way."""
        self.on_the_way += written(self.session)

    def note(self, event: Event) -> None:
        """Compare an event with what the other end did."""
        if isinstance(event, StreamOpened):
            self.known.append(event.stream)
        elif isinstance(event, DataReceived):
            start = self.received[event.stream]
            assert event.data == expected(event.stream, start, len(event.data))
            self.received[event.stream] += len(event.data)
            self.parked[event.stream] += len(event.data)
            assert self.received[event.stream] <= self.other.sent[event.stream]
        elif isinstance(event, StreamFinished):
            self.heard_finish.add(event.stream)
            assert event.stream in self.other.finished
            assert self.received[event.stream] == self.other.sent[event.stream]
        elif isinstance(event, StreamReset):
            self.reset.add(event.stream)
            assert event.stream in self.other.reset
        elif isinstance(event, PongReceived):
            self.pings.remove(event.value)


def expected(stream: int, start: int, size: int) -> bytes:
    """The bytes of a stream at a place."""
    first = (stream * 7 + start) % 251
    return PATTERN[first : first + size]


class PairMachine(RuleBasedStateMachine):
    """Two sessions that do whatever the rules allow, over links that deliver when they like."""

    @initialize()
    def join(self) -> None:
        """Two ends with small limits, so that they are reached."""
        self.budget = Budget(2 * INITIAL_WINDOW_BYTES)
        limits = Limits(budget=self.budget, streams_maximum=1000)
        self.ends = (End(Session(dialer=True, limits=limits)), End(Session(dialer=False, limits=limits)))
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        self.now_s = 0.0

    def stream(self, side: int, pick: int) -> tuple[End, int] | None:
        """One of the streams that an end knows."""
        end = self.ends[side]
        return (end, end.known[pick % len(end.known)]) if end.known else None

    @rule(side=st.integers(0, 1))
    def open(self, side: int) -> None:
        """Open a stream."""
        end = self.ends[side]
        if end.session.can_open:
            end.known.append(end.session.open())

    @rule(side=st.integers(0, 1), pick=st.integers(0, 99), size=st.integers(0, 600_000))
    def send(self, side: int, pick: int, size: int) -> None:
        """Send what the credit allows."""
        chosen = self.stream(side, pick)
        if chosen:
            end, number = chosen
            size = min(size, end.session.credit(number))
            end.session.send(number, expected(number, end.sent[number], size))
            end.sent[number] += size

    @rule(side=st.integers(0, 1), pick=st.integers(0, 99))
    def finish(self, side: int, pick: int) -> None:
        """Finish a direction, once."""
        chosen = self.stream(side, pick)
        if chosen and chosen[1] not in chosen[0].finished:
            end, number = chosen
            end.session.finish(number)
            end.finished.add(number)

    @rule(side=st.integers(0, 1), pick=st.integers(0, 99))
    def reset(self, side: int, pick: int) -> None:
        """Give a stream up."""
        chosen = self.stream(side, pick)
        if chosen:
            chosen[0].session.reset(chosen[1])
            chosen[0].reset.add(chosen[1])

    @rule(
        side=st.integers(0, 1), pick=st.integers(0, 99), size=st.integers(0, 600_000), pause_s=st.floats(0, 1)
    )
    def consume(self, side: int, pick: int, size: int, pause_s: float) -> None:
        """Take parked bytes."""
        chosen = self.stream(side, pick)
        if chosen:
            end, number = chosen
            size = min(size, end.parked[number])
            self.now_s += pause_s
            end.session.consumed(number, size, self.now_s, 0.3)
            end.parked[number] -= size

    @rule(side=st.integers(0, 1))
    def ping(self, side: int) -> None:
        """Ping."""
        self.ends[side].pings.add(self.ends[side].session.ping())

    @precondition(lambda self: any(end.on_the_way or end.session.output_bytes for end in self.ends))
    @rule(side=st.integers(0, 1), size=st.integers(1, 400_000))
    def deliver(self, side: int, size: int) -> None:
        """Some bytes arrive."""
        end = self.ends[side]
        end.collect()
        piece = bytes(end.on_the_way[:size])
        del end.on_the_way[:size]
        for event in end.other.session.receive(piece):
            end.other.note(event)

    @invariant()
    def windows_make_sense(self) -> None:
        """No window is negative or over its limits, and the budget is what the windows grew."""
        grown = 0
        for end in getattr(self, "ends", ()):
            for entry in end.session._streams.values():
                assert entry.credit.available >= 0
                assert entry.window.credit_bytes >= 0
                assert INITIAL_WINDOW_BYTES <= entry.window.size_bytes <= WINDOW_MAXIMUM_BYTES
                grown += entry.window.size_bytes - INITIAL_WINDOW_BYTES
        if hasattr(self, "budget"):
            assert self.budget.total_bytes - self.budget.left_bytes == grown

    def teardown(self) -> None:
        """When everything has arrived, both ends agree."""
        for _ in range(4):
            self.deliver(0, 2**40)
            self.deliver(1, 2**40)
        for end in self.ends:
            assert not end.pings
            for number in end.other.known:
                if number not in end.reset | end.other.reset:
                    assert end.received[number] == end.other.sent[number]
                    assert (number in end.heard_finish) == (number in end.other.finished)
            end.session.abandon()
        assert self.budget.left_bytes == self.budget.total_bytes


class PairPropertyTests(SynchronousTestCase):
    """Two sessions, any order of events."""

    def test_any_history(self) -> None:
        """Bytes arrive unchanged, in order and once, ends behind the last of them; nobody is ever found at fault."""
        run_state_machine_as_test(
            PairMachine, settings=settings(max_examples=60, stateful_step_count=60, deadline=None)
        )

    @given(st.lists(st.binary(max_size=50), max_size=20))
    def test_byte_by_byte(self, pieces: list[bytes]) -> None:
        """A link that delivers single bytes changes nothing."""
        pair = Pair(byte_by_byte)
        number = pair.dialer.open()
        for piece in pieces:
            pair.dialer.send(number, piece)
        pair.dialer.finish(number)
        _, at_listener = pair.settle()
        self.assertEqual(payload_of(at_listener, number), b"".join(pieces))
        self.assertIn(StreamFinished(stream=number), at_listener)

    @given(st.integers(0, INITIAL_WINDOW_BYTES * 3))
    def test_frames_written_are_short(self, size: int) -> None:
        """However much is sent at once, no frame is over 256 KiB."""
        session = Session(dialer=True)
        number = session.open()
        session.receive(header(FrameType.WINDOW_UPDATE, 2, number, 2 * INITIAL_WINDOW_BYTES))
        session.send(number, bytes(size))
        frames = [item for item in FrameReader().receive(written(session)) if isinstance(item, Frame)]
        lengths = [frame.length for frame in frames if frame.kind is FrameType.DATA]
        self.assertEqual(sum(lengths), size)
        self.assertLessEqual(max(lengths, default=0), FRAME_WRITTEN_MAXIMUM_BYTES)


frames = st.builds(
    lambda kind, flags, stream, length, payload: (
        header(FrameType.DATA, flags, stream, len(payload)) + payload
        if kind is FrameType.DATA
        else header(kind, flags, stream, length)
    ),
    st.sampled_from(FrameType),
    st.integers(0, 15),
    st.integers(0, 8),
    st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)),
    st.binary(max_size=20),
)


class HostilePeerTests(SynchronousTestCase):
    """Peers that do not keep the rules."""

    def feed(self, pieces: list[bytes], *, dialer: bool, opened: int) -> None:
        """Whatever comes, the only exception is a YamuxError, and after it the session is dead and has no streams."""
        session = Session(dialer=dialer)
        for number in [session.open() for _ in range(opened)][1::2]:
            session.finish(number)
        try:
            for piece in pieces:
                for event in session.receive(piece):
                    stream = getattr(event, "stream", None)
                    if stream is not None and not isinstance(event, StreamReset):
                        session.send(stream, bytes(min(3, session.credit(stream))))
                self.assertFalse(session.dead)
        except YamuxError as error:
            self.assertTrue(session.dead)
            self.assertTrue(str(error))
            self.assertEqual(session.streams, 0)

    @given(st.lists(st.binary(max_size=100), max_size=10), st.booleans(), st.integers(0, 4))
    def test_garbage(self, pieces: list[bytes], dialer: bool, opened: int) -> None:
        """Random bytes."""
        self.feed(pieces, dialer=dialer, opened=opened)

    @settings(max_examples=400)
    @given(st.lists(frames, max_size=30), st.booleans(), st.integers(0, 4))
    def test_random_frames(self, pieces: list[bytes], dialer: bool, opened: int) -> None:
        """Random frames with proper headers, for few streams, so that every state is met."""
        self.feed(pieces, dialer=dialer, opened=opened)

    @given(st.data())
    def test_one_flipped_byte(self, choose: st.DataObject) -> None:
        """A good conversation with one byte changed."""
        peer = Session(dialer=False)
        for _ in range(3):
            number = peer.open()
            peer.send(number, b"some bytes")
            peer.finish(number)
        peer.ping()
        stream = bytearray(written(peer))
        place = choose.draw(st.integers(0, len(stream) - 1))
        stream[place] ^= choose.draw(st.integers(1, 255))
        self.feed([bytes(stream)], dialer=True, opened=0)
