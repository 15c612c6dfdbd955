"""When a WebSocket that says nothing is pinged, and when it is given up (``ws.inactivity.timeout``).

With a timeout of T: nothing received for T/2, ping; nothing for another T/2, dead. Any byte counts as a sign of life.
While we are not reading ourselves, silence says nothing about the other end, so the clock stands still.
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What silence has come to."""

    ALIVE = "alive"
    PING = "ping"
    DEAD = "dead"


class Inactivity:
    """One connection's silence.

    :param timeout_s: T.
    :param now_s: the time at which the connection opened.
    """

    def __init__(self, timeout_s: float, now_s: float) -> None:
        self._half_s = timeout_s / 2
        self._since_s = now_s
        self._pinged = False
        self._deaf = False

    @property
    def due_s(self) -> float | None:
        """When :meth:`check` is to be asked next; None while we do not read."""
        if self._deaf:
            return None
        return self._since_s + self._half_s

    def received(self, now_s: float) -> None:
        """Something came."""
        self._since_s = now_s
        self._pinged = False

    def stopped_reading(self) -> None:
        """We do not listen for a while."""
        self._deaf = True

    def resumed_reading(self, now_s: float) -> None:
        """We listen again: the other end gets its whole time anew."""
        self._deaf = False
        self.received(now_s)

    def check(self, now_s: float) -> Verdict:
        """:returns: what is to be done now."""
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return Verdict.ALIVE
        if self._pinged:
            return Verdict.DEAD
        self._pinged = True
        self._since_s = now_s
        return Verdict.PING
