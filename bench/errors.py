"""What can go wrong on the bench, split by what it means for the run."""

from __future__ import annotations


class BenchError(Exception):
    """The root of the bench's own errors; each is one line for the person who started it."""


class SetupError(BenchError):
    """The run cannot begin: something is missing or asked for wrongly."""


class MeasureError(BenchError):
    """One measure of one pair failed: bytes lost, connections refused, a process gone."""
