"""
Joins two legs: what one receives the other sends, and how one ends the other ends.

    end of stream on one     -> end of stream on the other, while the opposite direction flows on
    both ends of stream      -> both closed
    reset of one             -> reset of the other
    a slow reader on one     -> the other is paused: each leg's transport has the opposite leg as its producer

A leg that cannot be half-closed (TLS, WebSocket) is closed once the answer has been quiet for a while instead: closing at once would cut off
the answer to a request whose sender has finished, never closing would keep the far end waiting for an end that was already there.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from kwic.transport.deadlines import Deadlines
from kwic.transport.direct_send import sender
from kwic.transport.lean_tcp import LeanConnection
from kwic.transport.leg import Course, Leg, can_half_close, drop

#: Quiet seconds after which a leg that cannot be half-closed is closed, when the opposite leg has sent its end of stream.
LINGER_S = 10.0
#: Seconds that a closing leg may take to send what it has buffered and to say goodbye, before it is aborted.
CLOSING_S = 60.0


# looked up for each client and each message: a member of an enum costs ten times as much in Python 3.11
_RUNNING = Course.RUNNING
_ENDED = Course.ENDED
_CLOSING = Course.CLOSING


class Relay:
    """
    Two legs joined.

    :param near: the leg on which the client came.
    :param far: the leg that was dialled for it.
    :param clock: for the linger and closing deadlines.
    :param on_done: called with the relay once, when both legs are gone.
    :param closing: the deadlines of closing legs, `CLOSING_S` each, where several relays share them.
    """

    __slots__ = ("__weakref__", "_clock", "_closing", "_legs", "_on_done")

    def __init__(
        self,
        near: Leg,
        far: Leg,
        clock: IReactorTime,
        on_done: Callable[[Relay], None] = lambda relay: None,
        closing: Deadlines | None = None,
    ) -> None:
        self._clock = clock
        self._closing = closing or Deadlines(clock, CLOSING_S)
        self._on_done = on_done
        self._legs = (near, far)
        near.other, far.other = far, near

    def start(self) -> None:
        """Let both legs run."""
        half_closed, lost = self._half_closed, self._lost
        for leg in self._legs:
            leg.sink = sender(leg.other.transport)
            leg.on_end, leg.on_lost = half_closed, lost
        for leg in self._legs:
            if leg.lost is None:
                leg.transport.registerProducer(leg.other, True)
        for leg in self._legs:
            if leg.early:
                early, leg.early = leg.early, b""
                leg.sink(early)
        for leg in self._legs:
            if leg.lost is None:
                leg.transport.resumeProducing()
            elif leg.on_end is not None:
                # Not done with both already.
                lost(leg, leg.lost)

    @property
    def near(self) -> Leg:
        """The leg on which the client came."""
        return self._legs[0]

    def abort(self) -> None:
        """Reset both legs."""
        for leg in self._legs:
            leg.reset()

    def _half_closed(self, leg: Leg) -> None:
        """Carry an end of stream over."""
        if leg.course is _RUNNING:
            leg.course = _ENDED
        other = leg.other
        if other.lost is not None:
            return
        if other.course is not _RUNNING:
            self._close(other)
            self._close(leg)
        elif can_half_close(other.transport):
            other.transport.unregisterProducer()
            other.transport.loseWriteConnection()
        else:
            self._linger(other)

    def _linger(self, leg: Leg) -> None:
        """Close a leg that cannot be half-closed once it has been quiet for a while."""
        write = leg.sink

        def heard(data: bytes) -> None:
            if leg.course is not _CLOSING:
                leg.timer.reset(LINGER_S)
            write(data)

        leg.sink = heard
        self._set_timer(leg, LINGER_S, lambda: self._close(leg))

    def _close(self, leg: Leg) -> None:
        """Close a leg in order, by a deadline."""
        if leg.lost is not None or leg.course is _CLOSING:
            return
        leg.course = _CLOSING
        transport = leg.transport
        # Twisted's TLS transport does not close while a producer is registered.
        transport.unregisterProducer()
        # Its class is asked: a transport of Twisted's on top of a connection passes on whatever it does not have itself.
        if not (type(transport) is LeanConnection and transport.end_at_once()):
            transport.loseConnection()
        if leg.lost is not None:
            return
        # One that sends at a limited rate takes its time.
        needs_s = getattr(transport, "needs_s", 0.0)
        if needs_s:
            self._set_timer(leg, CLOSING_S + needs_s, leg.reset)
        else:
            if leg.timer is not None:
                _cancel_timer(leg)
            leg.timer = self._closing.begin(leg.reset)

    def _set_timer(self, leg: Leg, delay_s: float, call: Callable[[], None]) -> None:
        _cancel_timer(leg)
        leg.timer = self._clock.callLater(delay_s, call)

    def _lost(self, leg: Leg, reason: Failure) -> None:
        """Carry the end of a leg over: in order, or as a reset."""
        if leg.timer is not None:
            _cancel_timer(leg)
        other = leg.other
        leg.sink = other.sink = drop
        if other.lost is not None:
            # They know each other and this relay: cycles, which the collector would have to find.
            for one in self._legs:
                one.on_end = None
                del one.other
            self._on_done(self)
        elif isinstance(reason.value, ConnectionDone):
            self._close(other)
        else:
            other.reset()


def _cancel_timer(leg: Leg) -> None:
    timer, leg.timer = leg.timer, None
    if timer is not None and timer.active():
        timer.cancel()
