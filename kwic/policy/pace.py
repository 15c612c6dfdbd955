"""How fast one connection may be written to (`tcp.maximum.outbound.rate`): a bucket of bytes that fills at the rate.

1. The bucket holds what the rate gives in `BURST_S`, at least one byte; it is full to begin with.
2. What is sent is taken out of it; what does not fit waits.
3. Who waits comes back when half of the bucket is there again: a byte at a time would cost a wake-up each.
"""

from __future__ import annotations

BURST_S = 0.1
"""Seconds' worth that may leave at once: small beside what people notice, large beside a timer."""

LEAST_WAIT_S = 0.001
"""A shorter wait may not move a clock at all."""


class Pace:
    """One connection.

    :param rate: bytes per second.
    :param now_s: the time.
    """

    def __init__(self, rate: int, now_s: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_S)
        self._there = self._most
        self._at_s = now_s

    def take(self, wanted: int, now_s: float) -> int:
        """Take out of the bucket.

        :param wanted: bytes that wait.
        :param now_s: the time.
        :returns: how many of them may leave now.
        """
        self._there = min(self._most, self._there + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        taken = min(wanted, int(self._there))
        self._there -= taken
        return taken

    def wait_s(self, wanted: int) -> float:
        """How long to wait before more may leave.

        :param wanted: bytes that wait.
        :returns: seconds.
        """
        enough = max(1.0, min(wanted, self._most / 2))
        return max(LEAST_WAIT_S, (enough - self._there) / self._rate)
