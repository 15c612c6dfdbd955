"""Imported by each package whose tests draw examples: a busy machine is no bug, and the time that an example takes is never what they are about."""

from hypothesis import settings

settings.register_profile("kwic", deadline=None)
settings.load_profile("kwic")
