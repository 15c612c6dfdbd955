"""Tests of kwic.config."""
