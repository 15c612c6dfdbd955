"""What the load client prints, and that it does what it says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench.errors import MeasureError
from bench.lab import Lab
from bench.loadgen import bulk_of, connects_of, parse_lines

BULK = '{"mode":"upload","streams":2,"bytes":200,"secs":0.5,"MBps":400.5,"client_cpu":0.1,"bad":0,"unfinished":0}\n'
CONNECTS = '{"mode":"connrate","conc":50,"done":100,"bad":0,"secs":0.1,"per_s":1000.0,"p50_us":90.5,"p99_us":300.0}\n'


class ParseLinesTests(SynchronousTestCase):
    """JSON, an object a line."""

    def test_several(self) -> None:
        """Each line is one object."""
        self.assertEqual([found["mode"] for found in parse_lines(BULK + CONNECTS)], ["upload", "connrate"])

    def test_error_is_raised(self) -> None:
        """What the client could not do is said in its own words."""
        with self.assertRaisesRegex(MeasureError, "connect: Connection refused"):
            parse_lines('{"error":"connect: Connection refused"}\n')

    @settings(deadline=None)
    @given(st.text(alphabet="abc{}:,", min_size=1))
    def test_garbage(self, text: str) -> None:
        """Anything that is no JSON object is refused, never misread."""
        if text == "{}":
            return
        with self.assertRaises(MeasureError):
            parse_lines(text)

    def test_numbers_are_not_objects(self) -> None:
        """JSON that is no object is refused too."""
        with self.assertRaises(MeasureError):
            parse_lines("12\n")


class BulkTests(SynchronousTestCase):
    """Transfers."""

    def test_complete(self) -> None:
        """A transfer that arrived has a rate."""
        found = bulk_of(parse_lines(BULK)[0], 2, 100)
        self.assertEqual((found.bytes_moved, found.mb_per_s), (200, 400.5))

    def test_loss_is_no_rate(self) -> None:
        """Bytes that are damaged, late or missing are an error, not a slow transfer."""
        complete = parse_lines(BULK)[0]
        for damage in ({"bad": 1}, {"unfinished": 1}, {"bytes": 199}):
            with self.assertRaises(MeasureError):
                bulk_of({**complete, **damage}, 2, 100)


class ConnectsTests(SynchronousTestCase):
    """New connections."""

    def test_all_served(self) -> None:
        """A series in which all were served has a rate."""
        self.assertEqual(connects_of(parse_lines(CONNECTS)[0], 100).per_s, 1000.0)

    def test_one_failed(self) -> None:
        """One failed connection spoils the series."""
        with self.assertRaisesRegex(MeasureError, "1 of 100"):
            connects_of({**parse_lines(CONNECTS)[0], "bad": 1}, 100)

    def test_none_served(self) -> None:
        """So does a series in which nothing happened."""
        with self.assertRaises(MeasureError):
            connects_of({**parse_lines(CONNECTS)[0], "done": 0}, 100)


class RealTests(SynchronousTestCase):
    """Compiled, with its sink, over loopback: real sockets, no gateway between."""

    def setUp(self) -> None:
        """A lab of its own."""
        if not (shutil.which("cc") or shutil.which("gcc")):
            raise SkipTest("no C compiler")
        affinity = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, affinity)
        self.lab = Lab(cores=sorted(affinity), keep=Path(self.mktemp()))
        self.lab.__enter__()
        self.addCleanup(self.lab.__exit__)

    def test_every_mode(self) -> None:
        """Each mode moves what it was asked to move, and the sink outlives all of them."""
        loadgen, port = self.lab.loadgen, self.lab.sink_port
        loadgen.verify(port, 3, 300_000, 10.0)
        for direction in ("upload", "download"):
            self.assertEqual(loadgen.bulk(direction, port, 2, 1_000_000, 10.0).bytes_moved, 2_000_000)
        self.assertEqual(loadgen.ping(port, 50, 64, 10.0).count, 50)
        self.assertEqual(loadgen.connects(port, 5, 100, 10.0).count, 100)
        with loadgen.idle(port, 20, 10.0) as idle:
            self.assertEqual(idle.count, 20)
        self.assertTrue(self.lab.sink.is_alive)

    def test_nobody_listens(self) -> None:
        """A port where nobody listens is an error that says so."""
        with self.assertRaisesRegex(MeasureError, "connect"):
            self.lab.loadgen.bulk("upload", self.lab.ports.one(), 1, 100, 5.0)

    def test_idle_clients_not_served(self) -> None:
        """Idle clients that nobody serves are counted."""
        clients = self.lab.loadgen.idle(self.lab.ports.one(), 5, 5.0)
        with self.assertRaisesRegex(MeasureError, "only 0 of 5"), clients:
            self.fail("the block must not run")

    def test_nothing_is_left(self) -> None:
        """When the lab is cleared away, its sink is gone."""
        self.lab.__exit__()
        self.assertFalse(self.lab.sink.is_alive)
