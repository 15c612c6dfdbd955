"""Two programs that carry TCP from a front port to the sink through TLS: what is measured."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import ClassVar

from bench.daemon import Daemon
from bench.errors import MeasureError
from bench.lab import Lab
from bench.roundtrip import answers

READY_S = 20.0
"""How long a pair may take until a byte comes back through it."""


class Pair:
    """One way to get from a front port to the sink. A subclass says which programs and with what configuration.

    :param lab: what all pairs share.
    """

    key: ClassVar[str]
    """What the command line calls it."""

    title: ClassVar[str]
    """What tables call it."""

    programs: ClassVar[tuple[str, ...]] = ()
    """What must be on the PATH (or in sbin)."""

    package: ClassVar[str | None] = None
    """The Debian package that has them; None when there is none."""

    version_command: ClassVar[tuple[str, ...]] = ()
    """What prints the version."""

    version_word: ClassVar[str] = ""
    """What stands in the line that tells it; of several such lines the first with a digit counts."""

    is_c_relay: ClassVar[bool] = False
    """Whether it is one of those that ours is held against (ssh, stunnel, haproxy, nginx)."""

    idle_clients: ClassVar[int] = 2000
    """How many idle clients its memory is measured with; fewer where each costs a process."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.front_port = lab.ports.one()
        self.middle_port = lab.ports.one()
        self.folder = lab.place(self.key)
        self.gateways: tuple[Daemon, ...] = ()

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here, in a few words; None when it can."""
        absent = [name for name in cls.programs if program(name) is None]
        return f"{', '.join(absent)} not found" if absent else None

    @classmethod
    def version(cls) -> str:
        """What its programs call themselves, for the report."""
        if not cls.version_command:
            return ""
        name, *options = cls.version_command
        try:
            done = subprocess.run(
                [program(name) or name, *options], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return "version unknown"
        lines = (done.stdout + done.stderr).splitlines()
        return next(
            (line.strip() for line in lines if cls.version_word in line and any(map(str.isdigit, line))),
            "version unknown",
        )

    def make_gateways(self) -> tuple[Daemon, ...]:
        """Writes the configuration and says which programs to start, in this order.

        :returns: the far side (next to the sink or the one that is dialled) first.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Starts both programs and waits until a byte has come back.

        :raises MeasureError: when none comes, with what the programs said.
        """
        self.gateways = self.make_gateways()
        for gateway in self.gateways:
            gateway.start()
        deadline = time.monotonic() + READY_S
        while not self.answers():
            dead = next((gateway for gateway in self.gateways if not gateway.is_alive), None)
            if dead is not None:
                raise MeasureError(f"{dead.name} ended: {dead.tail()}")
            if time.monotonic() > deadline:
                said = "; ".join(f"{gateway.name} said: {gateway.tail(2)}" for gateway in self.gateways)
                raise MeasureError(f"no byte came back within {READY_S:.0f} s; {said}")

    def answers(self) -> bool:
        """Whether a byte that is sent into the front port comes back."""
        return answers(self.front_port)

    def stop(self) -> None:
        """Stops both programs."""
        for gateway in reversed(self.gateways):
            gateway.stop()
        self.gateways = ()

    def cpu_s(self) -> float:
        """CPU seconds that both programs have used."""
        return sum(gateway.cpu_s() for gateway in self.gateways)

    def rss_bytes(self) -> int:
        """Resident memory of both programs."""
        return sum(gateway.rss_bytes() for gateway in self.gateways)

    def anonymous_bytes(self) -> int:
        """Memory that both programs have filled themselves, pages that processes share counted once."""
        return sum(gateway.anonymous_bytes() for gateway in self.gateways)

    def daemon(self, side: str, name: str, *arguments: str) -> Daemon:
        """A program of this pair.

        :param side: which one, for messages and the name of its log.
        :param name: the program; it is looked up in sbin too.
        :param arguments: the rest of its command line.
        """
        return Daemon(
            f"{self.title} ({side})", [program(name) or name, *arguments], log=self.folder / f"{side}.log"
        )


def program(name: str) -> str | None:
    """Where a program is: on the PATH, or in the folders for daemons that a user's PATH leaves out.

    :param name: the program.
    """
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
