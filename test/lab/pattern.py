"""Bytes whose position can be checked: each stream has its own pattern, with a prime period."""

from __future__ import annotations

import random

PERIOD = 65521  # prime: a chunk that is shifted, repeated or left out does not fit by accident


class Pattern:
    """An endless stream of bytes.

    :param seed: which one; two seeds share no run of bytes worth speaking of.
    """

    def __init__(self, seed: int) -> None:
        once = random.Random(seed).randbytes(PERIOD)
        self._twice = once + once

    def at(self, position: int, length: int) -> bytes:
        """The bytes from a position on.

        :param position: of the first byte.
        :param length: how many, at most one period.
        """
        start = position % PERIOD
        return self._twice[start : start + length]
