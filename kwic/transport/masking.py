"""
XOR masking of WebSocket payloads (RFC 6455 5.3), natively where it pays.

Autobahn's NVX does 64 KiB in a few µs; Python's integers do 64 bytes in half a microsecond and get slow beyond a few hundred. Each is used where it is
the faster one. NVX is called on the bytes where they are: its Python class copies them twice and clears memory once, which costs more than the masking.
The names used for that are private to Autobahn: `_native` tries them at the import, and where they are others, the class is used.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from autobahn.websocket.xormasker import create_xor_masker

from kwic.wire.frames import KEY_BYTES, Bytes

InPlace = Callable[[bytearray | memoryview, bytes], None]

#: Up to this size integers are faster than native code and its set-up.
INTEGER_MAXIMUM_BYTES = 512
#: Keys are drawn in batches: one system call for many frames.
_BATCH_BYTES = 4096


def native(module: Any) -> InPlace | None:
    """
    NVX on the bytes where they are.

    :param module: Autobahn's own; None when it was built without.
    :returns: None where it is another one than this file knows.
    """
    try:
        ffi, lib = module.ffi, module.lib
        new, process, free = lib.nvx_xormask_new, lib.nvx_xormask_process, lib.nvx_xormask_free

        def in_place(data: bytearray | memoryview, key: bytes) -> None:
            masker = new(key)
            process(masker, ffi.from_buffer("uint8_t[]", data, require_writable=True), len(data))
            free(masker)

        tried = bytearray(range(256)) * 3
        in_place(memoryview(tried)[1:-1], b"\x01\x02\x04\x80")
        expected = bytearray(range(256)) * 3
        for at in range(1, len(expected) - 1):
            expected[at] ^= b"\x01\x02\x04\x80"[(at - 1) % KEY_BYTES]
    except Exception:  # noqa: BLE001 - whatever is different about it, it is not for us
        return None
    return in_place if tried == expected else None


def _import() -> Any:
    try:
        import _nvx_xormasker
    except ImportError:
        return None
    return _nvx_xormasker


NATIVE = native(_import())


def mask_in_place(data: bytearray | memoryview, key: bytes) -> None:
    """
    XOR bytes where they are with a repeating key of four.

    :param data: can be written to.
    """
    if len(data) > INTEGER_MAXIMUM_BYTES and NATIVE is not None:
        NATIVE(data, key)
    else:
        data[:] = mask(data, key)


def unmask(data: Bytes, key: bytes) -> Bytes:
    """
    XOR what was received with a repeating key of four.

    :param data: a view that can be written to is used for the result, too: whoever gave it wants it no more.
    """
    if (
        len(data) > INTEGER_MAXIMUM_BYTES
        and NATIVE is not None
        and type(data) is memoryview
        and not data.readonly
    ):
        NATIVE(data, key)
        return data
    return mask(data, key)


def mask(data: Bytes, key: bytes) -> bytes | bytearray:
    """XOR bytes with a repeating key of four; doing it twice gives the bytes back."""
    size = len(data)
    if size > INTEGER_MAXIMUM_BYTES:
        if NATIVE is None:
            return create_xor_masker(key, size).process(data if type(data) is bytes else bytes(data))
        masked = bytearray(data)
        NATIVE(masked, key)
        return masked
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
