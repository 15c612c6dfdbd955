"""The tables of a run: the figures of every pair, and our targets."""

from __future__ import annotations

from bench.metrics import METRICS, Metric
from bench.results import Results
from bench.table import Table
from bench.targets import OURS, judge_all

NOTHING = "–"


def figures(results: Results, *, with_spread: bool) -> Table:
    """A row for each metric, a column for each pair, and ours against the best of the others.

    :param results: one run.
    :param with_spread: whether each figure shows half its range in per cent.
    """
    pairs = [pair for pair in results.titles if pair in results.samples]
    rivals = tuple(pair for pair in pairs if pair not in {OURS, "direct"})
    shows_ratio = bool(rivals) and OURS in pairs
    headings = ["", *(results.titles[pair] for pair in pairs), *(["ours : best peer"] if shows_ratio else [])]
    rows = []
    for metric in METRICS.values():
        cells = [_cell(results, pair, metric, with_spread=with_spread) for pair in pairs]
        if set(cells) == {NOTHING}:
            continue
        ratio = [_ratio(results, rivals, metric)] if shows_ratio else []
        rows.append((metric.heading, *cells, *ratio))
    return Table(headings=tuple(headings), rows=tuple(rows))


def targets(results: Results) -> Table | None:
    """A row for each target that the run can judge.

    :param results: one run.
    :returns: None when there is none.
    """
    rows = []
    for verdict in judge_all(results):
        metric = verdict.target.metric
        assert verdict.ours is not None
        rival = ""
        if verdict.rival is not None and verdict.theirs is not None:
            rival = f"{results.titles[verdict.rival]}: {metric.show(verdict.theirs)}"
        ratio = NOTHING if verdict.ratio is None else f"{verdict.ratio:.2f} ×"
        rows.append(
            (
                metric.heading,
                metric.show(verdict.ours),
                rival,
                ratio,
                verdict.target.wanted,
                verdict.outcome.value,
            )
        )
    if not rows:
        return None
    return Table(
        headings=("target", "ours", "held against", "ratio", "wanted", "outcome"),
        rows=tuple(rows),
        left=frozenset({0, 2, 4, 5}),
    )


def _cell(results: Results, pair: str, metric: Metric, *, with_spread: bool) -> str:
    spread = results.spread(pair, metric)
    if spread is None:
        return NOTHING
    text = metric.show(spread.median)
    return f"{text} ±{spread.percent:.0f} %" if with_spread and spread.count > 1 else text


def _ratio(results: Results, rivals: tuple[str, ...], metric: Metric) -> str:
    best = results.best(rivals, metric)
    ours = results.median(OURS, metric)
    theirs = results.median(best, metric) if best else None
    if best is None or ours is None or not theirs:
        return NOTHING
    return f"{ours / theirs:.2f} × {best}"
