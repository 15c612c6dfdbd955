"""One gateway process on its machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from test.lab.machine import Machine

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]
GRACE_S = 15  # more than a stream of the load lives
#: An instance that starts takes no processor from the others: in truth each has its own.
STARTING = ["nice", "-n", "10"]


class InstanceError(Exception):
    """An instance did not do what the laboratory told it."""


class Instance:
    """A gateway that can be started, stopped, killed and frozen.

    :param machine: where it runs; its name is the instance's.
    :param port: where its clients connect.
    :param config: its configuration file.
    :param defines: its ``-D`` properties.
    :param folder: for its admin socket.
    :param log: where its log goes.
    :param command: what to run instead of ``twistd kwic``; ``{name} {config} {admin}`` are filled in.
    """

    def __init__(
        self, machine: Machine, *, port: int, config: Path, defines: Mapping[str, str], folder: Path,
        log: Path, command: str | None = None,
    ) -> None:  # fmt: skip
        self.machine = machine
        self.name = machine.name
        self.port = port
        self.admin = folder / f"{machine.name}.admin"
        self._log = log
        self._argv = self._command(config, defines, command)
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self, config: Path, defines: Mapping[str, str], command: str | None) -> list[str]:
        if command is not None:
            return shlex.split(command.format(name=self.name, config=config, admin=self.admin))
        given = [word for name, value in defines.items() for word in ("-D", f"{name}={value}")]
        return [*TWISTD, "kwic", "--config", str(config), *given, "--admin", f"unix:{self.admin}", "--grace", str(GRACE_S)]  # fmt: skip

    def start(self) -> None:
        """Start it; see :meth:`wait_accepting`."""
        assert not self.alive, f"{self.name} runs already"
        self.admin.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self.machine.inside([*STARTING, *self._argv]),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._keep_log, args=(self._process,), daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def accepting(self) -> bool:
        """Whether its port takes a connection."""
        try:
            socket.create_connection((self.machine.address, self.port), timeout=0.5).close()
        except OSError:
            return False
        return True

    def wait_accepting(self, limit_s: float = 30.0) -> None:
        """Wait until its port takes connections.

        :param limit_s: for how long, at most.
        :raises InstanceError: it ended, or the time is over.
        """
        end = time.monotonic() + limit_s
        while not self.accepting:
            if not self.alive:
                assert self._process is not None
                raise InstanceError(
                    f"{self.name} ended with status {self._process.returncode}, see {self._log}"
                )
            if time.monotonic() > end:
                raise InstanceError(f"{self.name} does not listen after {limit_s:g} s, see {self._log}")
            time.sleep(0.02)
        self._has_started()

    def _has_started(self) -> None:
        """From now on it is as important as the others."""
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        with contextlib.suppress(
            FileNotFoundError, ProcessLookupError
        ):  # it has ended, which others will notice
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), mine)

    def kill(self) -> None:
        """``kill -9``; returns when it is gone."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def tell_to_stop(self) -> None:
        """SIGTERM: the orderly stop begins."""
        self._signal(signal.SIGTERM)

    def wait_ended(self, limit_s: float = GRACE_S + 10.0) -> int:
        """Wait for the end of an orderly stop.

        :param limit_s: for how long, at most.
        :returns: its exit status.
        :raises InstanceError: the time is over.
        """
        assert self._process is not None
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise InstanceError(f"{self.name} has not stopped after {limit_s:g} s") from None

    def close(self) -> None:
        """End it in any case."""
        if self.alive:
            self.kill()

    def _keep_log(self, process: subprocess.Popen[bytes]) -> None:
        """Write down what it says, with the time on the clock of all records here."""
        assert process.stdout is not None
        with process.stdout, self._log.open("ab") as log:
            log.write(f"{time.monotonic():.3f} ---- {self.name} starts\n".encode())
            for line in process.stdout:
                log.write(b"%.3f " % time.monotonic() + line)
                log.flush()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
