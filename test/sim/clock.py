"""Time that passes from one event to the next: the same events in the same order give the same run."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IDelayedCall)
class SimCall:
    """Something that is to happen."""

    __slots__ = ("_clock", "_state", "args", "at_s", "func", "kwargs", "owner")

    def __init__(self, clock: SimClock, at_s: float, owner: Any, func: Callable, args: Any, kwargs: Any):
        self._clock = clock
        self._state = "waiting"
        self.at_s = at_s
        self.owner = owner
        self.func, self.args, self.kwargs = func, args, kwargs

    def active(self) -> bool:
        return self._state == "waiting"

    def getTime(self) -> float:
        return self.at_s

    def cancel(self) -> None:
        self._check()
        self._state = "cancelled"
        if self.owner is not None:
            self.owner.calls.discard(self)
        self.func, self.args, self.kwargs = None, (), {}

    def reset(self, secondsFromNow: float) -> None:
        self._move(self._clock.seconds() + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        self._move(self.at_s + secondsLater)

    def _move(self, at_s: float) -> None:
        self._check()
        earlier = at_s < self.at_s
        self.at_s = at_s
        if earlier:
            self._clock.push(at_s, self)
        # else: its turn comes, and finds that it is later

    def run(self) -> None:
        """It happens."""
        self._state = "called"
        if self.owner is not None:
            self.owner.calls.discard(self)
        self.func(*self.args, **self.kwargs)

    def turn(self) -> bool:
        """
        Its time has come.

        :returns: whether it happened.
        """
        # Two of three things that happen are calls: what `is_due` and `run` do stands here again.
        if self._state != "waiting":
            return False
        clock = self._clock
        if self.at_s > clock.now_s:
            clock.push(self.at_s, self)
            return False
        owner = clock.acting = self.owner
        if owner is None:
            self._state = "called"
            self.func(*self.args, **self.kwargs)
        elif owner.runs:
            self._state = "called"
            owner.calls.discard(self)
            self.func(*self.args, **self.kwargs)
        elif owner.alive:
            owner.put_off(self)
        return True

    def is_due(self) -> bool:
        """Whether it is to happen now; if it was moved, another turn comes."""
        if self._state != "waiting":
            return False
        if self.at_s > self._clock.now_s:
            self._clock.push(self.at_s, self)
            return False
        return True

    def _check(self) -> None:
        if self._state == "called":
            raise AlreadyCalled
        if self._state == "cancelled":
            raise AlreadyCancelled

    def __str__(self) -> str:
        # No addresses of objects: a report is the same when it is replayed.
        what = getattr(self.func, "__qualname__", type(self.func).__name__)
        return f"<{what} at {self.at_s:.3f}, {self._state}>"

    __repr__ = __str__


class SimEvent:
    """
    Something that happens in the network: nobody moves or cancels it.

    :param func: what is called.
    :param args: with what.
    """

    __slots__ = ("_args", "_clock", "_func")

    def __init__(self, clock: SimClock, func: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._clock, self._func, self._args = clock, func, args

    def turn(self) -> bool:
        """It happens."""
        self._clock.acting = None
        self._func(*self._args)
        return True


@implementer(IReactorTime)
class SimClock:
    """The time of a whole simulation."""

    def __init__(self) -> None:
        #: The same as `seconds()`. Not 0: a clock that is may hide what forgets to ask for the time.
        self.now_s = 1000.0
        self._heap: list[tuple[float, int, SimCall | SimEvent]] = []
        self._order = count()
        #: Whose call runs now; None: the world's.
        self.acting: Any = None

    def seconds(self) -> float:
        return self.now_s

    def callLater(self, delay: float, callable: Callable, *args: Any, **kwargs: Any) -> SimCall:  # noqa: A002
        return self.call_for(None, delay, callable, args, kwargs)

    def call_for(self, owner: Any, delay: float, func: Callable, args: Any, kwargs: Any) -> SimCall:
        """A call that belongs to a host."""
        assert delay >= 0, delay
        at_s = self.now_s + delay
        call = SimCall(self, at_s, owner, func, args, kwargs)
        heappush(self._heap, (at_s, next(self._order), call))
        return call

    def at(self, at_s: float, func: Callable[..., None], *args: Any) -> None:
        """Something is to happen in the network."""
        heappush(self._heap, (at_s, next(self._order), SimEvent(self, func, args)))

    def push(self, at_s: float, call: SimCall) -> None:
        """The turn of a call is to come then."""
        heappush(self._heap, (max(at_s, self.now_s), next(self._order), call))

    def getDelayedCalls(self) -> list[SimCall]:
        calls = {call: None for _, _, call in sorted(self._heap) if isinstance(call, SimCall)}
        return [call for call in calls if call.active()]

    def step(self, until_s: float) -> bool:
        """
        Let the next thing happen.

        :param until_s: unless it is to happen later than this.
        :returns: whether anything did.
        """
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, call = heappop(heap)
            if call.turn():
                return True
        return False

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_s = self.now_s + seconds
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, call = heappop(heap)
            call.turn()
        self.now_s = until_s

    def run_until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> float:
        """
        Let time pass until something is so.

        :returns: how long it took, in seconds.
        """
        began_s = self.now_s
        until_s = self.now_s + timeout_s
        while not condition():
            if not self.step(until_s):
                raise AssertionError(f"it did not come about within {timeout_s} s")
        return self.now_s - began_s
