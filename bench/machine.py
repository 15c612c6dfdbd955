"""The machine and the programs of a run, so that its figures can be read later."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.pair import Pair


def describe(cores: Sequence[int]) -> dict[str, str]:
    """The machine, by name of property.

    :param cores: the cores that the run uses.
    """
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name")
        or platform.processor()
        or platform.machine(),
        "cores": f"{len(cores)} used of {os.cpu_count()}",
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "distribution": _distribution(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def commit_of(root: Path) -> str:
    """The commit of a source tree, with a plus when the gateway or the bench has been changed since.

    :param root: the tree.
    """
    found = _git(root, "rev-parse", "--short=10", "HEAD")
    if not found:
        return "no commit"
    return found + (
        "+" if _git(root, "status", "--porcelain", "--untracked-files=no", "--", "kwic", "bench") else ""
    )


def versions(kinds: Iterable[type[Pair]]) -> dict[str, str]:
    """What each pair's programs call themselves.

    :param kinds: the pairs.
    """
    return {kind.title: version for kind in kinds if (version := kind.version())}


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name), "")


def _memory() -> str:
    kib = _field(Path("/proc/meminfo"), "MemTotal").split(" ")[0]
    return f"{int(kib) / 1024 / 1024:.0f} GiB" if kib.isdigit() else "unknown"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"
