"""WebSocket frames (RFC 6455, section 5) for the bulk path of an open tunnel, without I/O.

A tunnel's messages are chunks of a byte stream, so nothing is assembled here: the payload of a data frame comes out in the pieces in
which it came in. Control frames are small and come out whole. Masking is native code of whoever uses this (`Mask`); a key is new for each
frame, as RFC 6455 5.3 wants it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from kwic.errors import MisuseError, ProtocolError

KEY_BYTES = 4
"""A masking key (RFC 6455, section 5.3)."""

CONTROL_MAXIMUM_BYTES = 125
"""The longest payload of a control frame (RFC 6455, section 5.5)."""

HEADER_MAXIMUM_BYTES = 14
"""Two bytes, a length of eight, and a key."""

_SHORT, _MEDIUM, _LONG = 125, 126, 127
_MEDIUM_MAXIMUM = 0xFFFF
_LONG_MAXIMUM = (1 << 63) - 1
_FIN, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_LENGTH_16 = struct.Struct("!H")
_LENGTH_64 = struct.Struct("!Q")

Bytes = bytes | bytearray | memoryview

Mask = Callable[[Bytes, bytes], bytes]
"""XORs bytes with a key that begins at the first of them, and repeats."""


class Opcode(IntEnum):
    """RFC 6455, section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """The codes that this file gives as a reason (RFC 6455, section 7.4.1)."""

    PROTOCOL_ERROR = 1002


class FrameError(ProtocolError):
    """The other end broke a rule of RFC 6455.

    :param message: which.
    :param code: what the Close frame is to say.
    """

    def __init__(self, message: str, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A control frame."""

    opcode: Opcode
    """CLOSE, PING or PONG."""

    payload: bytes
    """At most 125 bytes, unmasked."""


_OPCODES = {int(opcode): opcode for opcode in Opcode}


def frame_header(opcode: Opcode, size: int, key: bytes | None) -> bytes:
    """The header of a whole message or control frame (RFC 6455, section 5.2).

    :param opcode: what it is.
    :param size: of the payload, in bytes.
    :param key: the masking key of a client; None for a server.
    """
    masked = 0 if key is None else _MASKED
    first = _FIN | opcode
    if size <= _SHORT:
        header = bytes((first, masked | size))
    elif size <= _MEDIUM_MAXIMUM:
        header = bytes((first, masked | _MEDIUM)) + _LENGTH_16.pack(size)
    else:
        header = bytes((first, masked | _LONG)) + _LENGTH_64.pack(size)
    return header if key is None else header + key


class FrameDecoder:
    """Reads frames of any length, in any pieces.

    :param masked: whether the other end is a client: all its frames are masked, a server's never are.
    :param mask: unmasks.
    """

    def __init__(self, *, masked: bool, mask: Mask) -> None:
        self._masked = masked
        self._mask = mask
        self._header = bytearray()
        self._left = 0
        self._key = b""
        self._final = True
        self._in_message = False
        self._control: Opcode | None = None
        self._payload = bytearray()

    def receive(self, data: Bytes) -> list[Bytes | Control]:
        """Take the next bytes.

        :returns: pieces of messages and whole control frames, in order. A piece may be a view of what was given.
        :raises FrameError: a rule was broken; nothing more is to be given then.
        """
        items: list[Bytes | Control] = []
        view = memoryview(data)
        at, size = 0, len(view)
        while at < size:
            if not self._left and self._control is None:
                at = self._take_header(view, at, items)
                continue
            end = min(size, at + self._left)
            self._take_payload(view[at:end], items)
            at = end
        return items

    def _take_header(self, view: memoryview, at: int, items: list[Bytes | Control]) -> int:
        """Add bytes to the header until it is complete."""
        header = self._header
        while at < len(view):
            wanted = _header_size(header) - len(header)
            if wanted > 0:
                header += view[at : at + wanted]
                at += min(wanted, len(view) - at)
            if len(header) == _header_size(header):
                self._begin(items)
                break
        return at

    def _begin(self, items: list[Bytes | Control]) -> None:
        """A header is complete: check it, and expect its payload."""
        header, self._header = self._header, bytearray()
        opcode = _OPCODES.get(header[0] & _OPCODE)
        if opcode is None or header[0] & _RESERVED:
            raise FrameError("a frame has a reserved bit or opcode")
        if bool(header[1] & _MASKED) is not self._masked:
            raise FrameError("a client's frames are masked, a server's are not")
        self._left = _payload_size(header)
        self._key = bytes(header[-KEY_BYTES:]) if self._masked else b""
        final = bool(header[0] & _FIN)
        if opcode >= Opcode.CLOSE:
            if not final or self._left > CONTROL_MAXIMUM_BYTES:
                raise FrameError("a control frame is fragmented or too long")
            self._control = opcode
            if not self._left:
                self._take_payload(memoryview(b""), items)
            return
        if opcode is Opcode.TEXT:
            raise FrameError("a text message where only binary ones are allowed")
        if (opcode is Opcode.CONTINUATION) is not self._in_message:
            raise FrameError("a message begins within another, or goes on without having begun")
        self._in_message = not final

    def _take_payload(self, piece: memoryview, items: list[Bytes | Control]) -> None:
        """Pass on or collect a piece of the payload."""
        self._left -= len(piece)
        plain: Bytes = piece
        if self._masked and len(piece):
            plain = self._mask(piece, self._key)
            turn = len(piece) % KEY_BYTES
            self._key = self._key[turn:] + self._key[:turn]
        if self._control is None:
            items.append(plain)
            return
        self._payload += plain
        if not self._left:
            items.append(Control(opcode=self._control, payload=bytes(self._payload)))
            self._control = None
            self._payload.clear()


def _header_size(header: bytearray) -> int:
    """How long a header is, as far as its first bytes tell."""
    if len(header) < 2:
        return 2
    length = header[1] & _LENGTH
    extended = {_MEDIUM: 2, _LONG: 8}.get(length, 0)
    return 2 + extended + (KEY_BYTES if header[1] & _MASKED else 0)


def _payload_size(header: bytearray) -> int:
    """The length of the payload, which must be written as short as it can be."""
    length = header[1] & _LENGTH
    if length <= _SHORT:
        return length
    if length == _MEDIUM:
        size: int = _LENGTH_16.unpack_from(header, 2)[0]
        least = _SHORT + 1
    else:
        size = _LENGTH_64.unpack_from(header, 2)[0]
        least = _MEDIUM_MAXIMUM + 1
    if not least <= size <= _LONG_MAXIMUM:
        raise FrameError("a length is not written as short as it can be")
    return size


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """The payload of a Close frame.

    :raises MisuseError: it does not fit a control frame.
    """
    payload = code.to_bytes(2, "big") + reason
    if len(payload) > CONTROL_MAXIMUM_BYTES:
        raise MisuseError(f"a reason of {len(reason)} bytes does not fit a Close frame")
    return payload
