"""The plan of one client's dial: which attempt to begin, to give up, to take.

A client waits, unread, until the far end of some path has been dialled for it. The plan, in sentences:

1. Paths are tried one after another, the caller choosing each; at most `paths_maximum` of them, for `timeout_s` in all.
2. A path that does not acknowledge within `acknowledge_s` is suspected, and the next one is tried beside it.
3. A path that acknowledged and has not dialled its far end `ask_s` later is asked for a sign of life, for its peer may have died since. One that
   gives none within `answer_s` is like one that did not acknowledge. What its acknowledgement was late by is taken from that time, up to the
   half of it: who is slow twice is no better than who is silent once.
4. So is, beside the suspicion, a path that lives and whose far dial takes longer than `dial_s` from the acknowledgement.
5. A slow attempt is not given up, for it may be the only one that ends well: the first path to connect wins, all others are abandoned.
6. A path that refuses or is lost is out, and the next one is tried at once.
7. When there is no other path, a slow attempt is waited for; and when none is pending, then, if the last path to go was *refused* by
   its far end, that is the answer, and the client fails at once. If it was *lost*, or there was none to begin with, a new path is
   waited for: agents come back within seconds.
8. When `timeout_s` is over, everything pending is abandoned and the client fails.

Rejected: abandoning a slow path before another has connected. With one agent, a pause of two seconds at its end would fail a client that
only had to wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from kwic.errors import MisuseError

PATHS_MAXIMUM = 3
"""Paths tried for one client: more would multiply a back end's failure by the number of agents."""

ACKNOWLEDGE_S = 1.5
"""How long a peer may take to acknowledge a stream: several round trips of any path there is."""

ASK_S = 0.5
"""How long a far dial may take before its peer is asked whether it is still there: longer than nearly all do."""

ANSWER_S = 1.0
"""How long a sign of life may take. With `ASK_S` it is as long as an acknowledgement may."""

DIAL_S = 5.0
"""How long a far dial may take before another path is tried beside it: TCP has then sent its SYN three times."""


class Reason(Enum):
    """Why a dial failed."""

    NO_PATH = "no path"
    """There was none all the time."""
    REFUSED = "refused"
    """A far end said no, and nothing else was left."""
    LOST = "lost"
    """Paths broke, and no other came."""
    TIMED_OUT = "timed out"
    """An attempt was still pending when the time was over."""


@dataclass(frozen=True, kw_only=True)
class TryPath:
    """Choose a path that was not tried and begin this attempt on it; when there is none, say `unavailable`."""

    attempt: int
    """Its number, from 0."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Ask the peer of this attempt for a sign of life, and say `alive` when it comes."""

    attempt: int
    """Which."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """The path of this attempt did not answer: choose others, for every client."""

    attempt: int
    """Its number."""


@dataclass(frozen=True, kw_only=True)
class Abandon:
    """Reset the stream of this attempt."""

    attempt: int
    """Its number."""


@dataclass(frozen=True, kw_only=True)
class Succeed:
    """Join the client and this attempt."""

    attempt: int
    """Its number."""


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Reset the client."""

    reason: Reason
    """Why."""

    detail: str
    """What the last path said, for the log; may be empty."""


Step = TryPath | Ask | Suspect | Abandon | Succeed | Fail


class Phase(Enum):
    """What is true of one attempt."""

    ASKED = auto()
    """Its stream was opened."""
    ACKNOWLEDGED = auto()
    """The peer lives and dials."""
    QUESTIONED = auto()
    """It has acknowledged some time ago, and was asked for another sign of life."""
    DIALLING = auto()
    """It gave one: the far dial takes its time."""
    SLOW = auto()
    """As either, for too long: another path is tried beside it."""
    GONE = auto()
    """It was refused or lost, or the plan is over."""


class PlanState(Enum):
    """What is true of the plan."""

    CHOOSING = auto()
    """The caller was told to try a path and has not said which came of it."""
    PENDING = auto()
    """The last attempt runs."""
    WAITING = auto()
    """There is no path to try; slow attempts may be pending, and a new path is welcome."""
    OVER = auto()
    """It has succeeded or failed."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The figures of a plan."""

    paths_maximum: int = PATHS_MAXIMUM
    """Paths tried."""

    acknowledge_s: float = ACKNOWLEDGE_S
    """Seconds to acknowledge."""

    ask_s: float = ASK_S
    """Seconds from the acknowledgement until a sign of life is asked for."""

    answer_s: float = ANSWER_S
    """Seconds for that, and half of it for a path that took its time to acknowledge."""

    dial_s: float = DIAL_S
    """Seconds for a far dial, from the acknowledgement."""


_USUAL = Rules()


@dataclass(kw_only=True, slots=True)
class _Attempt:
    """One path that is tried."""

    phase: Phase
    due_s: float
    """When the phase has lasted too long."""
    dial_due_s: float = 0.0
    """When the far dial has, once it is acknowledged."""
    answer_s: float = 0.0
    """Seconds that it will have for a sign of life, once it is acknowledged."""


class _Started(dict[int, _Attempt]):
    """The attempts that were started, by their numbers."""

    def __missing__(self, number: int) -> _Attempt:
        raise MisuseError(f"attempt {number} was never started")


# looked up for each client and each message: a member of an enum costs ten times as much in Python 3.11
_ASKED = Phase.ASKED
_ACKNOWLEDGED = Phase.ACKNOWLEDGED
_QUESTIONED = Phase.QUESTIONED
_DIALLING = Phase.DIALLING
_SLOW = Phase.SLOW
_GONE = Phase.GONE
_PLAN_CHOOSING = PlanState.CHOOSING
_PLAN_OVER = PlanState.OVER
_PLAN_PENDING = PlanState.PENDING
_PLAN_WAITING = PlanState.WAITING


class Attempts:
    """One client's dial. Every input returns the steps to take, in order.

    :param now_s: seconds of the caller's steady clock.
    :param timeout_s: seconds for everything.
    :param rules: the other figures.

    :ivar state: what is true now.
    """

    __slots__ = ("_attempts", "_detail", "_end_s", "_reason", "_rules", "state")

    def __init__(self, *, now_s: float, timeout_s: float, rules: Rules = _USUAL) -> None:
        self._rules = rules
        self._end_s = now_s + timeout_s
        self._attempts = _Started()
        self.state = _PLAN_CHOOSING
        self._reason = Reason.NO_PATH
        self._detail = ""

    @property
    def over(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state is _PLAN_OVER

    @property
    def waiting(self) -> bool:
        """Whether a new path is welcome: call `available` when one comes."""
        return self.state is _PLAN_WAITING

    @property
    def deadline_s(self) -> float | None:
        """When to call `tick`; None when it is over."""
        if self.state is _PLAN_OVER:
            return None
        deadline_s = self._end_s
        for one in self._attempts.values():
            if one.due_s < deadline_s and one.phase in _IN_TIME:
                deadline_s = one.due_s
        return deadline_s

    def start(self) -> list[Step]:
        """Begin."""
        return [TryPath(attempt=0)]

    def started(self, attempt: int, now_s: float) -> list[Step]:
        """A path was chosen and its stream opened.

        :raises MisuseError: no such attempt was asked for.
        """
        if self.state is not _PLAN_CHOOSING or attempt != len(self._attempts):
            raise MisuseError(f"attempt {attempt} was not asked for")
        self._attempts[attempt] = _Attempt(phase=_ASKED, due_s=now_s + self._rules.acknowledge_s)
        self.state = _PLAN_PENDING
        return []

    def unavailable(self) -> list[Step]:
        """There is no path to try now.

        :raises MisuseError: none was asked for.
        """
        if self.state is not _PLAN_CHOOSING:
            raise MisuseError("no path was asked for")
        self.state = _PLAN_WAITING
        return self._fail_if_hopeless()

    def available(self) -> list[Step]:
        """A path has come up. Nothing happens unless one is waited for."""
        return self._next() if self.waiting else []

    def acknowledged(self, attempt: int, now_s: float) -> list[Step]:
        """The peer took the stream up. A slow attempt stays slow: another path is on its way already."""
        one = self._attempts[attempt]
        if one.phase is _ASKED:
            one.phase = _ACKNOWLEDGED
            most_s = self._rules.answer_s
            one.answer_s = min(most_s, max(most_s / 2, one.due_s - now_s))
            one.due_s = now_s + self._rules.ask_s
            one.dial_due_s = now_s + self._rules.dial_s
        return []

    def alive(self, attempt: int) -> list[Step]:
        """The peer gave the sign of life that it was asked for. One that comes late changes nothing: another path is on its way already."""
        one = self._attempts[attempt]
        if one.phase is _QUESTIONED:
            one.phase = _DIALLING
            one.due_s = one.dial_due_s
        return []

    def connected(self, attempt: int) -> list[Step]:
        """The far end was dialled: this attempt wins, unless the plan is over, when it comes too late."""
        one = self._attempts[attempt]
        if one.phase is _GONE:
            return []
        self.state = _PLAN_OVER
        one.phase = _GONE
        return [Succeed(attempt=attempt), *self._abandon_all()]

    def refused(self, attempt: int, detail: str) -> list[Step]:
        """The far end said no.

        :param detail: what it said, for the log.
        """
        return self._gone(attempt, Reason.REFUSED, detail)

    def lost(self, attempt: int, detail: str = "") -> list[Step]:
        """The path broke, or its peer reset the stream without a word.

        :param detail: how, for the log.
        """
        return self._gone(attempt, Reason.LOST, detail)

    def cancel(self) -> list[Step]:
        """The client has gone: abandon everything."""
        self.state = _PLAN_OVER
        return self._abandon_all()

    def tick(self, now_s: float) -> list[Step]:
        """Time has passed: what is due? Call it at `deadline_s`; sooner does no harm."""
        if self.over:
            return []
        if now_s >= self._end_s:
            return self._time_out()
        steps: list[Step] = []
        for number, one in self._attempts.items():
            if one.phase in _IN_TIME and now_s >= one.due_s:
                steps += self._overdue(number, one, now_s)
        if self.state is _PLAN_PENDING and self._attempts[len(self._attempts) - 1].phase is _SLOW:
            steps += self._next()
        return steps

    def _overdue(self, number: int, one: _Attempt, now_s: float) -> list[Step]:
        """A phase has lasted too long."""
        if one.phase is _ACKNOWLEDGED:
            one.phase = _QUESTIONED
            one.due_s = now_s + one.answer_s
            return [Ask(attempt=number)]
        lives = one.phase is _DIALLING
        one.phase = _SLOW
        return [] if lives else [Suspect(attempt=number)]

    def _gone(self, number: int, reason: Reason, detail: str) -> list[Step]:
        """An attempt is out."""
        one = self._attempts[number]
        if one.phase is _GONE:
            return []
        one.phase = _GONE
        self._reason = reason
        self._detail = detail
        if self.state is _PLAN_PENDING and number == len(self._attempts) - 1:
            return self._next()
        return self._fail_if_hopeless() if self.waiting else []

    def _next(self) -> list[Step]:
        """Ask for another path, when there may be one more."""
        if len(self._attempts) < self._rules.paths_maximum:
            self.state = _PLAN_CHOOSING
            return [TryPath(attempt=len(self._attempts))]
        self.state = _PLAN_WAITING
        return self._fail_if_hopeless()

    def _fail_if_hopeless(self) -> list[Step]:
        """Fail when nothing is pending and nothing can be waited for."""
        pending = any(one.phase is not _GONE for one in self._attempts.values())
        spent = len(self._attempts) >= self._rules.paths_maximum
        if pending or not (spent or self._reason is Reason.REFUSED):
            return []
        self.state = _PLAN_OVER
        return [Fail(reason=self._reason, detail=self._detail)]

    def _time_out(self) -> list[Step]:
        """The time is over."""
        self.state = _PLAN_OVER
        abandoned = self._abandon_all()
        reason = Reason.TIMED_OUT if abandoned else self._reason
        return [*abandoned, Fail(reason=reason, detail=self._detail)]

    def _abandon_all(self) -> list[Step]:
        """Give up what is pending."""
        steps: list[Step] = []
        for number, one in self._attempts.items():
            if one.phase is not _GONE:
                one.phase = _GONE
                steps.append(Abandon(attempt=number))
        return steps


#: Not a set: the hash of a member is a function of Python's.
_IN_TIME = (Phase.ASKED, Phase.ACKNOWLEDGED, Phase.QUESTIONED, Phase.DIALLING)
