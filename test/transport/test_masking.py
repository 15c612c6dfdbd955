"""Masking, natively and with integers, and the keys."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.masking import INTEGER_MAXIMUM_BYTES, Keys, mask

keys = st.binary(min_size=4, max_size=4)


def slowly(data: bytes, key: bytes) -> bytes:
    """RFC 6455, section 5.3, to the letter."""
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(data))


class MaskTests(SynchronousTestCase):
    """XOR with a repeating key."""

    def test_around_the_edge(self) -> None:
        """Integers and native code give what the RFC says, for each rest of four, on both sides of the edge between them."""
        key = b"\x37\xfa\x21\x3d"
        edge = INTEGER_MAXIMUM_BYTES
        for size in (*range(10), *range(edge - 5, edge + 6), 4095, 4097, 65_537, 300_001):
            data = bytes(range(256)) * (size // 256 + 1)
            self.assertEqual(mask(data[:size], key), slowly(data[:size], key))

    def test_any_kind_of_bytes(self) -> None:
        """Bytes, arrays of bytes and views of either, also of a part of one, give bytes."""
        for size in (5, 5000):
            data = bytes(range(250)) * 30
            expected = slowly(data[3 : 3 + size], b"abcd")
            for kind in (bytes, bytearray, memoryview, lambda some: memoryview(bytearray(some))):
                masked = mask(kind(data)[3 : 3 + size], b"abcd")
                self.assertIs(type(masked), bytes)
                self.assertEqual(masked, expected)

    @given(st.binary(max_size=2000), keys)
    def test_twice(self, data, key) -> None:
        """Twice gives the bytes back."""
        self.assertEqual(mask(mask(data, key), key), data)

    @given(st.binary(max_size=2000), keys, st.integers(0, 2000))
    def test_in_parts(self, data, key, at) -> None:
        """A part is masked by the key turned as far as the part begins within it."""
        turn = min(at, len(data)) % 4
        parts = mask(data[:at], key) + mask(data[at:], key[turn:] + key[:turn])
        self.assertEqual(parts, mask(data, key))


class KeysTests(SynchronousTestCase):
    """Keys that nobody can predict."""

    def test_keys(self) -> None:
        """They are four bytes each, and do not repeat: not within a batch, not between batches, not between connections."""
        drawn = Counter()
        for keys in (Keys(), Keys()):
            drawn.update(keys.next() for _ in range(3000))
        self.assertEqual({len(key) for key in drawn}, {4})
        # Six thousand of four thousand million: more than a few equal ones are no chance.
        self.assertGreater(len(drawn), 5990)
