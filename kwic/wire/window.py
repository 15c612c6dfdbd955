"""Flow control of one stream: what the peer may still send, and what we may.

How a receive window works and grows:

1. The peer begins with 256 KiB of credit, the window.
2. Each payload byte received takes one from the credit; a frame that is longer than the credit is an error of the peer.
3. A byte is consumed when the far transport has taken it, not when it was parked: a slow reader stops its own stream only.
4. When at least half a window was consumed and not yet returned, it is returned in one step.
5. When the round trip is known and that half was consumed within two round trips of the return before it, the window and not the path
   or the reader is what limits the stream: the window doubles, up to 16 MiB, as far as the budget of the process goes, and the
   growth is granted in the same step. The first return only starts the measure.
6. A window never shrinks; when its stream is forgotten, what it grew goes back to the budget.

A stream that runs at the full rate B of a path with round trip R therefore ends with a window between 2·B·R and 4·B·R, and a slow one stays
at 256 KiB.

Rejected: growing by what arrives instead of by what is consumed. It gives the largest windows to the slowest readers.
"""

from __future__ import annotations

from kwic.errors import MisuseError
from kwic.wire.yamux import CREDIT_MAXIMUM_BYTES, INITIAL_WINDOW_BYTES, CreditExceededError

WINDOW_MAXIMUM_BYTES = 16 * 1024 * 1024
"""The largest window of one stream: 1.3 Gbit/s at 100 ms."""

BUDGET_BYTES = 256 * 1024 * 1024
"""What all windows of a process may grow in sum beyond their first 256 KiB: 17 streams at the largest window."""

GROWTH_ROUND_TRIPS = 2
"""Half a window consumed within so many round trips makes it grow."""


class Budget:
    """What the windows of a process may grow in sum: one object, shared by all its sessions.

    :param total_bytes: the sum.
    """

    __slots__ = ("_left_bytes", "_total_bytes")

    def __init__(self, total_bytes: int = BUDGET_BYTES) -> None:
        self._total_bytes = total_bytes
        self._left_bytes = total_bytes

    @property
    def left_bytes(self) -> int:
        """What may still be taken."""
        return self._left_bytes

    @property
    def total_bytes(self) -> int:
        """What there was to begin with."""
        return self._total_bytes

    def take(self, nbytes: int) -> int:
        """Take up to `nbytes`.

        :returns: how many were left to take, at most `nbytes`.
        """
        taken = min(nbytes, self._left_bytes)
        self._left_bytes -= taken
        return taken

    def give_back(self, nbytes: int) -> None:
        """Return what was taken.

        :raises MisuseError: more comes back than was taken.
        """
        if self._left_bytes + nbytes > self._total_bytes:
            raise MisuseError(f"{nbytes} bytes were never taken from this budget")
        self._left_bytes += nbytes


class ReceiveWindow:
    """What the peer may still send on one stream, and when it gets more; the algorithm is at the top of this file.

    :param budget: where growth comes from.
    :param maximum_bytes: the window grows no further.
    """

    __slots__ = ("_budget", "_consumed", "_credit", "_maximum_bytes", "_parked", "_since_s", "_size")

    def __init__(self, budget: Budget, maximum_bytes: int = WINDOW_MAXIMUM_BYTES) -> None:
        self._budget = budget
        self._maximum_bytes = maximum_bytes
        self._size = INITIAL_WINDOW_BYTES
        self._credit = INITIAL_WINDOW_BYTES
        self._parked = 0
        self._consumed = 0
        self._since_s: float | None = None

    @property
    def size_bytes(self) -> int:
        """The window: credit, bytes parked and bytes consumed but not yet returned, in sum."""
        return self._size

    @property
    def credit_bytes(self) -> int:
        """What the peer may still send."""
        return self._credit

    @property
    def parked_bytes(self) -> int:
        """What was received and not yet consumed."""
        return self._parked

    def received(self, nbytes: int) -> None:
        """Count a frame's payload against the credit.

        :raises CreditExceededError: the peer sent more than it may; nothing is counted.
        """
        if nbytes > self._credit:
            raise CreditExceededError(f"{nbytes} bytes were sent on a credit of {self._credit}")
        self._credit -= nbytes
        self._parked += nbytes

    def consumed(self, nbytes: int, now_s: float, rtt_s: float | None) -> int:
        """Count bytes that the far transport has taken.

        :param nbytes: how many.
        :param now_s: seconds of any steady clock.
        :param rtt_s: the round trip of the path in seconds; None while it is unknown.
        :returns: the credit to grant the peer now; 0 = not yet.
        :raises MisuseError: more is consumed than was received; nothing is counted.
        """
        if nbytes > self._parked:
            raise MisuseError(f"{nbytes} bytes cannot be consumed: {self._parked} are parked")
        self._parked -= nbytes
        self._consumed += nbytes
        if 2 * self._consumed < self._size:
            return 0
        grant = self._consumed + self._growth(now_s, rtt_s)
        self._credit += grant
        self._consumed = 0
        self._since_s = now_s
        return grant

    def release(self) -> None:
        """Return the growth to the budget: the stream is forgotten."""
        self._budget.give_back(self._size - INITIAL_WINDOW_BYTES)
        self._size = INITIAL_WINDOW_BYTES

    def _growth(self, now_s: float, rtt_s: float | None) -> int:
        """How much the window grows, now that half of it was consumed."""
        if self._since_s is None or rtt_s is None:
            return 0
        if now_s - self._since_s > GROWTH_ROUND_TRIPS * rtt_s:
            return 0
        grown = self._budget.take(min(self._size, self._maximum_bytes - self._size))
        self._size += grown
        return grown


class SendCredit:
    """What the peer allows us to send on one stream."""

    __slots__ = ("available",)

    def __init__(self) -> None:
        self.available = INITIAL_WINDOW_BYTES

    def grant(self, nbytes: int) -> None:
        """Add what a WINDOW_UPDATE brought.

        :raises CreditExceededError: the sum does not fit 32 bits; nothing is added.
        """
        if self.available + nbytes > CREDIT_MAXIMUM_BYTES:
            raise CreditExceededError(
                f"{nbytes} bytes of credit on top of {self.available} do not fit 32 bits"
            )
        self.available += nbytes

    def spend(self, nbytes: int) -> None:
        """Take what is sent.

        :raises MisuseError: it is more than was granted; nothing is taken.
        """
        if nbytes > self.available:
            raise MisuseError(f"{nbytes} bytes cannot be sent on a credit of {self.available}")
        self.available -= nbytes
