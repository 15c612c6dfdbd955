"""Masking, natively and with integers, and the keys."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport import masking
from kwic.transport.masking import INTEGER_MAXIMUM_BYTES, Keys, mask, mask_in_place, unmask

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
        """Bytes, arrays of bytes and views of either, also of a part of one, are masked."""
        for size in (5, 5000):
            data = bytes(range(250)) * 30
            expected = slowly(data[3 : 3 + size], b"abcd")
            for kind in (bytes, bytearray, memoryview, lambda some: memoryview(bytearray(some))):
                masked = mask(kind(data)[3 : 3 + size], b"abcd")
                self.assertEqual(masked, expected)

    def test_where_they_are(self) -> None:
        """Bytes are masked where they are, and no others; what cannot be written to is left as it is."""
        for size in (0, 5, INTEGER_MAXIMUM_BYTES + 1, 70_001):
            data = bytes(range(250)) * 300
            expected = data[:3] + slowly(data[3 : 3 + size], b"abcd") + data[3 + size :]
            writable = bytearray(data)
            mask_in_place(memoryview(writable)[3 : 3 + size], b"abcd")
            self.assertEqual(writable, expected)
            writable = bytearray(data)
            self.assertEqual(unmask(memoryview(writable)[3 : 3 + size], b"abcd"), expected[3 : 3 + size])
            # What is small is copied: that costs less.
            self.assertEqual(writable, expected if size > INTEGER_MAXIMUM_BYTES else data)
            self.assertEqual(unmask(memoryview(data)[3 : 3 + size], b"abcd"), expected[3 : 3 + size])
            self.assertEqual(data, bytes(range(250)) * 300)

    def test_this_version(self) -> None:
        """This version of Autobahn has the names: fails loudly when it has not any more, so that nobody is slow unknowingly."""
        self.assertIsNotNone(masking.NATIVE)

    def test_another_version(self) -> None:
        """Where they are others, or do something else, Autobahn's own class is used."""

        class Lib:
            nvx_xormask_new = nvx_xormask_process = nvx_xormask_free = staticmethod(lambda *any_of_them: None)

        class Module:
            ffi = masking._import().ffi
            lib = Lib

        self.assertIsNone(masking.native(None))
        self.assertIsNone(masking.native(Module))
        self.patch(masking, "NATIVE", None)
        data = bytearray(range(256)) * 40
        self.assertEqual(mask(data, b"abcd"), slowly(data, b"abcd"))
        self.assertEqual(unmask(memoryview(bytearray(data)), b"abcd"), slowly(data, b"abcd"))
        masked = bytearray(data)
        mask_in_place(masked, b"abcd")
        self.assertEqual(masked, slowly(data, b"abcd"))

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
