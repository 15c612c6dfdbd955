"""What the demo prints: lines that stay, and on a terminal a picture below them that is drawn again as things change."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TextIO

GOOD, BAD = "✓", "✗"
PLAIN = {GOOD: "ok", BAD: "FAILED", "→": "->", "·": "-", "–": "-"}
"""What stands for our signs where the output's encoding has none."""

GREEN, RED, DIM, NORMAL = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
CLEAR_BELOW = "\x1b[J"


class Screen:
    """Lines that stay, and a picture below them.

    Safe to use from several threads.

    :param out: where to print.
    :param live: whether to draw the picture: only where the cursor can go back up.
    :param width: longer lines of the picture are cut, since a wrapped line would upset the count.
    """

    def __init__(self, out: TextIO, *, live: bool, width: int = 100) -> None:
        self.live = live
        self._out = out
        self._width = width
        self._picture: list[str] = []
        self._drawn = 0
        self._lock = threading.Lock()
        self._signs = PLAIN if _lacks_signs(getattr(out, "encoding", None)) else {}
        self._colours = live and not os.environ.get("NO_COLOR")

    def line(self, text: str = "") -> None:
        """Print a line that stays, above the picture.

        :param text: the line.
        """
        with self._lock:
            self._erase()
            self._write(self._coloured(text) + "\n")
            self._draw()

    def picture(self, lines: Sequence[str]) -> None:
        """Draw another picture below the lines; nothing where it cannot be redrawn.

        :param lines: the picture; empty to take it away.
        """
        with self._lock:
            if not self.live or list(lines) == self._picture:
                return
            self._erase()
            self._picture = list(lines)
            self._draw()

    def _erase(self) -> None:
        """Take the picture off the screen, the cursor where its first line began."""
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\r{CLEAR_BELOW}")
        self._drawn = 0

    def _draw(self) -> None:
        """Put the picture on the screen."""
        if self.live and self._picture:
            self._write("".join(f"{self._dim(line[: self._width])}\n" for line in self._picture))
            self._drawn = len(self._picture)
        self._out.flush()

    def _coloured(self, text: str) -> str:
        """The line with its sign in colour."""
        if self._colours:
            text = text.replace(GOOD, f"{GREEN}{GOOD}{NORMAL}", 1).replace(BAD, f"{RED}{BAD}{NORMAL}", 1)
        return text

    def _dim(self, text: str) -> str:
        """The picture's lines stand back behind what was done."""
        return f"{DIM}{text}{NORMAL}" if self._colours else text

    def _write(self, text: str) -> None:
        """Write, in signs that the output knows."""
        for sign, plain in self._signs.items():
            text = text.replace(sign, plain)
        self._out.write(text)


def _lacks_signs(encoding: str | None) -> bool:
    """Whether an encoding cannot express our signs; None is text that is not encoded at all."""
    try:
        "".join(PLAIN).encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
