"""The picture of a run: the longest stall of new connections over time, what failed, and what was broken when. SVG by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import inf, log10

from test.lab.case import Case
from test.lab.load import OK
from test.lab.verdict import Probe, kind_of

BIN_S = 0.1
WIDTH_PER_S = 12.0
LANE, TOP, LEFT, HEAD = 110, 40, 90, 40
STALL_FROM, STALL_TO = 0.001, 20.0  # seconds, the range of a lane (logarithmic)
LINES = (0.01, 0.1, 1.0, 10.0)
LIVING, OWN, FAILED, GRID, TEXT = "#2a78b5", "#c9ced6", "#c62828", "#e6e8ec", "#333"
BROKEN, IMPAIRED, COMING_BACK = "#f9d9d5", "#e8e2f4", "#fcefc9"
LEGEND = (
    "bars: longest stall of a new connection in each 0.1 s (blue: living listener, grey: broken or coming back)",
    "crosses: failed connects (red: they count, grey: they do not)",
    "bands: red: broken; violet: impaired, must go on serving; yellow: back, not yet redundant",
)
STYLE = "text{font:11px sans-serif;fill:#333} .s{font-size:9px;fill:#666} .t{font-size:14px;font-weight:600}"


def height_of(stall_s: float) -> float:
    """How high in its lane a stall stands, in pixels."""
    clipped = min(max(stall_s, STALL_FROM), STALL_TO)
    return (LANE - 16) * (log10(clipped) - log10(STALL_FROM)) / (log10(STALL_TO) - log10(STALL_FROM))


class Timeline:
    """The picture.

    :param title: above it.
    :param lanes: the instances, top to bottom.
    :param cases: the faults.
    :param probes: every connection.
    """

    def __init__(
        self, title: str, lanes: Sequence[str], cases: Sequence[Case], probes: Iterable[Probe]
    ) -> None:
        self._title = title
        self._lanes = lanes
        self._cases = cases
        self._probes = sorted(probes, key=lambda probe: probe.start_s)
        self._start = cases[0].start_s if cases else 0.0
        self._end = max([case.end_s for case in cases if case.end_s < inf] or [self._start + 1])

    def svg(self) -> str:
        """The whole picture."""
        width = max(900.0, LEFT + (self._end - self._start) * WIDTH_PER_S + 20)
        height = TOP + HEAD + LANE * len(self._lanes) + 60
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}">',
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>',
            f'<text class="t" x="10" y="20">{escape(self._title)}</text>',
            *self._windows(),
            *self._grid(width),
            *self._stalls(),
            *self._marks(height),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _x(self, at_s: float) -> float:
        return LEFT + (min(at_s, self._end) - self._start) * WIDTH_PER_S

    def _y(self, lane: int) -> float:
        """The bottom of a lane."""
        return TOP + HEAD + LANE * (lane + 1)

    def _windows(self) -> Iterable[str]:
        for case in self._cases:
            for window in case.windows:
                for lane, name in enumerate(self._lanes):
                    if name in window.victims:
                        colour = BROKEN if window.deaf else IMPAIRED
                        yield self._band(lane, window.begun_s, window.returned_s, colour)
                        yield self._band(lane, window.returned_s, window.whole_s, COMING_BACK)

    def _band(self, lane: int, start_s: float, end_s: float, colour: str) -> str:
        if start_s >= self._end:
            return ""
        x, width = self._x(start_s), self._x(end_s) - self._x(start_s)
        return f'<rect x="{x:.1f}" y="{self._y(lane) - LANE + 8:.0f}" width="{width:.1f}" height="{LANE - 8}" fill="{colour}"/>'

    def _grid(self, width: float) -> Iterable[str]:
        for lane, name in enumerate(self._lanes):
            bottom = self._y(lane)
            yield f'<text x="8" y="{bottom - LANE / 2:.0f}">{escape(name)}</text>'
            for stall_s in LINES:
                y = bottom - height_of(stall_s)
                yield f'<line x1="{LEFT}" x2="{width - 20:.0f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
                yield f'<text class="s" x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{stall_s:g} s</text>'

    def _stalls(self) -> Iterable[str]:
        windows = [window for case in self._cases for window in case.windows]
        bins: dict[tuple[str, int, bool], float] = {}
        for probe in self._probes:
            if probe.outcome == OK and probe.start_s >= self._start:
                living = kind_of(probe, windows) == "living"
                key = (probe.target, int((probe.start_s - self._start) / BIN_S), living)
                bins[key] = max(bins.get(key, 0.0), probe.stall_s)
        for (name, number, living), stall_s in sorted(bins.items()):
            x, high = LEFT + number * BIN_S * WIDTH_PER_S, height_of(stall_s)
            y = self._y(self._lanes.index(name)) - high
            colour = LIVING if living else OWN
            yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{BIN_S * WIDTH_PER_S:.1f}" height="{high:.1f}" fill="{colour}"/>'
        for probe in self._probes:
            if probe.outcome != OK and probe.start_s >= self._start:
                colour = FAILED if kind_of(probe, windows) in ("living", "returning") else "#8d95a1"
                y = self._y(self._lanes.index(probe.target)) - LANE + 12
                yield f'<path d="M{self._x(probe.start_s) - 2:.1f} {y} l4 6 m0 -6 l-4 6" stroke="{colour}" fill="none"/>'

    def _marks(self, height: float) -> Iterable[str]:
        for index, case in enumerate(self._cases):
            x = self._x(case.start_s)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - 46}" stroke="{TEXT}" stroke-dasharray="2 3"/>'
            yield f'<text x="{x + 3:.1f}" y="{TOP + 12 * (index % 2)}">{escape(case.fault)}</text>'
            for number, mark in enumerate(case.marks):
                x = self._x(mark.at_s)
                y = TOP + 20 + 9 * (number % 3)
                yield f'<path d="M{x:.1f} {y} v6" stroke="{TEXT}"/><title>{escape(mark.text)}</title>'
        for number, text in enumerate(LEGEND):
            yield f'<text class="s" x="{LEFT}" y="{height - 34 + 12 * number}">{text}</text>'
