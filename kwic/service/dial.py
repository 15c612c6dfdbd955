"""
Dials the far end for one client: follows the plan of `policy.attempts` with real paths and a real clock.

The plan says which attempt to begin and which to give up; this class chooses the path, carries the plan out, and tells it what happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IAddress

from kwic.policy.attempts import Abandon, Ask, Attempts, Fail, Reason, Step, Succeed, Suspect, TryPath
from kwic.policy.choice import Candidate, best
from kwic.service.path import Path, PathSource
from kwic.transport.leg import Leg
from kwic.wire.socks5 import Rep

_REPS = {
    Reason.NO_PATH: Rep.HOST_UNREACHABLE,
    Reason.LOST: Rep.GENERAL_FAILURE,
    Reason.TIMED_OUT: Rep.TTL_EXPIRED,
}


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
    """

    def __init__(
        self,
        clock: Any,
        source: PathSource,
        *,
        on_success: Callable[[Leg], None],
        on_failure: Callable[[Rep, str], None],
        draw: Callable[[], float] = random.random,
        client: IAddress | None = None,
        on_over: Callable[[Dial], None] = lambda dial: None,
    ) -> None:
        self.client = client
        self._on_over: Callable[[Dial], None] | None = on_over
        self._clock = clock
        self._source = source
        self._on_success = on_success
        self._on_failure = on_failure
        self._draw = draw
        self._plan = Attempts(now_s=clock.seconds(), timeout_s=source.timeout_s)
        self._running: list[_Running] = []
        self._tried: list[Candidate] = []
        self._last_rep = Rep.GENERAL_FAILURE
        self._timer: Any = None
        self._timer_s = 0.0
        self._stop_watching: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin."""
        self._take(self._plan.start())

    def cancel(self) -> None:
        """The client is gone."""
        self._take(self._plan.cancel())

    def give_up(self, why: str) -> None:
        """We stop: the client is told that it waits in vain."""
        if not self._plan.over:
            self._take(self._plan.cancel())
            self._on_failure(Rep.GENERAL_FAILURE, why)

    def _available(self) -> None:
        if self._plan.waiting and self._best() is not None:
            self._take(self._plan.available())

    def _best(self) -> tuple[Candidate, Path] | None:
        paths = {facts.key: (facts, path) for path in self._source.paths() for facts in (path.facts,)}
        chosen = best([facts for facts, _ in paths.values()], random=self._draw, tried=self._tried)
        return None if chosen is None else paths[chosen.key]

    def _take(self, steps: Iterable[Step]) -> None:
        """Carry steps out; what they cause at once is a step of the same plan."""
        running = self._running
        for step in steps:
            match step:
                case TryPath():
                    self._try()
                case Ask(attempt=number):
                    self._running[number].ask()
                case Suspect(attempt=number):
                    running[number].path.suspect()
                case Abandon(attempt=number):
                    running[number].abandon()
                case Succeed(attempt=number):
                    self._succeed(running[number])
                case Fail(reason=reason, detail=detail):
                    self._fail(reason, detail)
        self._set_timer()
        if self._plan.waiting and self._stop_watching is None:
            self._stop_watching = self._source.watch(self._available)

    def _try(self) -> None:
        found = self._best()
        if found is None:
            self._take(self._plan.unavailable())
            return
        facts, path = found
        running = _Running(self, len(self._running), path)
        self._running.append(running)
        self._tried.append(facts)
        self._take(self._plan.started(running.number, self._clock.seconds()))
        running.begin()

    def _succeed(self, running: _Running) -> None:
        assert running.leg is not None
        self._on_success(running.leg)

    def _fail(self, reason: Reason, detail: str) -> None:
        rep = _REPS.get(reason, self._last_rep)
        self._on_failure(rep, detail or reason.value)

    def _set_timer(self) -> None:
        deadline = self._plan.deadline_s
        if self._timer is not None:
            if deadline is not None and self._timer_s <= deadline:
                # One that comes too early does no harm, and most never come.
                return
            self._timer.cancel()
            self._timer = None
        if deadline is None:
            if self._stop_watching is not None:
                self._stop_watching()
            on_over, self._on_over = self._on_over, None
            # Whoever is late is over by himself. Without these there are no cycles, which the collector would have to find.
            self._running = []
            if on_over is not None:
                on_over(self)
        else:
            self._timer_s = deadline
            self._timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._take(self._plan.tick(self._clock.seconds()))

    # -- called by the attempts ---------------------------------------------------------------------------------------------

    def acknowledged(self, running: _Running) -> None:
        """A peer has begun to dial."""
        self._take(self._plan.acknowledged(running.number, self._clock.seconds()))

    def alive(self, running: _Running) -> None:
        """A peer is still there."""
        self._take(self._plan.alive(running.number))

    def connected(self, running: _Running) -> None:
        """A far end was dialled: it is taken, or came too late."""
        steps = self._plan.connected(running.number)
        if not steps and running.leg is not None:
            running.leg.reset()
        self._take(steps)

    def refused(self, running: _Running, rep: Rep, why: str) -> None:
        """A far end said no."""
        self._last_rep = rep
        self._take(self._plan.refused(running.number, f"{running.path.label}: {why}"))

    def lost(self, running: _Running, why: str) -> None:
        """A path broke."""
        self._take(self._plan.lost(running.number, f"{running.path.label}: {why}"))


class _Running:
    """One attempt on one path."""

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
        self._abandon = self.path.dial(self)
        if self._over and self.leg is None:
            self._abandon()

    def abandon(self) -> None:
        self._over = True
        abandon, self._abandon = self._abandon, _nothing
        abandon()

    def ask(self) -> None:
        self.path.ask(self._alive)

    def _alive(self) -> None:
        if not self._over:
            self._dial.alive(self)

    def acknowledged(self) -> None:
        if not self._over:
            self._dial.acknowledged(self)

    def connected(self, leg: Leg) -> None:
        self.leg = leg
        if self._over:
            leg.reset()
            return
        self._over = True
        self._abandon = _nothing
        self._dial.connected(self)

    def refused(self, rep: Rep, why: str) -> None:
        if not self._over:
            self._over = True
            self._dial.refused(self, rep, why)

    def lost(self, why: str) -> None:
        if not self._over:
            self._over = True
            self._dial.lost(self, why)


def _nothing() -> None:
    """There is nothing to abandon."""
