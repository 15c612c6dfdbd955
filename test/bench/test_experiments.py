"""Experiments: what they conclude from what they see."""

from __future__ import annotations

import io
import os
import resource
import socket
import sys

from twisted.trial.unittest import SynchronousTestCase

from bench import __main__ as command
from bench import ports
from bench.errors import SetupError
from bench.experiments import path, reconnect, scale, soak, stall, workers
from bench.experiments.path import Way
from bench.experiments.reconnect import Return, Seen, Sight, came_back
from bench.experiments.scale import Stage
from bench.experiments.stall import Kept
from bench.gateway_files import joined
from bench.loadgen import Flows, RoundTrips
from bench.ports import FreePorts
from bench.progress import Progress
from bench.section import Section
from test.bench.fakes import FakePair


class SoakTests(SynchronousTestCase):
    """Memory over many connections."""

    def setUp(self) -> None:
        """No waiting."""
        self.patch(soak, "SETTLE_S", 0.0)

    def soak(self, pair: FakePair) -> Section:
        return soak.soak(pair, 10_000, Progress(io.StringIO(), soak.BATCHES))  # type: ignore[arg-type]

    def test_flat(self) -> None:
        """Memory that stays where it is passes."""
        section = self.soak(FakePair("kwic"))
        self.assertTrue(section.passed)
        self.assertEqual(section.data["connections"][-1], 10_000)

    def test_leak(self) -> None:
        """A hundred bytes a connection do not."""
        pair = FakePair("kwic")
        pair.leak = 100
        section = self.soak(pair)
        self.assertFalse(section.passed)
        self.assertAlmostEqual(section.data["bytes_per_connection"], 100.0)


class StallTests(SynchronousTestCase):
    """Streams beside stalled clients."""

    def kept(self, beside: list[float], *, held_mib: float = 1.0) -> Kept:
        return Kept(direction="upload", alone=[100.0] * len(beside), beside=beside, held_mib=held_mib)

    def test_not_slowed(self) -> None:
        """Streams that keep their rate pass."""
        self.assertTrue(stall.section([self.kept([99.0, 100.0, 98.0, 99.0])]).passed)

    def test_slowed(self) -> None:
        """Streams that lose a tenth, steadily, do not."""
        found = stall.section([self.kept([100.0] * 4), self.kept([90.0, 90.5, 89.5, 90.0])])
        self.assertFalse(found.passed)
        self.assertIn("keep 90% of their rate", found.verdict)

    def test_noise(self) -> None:
        """Where the machine is too busy to tell, it is said, and not called slow."""
        found = stall.section([self.kept([60.0, 120.0, 80.0, 100.0])])
        self.assertTrue(found.passed)
        self.assertIn("too busy", found.verdict)

    def test_unbounded(self) -> None:
        """What waits for a stalled client is bounded, however fast the others are."""
        self.assertFalse(stall.section([self.kept([100.0] * 4, held_mib=9.0)]).passed)


class ScaleTests(SynchronousTestCase):
    """Many clients and names."""

    def stage(self, clients: int, *, cpu_ms: float = 0.4, page_ms: float = 10.0) -> Stage:
        return Stage(
            clients=clients,
            opening_s=1.0,
            cpu_ms=cpu_ms,
            kib=3.0,
            pages_ms={"/status": page_ms, "/metrics": 5.0},
        )

    def passes(self, *stages: Stage) -> bool:
        return scale._section(1000, 2.0, 120_000_000, stages).passed

    def test_flat(self) -> None:
        """The same cost among many as among few, and quick pages, pass."""
        self.assertTrue(self.passes(self.stage(100), self.stage(10_000)))

    def test_slow_page(self) -> None:
        """A page that takes a tenth of a second does not."""
        self.assertFalse(self.passes(self.stage(100), self.stage(10_000, page_ms=100.0)))

    def test_growing_cost(self) -> None:
        """Nor does a client that costs twice as much among many."""
        self.assertFalse(self.passes(self.stage(100), self.stage(10_000, cpu_ms=0.8)))

    def test_file_limit(self) -> None:
        """What the system forbids is said before anything is started."""
        self.patch(resource, "getrlimit", lambda which: (1000, 1000))
        self.patch(resource, "setrlimit", self.forbidden)
        scale.raise_file_limit(10, 10)
        with self.assertRaisesRegex(SetupError, "11500 open files"):
            scale.raise_file_limit(10_000, 1_000)

    def forbidden(self, which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")


class PathTests(SynchronousTestCase):
    """Long and slow lines."""

    def trips(self, p95_ms: float) -> RoundTrips:
        return RoundTrips(
            count=100, p50_us=50_000, p95_us=p95_ms * 1000, p99_us=p95_ms * 1000, most_us=p95_ms * 2000
        )

    def way(self, *, ours: float = 90.0, slowest: int = 80, beside_ms: float = 60.0) -> Way:
        return Way(
            direction="up",
            beside=self.trips(beside_ms),
            plain_beside=self.trips(55.0),
            plain=[90.0, 100.0, 110.0],
            ours=[ours, ours, ours],
            many=Flows(seconds=2.0, each=(slowest * 1_000_000, 100_000_000)),
        )

    def long(self, *ways: Way) -> Section:
        return path.long_section("cubic", self.trips(50.0), ways)

    def test_filled_and_shared(self) -> None:
        """Lines that are filled and shared, with little waiting, pass."""
        found = self.long(self.way(), self.way())
        self.assertTrue(found.passed)
        self.assertEqual(found.region, "path")
        self.assertIn("90%", found.verdict)

    def test_not_filled(self) -> None:
        """A stream that reaches three quarters of plain TCP, in one direction, does not."""
        self.assertFalse(self.long(self.way(), self.way(ours=75.0)).passed)

    def test_not_shared(self) -> None:
        """Nor do streams of which one gets less than half of another."""
        self.assertFalse(self.long(self.way(slowest=40), self.way()).passed)

    def test_interactive_waits(self) -> None:
        """Nor do round trips of more than five times their own."""
        self.assertFalse(self.long(self.way(), self.way(beside_ms=260.0)).passed)

    def test_slow(self) -> None:
        """On the slow line there is a limit in milliseconds."""
        quiet = self.trips(42.0)
        self.assertTrue(path.slow_section("cubic", quiet, [self.way(beside_ms=119.0)]).passed)
        self.assertFalse(path.slow_section("cubic", quiet, [self.way(), self.way(beside_ms=120.0)]).passed)

    def test_no_root(self) -> None:
        """Where no line can be laid it is said why, and nothing fails."""
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        self.patch(os, "geteuid", lambda: 1000)
        self.assertEqual(command._lines(None), [])  # type: ignore[arg-type]
        self.assertEqual(said.getvalue(), "without --path: network namespaces need root\n")

    def test_flows(self) -> None:
        """What all moved, and the slowest against the fastest."""
        found = Flows(seconds=2.0, each=(1_000_000, 4_000_000, 3_000_000))
        self.assertEqual((found.mb_per_s, found.fairness), (4.0, 0.25))
        self.assertEqual(Flows(seconds=1.0, each=(0, 0)).fairness, 0.0)


class ReconnectTests(SynchronousTestCase):
    """Agents that come back."""

    def returned(self, *, all_s: float = 8.0, stall_ms: float = 300.0) -> Return:
        return Return(
            what="cut",
            agents=100,
            half_s=2.0,
            all_s=all_s,
            busiest=30,
            resumed=100,
            full=0,
            stall_ms=stall_ms,
            cpu_ms=4.0,
        )

    def test_soon(self) -> None:
        """All back within ten seconds, nobody disturbed: passed."""
        found = reconnect.section([self.returned(), self.returned()])
        self.assertTrue(found.passed)
        self.assertEqual(found.region, "reconnect")

    def test_late(self) -> None:
        """One of them late, whatever became of the others, is not."""
        self.assertFalse(reconnect.section([self.returned(), self.returned(all_s=10.1)]).passed)

    def test_starved(self) -> None:
        """Nor is it when streams of others stand still for more than a second."""
        self.assertFalse(reconnect.section([self.returned(stall_ms=1001.0), self.returned()]).passed)

    def test_what_they_said(self) -> None:
        """Times count from the cut, handshakes from those before it; what was said before or after does not matter."""
        sights = [
            Sight(5.0, 90, 0, 90),
            Sight(9.0, 100, 0, 100),
            Sight(10.1, 20, 0, 100),
            Sight(10.2, 0, 0, 100),
            Sight(11.0, 40, 40, 100),
            Sight(12.1, 60, 58, 102),
            Sight(14.0, 100, 95, 105),
            Sight(90.0, 7, 7, 700),
        ]
        found = came_back("cut", sights, sights[1], Seen(10.0, 14.5, 250.0, 0.5))
        self.assertEqual((found.agents, found.resumed, found.full, found.busiest), (100, 95, 5, 40))
        self.assertAlmostEqual(found.half_s, 2.1)
        self.assertAlmostEqual(found.all_s, 4.5)
        self.assertAlmostEqual(found.cpu_ms, 5.0)

    def test_files(self) -> None:
        """The cloud side has the services of both files, and the stores of the first."""
        services = [
            f"<a>\n    <service>\n        {n}\n    </service>\n    <security>{n}</security>\n</a>"
            for n in (1, 2)
        ]
        found = joined(*services)
        self.assertEqual((found.count("<service>"), found.count("<security>")), (2, 1))
        self.assertIn("<security>1", found)
        self.assertLess(found.index("        2"), found.index("<security>"))


class FreePortsTests(SynchronousTestCase):
    """Ports that nobody listens on."""

    def test_each_once(self) -> None:
        """No port is given out twice, alone or in a row."""
        free = FreePorts()
        first, row, last = free.one(), free.row(5), free.one()
        self.assertEqual(len({first, *range(row, row + 5), last}), 7)

    def test_taken_ports_are_skipped(self) -> None:
        """A row goes around a port on which somebody listens."""
        first = FreePorts().row(20)
        with socket.socket() as other:
            other.bind((ports.LOOPBACK, first + 2))
            other.listen()
            self.assertFalse(ports.is_free(first + 2))
            self.assertGreater(FreePorts(first).row(5), first + 2)

    def test_none_left(self) -> None:
        """Asking for more than there are is an error, not a loop."""
        with self.assertRaises(SetupError):
            FreePorts().row(60_000)


class WorkersTests(SynchronousTestCase):
    """What is concluded from the rates of one process and of several."""

    def test_enough(self) -> None:
        """Several take so many times as many, or fewer by no more than noise."""
        found = workers.section(workers.Rates(one=[1000.0] * 6, several=[1700.0] * 6), 2, 0.3)
        self.assertTrue(found.passed)
        self.assertIn("1.70 ×", found.verdict)
        self.assertIn("each with 0.3 of a core", found.verdict)
        noisy = workers.Rates(one=[1000.0] * 6, several=[1300.0, 1800.0] * 3)
        self.assertTrue(workers.section(noisy, 2, None).passed)

    def test_too_few(self) -> None:
        """Fewer than that is no pass."""
        found = workers.section(workers.Rates(one=[1000.0] * 6, several=[1500.0] * 6), 2, None)
        self.assertFalse(found.passed)
