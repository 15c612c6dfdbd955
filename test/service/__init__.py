"""Tests of kwic.service."""

import test.patience  # noqa: F401
