"""`python -m bench`: parses, measures, reports."""

from __future__ import annotations

import argparse
import datetime as dt
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench import line, machine, quota, report
from bench.effort import FULL, QUICK, Effort
from bench.errors import BenchError, SetupError
from bench.experiments import path, reconnect, scale, soak, stall, workers
from bench.install import install, wanted_packages
from bench.lab import Lab
from bench.measures import measures_of
from bench.neighbours import DISTURBING, Neighbours
from bench.options import default_cores, parser
from bench.pair import Pair
from bench.pairs import PAIRS
from bench.pairs.kwic import ROOT, Kwic
from bench.progress import Progress
from bench.publish import publish
from bench.results import Results
from bench.run import Run, steps_of
from bench.section import Section
from bench.targets import OURS, Outcome, judge_all

PAGE = ROOT / "docs" / "performance.md"

EXPERIMENTS = ("soak", "stall", "scale", "path", "workers", "reconnect")
"""What can be done instead of the table."""

MEASURED = 0
FAILED = 1
REFUSED = 2
MISSED = 3
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The command.

    :param arguments: of the command line; None are the real ones.
    :returns: the exit status, as `--help` explains it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.list:
            return list_pairs()
        return perform(options, given)
    except SetupError as error:
        print(f"bench: {error}", file=sys.stderr)
        return REFUSED
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nbench: interrupted; everything that was started has been stopped", file=sys.stderr)
        return INTERRUPTED


def list_pairs() -> int:
    """Prints which pairs there are."""
    for key, kind in PAIRS.items():
        missing = kind.missing()
        hint = f" (Debian: {kind.package})" if missing and kind.package else ""
        print(f"{key:10} {kind.title:22} {missing + hint if missing else kind.version() or 'ready'}")
    return MEASURED


def chosen(options: argparse.Namespace) -> list[type[Pair]]:
    """The pairs that are to be measured and can be.

    :param options: the command line.
    :raises SetupError: when a pair that was asked for by name, or ours, cannot run.
    """
    keys = options.pairs or (list(PAIRS) if options.peers else ["direct", OURS])
    kinds = [PAIRS[key] for key in keys]
    if options.install:
        packages = wanted_packages(kinds)
        if packages:
            print(f"installing {', '.join(packages)}", file=sys.stderr)
        install(packages)
    required = set(keys) if not options.peers else {OURS}
    fit = []
    for kind in kinds:
        missing = kind.missing()
        if missing is None:
            fit.append(kind)
        elif kind.key in required:
            raise SetupError(
                f"{kind.key} cannot run: {missing}{f' (Debian: {kind.package})' if kind.package else ''}"
            )
        else:
            print(f"without {kind.title}: {missing}{_hint(kind)}", file=sys.stderr)
    return fit


def perform(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Measures what was asked for and reports it.

    :param options: the command line, parsed.
    :param given: the same, as typed.
    :returns: the exit status.
    """
    is_experiment = any(getattr(options, name) for name in EXPERIMENTS)
    kinds = [Kwic] if is_experiment else chosen(options)
    cores = options.cores or default_cores()
    made = report.Report(
        command=shlex.join(["python", "-m", "bench", *given]),
        commit=machine.commit_of(ROOT),
        machine=machine.describe(cores),
        versions=machine.versions(kinds),
    )
    neighbours = Neighbours(cores)
    if options.scale:
        scale.raise_file_limit(options.scale, options.names)
    with Lab(cores=cores, keep=options.keep) as lab:
        if is_experiment:
            made.sections = experiments(lab, options)
        else:
            made.results = table(lab, kinds, effort_of(options))
    others = neighbours.share()
    made.machine["used by other programs"] = f"{others:.0%} of these cores during the run"
    print(made.terminal())
    if others >= DISTURBING:
        print(
            f"\nother programs used {others:.0%} of the cores meanwhile: trust CPU s/GB, not rates",
            file=sys.stderr,
        )
    written = report.write(made, options.out, dt.datetime.now(dt.UTC))
    print(f"\nwritten to {written.folder}{f'; {written.remark}' if written.remark else ''}", file=sys.stderr)
    if options.publish:
        publish(made, written.pictures, PAGE)
    return status(made, strict=options.strict)


def table(lab: Lab, kinds: Sequence[type[Pair]], effort: Effort) -> Results:
    """The table of pairs.

    :param lab: what they share.
    :param kinds: the pairs.
    :param effort: how much to measure.
    """
    measures = measures_of(lab, effort)
    progress = Progress(sys.stderr, steps_of(effort, len(kinds), len(measures)))
    return Run(measures, effort, progress, Results()).perform([kind(lab) for kind in kinds])


def experiments(lab: Lab, options: argparse.Namespace) -> list[Section]:
    """What was asked for of `EXPERIMENTS`, each with freshly started gateways.

    :param lab: what they share.
    :param options: the command line.
    """
    found = []
    if options.soak:
        found.append(_with(Kwic(lab), soak.BATCHES, lambda pair, told: soak.soak(pair, options.soak, told)))
    if options.stall:
        found.append(_with(Kwic(lab), 4 * stall.ROUNDS, stall.stall))
    if options.scale:
        many = Kwic(lab, names=options.names)
        found.append(_with(many, scale.STAGES + 1, lambda pair, told: scale.scale(pair, options.scale, told)))
    if options.path:
        found += _lines(lab)
    if options.workers:
        found.append(_workers(lab))
    if options.reconnect:
        found.append(reconnect.reconnect(lab, options.reconnect, Progress(sys.stderr, reconnect.STEPS)))
    return found


def effort_of(options: argparse.Namespace) -> Effort:
    """How much to measure.

    :param options: the command line.
    """
    effort = QUICK if options.quick else FULL
    return replace(effort, rounds=options.rounds) if options.rounds else effort


def status(made: report.Report, *, strict: bool) -> int:
    """The exit status of a run that came to its end.

    :param made: its report.
    :param strict: whether a missed target counts.
    """
    if not all(section.passed for section in made.sections):
        return FAILED
    if made.results is None:
        return MEASURED
    if any(failure.pair == OURS for failure in made.results.failures):
        return FAILED
    missed = any(verdict.outcome is Outcome.MISSED for verdict in judge_all(made.results))
    return MISSED if strict and missed else MEASURED


def _with(pair: Kwic, steps: int, experiment: Callable[[Kwic, Progress], Section]) -> Section:
    progress = Progress(sys.stderr, steps)
    try:
        pair.start()
        return experiment(pair, progress)
    finally:
        progress.clear()
        pair.stop()


def _workers(lab: Lab) -> Section:
    """One process beside two."""
    progress = Progress(sys.stderr, 2 * workers.ROUNDS)
    one, several = workers.OneGateway(lab, 1), workers.OneGateway(lab, workers.WORKERS)
    reason = quota.missing()
    if reason is not None:
        print(f"--workers on shared cores, which shows less than there is: {reason}", file=sys.stderr)
    with quota.Quota(workers.SHARE) as parts:
        try:
            one.start()
            several.start()
            return workers.workers(one, several, None if reason else parts, progress)
        finally:
            progress.clear()
            several.stop()
            one.stop()


def _lines(lab: Lab) -> list[Section]:
    """The long line and the slow one, where lines can be laid."""
    reason = line.missing()
    if reason is not None:
        print(f"without --path: {reason}", file=sys.stderr)
        return []
    progress = Progress(sys.stderr, path.STEPS)
    try:
        return [path.long_line(lab, progress), path.slow_line(lab, progress)]
    finally:
        progress.clear()


def _hint(kind: type[Pair]) -> str:
    return f" (--install would fetch {kind.package})" if kind.package else ""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
