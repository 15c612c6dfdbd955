"""Tests of kwic.wire."""

import test.patience  # noqa: F401
