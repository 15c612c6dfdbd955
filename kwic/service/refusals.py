"""Says that somebody was turned away: worth a line, though not one for each of a flood."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from kwic.config.words import shown

#: One line in so many seconds; the others are on level debug.
INTERVAL_S = 1.0


class Refusals:
    """
    The log lines of one listener, or of one service.

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
        self.log.emit(self._level(), "{peer} is refused: {why}", peer=peer, why=why)

    def unserved(self, peer: str, service: str, target: str, why: str) -> None:
        """
        There is no way for a client.

        :param peer: who.
        :param service: the name of the service that it came to.
        :param target: where it was to go.
        :param why: in words.
        """
        self.log.emit(
            self._level(),
            "service {service}: connection to {target} failed [{peer}]: {why}",
            service=shown(service),
            target=target,
            peer=peer,
            why=why,
        )

    def _level(self) -> LogLevel:
        now_s = self._clock.seconds()
        if now_s - self._said_s < INTERVAL_S:
            return LogLevel.debug
        self._said_s = now_s
        return LogLevel.warn

    def left(self, peer: str, why: str) -> None:
        """Somebody left before he was through: a probe, or an impatient client."""
        self.log.debug("{peer} left: {why}", peer=peer, why=why)
