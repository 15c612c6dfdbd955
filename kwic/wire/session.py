"""One yamux session: many streams over one reliable, ordered channel of bytes. Bytes in, events out; calls in, bytes out.

The session knows no link, no clock and no thread. Whoever owns it feeds `receive` with what comes, in any pieces, writes out what
`take_output` gives, in order, and calls `tick` once a second. Losing the channel is the owner's to notice (`abandon`).

What a peer may do is in three places: the header alone (`kwic.wire.yamux`), the stream (`kwic.wire.stream_state`), and the session (here):
numbers, limits, go-away, and frames that come late.

**Late frames.** A stream that is over is forgotten at once, while the peer may not know yet. A frame for a number that was once open
is therefore dropped quietly. The payload of such frames is counted against the credit that forgotten streams had left in sum, so a peer
cannot go on sending for ever; a frame for a number that never was open is an error.

**Events lag.** `receive` may return an event of a stream that a later event in the same list has ended. So for a stream that is over,
`credit` is 0 and `finish`, `reset` and `consumed` do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from kwic.errors import MisuseError
from kwic.wire.events import (
    CreditGranted,
    DataReceived,
    Event,
    PongReceived,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    StreamReset,
    WentAway,
)
from kwic.wire.limits import SKIPPED_MAXIMUM, Limits
from kwic.wire.stream_state import SENT_BY_US, SENT_TO_US, Stream, StreamInput, StreamState
from kwic.wire.window import ReceiveWindow
from kwic.wire.yamux import (
    FRAME_WRITTEN_MAXIMUM_BYTES,
    HEADER,
    INITIAL_WINDOW_BYTES,
    PLAIN,
    STREAM_MAXIMUM,
    Flag,
    FloodError,
    Frame,
    FrameReader,
    FrameType,
    GoAwayCode,
    IllegalFrameError,
    Payload,
    YamuxError,
    header,
    piece_of,
)


class SessionState(Enum):
    """What is true of a session."""

    OPEN = auto()
    """Both sides may open streams, unless one went away."""
    DEAD = auto()
    """A rule was broken, or the owner gave it up: nothing is received or opened any more, output may still be taken."""


@dataclass(kw_only=True, slots=True)
class Counters:
    """What a session has done so far, for the status page."""

    payload_bytes_received: int = 0
    payload_bytes_sent: int = 0
    streams_opened: int = 0
    streams_accepted: int = 0
    streams_refused: int = 0
    late_frames: int = 0


class Session:
    """The streams of one tunnel.

    :param dialer: whether this side dialled: it numbers its streams 1, 3, 5 …, the other 2, 4, 6 …
    :param limits: what the peer may do; give all sessions of a process the same budget.
    """

    def __init__(self, *, dialer: bool, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._state = _ALIVE
        self._reader = FrameReader(self._limits.frame_maximum_bytes)
        self._streams: dict[int, Stream] = {}
        self._output: list[bytes | bytearray | memoryview] = []
        #: How much there is to write.
        self.output_bytes = 0
        self._answers = 0
        self._next_own = 1 if dialer else 2
        self._parity = self._next_own % 2
        self._highest_peer = 0 if dialer else -1
        self._skipped: set[int] = set()
        self._unacknowledged: set[int] = set()
        self._unacknowledged_peer = 0
        self._control_left = self._limits.control_frames_per_tick
        self._late_credit = 0
        self._payload_stream = 0
        self._payload_finishes = False
        self._ping = 0
        self._pings: set[int] = set()
        self._we_went_away = False
        self._peer_went_away = False
        self.counters = Counters()

    # -- what the owner may ask

    @property
    def dead(self) -> bool:
        """Whether a rule was broken or the owner gave the session up."""
        return self._state is _DEAD

    @property
    def streams(self) -> int:
        """How many streams are open, from either side."""
        return len(self._streams)

    @property
    def peer_went_away(self) -> bool:
        """Whether the peer asked for no new streams."""
        return self._peer_went_away

    @property
    def can_open(self) -> bool:
        """Whether `open` would succeed now."""
        return (
            self._state is _ALIVE
            and not self._peer_went_away
            and self._next_own <= STREAM_MAXIMUM
            and len(self._unacknowledged) < self._limits.unacknowledged_maximum
            and len(self._streams) < self._limits.streams_maximum
        )

    @property
    def exhausted(self) -> bool:
        """Whether all stream numbers are used up: 2³¹ opens; only a new session helps."""
        return self._next_own > STREAM_MAXIMUM

    def credit(self, stream: int) -> int:
        """What may be sent on a stream now, in bytes; 0 when it is over, finished, or never was."""
        entry = self._streams.get(stream)
        if entry is None or entry.state not in SENT_BY_US:
            return 0
        return entry.credit.available

    def is_open(self, stream: int) -> bool:
        """Whether a stream is not over yet, in either direction."""
        return stream in self._streams

    # -- what the owner may do

    def open(self) -> int:
        """Open a stream; data may be sent on it at once.

        :returns: its number.
        :raises MisuseError: `can_open` is false.
        """
        if not self.can_open:
            raise MisuseError("no stream can be opened on this session now")
        number = self._next_own
        self._next_own += 2
        self._add_stream(number, _SEND_SYN)
        self._unacknowledged.add(number)
        self.counters.streams_opened += 1
        self._write(header(_UPDATE, _SYN, number, 0))
        return number

    def send(self, stream: int, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; they are kept by reference until `take_output`, so leave them unchanged.

        :param stream: where.
        :param data: bytes, or a contiguous view of bytes; cut into frames of at most 256 KiB.
        :raises MisuseError: it is more than `credit` allows.
        """
        size = len(data)
        if not size:
            return
        entry = self._streams.get(stream)
        if entry is None:
            raise MisuseError(f"stream {stream} is not open: {size} bytes cannot be sent")
        if entry.state not in SENT_BY_US:
            entry.apply(_SEND_DATA)
        entry.credit.spend(size)
        self.counters.payload_bytes_sent += size
        if size <= FRAME_WRITTEN_MAXIMUM_BYTES:
            self._write_data(stream, data)
            return
        view = memoryview(data)
        for start in range(0, size, FRAME_WRITTEN_MAXIMUM_BYTES):
            self._write_data(stream, view[start : start + FRAME_WRITTEN_MAXIMUM_BYTES])

    def begin_frame(self, stream: int, size: int) -> bytes | None:
        """Send bytes that the owner writes itself, at once: the quick way of `send` while there is nothing else to write.

        :param stream: where.
        :param size: how many bytes; at least one.
        :returns: the header; the bytes follow right behind it, before anything else. None where `send` has to be used: there is something to write
            first, it is more than one frame, or more than `credit` allows.
        """
        entry = self._streams.get(stream)
        if (
            self.output_bytes
            or entry is None
            or entry.state not in SENT_BY_US
            or size > entry.credit.available
            or size > FRAME_WRITTEN_MAXIMUM_BYTES
        ):
            return None
        entry.credit.available -= size
        self.counters.payload_bytes_sent += size
        return PLAIN.pack(0, stream, size)

    def finish(self, stream: int) -> None:
        """Say that no more bytes follow on a stream; the other direction goes on. Nothing happens when the stream is over.

        :raises MisuseError: it was said before, or the stream never was.
        """
        entry = self._known(stream)
        if entry is not None:
            entry.apply(_SEND_FIN)
            self._write(header(_UPDATE, _FIN, stream, 0))
            self._forget_if_closed(entry)

    def reset(self, stream: int) -> None:
        """Give up both directions of a stream. Nothing happens when it is over.

        :raises MisuseError: the stream never was.
        """
        entry = self._known(stream)
        if entry is not None:
            entry.apply(_SEND_RST)
            self._late_credit += entry.window.credit_bytes
            self._forget_if_closed(entry)
            self._write(header(_UPDATE, _RST, stream, 0))

    def consumed(self, stream: int, nbytes: int, now_s: float, rtt_s: float | None) -> None:
        """Say that the far transport has taken bytes of a stream: the peer gets its credit back, in big steps.

        :param stream: whose bytes. Nothing happens when it is over.
        :param nbytes: how many.
        :param now_s: seconds of any steady clock, for the growth of the window.
        :param rtt_s: the round trip of the path, None while it is unknown.
        :raises MisuseError: more is consumed than was received, or the stream never was.
        """
        entry = self._known(stream)
        if entry is None:
            return
        if not entry.may(_SEND_CREDIT):
            # a peer that has finished needs no credit
            return
        grant = entry.window.consumed(nbytes, now_s, rtt_s)
        if grant:
            self._write(header(_UPDATE, 0, stream, grant))

    def ping(self) -> int:
        """Ask for a sign of life.

        :returns: the value that `PongReceived` will carry.
        :raises MisuseError: the session is dead.
        """
        self._require_alive()
        value = self._ping
        self._ping = (value + 1) % (STREAM_MAXIMUM + 1)
        self._pings.add(value)
        self._write(header(_PING, _SYN, 0, value))
        return value

    def go_away(self, code: GoAwayCode) -> None:
        """Ask the peer for no new streams, and refuse those that it opens all the same; open ones run on.

        :param code: why.
        :raises MisuseError: the session is dead.
        """
        self._require_alive()
        self._we_went_away = True
        self._write(header(_GO_AWAY, 0, 0, code))

    def tick(self) -> None:
        """A second has passed: the peer may send control frames anew. The session has no clock, so its owner calls this."""
        self._control_left = self._limits.control_frames_per_tick

    def abandon(self) -> None:
        """The channel is lost, or the owner wants no more: all streams are forgotten and their windows go back to the budget."""
        self._state = _DEAD
        for entry in self._streams.values():
            entry.window.release()
        self._streams.clear()

    def take_output(self) -> list[bytes | bytearray | memoryview]:
        """What is to be written, in order: headers, and payload objects as they were given to `send`.

        :returns: the chunks; they are the caller's now.
        """
        output = self._output
        self._output = []
        self.output_bytes = 0
        self._answers = 0
        self._unacknowledged_peer = 0
        return output

    def receive(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Take bytes of the channel, in any pieces.

        :param data: the next bytes. Pieces in events may be views of it.
        :returns: what happened, in order. Nothing happens on a dead session.
        :raises YamuxError: the peer broke a rule. The session is dead then; its output ends with a GO_AWAY that says so.
        """
        events: list[Event] = []
        if self._state is _DEAD:
            return events
        view, at = memoryview(data), 0
        reader = self._reader
        try:
            while at < len(view):
                if reader.is_between:
                    at = self._take_plain(view, at, events)
                if at < len(view):
                    item, at = reader.next(view, at)
                    if type(item) is Frame:
                        self._on_frame(item, events)
                    elif type(item) is Payload:
                        self._on_payload(item, events)
        except YamuxError as error:
            self.go_away(error.go_away)
            self.abandon()
            raise
        return events

    # -- frames that came in

    def _take_plain(self, view: memoryview, at: int, events: list[Event]) -> int:
        """Whole DATA frames without flags, of streams that may send: nearly all that comes. Anything else is left for a closer look.

        :returns: where that begins; the end when there is nothing else.
        """
        end = len(view)
        while end - at > HEADER.size:
            kind, number, size = PLAIN.unpack_from(view, at)
            start = at + HEADER.size
            stop = start + size
            entry = self._streams.get(number)
            if (
                kind
                or stop > end
                or entry is None
                or entry.state not in SENT_TO_US
                or not 0 < size <= self._limits.frame_maximum_bytes
            ):
                break
            entry.window.received(size)
            self.counters.payload_bytes_received += size
            events.append(DataReceived(number, piece_of(view, start, stop)))
            at = stop
        return at

    def _on_frame(self, frame: Frame, events: list[Event]) -> None:
        """One header."""
        kind = frame.kind
        if kind is _DATA and frame.length:
            self._on_stream_frame(frame, events)
            return
        self._control_left -= 1
        if self._control_left < 0:
            raise FloodError("more control frames than anybody needs")
        if kind is _PING:
            self._on_ping(frame, events)
        elif kind is _GO_AWAY:
            self._peer_went_away = True
            events.append(WentAway(frame.length))
        else:
            self._on_stream_frame(frame, events)

    def _on_ping(self, frame: Frame, events: list[Event]) -> None:
        """Answer a ping, or report the answer to ours."""
        if frame.flags == _SYN:
            self._answer(header(_PING, _ACK, 0, frame.length))
        elif frame.length in self._pings:
            self._pings.discard(frame.length)
            events.append(PongReceived(frame.length))

    def _on_stream_frame(self, frame: Frame, events: list[Event]) -> None:
        """DATA or WINDOW_UPDATE: flags that begin, then what it carries, then flags that end."""
        stream, flags = frame.stream, frame.flags
        self._payload_stream = stream
        self._payload_finishes = False
        if flags & _SYN:
            self._on_syn(stream, events)
        entry = self._streams.get(stream)
        if entry is None:
            self._on_late(frame)
            return
        if flags & _ACK or stream in self._unacknowledged:
            self._on_acknowledgement(entry, frame, events)
        if flags & _RST:
            entry.apply(_RECEIVE_RST)
            events.append(StreamReset(stream))
            self._forget_if_closed(entry)
            return
        if frame.kind is _DATA:
            if frame.length:
                entry.apply(_RECEIVE_DATA)
                entry.window.received(frame.length)
                self._payload_finishes = bool(flags & _FIN)
        elif frame.length:
            self._on_credit(entry, frame.length, events)
        if flags & _FIN and not self._payload_finishes:
            self._on_fin(entry, events)

    def _on_acknowledgement(self, entry: Stream, frame: Frame, events: list[Event]) -> None:
        """An ACK, or what tells as much: a library whose stream was finished early answers it and never sends one."""
        told = frame.length or frame.flags & _FIN
        first = frame.stream in self._unacknowledged
        if frame.flags & _ACK or (told and not frame.flags & _RST):
            entry.apply(_RECEIVE_ACK)
            if first:
                self._unacknowledged.discard(frame.stream)
                events.append(StreamAcknowledged(frame.stream))

    def _on_credit(self, entry: Stream, nbytes: int, events: list[Event]) -> None:
        """The peer lets us send more."""
        entry.apply(_RECEIVE_CREDIT)
        entry.credit.grant(nbytes)
        if entry.state in SENT_BY_US:
            events.append(CreditGranted(entry.number, entry.credit.available))

    def _on_payload(self, payload: Payload, events: list[Event]) -> None:
        """A piece of the payload of the DATA frame that came last."""
        entry = self._streams.get(self._payload_stream)
        if entry is None:
            return
        self.counters.payload_bytes_received += len(payload.data)
        events.append(DataReceived(entry.number, payload.data))
        if payload.last and self._payload_finishes:
            self._on_fin(entry, events)

    def _on_syn(self, number: int, events: list[Event]) -> None:
        """The peer opens a stream: acknowledge it, or refuse it when there are too many or we are leaving."""
        self._claim(number)
        if (
            self._we_went_away
            or self._unacknowledged_peer >= self._limits.unacknowledged_maximum
            or len(self._streams) >= self._limits.streams_maximum
        ):
            self._late_credit += INITIAL_WINDOW_BYTES
            self.counters.streams_refused += 1
            self._answer(header(_UPDATE, _RST, number, 0))
            return
        self._add_stream(number, _RECEIVE_SYN)
        self._unacknowledged_peer += 1
        self.counters.streams_accepted += 1
        self._answer(header(_UPDATE, _ACK, number, 0))
        events.append(StreamOpened(number))

    def _on_fin(self, entry: Stream, events: list[Event]) -> None:
        """The peer has said all that it will."""
        entry.apply(_RECEIVE_FIN)
        events.append(StreamFinished(entry.number))
        self._forget_if_closed(entry)

    def _on_late(self, frame: Frame) -> None:
        """A frame for a stream that is over, or for one that never was."""
        if not self._was_open(frame.stream):
            raise IllegalFrameError(f"stream {frame.stream} was never opened")
        self.counters.late_frames += 1
        if frame.kind is _DATA:
            self._late_credit -= frame.length
            if self._late_credit < 0:
                raise FloodError(f"{-self._late_credit} bytes more than forgotten streams had credit for")

    # -- numbers and streams

    def _claim(self, number: int) -> None:
        """The peer takes a number for a new stream."""
        if number % 2 == self._parity:
            raise IllegalFrameError(f"stream {number} is not the peer's to open")
        if number in self._skipped:
            self._skipped.discard(number)
            return
        if number <= self._highest_peer:
            raise IllegalFrameError(f"stream {number} was opened before")
        left_out = range(self._highest_peer + 2, number, 2)
        if len(left_out) + len(self._skipped) > SKIPPED_MAXIMUM:
            raise IllegalFrameError(f"stream {number} leaves out more than {SKIPPED_MAXIMUM} numbers")
        self._skipped.update(left_out)
        self._highest_peer = number

    def _was_open(self, number: int) -> bool:
        """Whether a number was ever used."""
        if number % 2 == self._parity:
            return number < self._next_own
        return number <= self._highest_peer and number not in self._skipped

    def _known(self, number: int) -> Stream | None:
        """A stream, or None when it is over."""
        entry = self._streams.get(number)
        if entry is None and not self._was_open(number):
            raise MisuseError(f"stream {number} was never opened")
        return entry

    def _add_stream(self, number: int, happening: StreamInput) -> None:
        """A stream begins."""
        entry = Stream(number, ReceiveWindow(self._limits.budget, self._limits.window_maximum_bytes))
        entry.apply(happening)
        self._streams[number] = entry

    def _forget_if_closed(self, entry: Stream) -> None:
        """Forget a stream that is over."""
        if entry.state is _CLOSED:
            entry.window.release()
            self._unacknowledged.discard(entry.number)
            del self._streams[entry.number]

    # -- frames that go out

    def _write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Queue bytes."""
        self._output.append(chunk)
        self.output_bytes += len(chunk)

    def _write_data(self, stream: int, data: bytes | bytearray | memoryview) -> None:
        """Queue one DATA frame."""
        size = len(data)
        self._output += (PLAIN.pack(0, stream, size), data)
        self.output_bytes += HEADER.size + size

    def _answer(self, chunk: bytes) -> None:
        """Queue a frame that the peer made us send."""
        self._answers += 1
        if self._answers > self._limits.answers_maximum:
            raise FloodError("the peer asks and does not read the answers")
        self._write(chunk)

    def _require_alive(self) -> None:
        """Dead sessions do nothing."""
        if self.dead:
            raise MisuseError("the session is over")


# looked up for every frame: a member of an enum costs ten times as much in Python 3.11
_DEAD = SessionState.DEAD
_ALIVE = SessionState.OPEN
_CLOSED = StreamState.CLOSED
_UPDATE = FrameType.WINDOW_UPDATE
_PING = FrameType.PING
_GO_AWAY = FrameType.GO_AWAY
_DATA = FrameType.DATA
_SEND_SYN = StreamInput.SEND_SYN
_SEND_DATA = StreamInput.SEND_DATA
_SEND_CREDIT = StreamInput.SEND_CREDIT
_SEND_FIN = StreamInput.SEND_FIN
_SEND_RST = StreamInput.SEND_RST
_RECEIVE_SYN = StreamInput.RECEIVE_SYN
_RECEIVE_ACK = StreamInput.RECEIVE_ACK
_RECEIVE_DATA = StreamInput.RECEIVE_DATA
_RECEIVE_CREDIT = StreamInput.RECEIVE_CREDIT
_RECEIVE_FIN = StreamInput.RECEIVE_FIN
_RECEIVE_RST = StreamInput.RECEIVE_RST
_SYN, _ACK, _FIN, _RST = int(Flag.SYN), int(Flag.ACK), int(Flag.FIN), int(Flag.RST)
