"""What our pair is to reach: ratios to the best of the others in the same run, and a few absolute figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bench import metrics
from bench.metrics import Metric
from bench.results import Results

OURS = "kwic"
HAPROXY = ("haproxy",)


class Outcome(Enum):
    """How a target came out."""

    STRETCHED = "met, the stretch too"
    MET = "met"
    MISSED = "MISSED"
    UNKNOWN = "not measured"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One line of the list.

    :param metric: the figure.
    :param against: the keys of the pairs whose best it is held against; None means all C relays; empty means no pair:
        the limit is absolute.
    :param limit: the ratio, or the absolute figure: at least, where higher is better, else at most.
    :param stretch: what would be better still.
    """

    metric: Metric
    against: tuple[str, ...] | None = None
    limit: float
    stretch: float | None = None

    @property
    def is_absolute(self) -> bool:
        """Whether it is held against no pair."""
        return self.against == ()

    @property
    def wanted(self) -> str:
        """The limit in words."""
        sign = "≥" if self.metric.higher_is_better else "≤"
        unit = f" {self.metric.unit}" if self.is_absolute else " ×"
        stretch = f" (stretch {self.stretch:g} ×)" if self.stretch else ""
        return f"{sign} {self.limit:g}{unit}{stretch}"

    def reaches(self, figure: float, limit: float) -> bool:
        """Whether a ratio or figure is on the right side of a limit."""
        return figure >= limit if self.metric.higher_is_better else figure <= limit


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target and what became of it.

    :param target: the target.
    :param ours: our figure; None when not measured.
    :param rival: the key of the pair it was held against; None when absolute or not measured.
    :param theirs: that pair's figure.
    :param ratio: ours to theirs.
    :param outcome: met or not.
    """

    target: Target
    ours: float | None = None
    rival: str | None = None
    theirs: float | None = None
    ratio: float | None = None
    outcome: Outcome = Outcome.UNKNOWN


def _targets() -> tuple[Target, ...]:
    found = [
        Target(metric=rate, limit=1.0, stretch=1.2 if streams == 1 else None)
        for (_, streams), (rate, _) in metrics.BULK.items()
    ]
    found += [Target(metric=cpu, limit=1.0) for _, cpu in metrics.BULK.values()]
    p50, p99 = metrics.ROUND_TRIPS[2]
    return (
        *found,
        Target(metric=metrics.CONNECTS, limit=2.5),
        Target(metric=metrics.IDLE, limit=0.1),
        Target(metric=metrics.IDLE, against=(), limit=5.0),
        Target(metric=p50, against=HAPROXY, limit=1.6, stretch=1.25),
        Target(metric=p99, against=HAPROXY, limit=1.6),
        Target(metric=metrics.CONNECT_CPU, against=(), limit=0.4),
        Target(metric=metrics.REST_LARGER, against=(), limit=60.0),
    )


TARGETS = _targets()
"""All of them; two cores, mutual TLS 1.3, one process a gateway."""


def judge(target: Target, results: Results) -> Verdict:
    """Holds our figure against a target.

    :param target: the target.
    :param results: one run.
    """
    ours = results.median(OURS, target.metric)
    if ours is None:
        return Verdict(target=target)
    if target.is_absolute:
        return Verdict(target=target, ours=ours, outcome=_outcome(target, ours))
    rivals = results.c_relays if target.against is None else target.against
    rival = results.best(rivals, target.metric)
    theirs = results.median(rival, target.metric) if rival else None
    if not theirs:
        return Verdict(target=target, ours=ours)
    return Verdict(
        target=target,
        ours=ours,
        rival=rival,
        theirs=theirs,
        ratio=ours / theirs,
        outcome=_outcome(target, ours / theirs),
    )


def judge_all(results: Results) -> list[Verdict]:
    """Every target that this run can say something about.

    :param results: one run.
    """
    verdicts = [judge(target, results) for target in TARGETS]
    return [verdict for verdict in verdicts if verdict.outcome is not Outcome.UNKNOWN]


def _outcome(target: Target, figure: float) -> Outcome:
    if target.stretch is not None and target.reaches(figure, target.stretch):
        return Outcome.STRETCHED
    return Outcome.MET if target.reaches(figure, target.limit) else Outcome.MISSED
