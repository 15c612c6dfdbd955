"""
Dials the far end for one client: follows the plan of `policy.attempts` with real paths and a real clock.

The plan says which attempt to begin and which to give up; this class chooses the path, carries the plan out, and tells it what happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, ClassVar

from twisted.internet.interfaces import IAddress

from kwic.policy.attempts import (
    ASK_S,
    Abandon,
    Ask,
    Attempts,
    Fail,
    PlanState,
    Reason,
    Step,
    Succeed,
    Suspect,
    TryPath,
)
from kwic.policy.choice import Candidate, best
from kwic.service.path import Path, PathSource
from kwic.transport.deadlines import Deadlines
from kwic.transport.leg import Leg
from kwic.wire.socks5 import Rep

#: What the dials of a gateway wait for first, together: nothing is due sooner than that, and few dials take so long.
FIRST_S = ASK_S

_REPS = {
    Reason.NO_PATH: Rep.HOST_UNREACHABLE,
    Reason.LOST: Rep.GENERAL_FAILURE,
    Reason.TIMED_OUT: Rep.TTL_EXPIRED,
}


def _nothing(*_: object) -> None:
    """Nobody wants to know, or there is nothing to abandon."""


# looked up for each client
_FAILED = Rep.GENERAL_FAILURE


class Dial:
    """
    One client's dial.

    :param clock: for the deadlines.
    :param source: where the paths come from.
    :param on_success: called with the far leg.
    :param on_failure: called with the reason, as a SOCKS reply and in words.
    :param draw: draws evenly from [0, 1), for ties.
    :param client: where the client comes from, when that is known.
    :param on_over: called with the dial once, when nothing more will come of it.
    :param first: the first waits, `FIRST_S` each, where several dials share them.
    """

    __slots__ = (
        "_draw",
        "_first",
        "_on_failure",
        "_on_over",
        "_on_success",
        "_running",
        "_source",
        "_stop_watching",
        "_taking",
        "_timer",
        "_tried",
        "_wakes_s",
        "client",
        "clock",
        "plan",
        "rep",
    )

    def __init__(
        self,
        clock: Any,
        source: PathSource,
        *,
        on_success: Callable[[Leg], None],
        on_failure: Callable[[Rep, str], None],
        draw: Callable[[], float] = random.random,
        client: IAddress | None = None,
        on_over: Callable[[Dial], None] = _nothing,
        first: Deadlines | None = None,
    ) -> None:
        self.client = client
        self._on_over: Callable[[Dial], None] | None = on_over
        self.clock = clock
        self._source = source
        self._on_success = on_success
        self._on_failure = on_failure
        self._draw = draw
        self._first = first
        self.plan = Attempts(now_s=clock.seconds(), timeout_s=source.timeout_s)
        self._running: tuple[_Running, ...] = ()
        self._tried: tuple[Candidate, ...] = ()
        #: What the last refusal said.
        self.rep = _FAILED
        #: Wakes us, at `_wakes_s`.
        self._timer: Any = None
        self._wakes_s = inf
        self._taking = False
        self._stop_watching: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin."""
        self.take(self.plan.start())

    def cancel(self) -> None:
        """The client is gone."""
        self.take(self.plan.cancel())

    def give_up(self, why: str) -> None:
        """We stop: the client is told that it waits in vain."""
        if not self.plan.over:
            self.take(self.plan.cancel())
            self._on_failure(Rep.GENERAL_FAILURE, why)

    # -- what the plan says -------------------------------------------------------------------------------------------------

    def take(self, steps: Iterable[Step]) -> None:
        """Carry steps out; what they cause at once is a step of the same plan. When all is done, see what is to be waited for."""
        outermost, self._taking = not self._taking, True
        try:
            for step in steps:
                self._deeds[type(step)](self, step)
        finally:
            if outermost:
                self._taking = False
                self._wait()

    def _try(self, step: TryPath) -> None:
        found = self._best()
        if found is None:
            self.take(self.plan.unavailable())
            return
        facts, path = found
        running = _Running(self, step.attempt, path)
        self._running += (running,)
        self._tried += (facts,)
        self.plan.started(step.attempt, self.clock.seconds())
        running.begin()

    def _ask(self, step: Ask) -> None:
        self._running[step.attempt].ask()

    def _suspect(self, step: Suspect) -> None:
        self._running[step.attempt].path.suspect()

    def _abandon(self, step: Abandon) -> None:
        self._running[step.attempt].abandon()

    def _succeed(self, step: Succeed) -> None:
        leg = self._running[step.attempt].leg
        assert leg is not None
        self._on_success(leg)

    def _fail(self, step: Fail) -> None:
        self._on_failure(_REPS.get(step.reason, self.rep), step.detail or step.reason.value)

    _deeds: ClassVar[dict[type[Step], Callable[[Dial, Any], None]]] = {
        TryPath: _try,
        Ask: _ask,
        Suspect: _suspect,
        Abandon: _abandon,
        Succeed: _succeed,
        Fail: _fail,
    }

    # -- paths --------------------------------------------------------------------------------------------------------------

    def _best(self) -> tuple[Candidate, Path] | None:
        paths = self._source.paths()
        facts = [path.facts for path in paths]
        chosen = best(facts, random=self._draw, tried=self._tried)
        return None if chosen is None else (chosen, paths[facts.index(chosen)])

    def _available(self) -> None:
        if self.plan.waiting and self._best() is not None:
            self.take(self.plan.available())

    # -- waiting ------------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Be woken when the plan wants to be called; sooner does no harm, and most never are."""
        if self.plan.state is PlanState.OVER:
            self._end()
            return
        deadline_s = self.plan.deadline_s
        if deadline_s is not None and deadline_s < self._wakes_s:
            self._wake_by(deadline_s)
        if self.plan.state is PlanState.WAITING and self._stop_watching is None:
            self._stop_watching = self._source.watch(self._available)

    def _wake_by(self, deadline_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        first, self._first = self._first, None
        if first is not None:
            self._timer = first.begin(self._tick)
            self._wakes_s = self._timer.due_s
            if self._wakes_s <= deadline_s:
                return
            self._timer.cancel()
        self._wakes_s = deadline_s
        self._timer = self.clock.callLater(max(0.0, deadline_s - self.clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._wakes_s = inf
        self.take(self.plan.tick(self.clock.seconds()))

    def _end(self) -> None:
        """Nothing more will come of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stop_watching is not None:
            self._stop_watching()
        on_over, self._on_over = self._on_over, None
        # Whoever is late is over by himself. Without these there are no cycles, which the collector would have to find.
        self._running = ()
        if on_over is not None:
            on_over(self)


class _Running:
    """One attempt on one path."""

    __slots__ = ("_abandon", "_dial", "_over", "leg", "number", "path")

    def __init__(self, dial: Dial, number: int, path: Path) -> None:
        self._dial = dial
        self.number = number
        self.path = path
        self.leg: Leg | None = None
        self._abandon: Callable[[], None] = _nothing
        self._over = False

    @property
    def client(self) -> IAddress | None:
        return self._dial.client

    def begin(self) -> None:
        abandon = self.path.dial(self)
        if not self._over:
            self._abandon = abandon
        elif self.leg is None:
            # It was over before it was known how to end it.
            abandon()

    def abandon(self) -> None:
        self._over = True
        abandon, self._abandon = self._abandon, _nothing
        abandon()

    def ask(self) -> None:
        self.path.ask(self._alive)

    def _alive(self) -> None:
        if not self._over:
            self._dial.take(self._dial.plan.alive(self.number))

    # -- called by the path -------------------------------------------------------------------------------------------------

    def acknowledged(self) -> None:
        if not self._over:
            dial = self._dial
            dial.take(dial.plan.acknowledged(self.number, dial.clock.seconds()))

    def connected(self, leg: Leg) -> None:
        """It is taken, or came too late."""
        self.leg = leg
        steps = [] if self._over else self._dial.plan.connected(self.number)
        self._over = True
        self._abandon = _nothing
        if steps:
            self._dial.take(steps)
        else:
            leg.reset()

    def refused(self, rep: Rep, why: str) -> None:
        if not self._over:
            self._over = True
            self._dial.rep = rep
            self._dial.take(self._dial.plan.refused(self.number, f"{self.path.label}: {why}"))

    def lost(self, why: str) -> None:
        if not self._over:
            self._over = True
            self._dial.take(self._dial.plan.lost(self.number, f"{self.path.label}: {why}"))
