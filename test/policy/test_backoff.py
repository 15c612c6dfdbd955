"""Back-off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    """Delays between attempts."""

    def test_ceilings(self) -> None:
        """The ceiling is 0.5, 1, 2, 4 … up to 30 s."""
        backoff = Backoff(lambda: 1.0)
        self.assertEqual([backoff.next() for _ in range(9)], [0.5, 1, 2, 4, 8, 16, 30, 30, 30])

    def test_jitter(self) -> None:
        """The delay is the drawn part of the ceiling."""
        draws = iter([1.0, 0.5, 0.25])
        backoff = Backoff(lambda: next(draws), initial_s=1, factor=3, maximum_s=100)
        self.assertEqual([backoff.next() for _ in range(3)], [1.0, 1.5, 1.875])
        self.assertEqual(backoff.ceiling_s, 3 * (1.0 + 1.5 + 1.875))

    def test_short_draws(self) -> None:
        """Whoever has waited a moment only does not wait for long next, after any number of attempts."""
        draws = iter([0.0, 0.1, 0.0, 0.1, 0.0, 1.0, 1.0])
        backoff = Backoff(lambda: next(draws))
        self.assertEqual([backoff.next() for _ in range(7)], [0.0, 0.05, 0.0, 0.05, 0.0, 0.5, 1.2])

    def test_reset(self) -> None:
        """After it has been up, the first delay comes again."""
        backoff = Backoff(lambda: 1.0)
        backoff.next()
        backoff.next()
        backoff.reset()
        self.assertEqual(backoff.next(), 0.5)

    def test_short_maximum(self) -> None:
        """A maximum below the first ceiling holds from the start."""
        backoff = Backoff(lambda: 1.0, maximum_s=0.2)
        self.assertEqual([backoff.next(), backoff.next()], [0.2, 0.2])

    @given(st.floats(0, 1, exclude_max=True), st.integers(1, 3000))
    def test_never_beyond(self, draw: float, times: int) -> None:
        """No delay is negative or over the maximum, after any number of attempts."""
        backoff = Backoff(lambda: draw)
        delays = [backoff.next() for _ in range(times)]
        self.assertGreaterEqual(min(delays), 0)
        for number, delay in enumerate(delays[:50]):
            self.assertLessEqual(delay, max(0.5, 2 * sum(delays[:number])) + 1e-9)
        self.assertLessEqual(max(delays), 30)
