"""What the laboratory and everything else on this computer use of its processors: a stall that others cause should be known as such."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = (3, 4)  # idle and iowait of the first line of /proc/stat
USER, SYSTEM = 11, 12  # of /proc/PID/stat, counted behind the name


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Processor seconds until a moment.

    :param all_s: of the whole computer.
    :param ours_s: of each process of ours, by its id.
    """

    at_s: float
    all_s: float
    ours_s: dict[int, float]

    def other_work(self, earlier: Reading) -> float:
        """How many processors other programs have used, on average, since an earlier reading."""
        time_s = max(self.at_s - earlier.at_s, 1e-6)
        ours_s = sum(used - earlier.ours_s.get(pid, 0.0) for pid, used in self.ours_s.items())
        return max(0.0, (self.all_s - earlier.all_s - ours_s) / time_s)


def read() -> Reading:
    """Read now; the laboratory sees only its own processes under ``/proc``."""
    fields = [
        int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ]
    busy = sum(fields) - sum(fields[index] for index in IDLE_FIELDS)
    ours = {
        int(entry.name): used
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (used := process_s(entry)) is not None
    }
    return Reading(at_s=time.monotonic(), all_s=busy / TICKS, ours_s=ours)


def process_s(entry: Path) -> float | None:
    """The processor seconds of one process; None when it has just ended."""
    try:
        behind = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(behind[USER]) + int(behind[SYSTEM])) / TICKS
