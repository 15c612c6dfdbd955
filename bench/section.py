"""A part of a report that is not the table of pairs: one experiment and what it showed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.table import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """One experiment.

    :param title: what was done.
    :param table: what was seen.
    :param verdict: what it means, in one line.
    :param passed: whether it is as it should be.
    :param data: the raw figures, for JSON.
    :param region: where `--publish` puts it in the page.
    """

    title: str
    table: Table
    verdict: str
    passed: bool
    data: dict[str, Any] = field(default_factory=dict)
    region: str = "experiments"
