"""
XOR masking of WebSocket payloads (RFC 6455 5.3), natively where it pays.

Autobahn's NVX does 64 KiB in about 7 µs and costs 3 µs however little there is; Python's integers do 64 bytes in half a microsecond and get slow beyond
a few hundred. Each is used where it is the faster one; without NVX, Autobahn's own fallback is used for the large ones.
"""

from __future__ import annotations

import secrets

from autobahn.websocket.xormasker import create_xor_masker

from kwic.wire.frames import KEY_BYTES, Bytes

#: Up to this size integers are faster than native code and its set-up.
INTEGER_MAXIMUM_BYTES = 512
#: Keys are drawn in batches: one system call for many frames.
_BATCH_BYTES = 4096


def mask(data: Bytes, key: bytes) -> bytes:
    """XOR bytes with a repeating key of four; doing it twice gives the bytes back."""
    size = len(data)
    if size > INTEGER_MAXIMUM_BYTES:
        return create_xor_masker(key, size).process(data if type(data) is bytes else bytes(data))
    repeated = key * (size // KEY_BYTES + 1)
    number = int.from_bytes(data, "little") ^ int.from_bytes(repeated[:size], "little")
    return number.to_bytes(size, "little")


class Keys:
    """Masking keys that nobody can predict (RFC 6455 10.3), from the system's random source."""

    def __init__(self) -> None:
        self._batch = b""
        self._at = 0

    def next(self) -> bytes:
        """:returns: a fresh key."""
        if self._at >= len(self._batch):
            self._batch, self._at = secrets.token_bytes(_BATCH_BYTES), 0
        key = self._batch[self._at : self._at + KEY_BYTES]
        self._at += KEY_BYTES
        return key
