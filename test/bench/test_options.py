"""The command line."""

from __future__ import annotations

import argparse
import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from bench import __main__ as command
from bench import compare, metrics
from bench.errors import SetupError
from bench.install import wanted_packages
from bench.options import parser
from bench.pair import Pair
from bench.pairs import PAIRS
from bench.report import Report
from bench.results import Failure, Results
from bench.section import Section
from bench.table import Table


class Absent(Pair):
    """A pair that no machine has."""

    key = "absent"
    title = "absent"
    programs = ("kwic-no-such-program",)
    package = "no-such-package"


def report(*, passed: bool = True, results: Results | None = None) -> Report:
    section = Section(title="t", table=Table(headings=("a",), rows=()), verdict="v", passed=passed)
    return Report(command="c", commit="1", machine={}, versions={}, results=results, sections=[section])


class ParserTests(SynchronousTestCase):
    """What may be typed."""

    def setUp(self) -> None:
        """What is said about mistakes is kept."""
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)

    def refuse(self, *arguments: str) -> str:
        with self.assertRaises(SystemExit) as caught:
            parser().parse_args(arguments)
        self.assertEqual(caught.exception.code, 2)
        return self.errors.getvalue()

    def test_pairs_in_the_order_of_tables(self) -> None:
        """Pairs may be named in any order."""
        self.assertEqual(
            parser().parse_args(["--pairs", "ssh, kwic,direct"]).pairs, ["direct", "kwic", "ssh"]
        )

    def test_unknown_pair(self) -> None:
        """A misspelt pair is named, and so are those that there are."""
        text = self.refuse("--pairs", "haproxi")
        self.assertIn("haproxi", text)
        self.assertIn("haproxy", text)

    def test_numbers(self) -> None:
        """Counts are whole numbers above zero."""
        for arguments in (["--rounds", "0"], ["--scale", "-5"], ["--soak", "many"], ["--cores", "99999"]):
            self.refuse(*arguments)

    def test_experiments_have_sizes(self) -> None:
        """An experiment without a number has the usual one."""
        options = parser().parse_args(["--soak", "--scale", "--reconnect"])
        self.assertEqual((options.soak, options.scale, options.names), (100_000, 10_000, 1_000))
        self.assertEqual(options.reconnect, 1_000)
        self.assertEqual(parser().parse_args(["--scale", "50"]).scale, 50)

    def test_help_explains(self) -> None:
        """Both commands explain their figures and their exit status."""
        for found in (parser(), compare.parser()):
            self.assertIn("exit status", found.format_help())


class ChosenTests(SynchronousTestCase):
    """Which pairs are measured."""

    def setUp(self) -> None:
        """A machine on which ours and a direct connection can run."""
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)
        self.patch(PAIRS["kwic"], "missing", classmethod(lambda kind: None))
        for key in [key for key in PAIRS if key not in {"direct", "kwic"}]:
            self.addCleanup(PAIRS.__setitem__, key, PAIRS.pop(key))
        PAIRS["absent"] = Absent
        self.addCleanup(PAIRS.pop, "absent")

    def chosen(self, **options: object) -> list[str]:
        given = {"pairs": None, "peers": False, "install": False, **options}
        return [kind.key for kind in command.chosen(argparse.Namespace(**given))]

    def test_ours_beside_direct(self) -> None:
        """Without a word it is ours beside a direct connection."""
        self.assertEqual(self.chosen(), ["direct", "kwic"])

    def test_peers_that_are_missing(self) -> None:
        """A peer that is not installed is left out, and it is said how to get it."""
        self.assertEqual(self.chosen(peers=True), ["direct", "kwic"])
        self.assertIn("without absent: kwic-no-such-program not found", self.errors.getvalue())
        self.assertIn("no-such-package", self.errors.getvalue())

    def test_pair_that_was_named(self) -> None:
        """A pair that was asked for by name and cannot run is an error."""
        with self.assertRaisesRegex(SetupError, "no-such-package"):
            self.chosen(pairs=["absent"])

    def test_packages(self) -> None:
        """What would be installed is what is missing, no more."""
        self.assertEqual(wanted_packages([Absent, PAIRS["direct"], Absent]), ["no-such-package"])


class StatusTests(SynchronousTestCase):
    """Exit statuses."""

    def test_experiment(self) -> None:
        """An experiment that did not pass fails the run."""
        self.assertEqual(command.status(report(), strict=True), 0)
        self.assertEqual(command.status(report(passed=False), strict=False), 1)

    def test_our_failure_counts(self) -> None:
        """A peer that failed is a remark; ours is an error."""
        theirs = Results(failures=[Failure(pair="nginx", what="start", why="x")])
        ours = Results(failures=[Failure(pair="kwic", what="start", why="x")])
        self.assertEqual(command.status(report(results=theirs), strict=True), 0)
        self.assertEqual(command.status(report(results=ours), strict=False), 1)

    def test_strict(self) -> None:
        """A missed target counts only when asked."""
        missed = Results(titles={"kwic": "KWIC"})
        missed.add("kwic", {metrics.REST_LARGER.key: 1000.0})
        self.assertEqual(command.status(report(results=missed), strict=False), 0)
        self.assertEqual(command.status(report(results=missed), strict=True), 3)
