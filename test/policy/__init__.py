"""Tests of kwic.policy."""

from hypothesis import settings

# a busy machine is no bug: time is never what these tests are about
settings.register_profile("kwic", deadline=None)
settings.load_profile("kwic")
