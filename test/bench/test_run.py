"""A run: who is measured when, and what a failure does."""

from __future__ import annotations

import io
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import run as run_module
from bench.effort import Effort
from bench.errors import MeasureError
from bench.measures import BulkMeasure, ConnectMeasure
from bench.progress import Progress
from bench.results import Results
from bench.run import Run, steps_of
from test.bench.fakes import FakePair

EFFORT = Effort(rounds=3, bulk_s=1.0, round_trips_s=1.0, connects_s=1.0, idle_clients=10)


class Note:
    """A measure that only writes down who was measured."""

    title = "note"

    def __init__(self, seen: list[str], fails: str = "") -> None:
        self._seen = seen
        self._fails = fails

    def take(self, pair: Any) -> dict[str, float]:
        self._seen.append(pair.key)
        if pair.key == self._fails:
            raise MeasureError("lost")
        return {"note": 1.0}


class RunTests(SynchronousTestCase):
    """Pairs that take turns."""

    def setUp(self) -> None:
        """Memory and bytes are somebody else's test."""
        self.patch(run_module, "memory_of", lambda pair, clients: {"clients": float(clients)})
        self.patch(run_module, "verify", self.verify)
        self.damaged = ""
        self.seen: list[str] = []
        self.out = io.StringIO()

    def verify(self, pair: FakePair) -> None:
        if pair.key == self.damaged:
            raise MeasureError("a byte is wrong")

    def perform(self, *pairs: FakePair, fails: str = "") -> Results:
        progress = Progress(self.out, steps_of(EFFORT, len(pairs), 1))
        return Run([Note(self.seen, fails)], EFFORT, progress, Results()).perform(pairs)  # type: ignore[arg-type]

    def test_turns(self) -> None:
        """In each round another pair is first, so that none is always measured after the same neighbour."""
        self.perform(FakePair("a"), FakePair("b"), FakePair("c"))
        self.assertEqual("".join(self.seen), "abcbcacab")

    def test_everything_is_stopped(self) -> None:
        """Each pair is started once and stopped in the end."""
        pair = FakePair("a")
        self.perform(pair)
        self.assertEqual(pair.events, ["start", "stop"])

    def test_stopped_when_interrupted(self) -> None:
        """An interrupt stops what runs, too."""
        pair = FakePair("a")
        self.patch(run_module, "verify", self.interrupted)
        with self.assertRaises(KeyboardInterrupt):
            self.perform(pair)
        self.assertEqual(pair.events[-1], "stop")

    def interrupted(self, pair: FakePair) -> None:
        raise KeyboardInterrupt

    def test_pair_that_does_not_start(self) -> None:
        """The others are measured without it, and it is said why."""
        results = self.perform(FakePair("a", starts=False), FakePair("b"))
        self.assertEqual("".join(self.seen), "bbb")
        self.assertEqual([str(failure) for failure in results.failures], ["a: start: port taken"])
        self.assertIn("FAILED a: start: port taken", self.out.getvalue())

    def test_damaged_bytes_are_not_timed(self) -> None:
        """A pair that changes a byte gets no figures."""
        self.damaged = "a"
        results = self.perform(FakePair("a"), FakePair("b"))
        self.assertEqual("".join(self.seen), "bbb")
        self.assertEqual(results.failures[0].what, "every byte checked")

    def test_failed_measure(self) -> None:
        """A measure that fails is reported and leaves no sample."""
        results = self.perform(FakePair("a"), FakePair("b"), fails="a")
        self.assertEqual(results.samples["b"]["note"], [1.0, 1.0, 1.0])
        self.assertNotIn("note", results.samples["a"])
        self.assertEqual(len(results.failures), 3)


class MeasureTests(SynchronousTestCase):
    """How figures are taken."""

    def test_bulk_lasts_as_long_as_wanted(self) -> None:
        """A probe finds the rate once; from then on so much is moved that it takes the wanted time."""
        pair = FakePair("a")
        measure = BulkMeasure("upload", 10, 2.0)
        first, second = measure.take(pair), measure.take(pair)  # type: ignore[arg-type]
        self.assertEqual(
            pair.loadgen.calls,
            [("upload", 10, 6_400_000), ("upload", 10, 100_000_000), ("upload", 10, 100_000_000)],
        )
        self.assertEqual(first, second)

    def test_cpu_is_of_the_transfer_alone(self) -> None:
        """CPU seconds a GB leave the probe and everything before out."""
        values = BulkMeasure("download", 1, 1.0).take(FakePair("a"))  # type: ignore[arg-type]
        self.assertEqual(values["download_1_mb_per_s"], 500.0)
        self.assertAlmostEqual(values["download_1_cpu_s_per_gb"], 2.0)

    def test_direct_has_no_cpu(self) -> None:
        """Where there are no gateways there is nothing that they could have used."""
        pair = FakePair("direct")
        pair.gateways = ()
        self.assertEqual(list(BulkMeasure("upload", 1, 1.0).take(pair)), ["upload_1_mb_per_s"])  # type: ignore[arg-type]

    def test_connects(self) -> None:
        """New connections are counted for as long as wanted, 50 at once."""
        pair = FakePair("a")
        values = ConnectMeasure(3.0).take(pair)  # type: ignore[arg-type]
        self.assertEqual(pair.loadgen.calls, [("connects", 50, 100), ("connects", 50, 3000)])
        self.assertEqual(values["connects_per_s"], 1000.0)
