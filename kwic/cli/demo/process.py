"""One gateway process: `twistd -n kwic` of the running interpreter, started, watched, stopped and killed.

Processes outlive the command that started them (`kwic demo --keep`), so a process is known by its pid *and* its exact command
line, kept in a file: a pid alone may have been given to somebody else since.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import kwic
from kwic.errors import SetupError

TWISTD = "from twisted.scripts.twistd import run; run()"
"""What the `twistd` command runs; `-m twisted` is another program with other options."""

SOURCE_ROOT = Path(kwic.__file__).resolve().parent.parent
"""The folder that holds the `kwic` package and, beside it, the twistd plugin."""

LEFT_OUT = frozenset({"GATEWAY_OPTS", "http_proxy", "https_proxy", "no_proxy", "all_proxy"})
"""Environment variables (any case for the proxies) that would change what a gateway does behind our back."""

POLL_S = 0.02
"""How often a process that is not our child is looked at while it ends."""


def twistd_command(config: Path, *options: str) -> list[str]:
    """The command line of a gateway in the foreground, without a pid file of twistd's own.

    :param config: the gateway's XML file.
    :param options: further options of `twistd kwic`.
    """
    return [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "kwic", "--config", str(config), *options]


def gateway_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a gateway: the caller's, minus what steers gateways, plus where our package is.

    :param environ: the caller's environment.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in LEFT_OUT and name.lower() not in LEFT_OUT
    }
    paths = [str(SOURCE_ROOT), *filter(None, [environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def command_of(pid: int) -> list[str] | None:
    """The command line of a living process; None when there is none, or it is a zombie.

    :param pid: the process.
    :returns: the arguments; one joined string where only `ps` can tell.
    """
    proc = Path("/proc")
    if (proc / "self" / "cmdline").exists():
        try:
            raw = (proc / str(pid) / "cmdline").read_bytes()
        except OSError:
            return None
        return [part.decode(errors="replace") for part in raw.split(b"\0")[:-1]] or None
    asked = subprocess.run(  # noqa: S603 - no shell, and the pid is a number
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever the system keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    return [asked.stdout.strip()] if asked.stdout.strip() else None


class GatewayProcess:
    """A gateway process with a name, a log and a record on disk.

    :param name: what it is called, in file names too.
    :param command: its command line.
    :param directory: where its log and its record go; must exist.
    :param environ: the environment to derive its own from.
    """

    def __init__(
        self, *, name: str, command: Sequence[str], directory: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = directory / f"{name}.log"
        self._record = directory / f"{name}.pid"
        self._environ = gateway_environment(environ)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        return self._recorded_pid()

    def _recorded_pid(self) -> int | None:
        """The pid of a process that an earlier command started, when it still is that process."""
        try:
            record = json.loads(self._record.read_text())
            pid, command = int(record["pid"]), list(record["command"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        running = command_of(pid)
        return pid if running in (command, [" ".join(command)]) else None

    def start(self) -> None:
        """Start it; its output is appended to the log, and Ctrl-C at the terminal does not reach it.

        :raises SetupError: when it is running already.
        """
        if self.pid is not None:
            raise SetupError(f"{self.name} is running already (pid {self.pid})")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )
        # Whole or not at all: another command may look at it at any moment.
        written = self._record.with_suffix(".new")
        written.write_text(json.dumps({"pid": self._child.pid, "command": self.command}))
        written.replace(self._record)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, when it runs.

        :param number: which.
        """
        pid = self.pid
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended between the two lines above

    def ended(self, timeout_s: float) -> bool:
        """Wait until it has ended.

        :param timeout_s: how long at most.
        :returns: whether it has.
        """
        if self._child is not None:
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return False
        deadline = time.monotonic() + timeout_s
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        self._record.unlink(missing_ok=True)
        return True

    @property
    def exit_status(self) -> int | None:
        """The exit status (negative: a signal) of our own child; None while it runs or when it was not our child."""
        return self._child.poll() if self._child is not None else None

    def stop(self, timeout_s: float) -> bool:
        """Stop it in order (SIGTERM), and by force when it has not ended in time.

        :param timeout_s: how long an orderly end may take.
        :returns: whether the end was orderly.
        """
        self.signal(signal.SIGTERM)
        if self.ended(timeout_s):
            return True
        self.kill()
        return False

    def kill(self) -> float:
        """End it at once (SIGKILL), without letting it say goodbye.

        :returns: the moment from which on it did nothing any more (monotonic).
        """
        self.signal(signal.SIGKILL)
        killed_at_s = time.monotonic()
        self.ended(5.0)
        return killed_at_s

    def log_text(self) -> str:
        """Everything it has logged so far."""
        try:
            return self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_tail(self, lines: int = 15) -> list[str]:
        """The last lines of its log.

        :param lines: how many at most.
        """
        return self.log_text().splitlines()[-lines:]


def wait_until(condition: Callable[[], bool], timeout_s: float, *, poll_s: float = POLL_S) -> bool:
    """Ask again and again until a condition holds.

    :param condition: what is waited for.
    :param timeout_s: how long at most.
    :param poll_s: the pause between two questions.
    :returns: whether it held in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True
