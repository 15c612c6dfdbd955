"""Says that somebody was turned away: worth a line, though not one for each of a flood."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

#: One line in so many seconds; the others are on level debug.
INTERVAL_S = 1.0


class Refusals:
    """
    The log lines of one listener.

    :param clock: for the interval.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._said_s = float("-inf")

    def say(self, peer: str, why: str) -> None:
        """
        Somebody is turned away.

        :param peer: who.
        :param why: in words.
        """
        level, now_s = LogLevel.debug, self._clock.seconds()
        if now_s - self._said_s >= INTERVAL_S:
            level, self._said_s = LogLevel.warn, now_s
        self.log.emit(level, "{peer} is refused: {why}", peer=peer, why=why)

    def left(self, peer: str, why: str) -> None:
        """Somebody left before he was through: a probe, or an impatient client."""
        self.log.debug("{peer} left: {why}", peer=peer, why=why)
