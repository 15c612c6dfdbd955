"""The scripts of the image, run in a folder that looks like /kaazing-gateway, with a twistd that only tells how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

DOCKER = Path(__file__).resolve().parent.parent.parent / "docker"
TIMEOUT_S = 20.0

TWISTD = """\
#!/bin/sh
echo "pid $$"
for word; do echo "word $word"; done
exit "${TWISTD_STATUS:-0}"
"""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of a script.

    :param pid: the process that was started.
    :param status: its exit status.
    :param out: its lines on standard output.
    :param errors: its lines on standard error.
    """

    pid: int
    status: int
    out: list[str]
    errors: list[str]

    @property
    def twistd(self) -> list[str] | None:
        """The words that twistd was called with, None when it was not."""
        words = [line.removeprefix("word ") for line in self.out if line.startswith("word ")]
        return words or None


class ScriptTestCase(SynchronousTestCase):
    """A folder with bin/ and conf/."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).resolve()
        self.bin, self.conf = self.home / "bin", self.home / "conf"
        self.bin.mkdir(parents=True)
        self.conf.mkdir()
        for name in ("entrypoint", "gateway.start"):
            shutil.copy(DOCKER / name, self.bin)
        self.program("twistd", TWISTD)
        self.config = self.conf / "gateway-config.xml"
        self.config.write_text("<gateway-config/>")

    def program(self, name: str, text: str) -> None:
        """Put a program on the PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of a container, and more."""
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", **more}

    def run_script(self, *words: str, **environ: str) -> Ran:
        """Run a command of bin/ to its end."""
        process = subprocess.Popen(
            [str(self.bin / words[0]), *words[1:]],
            env=self.environ(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, errors = process.communicate(timeout=TIMEOUT_S)
        return Ran(
            pid=process.pid, status=process.returncode, out=out.splitlines(), errors=errors.splitlines()
        )
