"""Reads big-endian numbers and counted bytes from a buffer and never beyond its end."""

from __future__ import annotations

import struct

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class ShortError(ValueError):
    """The bytes end too early, or say what they may not say."""


class BoundedReader:
    """A position in a buffer."""

    def __init__(self, data: bytes) -> None:
        """:param data: all there is."""
        self._data = data
        self._position = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """:returns: the next `count` bytes; :raises ShortError: when there are fewer."""
        if count > self.remaining:
            raise ShortError(f"{count} bytes announced at offset {self._position}, {self.remaining} there")
        start = self._position
        self._position += count
        return self._data[start : self._position]

    def back(self, count: int) -> None:
        """Read the last `count` bytes again."""
        self._position -= count

    def u8(self) -> int:
        """:returns: one byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """:returns: an unsigned 16 bit number."""
        return int(_U16.unpack(self.take(2))[0])

    def u32(self) -> int:
        """:returns: an unsigned 32 bit number."""
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        """:returns: an unsigned 64 bit number."""
        return int(_U64.unpack(self.take(8))[0])
