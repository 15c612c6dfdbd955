"""Targets, and the tables that show them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench import metrics, summary
from bench.results import Failure, Results
from bench.targets import Outcome, Target, judge, judge_all

RATE, CPU = metrics.BULK["upload", 1]


def results(**pairs: dict[str, float]) -> Results:
    found = Results(
        titles={key.replace("_", "-"): key.upper() for key in pairs}, c_relays=("nginx", "haproxy")
    )
    for key, values in pairs.items():
        found.add(key.replace("_", "-"), values)
    return found


class JudgeTests(SynchronousTestCase):
    """Our figure against a target."""

    def test_against_the_best(self) -> None:
        """A rate is held against the fastest of the C relays, and nobody else."""
        run = results(
            kwic={RATE.key: 900.0},
            nginx={RATE.key: 600.0},
            haproxy={RATE.key: 750.0},
            socat={RATE.key: 5000.0},
        )
        verdict = judge(Target(metric=RATE, limit=1.0, stretch=1.2), run)
        self.assertEqual((verdict.rival, verdict.ratio), ("haproxy", 1.2))
        self.assertIs(verdict.outcome, Outcome.STRETCHED)

    def test_cost_is_held_against_the_cheapest(self) -> None:
        """Of a cost the smallest is the best, and less is better."""
        run = results(kwic={CPU.key: 2.1}, nginx={CPU.key: 2.0}, haproxy={CPU.key: 2.6})
        verdict = judge(Target(metric=CPU, limit=1.0), run)
        self.assertEqual((verdict.rival, verdict.outcome), ("nginx", Outcome.MISSED))

    def test_met_without_the_stretch(self) -> None:
        """Between limit and stretch a target is met."""
        run = results(kwic={RATE.key: 110.0}, nginx={RATE.key: 100.0})
        self.assertIs(judge(Target(metric=RATE, limit=1.0, stretch=1.2), run).outcome, Outcome.MET)

    def test_absolute(self) -> None:
        """A limit without a rival needs none."""
        target = Target(metric=metrics.REST_LARGER, against=(), limit=60.0)
        self.assertIs(judge(target, results(kwic={metrics.REST_LARGER.key: 60.0})).outcome, Outcome.MET)
        self.assertIs(judge(target, results(kwic={metrics.REST_LARGER.key: 60.1})).outcome, Outcome.MISSED)
        self.assertEqual(target.wanted, "≤ 60 MiB")

    def test_not_measured(self) -> None:
        """Without our figure, or without a rival's, nothing is judged."""
        target = Target(metric=RATE, limit=1.0)
        self.assertIs(judge(target, results(nginx={RATE.key: 1.0})).outcome, Outcome.UNKNOWN)
        self.assertIs(judge(target, results(kwic={RATE.key: 1.0})).outcome, Outcome.UNKNOWN)
        self.assertEqual(judge_all(results(kwic={RATE.key: 1.0})), [])

    def test_named_rival(self) -> None:
        """A target that names its rival looks at nobody else."""
        p50 = metrics.ROUND_TRIPS[2][0]
        run = results(kwic={p50.key: 150.0}, nginx={p50.key: 50.0}, haproxy={p50.key: 100.0})
        verdict = judge(Target(metric=p50, against=("haproxy",), limit=1.6), run)
        self.assertEqual((verdict.rival, verdict.ratio, verdict.outcome), ("haproxy", 1.5, Outcome.MET))


class ResultsTests(SynchronousTestCase):
    """Samples."""

    def test_medians_and_failures_in_json(self) -> None:
        """Programs get every sample, the medians and what failed."""
        run = results(kwic={RATE.key: 1.0})
        run.add("kwic", {RATE.key: 3.0})
        run.failures.append(Failure(pair="nginx", what="start", why="no port"))
        found = run.as_json()
        self.assertEqual(found["samples"], {"kwic": {RATE.key: [1.0, 3.0]}})
        self.assertEqual(found["medians"], {"kwic": {RATE.key: 2.0}})
        self.assertEqual(found["failures"], ["nginx: start: no port"])


class SummaryTests(SynchronousTestCase):
    """The tables of a run."""

    def test_only_what_was_measured(self) -> None:
        """Figures that nobody has are no rows, pairs without any are no columns, a gap is a dash."""
        run = results(direct={RATE.key: 4000.0}, kwic={RATE.key: 900.0, CPU.key: 2.0}, nginx={})
        table = summary.figures(run, with_spread=False)
        self.assertEqual(table.headings, ("", "DIRECT", "KWIC"))
        self.assertEqual(table.rows, ((RATE.heading, "4000", "900"), (CPU.heading, "–", "2.00")))

    def test_ratio_to_the_best_peer(self) -> None:
        """With peers in the run, ours is shown against the best of them; direct is no peer."""
        run = results(direct={RATE.key: 4000.0}, kwic={RATE.key: 900.0}, socat={RATE.key: 600.0})
        self.assertEqual(summary.figures(run, with_spread=False).rows[0][-1], "1.50 × socat")

    def test_spread(self) -> None:
        """Where several rounds were measured, half their range stands beside the median."""
        run = results(kwic={RATE.key: 90.0})
        run.add("kwic", {RATE.key: 110.0})
        self.assertEqual(summary.figures(run, with_spread=True).rows[0][1], "100 ±10 %")

    def test_targets(self) -> None:
        """Each target that can be judged is a row in words."""
        run = results(kwic={RATE.key: 900.0}, nginx={RATE.key: 600.0})
        table = summary.targets(run)
        assert table is not None
        self.assertEqual(
            table.rows,
            (
                (
                    RATE.heading,
                    "900",
                    "NGINX: 600",
                    "1.50 ×",
                    "≥ 1 × (stretch 1.2 ×)",
                    "met, the stretch too",
                ),
            ),
        )
        self.assertIsNone(summary.targets(results(nginx={RATE.key: 1.0})))
