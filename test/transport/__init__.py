"""Tests of kwic.transport."""
