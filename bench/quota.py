"""
Parts of a core for single processes: as if each had a core of its own, smaller than those that the machine has.

A client and a server on the same cores take their share of them, so that two processes there cannot show what they would do with a core each. With a part of
a core each, and the rest for the others, they can. It needs a control group of the kernel's CPU controller, which root may make.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import MeasureError

PERIOD_US = 10_000
"""Within each of these a process may run for its part: short, so that nobody waits long."""

ROOT = Path("/sys/fs/cgroup")


def _second(folder: Path, quota_us: int) -> None:
    (folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}", encoding="ascii")


def _first(folder: Path, quota_us: int) -> None:
    (folder / "cpu.cfs_period_us").write_text(f"{PERIOD_US}", encoding="ascii")
    (folder / "cpu.cfs_quota_us").write_text(f"{quota_us}", encoding="ascii")


VERSIONS = (("cpu", "cpu.cfs_quota_us", _first), ("", "cpu.max", _second))
"""Of control groups: where they are, what says that they are these, and how a part is set."""


class Quota:
    """A part of a core for each of some processes.

    :param share: of a core.
    :param root: where control groups are made.
    """

    def __init__(self, share: float, root: Path = ROOT) -> None:
        self._quota_us = int(share * PERIOD_US)
        self._root = root
        self._folders: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in self._folders:
            try:
                folder.rmdir()
            except OSError:
                # Somebody is in it still: better a group too many than an error that hides another one.
                continue

    def give(self, pids: Iterable[int]) -> None:
        """Gives its part to each process; to be called within the context, which ends after the processes.

        :raises MeasureError: the kernel does not let us.
        """
        try:
            for pid in pids:
                self._give(pid)
        except OSError as error:
            raise MeasureError(f"no control group could be made for process {pid}: {error}") from error

    def _give(self, pid: int) -> None:
        for place, sign, limit in VERSIONS:
            folder = self._root / place / f"kwic-bench-{pid}"
            if not folder.parent.is_dir():
                continue
            folder.mkdir()
            self._folders.append(folder)
            if (folder / sign).exists():
                limit(folder, self._quota_us)
                (folder / "cgroup.procs").write_text(f"{pid}", encoding="ascii")
                return
        raise OSError("there is no CPU controller")


def missing(root: Path = ROOT) -> str | None:
    """Why no parts can be given here; None when they can."""
    if os.geteuid() != 0:
        return "only root may make control groups"
    for place, sign, _ in VERSIONS:
        folder = root / place / f"kwic-bench-try-{os.getpid()}"
        try:
            folder.mkdir()
            found = (folder / sign).exists()
            folder.rmdir()
        except OSError:
            continue
        if found:
            return None
    return "this system has no control groups for the CPU that could be changed"
