"""How fast one connection is written to."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.pace import BURST_S, LEAST_WAIT_S, Pace


class PaceTests(SynchronousTestCase):
    """A bucket of bytes."""

    def test_burst(self) -> None:
        """What the rate gives in a moment leaves at once, and no more."""
        pace = Pace(1000, 5.0)
        self.assertEqual(pace.take(5000, 5.0), 1000 * BURST_S)
        self.assertEqual(pace.take(5000, 5.0), 0)

    def test_fills(self) -> None:
        """It fills at the rate, and not beyond a burst."""
        pace = Pace(1000, 0.0)
        pace.take(1000, 0.0)
        self.assertEqual(pace.take(1000, 0.05), 50)
        self.assertEqual(pace.take(1000, 60.0), 100)

    def test_little(self) -> None:
        """Who wants less leaves the rest in it."""
        pace = Pace(1000, 0.0)
        self.assertEqual([pace.take(60, 0.0), pace.take(60, 0.0)], [60, 40])

    def test_wait(self) -> None:
        """Who waits is told when it is worth it: for half a burst, or for what is left."""
        pace = Pace(1000, 0.0)
        self.assertEqual(pace.wait_s(10), LEAST_WAIT_S)
        pace.take(100, 0.0)
        self.assertAlmostEqual(pace.wait_s(10_000), 0.05)
        self.assertAlmostEqual(pace.wait_s(10), 0.01)

    def test_slow(self) -> None:
        """A rate of a few bytes per second still gets a byte through."""
        pace = Pace(2, 0.0)
        self.assertEqual(pace.take(10, 0.0), 1)
        self.assertAlmostEqual(pace.wait_s(10), 0.5)
        self.assertEqual(pace.take(10, 0.5), 1)

    @settings(max_examples=200)
    @given(
        st.integers(1, 10**6),
        st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 10)), max_size=30),
    )
    def test_never_faster(self, rate: int, steps: list[tuple[int, float]]) -> None:
        """Over any time no more leaves than the rate allows, and a burst; who waits as told gets something."""
        pace, now_s, sent = Pace(rate, 0.0), 0.0, 0
        for wanted, pause_s in steps:
            now_s += pause_s
            taken = pace.take(wanted, now_s)
            sent += taken
            self.assertLessEqual(taken, wanted)
            self.assertLessEqual(sent, rate * now_s + max(1.0, rate * BURST_S) + 1e-6)
        now_s += pace.wait_s(10**6) + 1e-9
        self.assertGreater(pace.take(10**6, now_s), 0)
