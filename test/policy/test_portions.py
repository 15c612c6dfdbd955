"""How much is given to a connection at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.portions import (
    LEAST_MESSAGE_BYTES,
    LEAST_UNSENT_BYTES,
    MOST_MESSAGE_BYTES,
    MOST_UNSENT_BYTES,
    WHOLE,
    portions,
)

RATES = st.floats(min_value=0.0, max_value=1e12)


class PortionsTests(SynchronousTestCase):
    """Portions by rate."""

    def test_unknown(self) -> None:
        """Of what is not known everything is expected."""
        self.assertEqual(portions(None), WHOLE)
        self.assertTrue(WHOLE.is_whole)

    def test_slow(self) -> None:
        """20 Mbit/s is given messages of seven milliseconds, and three more may wait."""
        found = portions(2_500_000)
        self.assertEqual((found.message_bytes, found.unsent_bytes), (16_384, 8_192))
        self.assertFalse(found.is_whole)

    def test_fast(self) -> None:
        """A gigabyte a second is given all at once."""
        self.assertEqual(portions(1e9), WHOLE)

    @given(RATES)
    def test_bounds(self, rate: float) -> None:
        """Whatever the rate, both are powers of two within their bounds."""
        found = portions(rate)
        self.assertTrue(LEAST_MESSAGE_BYTES <= found.message_bytes <= MOST_MESSAGE_BYTES)
        self.assertTrue(LEAST_UNSENT_BYTES <= found.unsent_bytes <= MOST_UNSENT_BYTES)
        for size in (found.message_bytes, found.unsent_bytes):
            self.assertEqual(size.bit_count(), 1)

    @given(RATES, RATES)
    def test_order(self, one: float, other: float) -> None:
        """A faster connection is never given less."""
        slow, fast = portions(min(one, other)), portions(max(one, other))
        self.assertLessEqual(slow.message_bytes, fast.message_bytes)
        self.assertLessEqual(slow.unsent_bytes, fast.unsent_bytes)
