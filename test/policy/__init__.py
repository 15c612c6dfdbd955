"""Tests of kwic.policy."""

import test.patience  # noqa: F401
