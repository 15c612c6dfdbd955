"""One line that says what is going on and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO


def span(seconds: float) -> str:
    """A duration as people say it.

    :param seconds: the duration.
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


class Progress:
    """Steps of equal weight, counted.

    :param out: where the line goes; on a terminal it is rewritten in place, elsewhere there is a line now and then.
    :param steps: how many there will be.
    :param clock: seconds, monotonic.
    """

    QUIET_S = 10.0
    """How often a line is printed where it cannot be rewritten."""

    def __init__(self, out: TextIO, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._steps = steps
        self._clock = clock
        self._done = 0
        self._started_s = clock()
        self._printed_s: float | None = None
        self._width = 0
        self._is_terminal = out.isatty()

    def step(self, what: str) -> None:
        """Says what begins now.

        :param what: a few words.
        """
        line = f"{min(self._done, self._steps) / max(self._steps, 1):4.0%}  {what}{self._left()}"
        self._done += 1
        now_s = self._clock()
        if self._is_terminal:
            self._out.write("\r" + line.ljust(self._width))
            self._out.flush()
            self._width = len(line)
        elif self._printed_s is None or now_s - self._printed_s >= self.QUIET_S:
            self._out.write(line + "\n")
            self._out.flush()
            self._printed_s = now_s

    def skip(self, steps: int) -> None:
        """Counts steps that will not be taken.

        :param steps: how many.
        """
        self._done += steps

    def note(self, text: str) -> None:
        """Prints a line that stays.

        :param text: the line.
        """
        self.clear()
        self._out.write(text + "\n")
        self._out.flush()

    def clear(self) -> None:
        """Wipes the line."""
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._out.flush()
            self._width = 0

    def _left(self) -> str:
        spent_s = self._clock() - self._started_s
        if self._done < 3 or spent_s < 3:
            return ""
        return f"  (about {span(spent_s / self._done * max(self._steps - self._done, 0))} left)"
