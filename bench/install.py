"""Installs the peers that Debian has, when asked to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from bench.errors import SetupError
from bench.pair import Pair

LIMIT_S = 600.0


def wanted_packages(kinds: Iterable[type[Pair]]) -> list[str]:
    """The Debian packages of the pairs that cannot run yet.

    :param kinds: the pairs.
    """
    return sorted({kind.package for kind in kinds if kind.package and kind.missing()})


def install(packages: list[str]) -> None:
    """Installs packages with apt-get; nothing that they bring is started as a system service by us.

    :param packages: their names.
    :raises SetupError: without apt-get, without the right to use it, or when it fails.
    """
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise SetupError(f"--install needs apt-get; install by hand what offers {', '.join(packages)}")
    if os.geteuid() != 0:
        raise SetupError(f"--install needs root: sudo apt-get install {' '.join(packages)}")
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", *packages],
    ):
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        except subprocess.TimeoutExpired as error:
            raise SetupError(f"{' '.join(command)} did not end within {LIMIT_S:.0f} s") from error
        if done.returncode:
            raise SetupError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
