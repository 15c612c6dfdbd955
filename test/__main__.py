"""
All tests, in parts that run side by side: `make test` runs them.

Where real processes start, real faults last and real timers end, most of the time is waiting: the parts that compute are done meanwhile, and
yield to those that watch the time.

    python -m test                          everything
    python -m test simulation floor-0       these parts
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    Tests that run one after the other.

    :param packages: below `test`; none: all that are in no other part.
    :param nice: how far it yields to the others.
    :param covered: whether it is looked at which branches it takes.
    """

    packages: tuple[str, ...] = ()
    nice: int = 0
    covered: bool = False

    @property
    def modules(self) -> list[str]:
        """What trial is to run."""
        return [f"test.{name}" for name in self.packages or sorted(set(everything()) - _named())]

    @property
    def folder(self) -> Path:
        """Where trial runs."""
        return ROOT

    def run(self) -> tuple[int, str, float]:
        """:returns: the exit status, what trial said, and how long it took."""
        began_s = time.monotonic()
        covering = ["-m", "coverage", "run"] if self.covered else []
        command = [sys.executable, *covering, "-m", "twisted.trial", *self.modules]
        done = subprocess.run(
            ["nice", "-n", str(self.nice), *command],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout, time.monotonic() - began_s


PARTS = {
    "laboratory": Part(packages=("lab",)),
    "processes": Part(packages=("bench", "docker", "integration", "test_ci", "test_memory", "test_tap")),
    "others": Part(nice=5),
    # The sans-IO floor has a branch coverage of 100 %, by the tests of its own packages.
    "floor-0": Part(packages=("config", "policy", "wire"), nice=10, covered=True),
    "simulation": Part(packages=("sim",), nice=15),
}


def _named() -> set[str]:
    return {name for part in PARTS.values() for name in part.packages}


def everything() -> list[str]:
    """What has tests, below `test`."""
    folder = ROOT / "test"
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    return sorted(packages + [path.stem for path in folder.glob("test_*.py")])


def main(names: Sequence[str]) -> int:
    """:returns: the exit status: 1 when a test failed."""
    if unknown := set(names) - set(PARTS):
        print(f"There is no part {' '.join(sorted(unknown))}: {' '.join(PARTS)}")
        return 2
    chosen = names or list(PARTS)
    print(f"Side by side: {', '.join(chosen)}", flush=True)
    failed = []
    with ThreadPoolExecutor(len(chosen)) as runs:
        running = {runs.submit(PARTS[name].run): name for name in chosen}
        for run in as_completed(running):
            status, said, took_s = run.result()
            print(f"\n{running[run]}, {took_s:.0f} s:\n{said}", flush=True)
            if status:
                failed.append(running[run])
    print(f"Failed: {', '.join(failed)}" if failed else "All parts passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
