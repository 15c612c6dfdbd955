"""Tests of kwic.cli."""
