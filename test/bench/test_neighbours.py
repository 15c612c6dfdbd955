"""Other programs on our cores."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.neighbours import Neighbours, busy_s
from bench.proc import TICKS_PER_S

STAT = """\
cpu  999 0 999 999 0 0 0 0 0 0
cpu0 {0} 0 {0} 5000 70 0 {0} 0 {0} 0
cpu1 1 1 1 1 1 1 1 1 1 1
cpu10 9999 0 0 0 0 0 0 0 0 0
intr 12345
"""


class BusyTests(SynchronousTestCase):
    """/proc/stat."""

    def test_only_our_cores(self) -> None:
        """Core 1 is not core 10; idle, waiting and guest time do not count, the guest's being in the user's."""
        self.assertEqual(busy_s(STAT.format(TICKS_PER_S), [0]), 3.0)
        self.assertEqual(busy_s(STAT.format(0), [1]), 6 / TICKS_PER_S)


class NeighboursTests(SynchronousTestCase):
    """Their share."""

    def setUp(self) -> None:
        """Two cores, nothing done yet."""
        self.clock = Clock()
        self.busy_ticks = 0
        self.ours_s = 0.0
        self.neighbours = Neighbours(
            [0, 1], lambda: STAT.format(self.busy_ticks), lambda: self.ours_s, self.clock.seconds
        )

    def test_share(self) -> None:
        """What was used and not by us, of what there was."""
        self.clock.advance(10)
        self.busy_ticks = 4 * TICKS_PER_S
        self.ours_s = 7.0
        self.assertEqual(self.neighbours.share(), 5.0 / 20.0)

    def test_never_below_nothing(self) -> None:
        """Ticks that lag behind our own clock are no negative use, and no time is no use."""
        self.assertEqual(self.neighbours.share(), 0.0)
        self.clock.advance(10)
        self.ours_s = 1.0
        self.assertEqual(self.neighbours.share(), 0.0)
