"""The exceptions that are ours, split by blame: what the operator wrote, what we did, what the other end did."""

from __future__ import annotations


class KwicError(Exception):
    """The root of every exception that KWIC raises on purpose."""


class MisuseError(KwicError):
    """Our own code called something in a state that does not allow it: a bug here, never the peer's fault."""


class SetupError(KwicError):
    """What the operator asked for cannot be done: one line that says what, where, and what to do."""


class ProtocolError(KwicError):
    """The other end broke a rule of the wire; the connection it came on is to be closed."""
