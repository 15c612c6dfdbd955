"""Tests of kwic.policy."""
