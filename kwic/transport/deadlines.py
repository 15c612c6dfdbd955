"""
Many waits of one length with one timer of the reactor: a timer for each costs more than most of what is waited for.

What begins first is due first, so the waits are a queue, and the timer is for its head. It is set at the end of a turn of the reactor, for most
waits are over by then. When nobody waits any more there is no timer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Deadline:
    """
    One wait.

    :param deadlines: those that it belongs to.
    :param due_s: when it is over, in seconds of the clock.
    :param call: called then.
    """

    __slots__ = ("_deadlines", "call", "due_s")

    def __init__(self, deadlines: Deadlines, due_s: float, call: Callable[[], object]) -> None:
        self._deadlines = deadlines
        self.due_s = due_s
        self.call = call

    def cancel(self) -> None:
        """Wait no more; nothing happens when it is over already."""
        self._deadlines.cancel(self)

    def active(self) -> bool:
        """:returns: whether it is still waited for."""
        return self in self._deadlines


class Deadlines:
    """
    Waits of one length.

    :param clock: keeps time.
    :param delay_s: how long each is.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, delay_s: float) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._waits: OrderedDict[Deadline, None] = OrderedDict()
        self._timer: IDelayedCall | None = None
        #: There is a timer, or there will be one when it is known who still waits.
        self._watched = False

    def __contains__(self, deadline: Deadline) -> bool:
        return deadline in self._waits

    def begin(self, call: Callable[[], object]) -> Deadline:
        """
        Begin to wait.

        :param call: called when it is over, unless it was cancelled before.
        """
        deadline = Deadline(self, self._clock.seconds() + self._delay_s, call)
        self._waits[deadline] = None
        if not self._watched:
            self._watched = True
            # Asked each time: a reactor learns of ends of turns after all that it serves was made (see `lean_reactor`).
            getattr(self._clock, "at_end_of_turn", _now)(self._watch)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Take a wait back."""
        self._waits.pop(deadline, None)
        if not self._waits and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._watched = False

    def _watch(self) -> None:
        """Set the timer for the head."""
        head = next(iter(self._waits), None)
        self._watched = head is not None
        if head is not None:
            self._timer = self._clock.callLater(max(0.0, head.due_s - self._clock.seconds()), self._look)

    def _look(self) -> None:
        """Call who is due, in order."""
        self._timer = None
        now_s = self._clock.seconds()
        while self._waits:
            first = next(iter(self._waits))
            if first.due_s > now_s:
                break
            del self._waits[first]
            try:
                first.call()
            except Exception:  # noqa: BLE001 - as a timer of the reactor: it is logged, and the others are called
                self.log.failure("a deadline could not be met")
        self._watch()


def _now(call: Callable[[], None]) -> None:
    """Where turns have no end that could be waited for."""
    call()
