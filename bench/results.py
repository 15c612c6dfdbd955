"""What a run found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.metrics import Metric
from bench.spread import Spread


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that could not be measured.

    :param pair: the key of the pair.
    :param what: which measure.
    :param why: one line.
    """

    pair: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.pair}: {self.what}: {self.why}"


@dataclass(kw_only=True)
class Results:
    """Samples of every metric of every pair.

    :param titles: what pairs are called in tables, in the order of tables.
    :param c_relays: the keys of the pairs that ours is held against.
    :param samples: by pair key and metric key, one for each round.
    :param failures: what went wrong.
    """

    titles: dict[str, str] = field(default_factory=dict)
    c_relays: tuple[str, ...] = ()
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, pair: str, values: Mapping[str, float]) -> None:
        """Takes samples in.

        :param pair: its key.
        :param values: by metric key.
        """
        for key, value in values.items():
            self.samples.setdefault(pair, {}).setdefault(key, []).append(value)

    def spread(self, pair: str, metric: Metric) -> Spread | None:
        """A figure of a pair; None when it was not measured."""
        found = self.samples.get(pair, {}).get(metric.key)
        return Spread.of(found) if found else None

    def median(self, pair: str, metric: Metric) -> float | None:
        """The median of a figure of a pair; None when it was not measured."""
        found = self.spread(pair, metric)
        return found.median if found else None

    def best(self, pairs: tuple[str, ...], metric: Metric) -> str | None:
        """Which of some pairs is best in a figure.

        :param pairs: their keys.
        :param metric: the figure.
        :returns: its key; None when none of them has the figure.
        """
        known = {pair: value for pair in pairs if (value := self.median(pair, metric)) is not None}
        if not known:
            return None
        choose = max if metric.higher_is_better else min
        return choose(known, key=known.__getitem__)

    def as_json(self) -> dict[str, Any]:
        """Everything, for the JSON file."""
        return {
            "titles": self.titles,
            "samples": self.samples,
            "medians": {
                pair: {key: Spread.of(found).median for key, found in metrics.items()}
                for pair, metrics in self.samples.items()
            },
            "failures": [str(failure) for failure in self.failures],
        }
