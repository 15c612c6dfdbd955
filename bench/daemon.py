"""A program that runs beside the bench until it is stopped: started, counted, pinned, stopped with all its children."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import proc
from bench.errors import MeasureError

STOP_S = 5.0
"""How long a program may take to stop before it is killed."""

POLL_S = 0.02

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    """Between fork and exec: asks the kernel for SIGTERM when the bench dies, however it dies."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Daemon:
    """One such program.

    :param name: what messages call it.
    :param command: its command line.
    :param log: the file that gets what it prints.
    :param environ: its environment; None is ours.
    :param folder: its working directory; None is ours.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._environ = environ
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, in a session of its own so that a Ctrl-C reaches the bench alone, which then stops it."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def family(self) -> list[proc.Stat]:
        """It and everything below it."""
        return proc.family(self.pid, proc.all_stats()) if self.is_alive else []

    def cpu_s(self) -> float:
        """CPU seconds that it and its children have used."""
        return proc.cpu_s(self._living())

    def rss_bytes(self) -> int:
        """Resident memory of it and its children."""
        return proc.rss_bytes(self._living())

    def anonymous_bytes(self) -> int:
        """Memory that it and its children have filled themselves, pages that they share counted once."""
        return proc.anonymous_bytes(self._living())

    def pin(self, cores: Iterable[int]) -> None:
        """Moves it and its children to some cores.

        :param cores: their numbers.
        """
        proc.pin(self.family(), cores)

    def tail(self, lines: int = 5) -> str:
        """The end of what it printed, on one line.

        :param lines: how many lines of it.
        """
        try:
            text = self._log.read_text(errors="replace")
        except OSError:
            return ""
        return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:])

    def stop(self) -> None:
        """Stops it and everything below it, politely first, and waits until all have ended."""
        if self._process is None:
            return
        members = proc.family(self.pid, proc.all_stats())
        for number in (signal.SIGTERM, signal.SIGKILL):
            for member in self._left(members):
                _signal(member.pid, number)
            self._wait(members)
        self._process = None

    def _living(self) -> list[proc.Stat]:
        members = self.family()
        if not members:
            raise MeasureError(f"{self.name} is not running; it said: {self.tail()}")
        return members

    def _wait(self, members: Sequence[proc.Stat]) -> None:
        deadline = time.monotonic() + STOP_S
        while self._left(members) and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _left(self, members: Iterable[proc.Stat]) -> list[proc.Stat]:
        if self._process is not None:
            self._process.poll()
        now = proc.all_stats()
        return [
            member
            for member in members
            if (still := now.get(member.pid))
            and still.started_ticks == member.started_ticks
            and not still.is_zombie
        ]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
