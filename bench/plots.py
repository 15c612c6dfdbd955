"""Pictures of a run; they need matplotlib, everything else does without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import metrics
from bench.metrics import Metric
from bench.results import Results
from bench.targets import OURS

HINT = "no plots: matplotlib is not installed (python -m pip install matplotlib)"

OURS_COLOUR = "#0b6e4f"
OTHER_COLOUR = "#9aa5b1"
LIGHTER = 0.55

BULK_PANELS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    ("bulk, 1 stream: MB/s (up, down)", (metrics.BULK["upload", 1][0], metrics.BULK["download", 1][0])),
    (
        "CPU seconds a GB, both gateways (up, down)",
        (metrics.BULK["upload", 1][1], metrics.BULK["download", 1][1]),
    ),
)
CONNECTION_PANELS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    ("64 B there and back, two cores: µs (p50, p99)", metrics.ROUND_TRIPS[2]),
    ("new connections a second", (metrics.CONNECTS,)),
    ("KiB an idle client, both gateways", (metrics.IDLE,)),
)


def draw(results: Results, folder: Path) -> list[Path]:
    """Draws a run.

    :param results: the run.
    :param folder: where the pictures are put.
    :returns: their files.
    :raises ImportError: without matplotlib.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    pairs = [pair for pair in results.titles if pair in results.samples and pair != "direct"]
    return [
        _figure(results, pairs, BULK_PANELS, folder / "bulk.png", logarithmic=frozenset()),
        _figure(results, pairs, CONNECTION_PANELS, folder / "connections.png", logarithmic=frozenset({2})),
    ]


def _figure(
    results: Results,
    pairs: Sequence[str],
    panels: Sequence[tuple[str, tuple[Metric, ...]]],
    path: Path,
    *,
    logarithmic: frozenset[int],
) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(5.2 * len(panels), 0.42 * len(pairs) + 1.4),
        sharey=True,
        layout="constrained",
    )
    for number, (title, shown) in enumerate(panels):
        _panel(axes[number], results, pairs, shown)
        axes[number].set_title(title, fontsize=10)
        if number in logarithmic:
            axes[number].set_xscale("log")
            axes[number].set_xlim(left=1)
    axes[0].set_yticks(range(len(pairs)), [results.titles[pair] for pair in pairs])
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _panel(axes: Any, results: Results, pairs: Sequence[str], shown: Sequence[Metric]) -> None:
    height = 0.8 / len(shown)
    for index, metric in enumerate(shown):
        for row, pair in enumerate(pairs):
            spread = results.spread(pair, metric)
            if spread is None:
                continue
            place = row + (index - (len(shown) - 1) / 2) * height
            axes.barh(
                place,
                spread.median,
                height * 0.92,
                xerr=[[spread.median - spread.low], [spread.high - spread.median]],
                color=OURS_COLOUR if pair == OURS else OTHER_COLOUR,
                alpha=1.0 if index == 0 else LIGHTER,
                error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
            )
            axes.annotate(
                f" {metric.show(spread.median)}",
                (spread.high, place),
                va="center",
                fontsize=7,
                color="#333333",
            )
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
