"""The table of a run, as Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from test.lab.faults import TITLES
from test.lab.verdict import Verdict

HEAD = (
    "| fault | connects on living listeners | failed | longest stall | promised | of direct connections | wrong bytes | streams whole / cut by the fault / "
    "cut without need | redundant again after | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n"
)

SUMMARY_HEAD = (
    "| fault | times | connects on living listeners | failed | longest pause | promised | wrong bytes | streams cut without need | "
    "redundant again after |\n|---|---|---|---|---|---|---|---|---|\n"
)


def seconds(value: float | None, digits: int = 2) -> str:
    """A time in a table."""
    return "–" if value is None else f"{value:.{digits}f} s"


def summary(verdicts: Sequence[Verdict]) -> str:
    """The table that stands in docs/availability.md: each kind of fault with the worst of all its victims."""
    kinds: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        kinds.setdefault(verdict.fault.partition(":")[0], []).append(verdict)
    return SUMMARY_HEAD + "".join(summary_line(kind, some) for kind, some in kinds.items())


def summary_line(kind: str, some: Sequence[Verdict]) -> str:
    """One kind of fault."""
    whole = [verdict.whole_s for verdict in some if verdict.whole_s is not None]
    promised = " / ".join(
        sorted({f"{verdict.row.stall_s:g} s" for verdict in some if verdict.row.stall_s is not None})
    )
    cells = (
        TITLES.get(kind, kind),
        len(some),
        sum(verdict.connects for verdict in some),
        sum(verdict.failed + verdict.returning_failed for verdict in some),
        seconds(max(verdict.stall_s for verdict in some)),
        promised or "–",
        sum(verdict.wrong for verdict in some),
        sum(verdict.streams_cut_unexplained for verdict in some),
        seconds(max(whole), 1) if len(whole) == len(some) else "–",
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


def line(verdict: Verdict) -> str:
    """One row of the table."""
    promised = "–" if verdict.row.stall_s is None else f"{verdict.row.stall_s:g} s"
    failed = verdict.failed + verdict.returning_failed
    whole = "–" if verdict.row.whole_s is None and verdict.whole_s is None else seconds(verdict.whole_s, 1)
    streams = f"{verdict.streams_whole} / {verdict.streams_cut} / {verdict.streams_cut_unexplained}"
    judged = "missed" if verdict.misses() else "ok"
    return (f"| {verdict.fault} | {verdict.connects} | {failed} | {seconds(verdict.stall_s)} | {promised} | {seconds(verdict.direct_s)} | {verdict.wrong} | {streams} | "
            f"{whole} | {judged} |\n")  # fmt: skip


def aside(verdict: Verdict) -> str:
    """What counts apart, in one line."""
    used = ", ".join(f"{name} {share:.2f}" for name, share in verdict.processors.items())
    return (
        f"{verdict.fault}: typical stall {verdict.typical_s * 1000:.0f} ms; in flight at the moment of the fault "
        f"{verdict.in_flight} ({verdict.in_flight_failed} cut); to the broken instance itself {verdict.own} "
        f"({verdict.own_failed} failed); to the instance while it came back {verdict.returning} "
        f"({verdict.returning_failed} failed, longest stall {verdict.returning_stall_s:.2f} s); "
        f"start-up {seconds(verdict.start_up_s)}; the load's own delay up to {verdict.lag_s * 1000:.0f} ms; "
        f"longest stalls, by the time since the fault: {', '.join(verdict.longest)}; processors used: {used}; by other work on this computer {verdict.other_work:.1f}"
    )


def markdown(title: str, verdicts: Sequence[Verdict], facts: dict[str, Any]) -> str:
    """The whole table.

    :param title: its heading.
    :param verdicts: one for each fault.
    :param facts: where and how it was measured.
    """
    misses = [f"- {verdict.fault}: {miss}" for verdict in verdicts for miss in verdict.misses()]
    details = [
        f"- {verdict.fault}: {text}" for verdict in verdicts for text in (*verdict.examples, *verdict.notes)
    ]
    parts = [
        f"# {title}\n",
        "; ".join(f"{name}: {value}" for name, value in facts.items()) + "\n",
        summary(verdicts),
        "## Each fault\n",
        HEAD + "".join(line(verdict) for verdict in verdicts),
        "## Targets missed\n\n" + ("\n".join(misses) or "None.") + "\n",
        "## What counts apart\n\n" + "\n".join(f"- {aside(verdict)}" for verdict in verdicts) + "\n",
    ]
    if details:
        parts.append("## Failures in words\n\n" + "\n".join(details) + "\n")
    return "\n".join(parts)


def as_json(title: str, verdicts: Sequence[Verdict], facts: dict[str, Any]) -> str:
    """The same for programs."""
    rows = [{**asdict(verdict), "misses": verdict.misses()} for verdict in verdicts]
    return json.dumps({"title": title, "facts": facts, "faults": rows}, indent=1) + "\n"


def machine_facts() -> dict[str, Any]:
    """On what it was measured."""
    model = next(
        (text.split(":", 1)[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    return {
        "processors": f"{os.cpu_count()} × {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
