"""The command line of the simulation, and its worker processes."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.logger import globalLogBeginner

from test.sim.run import BrokenError, Run, prepare

ROOT = Path(__file__).parents[2]
#: So many broken runs are explained.
SHOWN = 10
#: And so many more are named.
MORE = 30
#: So many runs are made by one process: it does not look for garbage, and ends before it has too much.
BATCH = 40


def main(arguments: Sequence[str]) -> int:
    """:returns: the exit status: 1 when a run was broken."""
    options = _options(arguments)
    # An interrupt ends it at once, wherever it is: Twisted would take it for a failure of a callback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
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

    def add(self, outcome: dict[str, Any]) -> None:
        """One more run: what it came to, or why it is broken."""
        if "why" in outcome:
            self.broken[outcome["seed"]] = outcome["why"]
        else:
            self.results.append(outcome)

    def __str__(self) -> str:
        kinds = Counter(result["kind"] for result in self.results)
        sums = {
            name: sum(result[name] for result in self.results) for name in ("clients", "served", "faults")
        }
        per_s = len(self.results) / self.took_s if self.took_s else 0.0
        by_kind = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        lines = [
            f"{len(self.results)} schedules went well ({by_kind}) in {self.took_s:.0f} s, {per_s:.1f} schedules/s"
        ]
        lines.append("{faults} faults, {clients} clients, of whom {served} were served".format(**sums))
        for seed, why in sorted(self.broken.items())[:SHOWN]:
            lines.append(f"seed {seed} is broken: {why}")
            lines.append(f"    python -m test.sim --seed {seed} --trace")
        more = sorted(self.broken)[SHOWN:]
        if more:
            lines.append(
                f"and {len(more)} more: {', '.join(map(str, more[:MORE]))}{' …' if more[MORE:] else ''}"
            )
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
    # All are read at the same time: who is not read does not go on.
    with ThreadPoolExecutor(jobs) as readers:
        try:
            for output, _ in readers.map(subprocess.Popen.communicate, workers):
                for line in output.splitlines():
                    report.add(json.loads(line))
        finally:
            for worker in workers:
                worker.kill()
    report.took_s = time.monotonic() - began_s
    missing = set(range(first, first + schedules)) - {result["seed"] for result in report.results}
    for seed in missing - set(report.broken):
        status = workers[(seed - first) % jobs].returncode
        report.broken[seed] = f"its process ended, with status {status} in the end"
    return report


def _work(seeds: range) -> None:
    """A worker process: it is prepared once, and its children make the runs."""
    for seed in seeds:
        prepare(seed)
    gc.collect()
    gc.freeze()
    gc.disable()
    for begin in range(0, len(seeds), BATCH):
        child = os.fork()
        if not child:
            _run_batch(seeds[begin : begin + BATCH])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(f"a process of the simulation ended with status {status}", file=sys.stderr)


def _run_batch(seeds: range) -> None:
    """One line for each run, as long as somebody waits for them."""
    parent = os.getppid()
    for seed in seeds:
        if os.getppid() != parent:
            return
        print(json.dumps(outcome(seed)), flush=True)


def outcome(seed: int) -> dict[str, Any]:
    """What the run of a seed comes to, for a report."""
    try:
        return asdict(Run(seed).run())
    except BrokenError as error:
        return {"seed": seed, "why": str(error)}
