"""
The frames of an open tunnel, without Autobahn: after its handshake this channel takes its place on tunnels, where the price is per message.

It does what `autobahn_channel.Channel` asks for, for binary messages of any length whose boundaries mean nothing. Every other WebSocket stays with
Autobahn; the tests have each decode what the other encodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from kwic.transport.autobahn_channel import (
    INVALID_PAYLOAD,
    NO_CODE,
    PROTOCOL_ERROR,
    ChannelUser,
    is_close_code,
    truncated_reason,
)
from kwic.transport.direct_send import sender, sends_at_once
from kwic.transport.masking import Keys, mask, mask_in_place, unmask
from kwic.transport.whole_tls import WholeTls
from kwic.wire.frames import Bytes, Control, FrameDecoder, FrameError, Opcode, close_payload, frame_header

#: Messages from this size on are not copied where it can be helped, and neither are pieces of half of it.
APART_BYTES = 32_768

# looked up for each message
_BINARY = Opcode.BINARY

#: Where large messages are put together, of all connections: what was sent is of no interest afterwards.
_SCRATCH = memoryview(bytearray(262_144 + 65_536))


class LeanChannel:
    """
    The frames of one connection.

    :param carrier: written to.
    :param client: whether we are the client, who masks.
    """

    user: ChannelUser

    def __init__(self, carrier: Any, *, client: bool) -> None:
        at_once = sends_at_once(carrier)
        self._send = sender(carrier) if at_once else carrier.write
        self._send_apart = carrier.write_pieces if isinstance(carrier, WholeTls) else None
        #: What is sent need not be of type bytes.
        self._takes_any = at_once or isinstance(carrier, WholeTls)
        self._keys = Keys() if client else None
        self._decoder = FrameDecoder(masked=not client, mask=unmask)
        self._paused = False
        self._consuming = False
        self._stopped = False
        self._closing = False
        self._close_received = False
        self._waiting: deque[bytes] = deque()
        self._pongs_held = False
        self._held_pong: bytes | None = None

    # -- receiving ----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what was read from the connection."""
        if self._stopped:
            return
        if self._paused or self._consuming:
            self._waiting.append(bytes(data))
            return
        self._consuming = True
        try:
            self._look_at(memoryview(data))
        except FrameError as error:
            self._fail(error.code, str(error))
        finally:
            self._consuming = False

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Deliver what waits, then what comes."""
        self._paused = False
        while self._waiting and not self._paused and not self._consuming:
            self.receive(self._waiting.popleft())

    def stop(self) -> None:
        """Deliver nothing ever again."""
        self._stopped = True
        self._waiting.clear()

    @property
    def pending(self) -> bool:
        """Whether there are bytes that wait for `resume`."""
        return bool(self._waiting)

    def _look_at(self, view: memoryview) -> None:
        """Take what was read, frame by frame."""
        message = self._decoder.whole(view)
        if message is not None:
            if not self._closing:
                self.user.message_received(message, False)  # type: ignore[arg-type]
            return
        at = 0
        while at < len(view) and not self._stopped:
            if self._paused:
                # A copy: what was read may be a view of a buffer that is used again.
                self._waiting.appendleft(bytes(view[at:]))
                return
            item, at = self._decoder.next(view, at)
            if item is not None:
                self._take(item)

    def _take(self, item: Bytes | Control) -> None:
        if type(item) is not Control:
            if not self._closing:
                self.user.message_received(item, False)  # type: ignore[arg-type]
        elif item.opcode is Opcode.PING:
            self._pong(item.payload)
        elif item.opcode is Opcode.CLOSE and not self._close_received:
            self._close(item.payload)

    def _pong(self, payload: bytes) -> None:
        if self._pongs_held:
            self._held_pong = payload
        elif not self._closing:
            self._write(Opcode.PONG, payload)

    def hold_pongs(self, hold: bool) -> None:
        """While the connection is full, answer no Ping; afterwards the newest one."""
        self._pongs_held = hold
        if not hold and self._held_pong is not None:
            payload, self._held_pong = self._held_pong, None
            self._pong(payload)

    def _close(self, payload: bytes) -> None:
        """The other end closes (RFC 6455 5.5.1)."""
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            self._fail(INVALID_PAYLOAD, "the reason of the Close is not UTF-8")
            return
        code = int.from_bytes(payload[:2], "big") if payload else NO_CODE
        if payload and (len(payload) == 1 or not is_close_code(code)):
            self._fail(PROTOCOL_ERROR, "the Close has no proper code")
            return
        self._close_received = True
        if not self._closing:
            self._write(Opcode.CLOSE, payload[:2])
            self._closing = True
        self.user.close_received(code, reason)

    def _fail(self, code: int, why: str) -> None:
        """A rule was broken: say so, and look at nothing more (RFC 6455 7.1.7)."""
        if not self._closing:
            self.send_close(code, why)
            self.user.channel_failed(code, why)
        self.stop()

    # -- sending ------------------------------------------------------------------------------------------------------------

    def send(self, data: bytes, *, text: bool = False) -> None:
        """Write one message."""
        if not self._closing:
            self._write(Opcode.TEXT if text else Opcode.BINARY, data)

    def send_pieces(self, pieces: Iterable[Any]) -> None:
        """Write one message whose payload is in pieces; nothing is written for none."""
        pieces = tuple(pieces)
        size = sum(map(len, pieces))
        if self._closing or self._stopped or not size:
            return
        if size < APART_BYTES or not self._takes_any:
            self._write(_BINARY, b"".join(pieces))
        elif self._keys is not None:
            self._send_masked(size, pieces)
        elif self._send_apart is not None:
            self._send_apart(_few((frame_header(_BINARY, size, None), *pieces)))
        else:
            self._send(b"".join((frame_header(_BINARY, size, None), *pieces)))

    def _send_masked(self, size: int, pieces: Iterable[Any]) -> None:
        """Put a large message together and mask it where it is: no copy but the one, and no memory for each."""
        assert self._keys is not None
        key = self._keys.next()
        header = frame_header(_BINARY, size, key)
        begin = at = len(header)
        frame = _SCRATCH if begin + size <= len(_SCRATCH) else memoryview(bytearray(begin + size))
        frame[:at] = header
        for piece in pieces:
            end = at + len(piece)
            frame[at:end] = piece
            at = end
        mask_in_place(frame[begin:at], key)
        self._send(frame[:at])

    def send_ping(self) -> None:
        """Write a Ping."""
        if not self._closing:
            self._write(Opcode.PING, b"")

    def send_close(self, code: int, reason: str) -> None:
        """Write the Close frame; messages that come in from here on are dropped."""
        if not self._closing:
            self._write(Opcode.CLOSE, close_payload(code, truncated_reason(reason)))
            self._closing = True

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        if self._keys is None:
            self._send(frame_header(opcode, len(payload), None) + payload)
            return
        key = self._keys.next()
        self._send(frame_header(opcode, len(payload), key) + mask(payload, key))


def _few(pieces: Iterable[Any]) -> Iterator[Any]:
    """The same bytes in fewer pieces: small ones are put together, large ones are left as they are."""
    small: list[Any] = []
    for piece in pieces:
        if len(piece) < APART_BYTES // 2:
            small.append(piece)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield piece
    if small:
        yield b"".join(small)
