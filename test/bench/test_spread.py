"""Medians, spreads, and what counts as a change."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.spread import Change, Spread, change, ratios, slope, standard_error

POSITIVE = st.floats(min_value=0.001, max_value=1e9)


class SpreadTests(SynchronousTestCase):
    """Several samples of one figure."""

    def test_median_and_range(self) -> None:
        """The middle sample stands for all, the outer ones for how far to trust it."""
        spread = Spread.of([110.0, 90.0, 100.0])
        self.assertEqual(spread, Spread(median=100.0, low=90.0, high=110.0, count=3))
        self.assertEqual(spread.percent, 10.0)

    def test_one_sample_has_no_spread(self) -> None:
        """A single sample says nothing about noise, and zero is no reason to divide by it."""
        self.assertEqual(Spread.of([7.0]).percent, 0.0)
        self.assertEqual(Spread.of([0.0, 0.0]).percent, 0.0)

    @settings(deadline=None)
    @given(st.lists(POSITIVE, min_size=1))
    def test_median_lies_inside(self, samples: list[float]) -> None:
        """The median is never outside the range."""
        spread = Spread.of(samples)
        self.assertLessEqual(spread.low, spread.median)
        self.assertLessEqual(spread.median, spread.high)


class RatioTests(SynchronousTestCase):
    """Round by round."""

    def test_pairs_of_one_round(self) -> None:
        """A round that was slow for both gives the same ratio as one that was not."""
        self.assertEqual(ratios([100.0, 50.0], [200.0, 100.0]), [0.5, 0.5])

    def test_zero_is_left_out(self) -> None:
        """A figure of zero has no ratio."""
        self.assertEqual(ratios([1.0, 2.0], [0.0, 4.0]), [0.5])


class ChangeTests(SynchronousTestCase):
    """Whether a figure changed."""

    def test_noise_is_no_change(self) -> None:
        """What lies within three standard errors does not count."""
        noisy = [0.8, 1.3, 0.9, 1.25, 1.1, 0.85]
        self.assertIs(change(noisy, higher_is_better=True, tolerance=0.01), Change.NONE)

    def test_small_steady_difference_is_tolerated(self) -> None:
        """What lies within the tolerance does not count, however steady."""
        self.assertIs(change([1.02] * 9, higher_is_better=False, tolerance=0.05), Change.NONE)

    def test_direction_decides(self) -> None:
        """More is better for a rate and worse for a cost."""
        more = [1.2, 1.21, 1.19, 1.2]
        self.assertIs(change(more, higher_is_better=True, tolerance=0.05), Change.BETTER)
        self.assertIs(change(more, higher_is_better=False, tolerance=0.05), Change.WORSE)
        less = [1 / ratio for ratio in more]
        self.assertIs(change(less, higher_is_better=True, tolerance=0.05), Change.WORSE)
        self.assertIs(change(less, higher_is_better=False, tolerance=0.05), Change.BETTER)

    def test_one_round_cannot_tell(self) -> None:
        """Without a second sample nothing is known about noise."""
        self.assertIs(change([9.0], higher_is_better=True, tolerance=0.05), Change.UNKNOWN)
        self.assertTrue(math.isinf(standard_error([])))

    def test_error_shrinks_with_samples(self) -> None:
        """Four times the samples halve the error."""
        few = [0.9, 1.1] * 2
        self.assertAlmostEqual(standard_error(few * 4) * 2, standard_error(few))


class SlopeTests(SynchronousTestCase):
    """Growth."""

    @settings(deadline=None)
    @given(st.integers(-1000, 1000), st.integers(-1000, 1000))
    def test_straight_line(self, rise: int, start: int) -> None:
        """A straight line has its own slope."""
        xs = [0.0, 1.0, 2.0, 5.0]
        self.assertAlmostEqual(slope(xs, [start + rise * x for x in xs]), rise, places=6)
