"""
A tunnel: one session, its streams and its liveness, on any byte transport.

The tunnel translates: bytes from the link feed the session, its events go to the streams, and what the session wants to say goes out in few,
large messages. What nothing else waits before goes past all queues; otherwise streams take turns (`scheduler`), and while the link is full they wait.
Little is given to the link at once where it is slow (`line`). The link is always read: a slow reader stops its own stream by not returning credit, never the
tunnel.

Rejected: pausing the link when one stream's reader is slow (every other stream would stall), and a timer for the writes (an interactive byte
would wait for it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from typing import Protocol as Interface

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.errors import MisuseError, ProtocolError
from kwic.policy.liveness import NORMAL, Action, Liveness, Timing
from kwic.transport.autobahn_channel import PROTOCOL_ERROR
from kwic.transport.lean_reactor import end_of_turn
from kwic.transport.line import Line
from kwic.transport.scheduler import FIRST_BYTES, Scheduler
from kwic.transport.stream import Stream
from kwic.wire import events as wire
from kwic.wire.limits import Limits
from kwic.wire.session import Session
from kwic.wire.yamux import GoAwayCode

#: So many pings may be unanswered; whoever asks then waits for the answer to the last of them.
PINGS_MAXIMUM = 8
#: A stream that we closed and the peer did not is reset after so long: what TCP calls FIN-WAIT-2.
HALF_OPEN_S = 60.0
#: The round-trip time is measured at least so often, also while the tunnel is busy.
MEASURE_S = 10.0


class TunnelUser(Interface):
    """Whoever a tunnel belongs to: it decides what becomes of the streams that the peer opens."""

    def tunnel_up(self, tunnel: Tunnel) -> None:
        """The tunnel can carry streams."""

    def stream_opened(self, tunnel: Tunnel, stream: Stream) -> None:
        """The peer opened a stream: attach a protocol to it, or reset it."""

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """The tunnel became suspect, is trusted again, or began to drain."""

    def tunnel_down(self, tunnel: Tunnel, reason: Failure) -> None:
        """The tunnel is gone and its streams with it."""


@implementer(IPushProducer)
class Tunnel(Protocol):
    """
    A session on the transport that this protocol is connected to.

    :param user: who decides about the streams that the peer opens.
    :param clock: for liveness and round-trip times.
    :param dialer: whether this side dialled the link; its streams have odd numbers.
    :param timing: when silence is answered with a ping and when it is death.
    :param limits: the bounds of the session.
    :param peer: what is known about the other end: shown in logs and on the status page.
    """

    log = Logger()
    transport: Any

    def __init__(
        self,
        user: TunnelUser,
        clock: IReactorTime,
        *,
        dialer: bool,
        timing: Timing = NORMAL,
        limits: Limits | None = None,
        peer: str = "",
    ) -> None:
        self.user = user
        self.clock = clock
        self.peer = peer
        self.session = Session(dialer=dialer, limits=limits)
        self.streams: dict[int, Stream] = {}
        self.rtt_s: float | None = None
        self.up = False
        self.up_since_s: float | None = None
        self.bytes_in = 0
        self.suspect = False
        #: The other end is somebody to us: what becomes of the tunnel is worth a line.
        self.known = True
        #: The rule that the peer broke.
        self.fault = ""
        #: We told the peer, or the peer told us, that no new streams are wanted here.
        self.draining = False
        self._timing = timing
        self._liveness = Liveness(timing, clock.seconds())
        self._line = Line(None)
        self._scheduler = Scheduler(self.session)
        self._pings: dict[int, float] = {}
        self._last_ping = 0
        #: Who waits for the answer to a ping.
        self._askers: dict[int, list[Callable[[], None]]] = {}
        #: When each stream was opened that the peer has not acknowledged, the oldest first.
        self._unanswered: dict[int, float] = {}
        #: How long answers took lately, to pings and to opens.
        self._answer_s: float | None = None
        self._half_open: deque[tuple[float, int]] = deque()
        self._last_received_s = 0.0
        self._measured_s = 0.0
        self._check: IDelayedCall | None = None
        self._blocked = False
        #: Something has left in this turn of the reactor: what follows leaves together at its end.
        self._corked = False
        self._at_end_of_turn = end_of_turn(clock)
        #: The link sends a sequence as one message, for which it pays to wait for the end of the turn.
        self.transport_gathers = False
        self._send_pieces: Callable[[Iterable[Any]], object] = tuple
        self._busy = False
        #: To be closed once what is being sent is out: the end of the last stream, for one.
        self._closing = False
        self._why = ""
        self._when_empty: Callable[[], None] | None = None

    # -- state --------------------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a new stream may be opened."""
        return self.up and not self.draining and self.session.can_open

    @property
    def delay_s(self) -> float | None:
        """How long the peer takes to answer: as it did lately, or longer when an open already waits longer than that."""
        oldest_s = next(iter(self._unanswered.values()), None)
        if oldest_s is None:
            return self._answer_s
        return max(self._answer_s or 0.0, self.clock.seconds() - oldest_s)

    # -- streams ------------------------------------------------------------------------------------------------------------

    def open(self, protocol: Protocol) -> Stream:
        """
        Open a stream for a protocol.

        :raises MisuseError: when the tunnel is not usable or too many opens are unanswered.
        """
        if not self.up or self.draining:
            raise MisuseError(f"the tunnel to {self.peer} takes no new streams")
        stream = Stream(self, self.session.open())
        self.streams[stream.number] = stream
        self._unanswered[stream.number] = self.clock.seconds()
        self._busy, was_busy = True, self._busy
        try:
            stream.attach(protocol)
        finally:
            self._busy = was_busy
        self.flush()
        return stream

    def ping(self, answered: Callable[[], None] | None = None) -> None:
        """
        Ask the peer for a sign of life now.

        :param answered: called when it comes, if it does.
        """
        if not self.up or self.session.dead:
            return
        if len(self._pings) < PINGS_MAXIMUM:
            self._last_ping = self.session.ping()
            self._pings[self._last_ping] = self.clock.seconds()
        if answered is not None:
            self._askers.setdefault(self._last_ping, []).append(answered)
        self.flush()

    def suspect_now(self) -> None:
        """The peer left something unanswered: prefer other tunnels until it answers a ping."""
        if self.up and not self.suspect:
            self.suspect = True
            self._say(LogLevel.info, "tunnel to {peer} is suspect: no answer in time")
            self.user.tunnel_changed(self)
        self.ping()

    def drain(self, when_empty: Callable[[], None] | None = None) -> None:
        """
        Tell the peer to open nothing more here; open streams run on.

        :param when_empty: called when the last stream is gone.
        """
        self._when_empty = when_empty
        if self.up and not self.session.dead:
            self.draining = True
            self.session.go_away(GoAwayCode.NORMAL)
            self.flush()
        self._check_empty()

    def close(self) -> None:
        """Send what the streams have said, say goodbye to the peer and end the link."""
        if self._busy:
            self._closing = True
        elif self.transport is not None:
            if self.up and (chunks := self.session.take_output()):
                self.transport.write(b"".join(chunks))
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self, why: str) -> None:
        """End the link at once."""
        self._why = self._why or why
        if self.transport is not None:
            drop = getattr(self.transport, "drop", None)
            if drop is None:
                self.transport.abortConnection()
            else:
                drop(self._why)

    # -- called by the streams ----------------------------------------------------------------------------------------------

    def send_alone(self, number: int, data: bytes | memoryview) -> bool:
        """
        Send the bytes of one stream past the queues, while nothing waits in them: interactive bytes meet that, and bulk where the line is fast.

        :param number: the stream's; nothing of it may wait.
        :param data: may be a view of bytes that change afterwards.
        :returns: whether they are on their way; they have to be queued otherwise.
        """
        size = len(data)
        waiting = self._scheduler
        if self._blocked or waiting.first or waiting.ready or size > self._line.message_bytes or not self.up:
            return False
        if self._busy or (self._corked and size <= FIRST_BYTES):
            # The message that leaves at the end of this takes them along.
            session = self.session
            if (
                self._line.is_slow
                or size + session.output_bytes > FIRST_BYTES
                or session.credit(number) < size
            ):
                return False
            session.send(number, data if type(data) is bytes else bytes(data))
            return True
        header = self.session.begin_frame(number, size)
        if header is None:
            return False
        if self.transport_gathers and not self._corked:
            self._cork()
        self._send_pieces((header, data))
        self._line.gave(size)
        return True

    def finish_alone(self, number: int) -> bool:
        """
        Send the end of one stream past the queues, while nothing waits in them.

        :param number: the stream's; nothing of it may wait.
        :returns: whether it is on its way; it has to be queued otherwise.
        """
        if self._blocked or self._scheduler.first or self._scheduler.ready or not self.up:
            return False
        self.session.finish(number)
        self.flush()
        return True

    def wants_to_send(self, stream: Stream) -> None:
        """A stream has bytes or an end to send."""
        self._scheduler.add(stream)
        self.flush()

    def consumed(self, stream: Stream, size: int) -> None:
        """A stream's protocol took bytes: return the credit."""
        if self.up:
            self.session.consumed(stream.number, size, self.clock.seconds(), self.rtt_s)
            self.flush()

    def reset(self, stream: Stream) -> None:
        """A stream is to end abruptly."""
        if self.up:
            self.session.reset(stream.number)
            self.flush()

    def forget(self, stream: Stream) -> None:
        """A stream is over for its protocol."""
        self.streams.pop(stream.number, None)
        self._unanswered.pop(stream.number, None)
        self._scheduler.discard(stream)
        if not self.session.dead and self.session.is_open(stream.number):
            self._half_open.append((self.clock.seconds() + HALF_OPEN_S, stream.number))
        self._check_empty()

    @property
    def clients(self) -> int:
        """How many streams carry a client."""
        return sum(not stream.housekeeping for stream in self.streams.values())

    def _check_empty(self) -> None:
        if self._when_empty is not None and not self.clients:
            call, self._when_empty = self._when_empty, None
            call()

    # -- sending ------------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """
        Send what is ready, unless the link is full or this is called from within.

        The first bytes of a turn of the reactor leave at once, so that nobody waits for a timer; what follows in the same turn leaves together
        at its end: one message instead of one for each stream.
        """
        if self._busy or self._corked or not self.up or not self._has_something:
            return
        self._cork()
        self._send_ready()

    def _send_joined(self, pieces: Iterable[Any]) -> None:
        self.transport.write(b"".join(pieces))

    def _cork(self) -> None:
        """What is small and follows in this turn leaves together at its end."""
        if self.transport_gathers and not self._corked:
            self._corked = True
            self._at_end_of_turn(self._uncork)

    def _uncork(self) -> None:
        self._corked = False
        if self._has_something and self.up:
            self._send_ready()

    @property
    def _has_something(self) -> object:
        """Whether there are bytes to send, or a goodbye."""
        waiting = self._scheduler
        return self.session.output_bytes or waiting.ready or waiting.first or self._closing

    def _send_ready(self) -> None:
        self._busy = True
        try:
            while not self._blocked and self.up:
                self._scheduler.fill(self._line.message_bytes, is_slow=self._line.is_slow)
                size = self.session.output_bytes
                chunks = self.session.take_output()
                if not chunks:
                    break
                self._send_pieces(chunks)
                self._line.gave(size)
        finally:
            self._busy = False
        if self._closing:
            self._closing = False
            self.close()

    # -- IPushProducer: the link --------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The link is full."""
        self._blocked = True

    def resumeProducing(self) -> None:
        """The link has room again."""
        self._blocked = False
        self.flush()

    def stopProducing(self) -> None:
        """The link is gone; `connectionLost` follows."""

    # -- Protocol -----------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The link is there: the session may begin."""
        self.up = True
        self.up_since_s = self._last_received_s = self.clock.seconds()
        self._liveness = Liveness(self._timing, self.up_since_s)
        send_pieces = getattr(self.transport, "send_pieces", None)
        self.transport_gathers = send_pieces is not None
        self._send_pieces = send_pieces or self._send_joined
        self._line = Line(self.transport)
        self.transport.registerProducer(self, True)
        self.ping()
        self._check = self.clock.callLater(self._timing.ping_after_s, self._check_liveness)
        self.user.tunnel_up(self)

    def dataReceived(self, data: bytes) -> None:
        """Feed the session and tell the streams what came of it."""
        self._last_received_s = self.clock.seconds()
        self.bytes_in += len(data)
        self._busy, was_busy = True, self._busy
        try:
            for event in self.session.receive(data):
                try:
                    self._handlers[type(event)](self, event)
                except Exception:  # noqa: BLE001 - logged: a tunnel carries many clients, and the others go on
                    self._failed(event)
        except ProtocolError as error:
            self._broken(error)
        finally:
            self._busy = was_busy
        if self._has_something:
            self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The link is gone, and all streams with it."""
        if not self.up:
            return
        if self._why:
            reason = Failure(ConnectionLost(self._why))
        self.up = False
        if self._check is not None and self._check.active():
            self._check.cancel()
        lost = Failure(ConnectionLost("the tunnel was lost"))
        for stream in tuple(self.streams.values()):
            try:
                stream.link_lost(lost)
            except Exception:  # noqa: BLE001 - logged: the others are told, and whoever dials again
                self.log.failure("a stream to {peer} could not be ended", peer=self.peer)
        self._scheduler.clear()
        self._askers.clear()
        self.session.abandon()
        self.user.tunnel_down(self, reason)

    def _failed(self, event: Any) -> None:
        """What an event was for raised an exception, which is being handled: its stream is reset."""
        self.log.failure("a stream to {peer} failed and is reset", peer=self.peer)
        stream = self.streams.get(getattr(event, "stream", 0))
        if stream is not None:
            try:
                stream.abortConnection()
            except Exception:  # noqa: BLE001 - as above
                self.log.failure("a stream to {peer} could not be ended", peer=self.peer)

    def _broken(self, error: ProtocolError) -> None:
        """The peer broke a rule: say which, and close."""
        self._say(LogLevel.warn, "tunnel to {peer}: closed, {error}", error=error)
        self.transport.write(b"".join(self.session.take_output()))
        self._why = self.fault = str(error)
        close = getattr(self.transport, "close", None)
        if close is None:
            self.transport.loseConnection()
        else:
            close(PROTOCOL_ERROR, self._why)
        # A peer that breaks rules may also not answer a goodbye.
        self.clock.callLater(1.0, self._abort_if_up)

    def _say(self, level: LogLevel, message: str, **fields: object) -> None:
        self.log.emit(level if self.known else LogLevel.debug, message, peer=self.peer, **fields)

    def _abort_if_up(self) -> None:
        if self.up:
            self.abort("closed after a protocol error")

    # -- events -------------------------------------------------------------------------------------------------------------

    def _opened(self, event: wire.StreamOpened) -> None:
        stream = Stream(self, event.stream)
        stream.acknowledged = True
        self.streams[event.stream] = stream
        self.user.stream_opened(self, stream)

    def _acknowledged(self, event: wire.StreamAcknowledged) -> None:
        self._trust()
        opened_s = self._unanswered.pop(event.stream, None)
        if opened_s is not None:
            self._answered(self.clock.seconds() - opened_s)
        stream = self.streams.get(event.stream)
        if stream is not None:
            stream.acknowledged = True
            tell = getattr(stream.protocol, "acknowledged", None)
            if tell is not None:
                tell()

    def _received(self, event: wire.DataReceived) -> None:
        stream = self.streams.get(event.stream)
        if stream is not None:
            stream.received(event.data)
        elif self.session.is_open(event.stream):
            self.session.reset(event.stream)

    def _granted(self, event: wire.CreditGranted) -> None:
        stream = self.streams.get(event.stream)
        if stream is not None and stream.queued_bytes:
            self.wants_to_send(stream)

    def _finished(self, event: wire.StreamFinished) -> None:
        stream = self.streams.get(event.stream)
        if stream is not None:
            stream.finished()

    def _reset(self, event: wire.StreamReset) -> None:
        stream = self.streams.get(event.stream)
        if stream is not None:
            stream.lost(Failure(ConnectionLost("the stream was reset by the peer")))

    def _ponged(self, event: wire.PongReceived) -> None:
        sent = self._pings.pop(event.value, None)
        if sent is not None:
            sample = self.clock.seconds() - sent
            self.rtt_s = sample if self.rtt_s is None else 0.75 * self.rtt_s + 0.25 * sample
            self._measured_s = self.clock.seconds()
            self._answered(sample)
            self._trust()
        for answered in self._askers.pop(event.value, ()):
            answered()

    def _answered(self, sample_s: float) -> None:
        self._answer_s = sample_s if self._answer_s is None else 0.75 * self._answer_s + 0.25 * sample_s

    def _went_away(self, event: wire.WentAway) -> None:
        if not self.draining:
            self.draining = True
            self.log.info("tunnel to {peer}: the peer is leaving, new streams go elsewhere", peer=self.peer)
            self.user.tunnel_changed(self)

    def _trust(self) -> None:
        if self.suspect:
            self.suspect = False
            self._say(LogLevel.info, "tunnel to {peer} answers again")
            self.user.tunnel_changed(self)

    # -- liveness -----------------------------------------------------------------------------------------------------------

    def _check_liveness(self) -> None:
        now = self.clock.seconds()
        self.session.tick()
        while self._half_open and self._half_open[0][0] <= now:
            _, number = self._half_open.popleft()
            if self.session.is_open(number) and number not in self.streams:
                self.session.reset(number)
        verdict = self._liveness.check(now, self._last_received_s)
        match verdict.action:
            case Action.DEAD:
                self.abort(f"nothing was received for {now - self._last_received_s:.1f} s")
                return
            case Action.SUSPECT:
                self.suspect_now()
            case Action.PING:
                self.ping()
            case Action.NOTHING:
                if now - self._measured_s > MEASURE_S:
                    self.ping()
        self.flush()
        self._check = self.clock.callLater(max(0.0, verdict.next_check_s - now), self._check_liveness)

    _handlers: ClassVar[dict[type, Callable[..., None]]] = {
        wire.StreamOpened: _opened,
        wire.StreamAcknowledged: _acknowledged,
        wire.DataReceived: _received,
        wire.CreditGranted: _granted,
        wire.StreamFinished: _finished,
        wire.StreamReset: _reset,
        wire.PongReceived: _ponged,
        wire.WentAway: _went_away,
    }
