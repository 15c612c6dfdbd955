"""Tests of kwic.config."""

import test.patience  # noqa: F401
