"""Tests of kwic.service."""
