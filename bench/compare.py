"""`python -m bench.compare BASE [HEAD]`: two commits measured in turns, so that a change shows despite the machine's noise."""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import instructions, metrics
from bench.effort import Effort
from bench.errors import BenchError, SetupError
from bench.lab import Lab
from bench.measures import BulkMeasure, ConnectMeasure, Measure, RoundTripMeasure
from bench.metrics import METRICS, Metric
from bench.options import default_cores
from bench.pairs.kwic import ROOT, Kwic, missing_from
from bench.progress import Progress
from bench.results import Results
from bench.run import Run, steps_of
from bench.spread import Change, change, ratios, standard_error
from bench.table import Table
from bench.worktree import checked_out, resolve

SAME = 0
WORSE = 1
REFUSED = 2
INTERRUPTED = 130

TOLERANCE = 0.05
"""A figure that decides may get worse by so much before it counts, whatever the noise."""

STARTS = 3
"""How often both pairs are started anew: where a process happens to lie in memory can make it faster or slower for as long as
it lives, which no number of rounds would show."""

FULL = Effort(rounds=4, bulk_s=1.0, round_trips_s=0.7, connects_s=1.0, idle_clients=1000)
QUICK = Effort(rounds=2, bulk_s=0.5, round_trips_s=0.3, connects_s=0.5, idle_clients=500)

DESCRIPTION = """\
Measures our pair of gateways from two commits, in turns: A B, B A, A B, … Each round's figure of HEAD is divided by the same
round's figure of BASE, and the median of these ratios is reported with its standard error.

  bench/compare main             what you have in the working tree, against main
  bench/compare v1.2 v1.3        two commits
  bench/compare HEAD~1 --quick   the short form, as CI runs it
"""

EPILOG = """\
A change counts when it is larger than the tolerance and than three standard errors. What decides is the work done: instructions
a byte where the machine counts them (perf stat), else CPU seconds a GB, and CPU a new connection. Rates and round trips are
shown too, but the neighbours of a machine change them.

exit status  0 nothing that decides got worse     2 no such commit, or it cannot be run
             1 something did, or bytes were lost  130 interrupted
"""


class Base(Kwic):
    """Our pair as it was."""

    key = "base"
    title = "base"


class Head(Kwic):
    """Our pair as it is."""

    key = "head"
    title = "head"


def parser() -> argparse.ArgumentParser:
    """The parser, help texts included."""
    found = argparse.ArgumentParser(
        prog="bench/compare",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("base", metavar="BASE", help="a commit: branch, tag, HEAD~3, …")
    found.add_argument("head", metavar="HEAD", nargs="?", help="another (default: the working tree as it is)")
    found.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    found.add_argument("--rounds", metavar="N", type=int, help=f"rounds for each of {STARTS} starts")
    found.add_argument(
        "--tolerance",
        metavar="FRACTION",
        type=float,
        default=TOLERANCE,
        help=f"what never counts ({TOLERANCE:g})",
    )
    found.add_argument(
        "--keep", metavar="DIR", type=Path, help="keep configuration files and logs of all programs here"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command.

    :param arguments: of the command line; None are the real ones.
    :returns: the exit status, as `--help` explains it.
    """
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return perform(options)
    except SetupError as error:
        print(f"bench/compare: {error}", file=sys.stderr)
        return REFUSED
    except BenchError as error:
        print(f"bench/compare: {error}", file=sys.stderr)
        return WORSE
    except KeyboardInterrupt:
        print("\nbench/compare: interrupted; everything that was started has been stopped", file=sys.stderr)
        return INTERRUPTED


def perform(options: argparse.Namespace) -> int:
    """Lays both commits out, measures them, prints the table.

    :param options: the command line.
    :returns: the exit status.
    """
    effort = QUICK if options.quick else FULL
    if options.rounds:
        effort = Effort(**{**vars(effort), "rounds": options.rounds})
    base = resolve(ROOT, options.base)
    head = resolve(ROOT, options.head) if options.head else None
    with ExitStack() as stack:
        trees = Path(tempfile.mkdtemp(prefix="kwic-compare-"))
        stack.callback(shutil.rmtree, trees, ignore_errors=True)
        base_root = stack.enter_context(checked_out(ROOT, base, trees / "base"))
        head_root = stack.enter_context(checked_out(ROOT, head, trees / "head")) if head else ROOT
        for root, name in ((base_root, options.base), (head_root, options.head or "the working tree")):
            if missing_from(root):
                raise SetupError(f"{name} cannot be run: it has no kwic/tap.py")
        lab = stack.enter_context(Lab(cores=default_cores(), keep=options.keep))
        results, deciding = measure(lab, base_root, head_root, effort)
    names = (f"{options.base} ({base[:10]})", options.head or "working tree")
    table, worse = judge(results, names, deciding, options.tolerance)
    print(table.plain())
    for failure in results.failures:
        print(f"FAILED {failure}")
    if worse:
        print(f"\nWORSE beyond noise: {', '.join(metric.title for metric in worse)}")
    return WORSE if worse or results.failures else SAME


def measure(lab: Lab, base: Path, head: Path, effort: Effort) -> tuple[Results, set[str]]:
    """Starts both pairs several times, each time for a few rounds.

    :param lab: what both share.
    :param base: the source tree of one.
    :param head: and of the other.
    :param effort: how much to measure at each start.
    :returns: the samples, and the keys of the figures that decide.
    """
    counts = instructions.are_counted()
    measures: list[Measure] = [
        BulkMeasure(direction, 1, effort.bulk_s, counts_instructions=counts)
        for direction in ("upload", "download")
    ]
    measures += [RoundTripMeasure(lab.cores[:1], effort.round_trips_s), ConnectMeasure(effort.connects_s)]
    results = Results()
    progress = Progress(sys.stderr, STARTS * steps_of(effort, 2, len(measures)))
    for _ in range(STARTS):
        Run(measures, effort, progress, results).perform([Base(lab, root=base), Head(lab, root=head)])
        if results.failures:
            break
    kind = metrics.INSTRUCTIONS if counts else {key: cpu for key, (_, cpu) in metrics.BULK.items()}
    return results, {kind[direction, 1].key for direction in ("upload", "download")} | {
        metrics.CONNECT_CPU.key
    }


def judge(
    results: Results, names: tuple[str, str], deciding: set[str], tolerance: float
) -> tuple[Table, list[Metric]]:
    """What the samples say.

    :param results: of `base` and `head`.
    :param names: what the two are called.
    :param deciding: keys of the figures that may fail the comparison.
    :param tolerance: see `change`.
    :returns: the table, and the deciding figures that got worse.
    """
    rows, worse = [], []
    for metric in METRICS.values():
        old = results.samples.get(Base.key, {}).get(metric.key, [])
        new = results.samples.get(Head.key, {}).get(metric.key, [])
        found = ratios(new, old)
        if not found:
            continue
        outcome = change(found, higher_is_better=metric.higher_is_better, tolerance=tolerance)
        decides = metric.key in deciding
        if decides and outcome is Change.WORSE:
            worse.append(metric)
        rows.append(
            (
                metric.heading,
                metric.show(statistics.median(old)),
                metric.show(statistics.median(new)),
                f"{statistics.median(found):.3f} × {_error(found)}",
                outcome.value,
                "decides" if decides else "",
            )
        )
    headings = ("", *names, "ratio, median of rounds", "", "")
    return Table(headings=headings, rows=tuple(rows), left=frozenset({0, 4, 5})), worse


def _error(samples: Sequence[float]) -> str:
    error = standard_error(samples)
    return "" if math.isinf(error) else f"±{error:.3f}"


if __name__ == "__main__":
    sys.exit(main())
