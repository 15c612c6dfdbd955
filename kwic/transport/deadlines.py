"""
Many waits of one length with one timer of the reactor: a timer for each costs more than most of what is waited for.

What begins first is due first, so the waits are a queue, and the timer is for its head. When nobody waits any more there is no timer.
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

    def __contains__(self, deadline: Deadline) -> bool:
        return deadline in self._waits

    def begin(self, call: Callable[[], object]) -> Deadline:
        """
        Begin to wait.

        :param call: called when it is over, unless it was cancelled before.
        """
        deadline = Deadline(self, self._clock.seconds() + self._delay_s, call)
        self._waits[deadline] = None
        if self._timer is None:
            self._timer = self._clock.callLater(self._delay_s, self._look)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Take a wait back."""
        self._waits.pop(deadline, None)
        if not self._waits and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Call who is due, in order."""
        self._timer = None
        now_s = self._clock.seconds()
        while self._waits:
            first = next(iter(self._waits))
            if first.due_s > now_s:
                if self._timer is None:
                    self._timer = self._clock.callLater(first.due_s - now_s, self._look)
                return
            del self._waits[first]
            try:
                first.call()
            except Exception:  # noqa: BLE001 - as a timer of the reactor: it is logged, and the others are called
                self.log.failure("a deadline could not be met")
