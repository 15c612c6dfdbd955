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

_SHORT, _MEDIUM, _LONG = 125, 126, 127
_MEDIUM_MAXIMUM = 0xFFFF
_LONG_MAXIMUM = (1 << 63) - 1
_FIN, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_LENGTH_16 = struct.Struct("!H")
_LENGTH_64 = struct.Struct("!Q")
_HEADER_16 = struct.Struct("!BBH")
_HEADER_64 = struct.Struct("!BBQ")

Bytes = bytes | bytearray | memoryview

Mask = Callable[[Bytes, bytes], Bytes]
"""XORs bytes with a key that begins at the first of them, and repeats. The result may be these bytes themselves, changed."""


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
        header = _HEADER_16.pack(first, masked | _MEDIUM, size)
    else:
        header = _HEADER_64.pack(first, masked | _LONG, size)
    return header if key is None else header + key


class FrameDecoder:
    """Reads frames of any length, in any pieces.

    Whoever calls says where to go on, so that he may stop between two items and keep what was not looked at.

    :param masked: whether the other end is a client: all its frames are masked, a server's never are.
    :param mask: unmasks.
    """

    def __init__(self, *, masked: bool, mask: Mask) -> None:
        self._masked = masked
        self._mask = mask
        self._header = bytearray()
        self._left = 0
        self._key = b""
        self._in_message = False
        self._control: Opcode | None = None
        self._payload = bytearray()

    def whole(self, view: memoryview) -> Bytes | None:
        """The payload of a message that is just what was received: most small ones are.

        :param view: all that was received (of format B).
        :returns: the payload, which may be a part of the view. None where these bytes are anything else: `next` is to look at them then.
        :raises FrameError: a rule was broken; nothing more is to be given then.
        """
        size = len(view)
        if (
            size < _HEADER_MAXIMUM_BYTES
            or view[0] != _MESSAGE
            or self._left
            or self._header
            or self._in_message
        ):
            return None
        second = view[1]
        start = _HEADER_BYTES[second]
        if (second >= _MASKED) is not self._masked or start + _payload_size(view) != size:
            return None
        if not self._masked:
            return view[start:]
        return self._mask(view[start:], bytes(view[start - KEY_BYTES : start]))

    def next(self, view: memoryview, at: int) -> tuple[Bytes | Control | None, int]:
        """Look for the next item.

        :param view: bytes that were received (of format B).
        :param at: how many of them were looked at before.
        :returns: a piece of a message, which may be a part of the view, or a whole control frame; None when these bytes complete
            neither. And where to go on: at the end when there is None.
        :raises FrameError: a rule was broken; nothing more is to be given then.
        """
        size = len(view)
        while at < size:
            if not self._left:
                whole = at + 2 <= size and at + _HEADER_BYTES[view[at + 1]]
                if whole and whole <= size and not self._header:
                    self._begin(bytes(view[at:whole]))
                    at = whole
                else:
                    at = self._read_header(view, at)
                if not self._left and self._control is None:
                    continue
            end = min(size, at + self._left)
            item = self._read_payload(view[at:end])
            at = end
            if item is not None:
                return item, at
        return None, at

    def _read_header(self, view: memoryview, at: int) -> int:
        """Add bytes to the header, and begin its frame when it is complete."""
        header = self._header
        while at < len(view):
            wanted = _HEADER_BYTES[header[1]] if len(header) > 1 else 2
            end = at + wanted - len(header)
            header += view[at:end]
            at = min(end, len(view))
            if len(header) > 1 and len(header) == _HEADER_BYTES[header[1]]:
                self._begin(bytes(header))
                header.clear()
                break
        return at

    def _begin(self, header: bytes) -> None:
        """A header is complete: check it, and expect its payload."""
        first, second = header[0], header[1]
        opcode = _OPCODES.get(first & _OPCODE)
        if opcode is None or first & _RESERVED:
            raise FrameError("a frame has a reserved bit or opcode")
        if bool(second & _MASKED) is not self._masked:
            raise FrameError("a client's frames are masked, a server's are not")
        size = _payload_size(header)
        final = bool(first & _FIN)
        if opcode >= _CLOSE:
            if not final or size > CONTROL_MAXIMUM_BYTES:
                raise FrameError("a control frame is fragmented or too long")
            self._control = opcode
        elif opcode is _TEXT:
            raise FrameError("a text message where only binary ones are allowed")
        elif (opcode is _CONTINUATION) is not self._in_message:
            raise FrameError("a message begins within another, or goes on without having begun")
        else:
            self._in_message = not final
        self._left = size
        self._key = header[-KEY_BYTES:]

    def _read_payload(self, piece: memoryview) -> Bytes | Control | None:
        """A piece of the payload: an item, or a part of a control frame that is kept until it is whole."""
        size = len(piece)
        self._left -= size
        plain: Bytes = piece
        if self._masked:
            plain = self._mask(piece, self._key)
            turn = size % KEY_BYTES
            self._key = self._key[turn:] + self._key[:turn]
        if self._control is None:
            return plain
        self._payload += plain
        if self._left:
            return None
        control = Control(opcode=self._control, payload=bytes(self._payload))
        self._control = None
        self._payload.clear()
        return control


def _payload_size(header: bytes | memoryview) -> int:
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
        raise FrameError("a length is not written as short as it can be, or has its first bit set")
    return size


# looked up for every frame
_MESSAGE = _FIN | Opcode.BINARY
_HEADER_MAXIMUM_BYTES = 2 + _LENGTH_64.size + KEY_BYTES
_CONTINUATION, _TEXT, _CLOSE = Opcode.CONTINUATION, Opcode.TEXT, Opcode.CLOSE
_HEADER_BYTES = tuple(
    2 + {_MEDIUM: 2, _LONG: 8}.get(second & _LENGTH, 0) + (KEY_BYTES if second & _MASKED else 0)
    for second in range(256)
)
"""How long a header is, by its second byte."""


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """The payload of a Close frame.

    :raises MisuseError: it does not fit a control frame.
    """
    payload = code.to_bytes(2, "big") + reason
    if len(payload) > CONTROL_MAXIMUM_BYTES:
        raise MisuseError(f"a reason of {len(reason)} bytes does not fit a Close frame")
    return payload
