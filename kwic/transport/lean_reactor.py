"""
Turns of the reactor without a log context for each event, in which nobody who is connected waits long for those who come and go.

Twisted serves every event within a context that names its connection, for lines of its old log. Ours names connections itself, and the context costs more than
a small step of a relay. And it serves all that happened before it looks again: where a thousand peers are cut at one moment and come back, that takes seconds.
Ends of connections, and whatever says of itself that it is `patient` – a connection that shakes hands – are served last, for `PATIENT_S` in each turn; the
others of them are found again in the next one. And it looks for timers and calls from threads in a dozen of steps before each turn; here a turn follows the
other until there are some. `lighten` has an epoll reactor serve its events without it, in the same way otherwise; where the reactor is another one than this
file knows, it goes on as it is.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.python import log

#: So long a turn goes on with what can wait, once it has begun with one.
PATIENT_S = 0.010

#: A longer poll is not possible: Twisted's own loop cuts what it waits for timers, at twice as much.
LONGEST_S = 1_000_000.0

#: The methods that are used, with their parameters as this file knows them.
_KNOWN = {
    "runUntilCurrent": ["self"],
    "timeout": ["self"],
    "doPoll": ["self", "timeout"],
    "_doReadOrWrite": ["self", "selectable", "fd", "event"],
    "_disconnectSelectable": ["self", "selectable", "why", "isRead", "faildict"],
}
#: What tells whether Twisted's own loop has something to do.
_KNOWN_STATE = {
    "_newTimedCalls": list,
    "_pendingTimedCalls": list,
    "threadCallQueue": list,
    "_justStopped": bool,
    "running": bool,
}


def fits(reactor: Any) -> bool:
    """Whether a reactor is Twisted's epoll reactor, as this file knows it."""
    return (
        type(reactor) is EPollReactor
        and EPollReactor.doIteration is EPollReactor.doPoll
        and all(
            list(inspect.signature(getattr(EPollReactor, name, lambda: None)).parameters) == parameters
            for name, parameters in _KNOWN.items()
        )
        and isinstance(getattr(reactor, "_selectables", None), dict)
        and isinstance(getattr(reactor, "_POLL_IN", None), int)
        and isinstance(getattr(reactor, "_POLL_DISCONNECTED", None), int)
        and hasattr(getattr(reactor, "_poller", None), "poll")
        and all(isinstance(getattr(reactor, name, None), kind) for name, kind in _KNOWN_STATE.items())
    )


def lighten(reactor: Any) -> bool:
    """
    Let a reactor serve its events without a log context.

    :param reactor: the one that will run.
    :returns: whether it does; the reactor stays as it was otherwise.
    """
    if not fits(reactor):
        return False
    ends = _Ends()
    reactor.doIteration = _loop(reactor, _turn(reactor, ends))
    reactor.at_end_of_turn = ends.calls.append
    return True


def _turn(reactor: Any, ends: _Ends) -> Callable[[float | None], None]:
    """One turn: serves what has happened, once something has."""
    poll, selectables = reactor._poller.poll, reactor._selectables  # noqa: SLF001 - see above
    serve, disconnect = reactor._doReadOrWrite, reactor._disconnectSelectable  # noqa: SLF001
    readable = reactor._POLL_IN  # noqa: SLF001
    over = reactor._POLL_DISCONNECTED  # noqa: SLF001

    def turn(timeout: float | None) -> None:
        if ends.calls:
            # Put off by a timer: these must not wait for the poll, and neither must what they put off or set a timer for.
            ends.run()
            timeout = 0
        patient = None
        for fd, event in poll(-1 if timeout is None else timeout, len(selectables)):
            selectable = selectables.get(fd)
            if selectable is None:
                # Another event of this turn has closed it.
                continue
            if event & over or getattr(selectable, "patient", False):
                patient = patient or []
                patient.append((fd, event, selectable))
                continue
            if event != readable:
                serve(selectable, fd, event)
                continue
            try:
                why = selectable.doRead()
            except BaseException:  # noqa: BLE001 - as Twisted does: logged, and the connection is closed
                why = sys.exc_info()[1]
                log.err()
            if why:
                disconnect(selectable, why, True)
        if patient is not None:
            _serve_patient(patient, selectables, serve)
        if ends.calls:
            ends.run()

    return turn


def _loop(reactor: Any, turn: Callable[[float | None], None]) -> Callable[[float | None], None]:
    """Turns, until there is something for Twisted's own loop to do: a timer that is due or new, a call from a thread, a stop."""
    seconds = reactor.seconds

    def iterate(timeout: float | None) -> None:
        turn(timeout)
        while timeout != 0:
            if reactor._newTimedCalls or reactor.threadCallQueue or reactor._justStopped:  # noqa: SLF001
                return
            if not reactor.running:
                return
            timers = reactor._pendingTimedCalls  # noqa: SLF001
            if timers:
                timeout = timers[0].time - seconds()
                if not 0 < timeout < LONGEST_S:
                    return
            elif timeout is not None:
                return
            turn(timeout)

    return iterate


def _serve_patient(
    waiting: list[tuple[int, int, Any]], selectables: dict[int, Any], serve: Callable[[Any, int, int], None]
) -> None:
    """Serve those that can wait for a while; the others are found by the next poll."""
    until_s = monotonic() + PATIENT_S
    for fd, event, selectable in waiting:
        if selectables.get(fd) is selectable:
            serve(selectable, fd, event)
            if monotonic() >= until_s:
                return


class _Ends:
    """What is put off until the end of a turn."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def run(self) -> None:
        calls, self.calls[:] = tuple(self.calls), ()
        for call in calls:
            try:
                call()
            except Exception:  # noqa: BLE001 - as a timer of the reactor: it is logged, and the others are called
                log.err()


def end_of_turn(reactor: Any) -> Callable[[Callable[[], None]], object]:
    """
    What puts a call off until all events of this turn have been served.

    :param reactor: a lightened one, or any other, where a timer does it.
    :returns: to be called with the call.
    """
    at_end: Callable[[Callable[[], None]], object] | None = getattr(reactor, "at_end_of_turn", None)
    return at_end or partial(reactor.callLater, 0)
