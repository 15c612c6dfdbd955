"""Tests of kwic.cli."""

import test.patience  # noqa: F401
