"""Medians, their spread, and whether a difference is more than noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

NOISE_FACTOR = 3.0
"""A change counts when the median ratio lies this many standard errors of the median away from 1."""

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for normal noise."""

MEDIAN_TO_MEAN_ERROR = 1.2533
"""How much larger the standard error of a median is than that of a mean."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Several samples of one figure.

    :param median: the middle one.
    :param low: the smallest.
    :param high: the largest.
    :param count: how many.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of samples.

        :param samples: at least one.
        """
        return cls(median=statistics.median(samples), low=min(samples), high=max(samples), count=len(samples))

    @property
    def percent(self) -> float:
        """Half the range as a percentage of the median; 0 for one sample."""
        return 0.0 if not self.median else 50.0 * (self.high - self.low) / abs(self.median)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, ours divided by theirs: what is slow for a moment is slow for both.

    :param ours: samples of one side, a round each.
    :param theirs: samples of the other, of the same rounds.
    """
    return [one / other for one, other in zip(ours, theirs, strict=False) if other]


def standard_error(samples: Sequence[float]) -> float:
    """The standard error of the median of samples, from their median absolute deviation.

    :param samples: the samples; fewer than two tell nothing, which is infinite.
    """
    if len(samples) < 2:
        return math.inf
    middle = statistics.median(samples)
    deviation = statistics.median(abs(sample - middle) for sample in samples)
    return MEDIAN_TO_MEAN_ERROR * MAD_TO_SIGMA * deviation / math.sqrt(len(samples))


class Change(Enum):
    """What became of a figure between two commits."""

    BETTER = "better"
    WORSE = "WORSE"
    NONE = "no change beyond noise"
    UNKNOWN = "too few rounds to say"


def change(samples: Sequence[float], *, higher_is_better: bool, tolerance: float) -> Change:
    """What ratios of new to old say.

    :param samples: the ratios, a round each.
    :param higher_is_better: whether a larger figure is the better one.
    :param tolerance: differences up to this fraction never count (0.03 is 3 %).
    """
    error = standard_error(samples)
    if math.isinf(error):
        return Change.UNKNOWN
    distance = statistics.median(samples) - 1.0
    if abs(distance) <= max(tolerance, NOISE_FACTOR * error):
        return Change.NONE
    return Change.BETTER if (distance > 0) == higher_is_better else Change.WORSE


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of the straight line that fits best: what y gains for one more of x.

    :param xs: where it was looked at; at least two different places.
    :param ys: what was seen there.
    """
    return statistics.linear_regression(xs, ys).slope
