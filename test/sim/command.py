"""The command line of the simulation, and its worker processes."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from twisted.logger import globalLogBeginner

from test.sim.run import BrokenError, Result, Run

ROOT = Path(__file__).parents[2]
#: So many broken runs are explained.
SHOWN = 10


def main(arguments: Sequence[str]) -> int:
    """:returns: the exit status: 1 when a run was broken."""
    options = _options(arguments)
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False, discardBuffer=True)
    if options.seed is not None:
        return _one(options.seed, trace=options.trace)
    if options.worker is not None:
        _work(range(options.first + options.worker, options.first + options.schedules, options.jobs))
        return 0
    report = run_all(options.schedules, first=options.first, jobs=options.jobs)
    print(report)
    return 1 if report.broken else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m test.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this schedule only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print the timeline")
    parser.add_argument("--schedules", type=int, default=100, help="how many to run [100]")
    parser.add_argument("--first", type=int, default=0, help="the first seed [0]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes [one for each core]")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _one(seed: int, *, trace: bool) -> int:
    try:
        result = Run(seed, print if trace else None).run()
    except BrokenError as error:
        print(f"seed {seed} is broken: {error}")
        return 1
    print(f"seed {seed} went well: {result}")
    return 0


# -- many ------------------------------------------------------------------------------------------------------------------


class Report:
    """What many runs came to."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.broken: dict[int, str] = {}
        self.took_s = 0.0

    def __str__(self) -> str:
        kinds = Counter(result["kind"] for result in self.results)
        sums = {
            name: sum(result[name] for result in self.results) for name in ("clients", "served", "faults")
        }
        per_s = (len(self.results) + len(self.broken)) / self.took_s if self.took_s else 0.0
        by_kind = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        lines = [f"{len(self.results)} schedules went well ({by_kind}), {per_s:.1f} schedules/s"]
        lines.append("{faults} faults, {clients} clients, of whom {served} were served".format(**sums))
        for seed, why in sorted(self.broken.items())[:SHOWN]:
            lines.append(f"seed {seed} is broken: {why}")
            lines.append(f"    python -m test.sim --seed {seed} --trace")
        if len(self.broken) > SHOWN:
            lines.append(f"and {len(self.broken) - SHOWN} more: {sorted(self.broken)[SHOWN:]}")
        return "\n".join(lines)


def run_all(schedules: int, *, first: int = 0, jobs: int = 0) -> Report:
    """
    Run many schedules in as many processes as there are cores.

    :param schedules: how many.
    :param first: the first seed.
    :param jobs: processes.
    """
    jobs = min(jobs or os.cpu_count() or 1, schedules)
    began_s = time.monotonic()
    common = ["--schedules", str(schedules), "--first", str(first), "--jobs", str(jobs)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "test.sim", *common, "--worker", str(number)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(jobs)
    ]
    report = Report()
    for worker in workers:
        output, _ = worker.communicate()
        for found in _found(output):
            if "why" in found:
                report.broken[found["seed"]] = found["why"]
            else:
                report.results.append(found)
    report.took_s = time.monotonic() - began_s
    missing = set(range(first, first + schedules)) - {result["seed"] for result in report.results}
    for seed in missing - set(report.broken):
        report.broken[seed] = "its process ended"
    return report


def _found(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        yield json.loads(line)


def _work(seeds: range) -> None:
    """A worker process: one line for each run."""
    gc.collect()
    gc.freeze()
    gc.disable()
    for seed in seeds:
        try:
            result: Result | None = Run(seed).run()
        except BrokenError as error:
            print(json.dumps({"seed": seed, "why": str(error)}), flush=True)
        else:
            assert result is not None
            print(json.dumps(result.__dict__), flush=True)
        gc.collect()
