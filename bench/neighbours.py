"""What other programs did on our cores meanwhile: figures of a busy machine say so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.proc import TICKS_PER_S

IDLE_FIELDS = (3, 4)
"""Of a line of /proc/stat: idle, and waiting for a disk."""

GUEST_FIELDS = (8, 9)
"""Time of guests, which user time has in it already."""

DISTURBING = 0.1
"""A tenth of the cores used by others is worth a remark."""


def busy_s(text: str, cores: Sequence[int]) -> float:
    """How long some cores have been busy since the machine started.

    :param text: /proc/stat (proc(5)).
    :param cores: their numbers.
    """
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in text.splitlines():
        name, *fields = line.split()
        if name in wanted:
            left_out = {*IDLE_FIELDS, *GUEST_FIELDS}
            ticks += sum(int(field) for number, field in enumerate(fields) if number not in left_out)
    return ticks / TICKS_PER_S


def _ours_s() -> float:
    """What we and all children that have ended have used."""
    return sum(os.times()[:4])


class Neighbours:
    """Watches the cores from its creation on.

    :param cores: the cores that the run uses.
    :param read: gives /proc/stat.
    :param ours: CPU seconds of the bench and its children.
    :param clock: seconds, monotonic.
    """

    def __init__(
        self,
        cores: Sequence[int],
        read: Callable[[], str] = Path("/proc/stat").read_text,
        ours: Callable[[], float] = _ours_s,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cores = cores
        self._read = read
        self._ours = ours
        self._clock = clock
        self._began = self._now()

    def share(self) -> float:
        """Which part of the cores others have used; to be asked when all our children have ended."""
        now_s, busy, ours = self._now()
        began_s, began_busy, began_ours = self._began
        whole = (now_s - began_s) * len(self._cores)
        if whole <= 0:
            return 0.0
        return min(max((busy - began_busy) - (ours - began_ours), 0.0) / whole, 1.0)

    def _now(self) -> tuple[float, float, float]:
        return self._clock(), busy_s(self._read(), self._cores), self._ours()
