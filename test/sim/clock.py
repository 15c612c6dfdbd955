"""Time that passes from one event to the next: the same events in the same order give the same run."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IDelayedCall)
class SimCall:
    """Something that is to happen."""

    __slots__ = ("_clock", "_state", "_when", "args", "func", "kwargs", "owner")

    def __init__(self, clock: SimClock, when: float, owner: Any, func: Callable, args: Any, kwargs: Any):
        self._clock = clock
        self._when = when
        self._state = "waiting"
        self.owner = owner
        self.func, self.args, self.kwargs = func, args, kwargs

    def active(self) -> bool:
        return self._state == "waiting"

    def getTime(self) -> float:
        return self._when

    def cancel(self) -> None:
        self._check()
        self._state = "cancelled"
        if self.owner is not None:
            self.owner.calls.discard(self)
        self.func, self.args, self.kwargs = None, (), {}

    def reset(self, secondsFromNow: float) -> None:
        self._check()
        self._when = self._clock.seconds() + secondsFromNow
        self._clock.push(self)

    def delay(self, secondsLater: float) -> None:
        self._check()
        self._when += secondsLater
        self._clock.push(self)

    def run(self) -> None:
        """It happens."""
        self._state = "called"
        if self.owner is not None:
            self.owner.calls.discard(self)
        self.func(*self.args, **self.kwargs)

    def _check(self) -> None:
        if self._state == "called":
            raise AlreadyCalled
        if self._state == "cancelled":
            raise AlreadyCancelled

    def __str__(self) -> str:
        return f"<{self.func} at {self._when:.3f}, {self._state}>"

    __repr__ = __str__


@implementer(IReactorTime)
class SimClock:
    """The time of a whole simulation."""

    def __init__(self) -> None:
        # Not 0: a clock that is may hide what forgets to ask for the time.
        self._now = 1000.0
        self._heap: list[tuple[float, int, SimCall]] = []
        self._order = count()
        #: Whose call runs now; None: the world's.
        self.acting: Any = None

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable, *args: Any, **kwargs: Any) -> SimCall:  # noqa: A002
        return self.call_for(None, delay, callable, args, kwargs)

    def call_for(self, owner: Any, delay: float, func: Callable, args: Any, kwargs: Any) -> SimCall:
        """A call that belongs to a host."""
        assert delay >= 0, delay
        call = SimCall(self, self._now + delay, owner, func, args, kwargs)
        self.push(call)
        return call

    def push(self, call: SimCall) -> None:
        heapq.heappush(self._heap, (call.getTime(), next(self._order), call))

    def getDelayedCalls(self) -> list[SimCall]:
        return [call for when, _, call in self._heap if call.active() and when == call.getTime()]

    def step(self, until_s: float) -> bool:
        """
        Let the next thing happen.

        :param until_s: unless it is to happen later than this.
        :returns: whether anything did.
        """
        while self._heap:
            when, _, call = self._heap[0]
            if when > until_s:
                return False
            heapq.heappop(self._heap)
            if call.active() and call.getTime() == when:
                self._now = max(self._now, when)
                self.acting = call.owner
                if call.owner is None:
                    call.run()
                else:
                    call.owner.due(call)
                return True
        return False

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_s = self._now + seconds
        while self.step(until_s):
            pass
        self._now = until_s

    def run_until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> float:
        """
        Let time pass until something is so.

        :returns: how long it took, in seconds.
        """
        began_s = self._now
        until_s = self._now + timeout_s
        while not condition():
            if not self.step(until_s):
                raise AssertionError(f"it did not come about within {timeout_s} s")
        return self._now - began_s
