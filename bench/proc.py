"""What /proc tells about processes: who begot whom, CPU time, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CPUCLOCK_SCHED = 2


@dataclass(frozen=True, kw_only=True)
class Stat:
    """One line of /proc/PID/stat, as far as it matters here.

    :param pid: the process.
    :param parent: its parent.
    :param cpu_ticks: user and system time of all its threads.
    :param waited_ticks: the same of its children that ended and were waited for.
    :param started_ticks: when it started; with the pid, who it is.
    :param is_zombie: whether it has ended and waits to be waited for.
    """

    pid: int
    parent: int
    cpu_ticks: int
    waited_ticks: int
    started_ticks: int
    is_zombie: bool


def parse_stat(text: str) -> Stat:
    """Reads /proc/PID/stat (proc(5)); the name in it may hold blanks and brackets.

    :param text: the line.
    :raises ValueError: when it is no such line.
    """
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if len(fields) < 20:
        raise ValueError(f"not a line of /proc/PID/stat: {text!r}")
    return Stat(
        pid=int(head.split(" ", 1)[0]),
        parent=int(fields[1]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        waited_ticks=int(fields[13]) + int(fields[14]),
        started_ticks=int(fields[19]),
        is_zombie=fields[0] == "Z",
    )


def all_stats() -> dict[int, Stat]:
    """Every process there is, by pid."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = parse_stat((entry / "stat").read_text(errors="replace"))
            except OSError:
                continue
            found[stat.pid] = stat
    return found


def family(root: int, stats: Mapping[int, Stat]) -> list[Stat]:
    """A process and everything below it, parents first.

    :param root: the pid of the first.
    :param stats: everybody.
    """
    children: dict[int, list[Stat]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat)
    found = [stats[root]] if root in stats else []
    for stat in found:
        found.extend(children.get(stat.pid, ()))
    return found


def cpu_s(stats: Iterable[Stat]) -> float:
    """CPU seconds spent by processes and by their children that were waited for.

    :param stats: the processes.
    """
    return sum(_own_cpu_s(stat) + stat.waited_ticks / TICKS_PER_S for stat in stats)


def _own_cpu_s(stat: Stat) -> float:
    """By the process's own CPU clock, which has no ticks; clock_getcpuclockid(3) makes its number so."""
    try:
        return time.clock_gettime(~stat.pid << 3 | CPUCLOCK_SCHED)
    except OSError:
        return stat.cpu_ticks / TICKS_PER_S


def rss_bytes(stats: Iterable[Stat]) -> int:
    """Resident memory of processes; pages that several of them share count once for each.

    :param stats: the processes.
    """
    total = 0
    for stat in stats:
        try:
            total += int((PROC / str(stat.pid) / "statm").read_text().split()[1]) * PAGE_BYTES
        except OSError:
            continue
    return total


def anonymous_bytes(stats: Iterable[Stat]) -> int:
    """Memory that processes have filled themselves; a page that several share counts once, split among them.

    Unlike resident memory it leaves out program files, whose share depends on who else runs them, and counts what forked
    processes have in common only once. Where the kernel does not tell, it is resident memory.

    :param stats: the processes.
    """
    total = 0
    for stat in stats:
        try:
            found = parse_anonymous((PROC / str(stat.pid) / "smaps_rollup").read_text())
        except OSError:
            found = None
        total += rss_bytes([stat]) if found is None else found
    return total


def parse_anonymous(text: str) -> int | None:
    """Reads `Pss_Anon` of /proc/PID/smaps_rollup.

    :param text: the file.
    :returns: bytes; None when the kernel is too old to tell.
    """
    for line in text.splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return None


def pin(stats: Iterable[Stat], cores: Iterable[int]) -> None:
    """Moves every thread of processes to some cores.

    :param stats: the processes.
    :param cores: where they may run from now on.
    """
    allowed = set(cores)
    for stat in stats:
        try:
            threads = [int(entry.name) for entry in (PROC / str(stat.pid) / "task").iterdir()]
        except OSError:
            continue
        for thread in threads:
            try:
                os.sched_setaffinity(thread, allowed)
            except ProcessLookupError:
                continue
