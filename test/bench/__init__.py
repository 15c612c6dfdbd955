"""Tests of bench."""

import test.patience  # noqa: F401
