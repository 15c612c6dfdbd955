"""Tests of kwic.transport."""

import test.patience  # noqa: F401
