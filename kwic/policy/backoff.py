"""How long to wait before the next attempt: exponential back-off with full jitter.

1. The n-th delay is drawn evenly from 0 to a ceiling.
2. The ceiling begins at `initial_s` and is multiplied by `factor` after each delay, up to `maximum_s`.
3. It is at most `factor` times what has been waited so far, and never below the first: whoever drew short delays has not waited long, and is not to wait
   long now. So what was away for a while is met again within twice that while, by everybody.
4. It begins anew when what was attempted has been *up*, not merely connected.

Full jitter, because many agents lose the same gateway at the same moment and must not come back at the same moment. Rejected: the number of attempts alone.
Of a thousand agents some draw short delays four times in a row, and would then wait for ten seconds for a gateway that was away for two.
"""

from __future__ import annotations

from collections.abc import Callable

INITIAL_S = 0.5
"""The first ceiling: a peer that restarts is back within two or three attempts."""

MAXIMUM_S = 30.0
"""The last ceiling: `socks.retry.maximum.interval` when nothing is configured."""


class Backoff:
    """The delays of one thing that is attempted again and again.

    :param random: draws evenly from [0, 1).
    :param initial_s: the first ceiling in seconds.
    :param factor: how the ceiling grows.
    :param maximum_s: the last ceiling in seconds; it may be below the first.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        initial_s: float = INITIAL_S,
        factor: float = 2.0,
        maximum_s: float = MAXIMUM_S,
    ) -> None:
        self._random = random
        self._initial_s = min(initial_s, maximum_s)
        self._factor = factor
        self._maximum_s = maximum_s
        self._grown_s = self._initial_s
        self._waited_s = 0.0

    @property
    def ceiling_s(self) -> float:
        """The longest that the next delay may be."""
        return min(self._grown_s, max(self._initial_s, self._factor * self._waited_s))

    def next(self) -> float:
        """Draw the next delay.

        :returns: seconds.
        """
        delay_s = self._random() * self.ceiling_s
        self._grown_s = min(self._grown_s * self._factor, self._maximum_s)
        self._waited_s += delay_s
        return delay_s

    def reset(self) -> None:
        """It has been up: begin anew."""
        self._grown_s = self._initial_s
        self._waited_s = 0.0
