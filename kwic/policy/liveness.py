"""When silence becomes suspicion, and suspicion death.

1. Any byte received is a sign of life. Silence is counted from the last one.
2. After `ping_after_s` of silence a ping is due, and another each `ping_after_s` that the silence lasts.
3. When a ping was due and half of what then remains until death has passed in silence too, the peer is suspected: it is not chosen
   while another path is there.
4. After `dead_after_s` of silence the peer is dead.
5. A check that comes late by more than `STALL_S` says that *we* slept (a stopped process, a suspended machine): bytes may be waiting
   unread, so silence is counted anew from now, and a ping is due at once.

With the defaults: ping at 2 s, suspected at 3.5 s, second ping at 4 s, dead at 5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

STALL_S = 1.0
"""How late a check may come before it says that we slept: far above what a busy reactor is late by."""


class Action(Enum):
    """What to do now."""

    NOTHING = auto()
    """Look again later."""
    PING = auto()
    """Ask for a sign of life."""
    SUSPECT = auto()
    """Choose other paths from now on, until a byte comes."""
    DEAD = auto()
    """Close it."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How patient to be."""

    ping_after_s: float
    """Silence before a ping, in seconds."""

    dead_after_s: float
    """Silence before death, in seconds; more than `ping_after_s`."""

    @property
    def suspect_after_s(self) -> float:
        """Silence before suspicion, in seconds."""
        return (self.ping_after_s + self.dead_after_s) / 2


NORMAL = Timing(ping_after_s=2.0, dead_after_s=5.0)
"""The default: silent death is noticed within 5 s."""

FAST = Timing(ping_after_s=0.6, dead_after_s=1.5)
"""For short, steady paths: 1.5 s."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a check."""

    action: Action
    """What to do now."""

    next_check_s: float
    """When to check again, in seconds of the caller's clock."""


class Liveness:
    """Watches one peer.

    :param timing: how patient to be.
    :param now_s: seconds of the caller's steady clock.
    """

    def __init__(self, timing: Timing, now_s: float) -> None:
        self._timing = timing
        self._since_s = now_s
        self._pinged_s = now_s
        self._suspected = False
        self._due_s = now_s + timing.ping_after_s

    @property
    def suspected(self) -> bool:
        """Whether the peer was found suspicious and has not been heard since."""
        return self._suspected

    def check(self, now_s: float, last_received_s: float) -> Verdict:
        """Look at the silence. Call it at `next_check_s`; sooner does no harm.

        :param now_s: the time, in seconds.
        :param last_received_s: when the last byte came, in seconds.
        :returns: what to do, and when to look again.
        """
        if last_received_s > self._since_s:
            self.heard(last_received_s)
        stalled = now_s - self._due_s > STALL_S
        if stalled:
            self.heard(now_s)
        action = Action.PING if stalled else self._judge(now_s)
        if action is Action.PING:
            self._pinged_s = now_s
        if action is Action.SUSPECT:
            self._suspected = True
        self._due_s = self._next_s()
        return Verdict(action=action, next_check_s=self._due_s)

    def heard(self, when_s: float) -> None:
        """A byte came: silence begins anew. `check` sees to it itself; call this to clear a suspicion at once.

        :param when_s: when it came, in seconds.
        """
        self._since_s = when_s
        self._pinged_s = when_s
        self._suspected = False

    def _judge(self, now_s: float) -> Action:
        """What the silence says."""
        # sums and never differences: a check at the very second that _next_s named must find the thing due
        if now_s >= self._since_s + self._timing.dead_after_s:
            return Action.DEAD
        if now_s >= self._since_s + self._timing.suspect_after_s and not self._suspected:
            return Action.SUSPECT
        if now_s >= self._pinged_s + self._timing.ping_after_s:
            return Action.PING
        return Action.NOTHING

    def _next_s(self) -> float:
        """When the next thing can be due."""
        due_s = min(self._pinged_s + self._timing.ping_after_s, self._since_s + self._timing.dead_after_s)
        if self._suspected:
            return due_s
        return min(due_s, self._since_s + self._timing.suspect_after_s)
