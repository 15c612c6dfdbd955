"""yamux version 0: the frames, and nothing that remembers a stream.

A frame is a header of 12 bytes, and for DATA its payload. `FrameReader` cuts a byte stream into headers and pieces of payload as they
arrive: a payload is never assembled, so what a peer can make us hold is 11 bytes of a header and what its credit allows.
What is checked here needs only the frame itself; what needs the stream is checked in `kwic.wire.session`.

Rejected: reading whole frames. A peer that announces 1 MiB and sends it slowly would cost 1 MiB for each tunnel, and each byte a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import ClassVar, NamedTuple

from kwic.errors import ProtocolError

VERSION = 0

HEADER = struct.Struct("!BBHLL")
"""version(8) type(8) flags(16) stream(32) length(32), big-endian: the specification's "Framing"."""

PLAIN = struct.Struct("!LLL")
"""The same 12 bytes of a DATA frame without flags, which begins with a zero: stream and length follow."""

INITIAL_WINDOW_BYTES = 256 * 1024
"""The credit of each direction of a new stream: fixed by the specification."""

FRAME_READ_MAXIMUM_BYTES = 1024 * 1024
"""The longest DATA payload accepted: no peer gains by more, and a length of 4 GiB is garbage, not data."""

FRAME_WRITTEN_MAXIMUM_BYTES = 256 * 1024
"""The longest DATA payload written: long enough to cost nothing per byte, short enough for other streams to get between."""

VIEW_SHARE = 8
"""A piece of payload smaller than this part of its read is copied: what is parked holds at most so many times its size."""

STREAM_MAXIMUM = 0xFFFF_FFFF
"""The greatest stream number there is: 32 bits."""

CREDIT_MAXIMUM_BYTES = 0xFFFF_FFFF
"""The greatest credit that a stream may be given in sum: 32 bits, like the field it comes in."""


class FrameType(IntEnum):
    """The specification's "Type Field"."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntEnum):
    """The specification's "Flag Field". Not an IntFlag: testing one of those costs more than reading a whole frame."""

    NONE = 0
    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


class GoAwayCode(IntEnum):
    """The specification's "Go Away": why no stream is to be opened any more."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


class YamuxError(ProtocolError):
    """The other end broke a rule of yamux: the session is over and says so with `go_away`."""

    go_away: ClassVar[GoAwayCode] = GoAwayCode.PROTOCOL_ERROR


class MalformedFrameError(YamuxError):
    """A header that no peer may send, whatever the state of its stream."""


class IllegalFrameError(YamuxError):
    """A frame that its stream's state does not allow."""


class CreditExceededError(YamuxError):
    """More bytes than we gave credit for, or more credit than 32 bits hold."""


class FloodError(YamuxError):
    """More control frames, or more that want an answer, than a peer in its right mind sends."""


class Frame(NamedTuple):
    """A checked header; `length` counts payload bytes, credit, a ping's value or a go-away's code."""

    kind: FrameType
    flags: int
    stream: int
    length: int


class Payload(NamedTuple):
    """A piece of the payload of the last DATA frame; `last` when the frame ends with it."""

    data: bytes | memoryview
    last: bool


def header(kind: FrameType, flags: int, stream: int, length: int) -> bytes:
    """The 12 bytes that begin a frame.

    :param kind: the type field.
    :param flags: the sum of `Flag` members.
    :param stream: 0 for the session.
    :param length: payload bytes, credit, ping value or go-away code.
    :returns: the header in network byte order.
    """
    return HEADER.pack(VERSION, kind, flags, stream, length)


def piece_of(view: memoryview, start: int, stop: int) -> bytes | memoryview:
    """A part of what was read: a view of it, or a copy where a view would hold far more than it shows."""
    piece = view[start:stop]
    return piece if VIEW_SHARE * (stop - start) >= len(view) else bytes(piece)


class FrameReader:
    """Cuts the bytes of a link into frames.

    :param frame_maximum_bytes: a longer DATA payload is refused.
    """

    __slots__ = ("_frame_maximum_bytes", "_head", "_left")

    def __init__(self, frame_maximum_bytes: int = FRAME_READ_MAXIMUM_BYTES) -> None:
        self._frame_maximum_bytes = frame_maximum_bytes
        self._head = bytearray()
        self._left = 0

    def receive(self, data: bytes | bytearray | memoryview) -> Iterator[Frame | Payload]:
        """What these bytes complete, all of it.

        :param data: the next bytes of the link, any number of them.
        :returns: frames and payloads in order; a short rest is kept for the next call.
        :raises MalformedFrameError: the header is one that no peer may send.
        """
        view = memoryview(data)
        at = 0
        while at < len(view):
            item, at = self.next(view, at)
            if item is not None:
                yield item

    @property
    def is_between(self) -> bool:
        """Whether a frame begins with the next byte."""
        return not self._left and not self._head

    def next(self, view: memoryview, at: int) -> tuple[Frame | Payload | None, int]:
        """Look for the next item: a header, or for DATA a piece of payload as it comes.

        A piece that is at least an eighth of `view` is a part of it; a smaller one is a copy, so that whoever parks a few bytes
        does not hold a whole read in memory.

        :param view: bytes that were received.
        :param at: how many of them were looked at before; there are more.
        :returns: the item, None when these bytes do not complete one; and where to go on.
        :raises MalformedFrameError: the header is one that no peer may send.
        """
        end = len(view)
        if self._left:
            stop = min(at + self._left, end)
            self._left -= stop - at
            return Payload(piece_of(view, at, stop), not self._left), stop
        if not self._head and end - at >= HEADER.size:
            return self._begin(HEADER.unpack_from(view, at)), at + HEADER.size
        stop = min(at + HEADER.size - len(self._head), end)
        self._head += view[at:stop]
        if len(self._head) < HEADER.size:
            return None, stop
        fields = HEADER.unpack(self._head)
        self._head.clear()
        return self._begin(fields), stop

    def _begin(self, fields: tuple[int, int, int, int, int]) -> Frame:
        """Check one header, and expect its payload."""
        version, kind, flags, stream, length = fields
        if version != VERSION:
            raise MalformedFrameError(f"version {version} of yamux is not spoken here, only {VERSION}")
        if kind >= len(_TYPES):
            raise MalformedFrameError(f"frame type {kind} does not exist")
        frame = Frame(_TYPES[kind], flags, stream, length)
        if kind in _STREAM_TYPES:
            if not stream:
                raise MalformedFrameError(f"{frame.kind.name} belongs to a stream, not to the session")
            if flags > _STREAM_FLAGS:
                raise MalformedFrameError(f"flags {flags:#06x} do not exist")
            if kind == _DATA:
                self._expect(length)
        else:
            _check_session_frame(frame)
        return frame

    def _expect(self, length: int) -> None:
        """Take the next bytes as the payload of a DATA frame."""
        if length > self._frame_maximum_bytes:
            raise MalformedFrameError(
                f"DATA of {length} bytes is over the limit of {self._frame_maximum_bytes}"
            )
        self._left = length


def _check_session_frame(frame: Frame) -> None:
    """PING and GO_AWAY belong to stream 0 and carry few flags."""
    if frame.stream:
        raise MalformedFrameError(f"{frame.kind.name} belongs to the session, not to stream {frame.stream}")
    allowed = _PING_FLAGS if frame.kind is FrameType.PING else _GO_AWAY_FLAGS
    if frame.flags not in allowed:
        raise MalformedFrameError(f"{frame.kind.name} with flags {frame.flags:#06x}")


# plain numbers: these are compared for every frame
_TYPES = tuple(FrameType)
_DATA = int(FrameType.DATA)
_STREAM_TYPES = (int(FrameType.DATA), int(FrameType.WINDOW_UPDATE))
_STREAM_FLAGS = Flag.SYN | Flag.ACK | Flag.FIN | Flag.RST
_PING_FLAGS = frozenset({Flag.SYN, Flag.ACK})
_GO_AWAY_FLAGS = frozenset({Flag.NONE})
