"""What a client costs, counted."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from bench.cost import FIGURES, MARGIN, OTHER_MARGIN, compare, count, runs_on
from bench.lab import Lab
from bench.options import default_cores

HERE = {"python": "3.11", "twisted": "26.10.0"}


class CompareTests(SynchronousTestCase):
    """What counts as a regression."""

    figures = {"on": HERE, "calls": {"new connection": 1000, "round trip": 400}}

    def test_within(self) -> None:
        """As many calls, fewer, and few more are none."""
        for factor in (0.5, 1.0, MARGIN):
            found = {what: int(calls * factor) for what, calls in self.figures["calls"].items()}
            self.assertEqual(compare(found, self.figures, HERE), [])

    def test_beyond(self) -> None:
        """More are, each for itself."""
        (line,) = compare({"new connection": 1000, "round trip": 500}, self.figures, HERE)
        self.assertIn("a round trip costs 500 function calls, 1.25 × the 400", line)

    def test_elsewhere(self) -> None:
        """On another Python or Twisted, only much more is one."""
        other = {**HERE, "twisted": "27.4.0"}
        self.assertEqual(compare({"round trip": 500}, self.figures, other), [])
        self.assertEqual(len(compare({"round trip": int(400 * OTHER_MARGIN) + 1}, self.figures, other)), 1)


class CostTests(SynchronousTestCase):
    """Our pair, as it is."""

    def test_no_more_than_before(self) -> None:
        """A client costs no more calls than when `python -m bench.cost --write` was run last."""
        with Lab(cores=default_cores()) as lab:
            found = count(lab)
        self.assertEqual(compare(found, json.loads(FIGURES.read_text()), runs_on()), [])
        self.assertGreater(min(found.values()), 50)
