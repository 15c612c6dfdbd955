"""What was said about a thing that fails again and again: each reason once, until it works."""

from __future__ import annotations

#: So many reasons are remembered; of more, the oldest is forgotten, and said again when it comes back.
REASONS_MAXIMUM = 8


class Complaints:
    """The reasons that one thing has failed for. They may alternate: of two nodes behind a name, one refuses and one is silent."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}

    def is_new(self, reason: str) -> bool:
        """Whether a reason is to be said; from now on it has been."""
        if reason in self._said:
            return False
        self._said[reason] = None
        if len(self._said) > REASONS_MAXIMUM:
            del self._said[next(iter(self._said))]
        return True

    def settle(self) -> bool:
        """It works: forget them. :returns: whether there was any."""
        had_any, self._said = bool(self._said), {}
        return had_any
