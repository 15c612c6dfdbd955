"""Everything that is said to Autobahn is said here.

A *channel* shakes hands and turns bytes into messages and messages into bytes (RFC 6455) for one connection. It is not a
Twisted protocol for the connection: whoever holds that connection feeds it (:meth:`receive`) and hears from it through a
:class:`ChannelUser`. :class:`Channel` is what the rest of KWIC knows; another frame codec has only to provide it.

Autobahn does the handshakes and the frames: the part of it that knows no framework. The classes that it has for Twisted do what is done
here, and with them come its WAMP client and its raw sockets into memory. Its timers are all off (they count whole seconds on a global clock), it never
closes the connection itself, its HTTP answers and its log are not used, and it sees only heads that were read strictly
before (:mod:`kwic.wire.http_head`). Parsing stops while the reader is paused, so what was read already waits as bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import txaio
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger

from kwic.wire.http_head import HttpError, RequestHead, ResponseHead, render_head
from kwic.wire.upgrade_request import WEBSOCKET_VERSION

# Autobahn asks at its import whose Deferreds it is to use.
txaio.use_twisted()

from autobahn.websocket.protocol import (  # noqa: E402
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.types import ConnectingRequest  # noqa: E402

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_CODE = 1005
ABNORMAL = 1006
INVALID_PAYLOAD = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
BAD_GATEWAY = 1014

_SENDABLE_BELOW_3000 = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_REASON_BYTES = 123
"""What is left of a control frame's 125 bytes after the code."""
PIECE_BYTES = 2048
"""What Autobahn is given at a time among frames smaller than this: with a whole read of tiny ones it would be busy copying."""
_CLOSE, _PING, _PONG, _BINARY, _TEXT = 8, 9, 10, 2, 1


def is_close_code(code: int) -> bool:
    """Whether a code may stand in a Close frame (RFC 6455 7.4 and the IANA registry)."""
    return code in _SENDABLE_BELOW_3000 or 3000 <= code <= 4999


class ChannelUser(Protocol):
    """Whoever hears from a channel."""

    def message_received(self, data: bytes, is_text: bool) -> None:
        """A message came, or a part of one when the channel does not collect them."""

    def close_received(self, code: int, reason: str) -> None:
        """The other end's Close came; ours has been sent. Code 1005 when it carried none."""

    def channel_failed(self, code: int, why: str) -> None:
        """The other end broke a rule; our Close with that code has been sent."""


class Channel(Protocol):
    """The frames of one connection, after its handshake."""

    user: ChannelUser
    """To be set before the first :meth:`receive`."""

    def receive(self, data: bytes) -> None:
        """Take what was read from the connection."""

    def send(self, data: bytes, *, text: bool = False) -> None:
        """Write one message."""

    def send_ping(self) -> None:
        """Write a Ping."""

    def send_close(self, code: int, reason: str) -> None:
        """Write the Close frame; what comes in from here on is dropped, up to the other end's Close."""

    def hold_pongs(self, hold: bool) -> None:
        """While the connection is full, answer no Ping; afterwards the newest one (RFC 6455 5.5.3 allows it).

        Else a peer that pings and does not read would fill our memory with Pongs.
        """

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""

    def resume(self) -> None:
        """Deliver what waits, then what comes."""

    def stop(self) -> None:
        """Deliver nothing ever again."""

    @property
    def pending(self) -> bool:
        """Whether there are bytes that wait for :meth:`resume`."""


class _Log:
    """Autobahn's log: what it has to say about the other end is said by us, what it has to say about bugs is kept."""

    _log = Logger()

    def debug(self, *args: object, **fields: object) -> None:
        pass

    trace = info = warn = debug

    def error(self, message: str = "", **fields: object) -> None:
        self._log.error("{message} {fields}", message=message, fields=fields)


class _AutobahnChannel:
    """What the client's and the server's channel have in common; mixed in before Autobahn's protocol class."""

    log = _Log()
    data: bytes
    state: int
    factory: Any
    transport: Any
    current_frame: Any
    message_is_binary: bool
    failedByMe: bool

    STATE_CLOSED: int
    STATE_CONNECTING: int
    STATE_OPEN: int
    STATE_CLOSING: int

    user: ChannelUser
    collect = True
    reject_text = False
    _paused = False
    _consuming = False
    _pongs_held = False
    _held_pong: bytes | None = None
    _waiting = b""
    """What was read and not given to Autobahn yet, from ``_position`` on."""
    _position = 0
    _frame_bytes = 0
    """How long the last frame was."""
    _failure: str | None = None
    _close_received = False

    # -- Channel ----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self.state != self.STATE_CLOSED:
            left = self._waiting[self._position :]
            self._waiting, self._position = left + data if left else data, 0
            self._consume()

    def send(self, data: bytes, *, text: bool = False) -> None:
        if self.state == self.STATE_OPEN:
            self.sendFrame(opcode=_TEXT if text else _BINARY, payload=data)

    def send_ping(self) -> None:
        if self.state == self.STATE_OPEN:
            self.sendFrame(opcode=_PING)

    def send_close(self, code: int, reason: str) -> None:
        self.sendCloseFrame(code=code, reasonUtf8=truncated_reason(reason))

    def hold_pongs(self, hold: bool) -> None:
        self._pongs_held = hold
        if not hold and self._held_pong is not None:
            payload, self._held_pong = self._held_pong, None
            self._onPing(payload)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self.pending:
            self._consume()

    def stop(self) -> None:
        self.state = self.STATE_CLOSED
        self.data = self._waiting = b""

    @property
    def pending(self) -> bool:
        return bool(self.data) or self._position < len(self._waiting)

    def shake(self, head: bytes) -> None:
        """Take the other end's part of the handshake, a whole head and nothing else.

        :raises HttpError: when it is wrong; the channel is dead then.
        """
        self.data = head
        self.processHandshake()
        if self.state != self.STATE_OPEN:
            self.stop()
            raise HttpError(400, self._failure or "the handshake is wrong")

    def _consume(self) -> None:
        if self._consuming:
            return  # called from within a delivery: the loop below goes on
        self._consuming = True
        try:
            more = bool(self.data)
            while not self._paused and self.state in (self.STATE_OPEN, self.STATE_CLOSING):
                if not (more or self._feed()):
                    return
                more = self.processData()
        finally:
            self._consuming = False

    def _feed(self) -> bool:
        """Give Autobahn what waits; among small frames in pieces, as it copies what is left of its buffer for each frame."""
        size = PIECE_BYTES if self._frame_bytes < PIECE_BYTES else len(self._waiting)
        piece = self._waiting[self._position : self._position + size]
        self._position += len(piece)
        self.data = self.data + piece if self.data else piece
        return bool(piece)

    def onFrameBegin(self) -> None:
        self._frame_bytes = self.current_frame.length
        super().onFrameBegin()  # type: ignore[misc]

    # -- what Autobahn calls -----------------------------------------------------------------------------------------------

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.transport.write(data)

    def _onOpen(self) -> None:
        """Nothing is told from here, where Autobahn would swallow an exception: :meth:`shake` returns."""

    def _onMessageFrameBegin(self, length: int) -> None:
        self.onMessageFrameBegin(length)

    def _onMessageFrameData(self, payload: bytes) -> None:
        if self.failedByMe or not payload:
            return  # an endless row of empty frames must not fill a list
        if self.collect:
            self.message_data.append(payload)
        else:
            self._deliver(payload)

    def _onMessageFrameEnd(self) -> None:
        """Frames are not assembled: their data is in the message already."""

    def _onMessageBegin(self, isBinary: bool) -> None:
        self.message_is_binary = isBinary
        self.message_data: list[bytes] = []
        self.message_data_total_length = 0
        if self.reject_text and not isBinary and not self.failedByMe:
            self._fail_connection(PROTOCOL_ERROR, "a text message where only binary ones are allowed")

    def _onMessageEnd(self) -> None:
        parts, self.message_data = self.message_data, []
        if self.collect and parts and not self.failedByMe:
            self._deliver(parts[0] if len(parts) == 1 else b"".join(parts))

    def _deliver(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.user.message_received(payload, not self.message_is_binary)

    def _onPing(self, payload: bytes) -> None:
        if self._pongs_held:
            self._held_pong = payload
        elif self.state == self.STATE_OPEN:
            self.sendFrame(opcode=_PONG, payload=payload)

    def _onPong(self, payload: bytes) -> None:
        """Any byte is a sign of life; a Pong needs no treatment of its own."""

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool:
        """Autobahn's own refuses the registered codes 1012 to 1014 or closes the connection by itself."""
        if self._close_received:
            return False
        try:
            reason = (reasonRaw or b"").decode()
        except UnicodeDecodeError:
            self._fail_connection(INVALID_PAYLOAD, "the reason of the Close is not UTF-8")
            return True
        if code is not None and not is_close_code(code):
            self._fail_connection(PROTOCOL_ERROR, f"{code} is not a close code")
            return True
        self._close_received = True
        self.sendCloseFrame(code=code, isReply=True)
        self.user.close_received(NO_CODE if code is None else code, reason)
        return True

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        if self.state == self.STATE_OPEN:
            payload = b"" if code is None else code.to_bytes(2, "big") + (reasonUtf8 or b"")
            self.sendFrame(opcode=_CLOSE, payload=payload)
            self.state = self.STATE_CLOSING

    def _fail_connection(self, code: int = GOING_AWAY, reason: str = "") -> None:
        if self.state == self.STATE_OPEN and not self.failedByMe:
            self.failedByMe = True
            self.send_close(code, reason)
            self.user.channel_failed(code, reason)
        else:
            self.failedByMe = True

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: object = None) -> None:
        self._failure = reason
        self.stop()

    def dropConnection(self, abort: bool = False) -> None:
        self.stop()

    sendFrame: Callable[..., None]
    processData: Callable[[], bool]
    processHandshake: Callable[[], None]
    onMessageFrameBegin: Callable[[int], None]
    _connectionMade: Callable[[], None]
    websocket_protocol_in_use: str | None


def truncated_reason(reason: str) -> bytes:
    """A reason that fits into a Close frame, not cut within a character."""
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore").encode()


class _ServerChannel(_AutobahnChannel, WebSocketServerProtocol):
    """Answers one handshake, with what was decided before it began."""

    accept: tuple[str | None, dict[str, str]] = (None, {})

    def onConnect(self, request: object) -> tuple[str | None, dict[str, str]]:
        return self.accept


class ServerChannels:
    """Makes the channels of a listener."""

    def __init__(self) -> None:
        self._factory = WebSocketServerFactory(server="")

    def open(
        self,
        carrier: ITransport,
        request: RequestHead,
        *,
        subprotocol: str | None,
        headers: Sequence[tuple[str, str]],
        limit_bytes: int | None,
        reject_text: bool,
    ) -> Channel:
        """Accept an upgrade request that was found proper: the answer is written to the connection.

        :param subprotocol: one of those that the request offers, or None.
        :param headers: further fields of the answer.
        :param limit_bytes: longer messages are refused with 1009; None: any length, delivered in parts as they come.
        :raises HttpError: when Autobahn finds a fault that was overlooked.
        """
        channel = _ServerChannel()
        channel.accept = (subprotocol, dict(headers))
        _prepare(channel, self._factory, carrier, limit_bytes, reject_text)
        wanted = ("host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version")
        fields = [(name, request.headers.get(name) or "") for name in wanted]
        protocols = request.headers.get("sec-websocket-protocol")
        if protocols:
            fields.append(("sec-websocket-protocol", protocols))
        channel.shake(render_head("GET / HTTP/1.1", fields))
        return channel


class ClientChannel(_AutobahnChannel, WebSocketClientProtocol):
    """The client's channel: asks for an upgrade when it is made, and is open after :meth:`answered`.

    :param host: with brackets when it is IPv6.
    :param target: path and query.
    :param headers: further fields of the request; checked by the caller, as Autobahn does not.
    :param limit_bytes: longer messages are refused with 1009; None: any length, delivered in parts as they come.
    """

    def __init__(
        self,
        carrier: ITransport,
        *,
        host: str,
        port: int,
        target: str,
        protocols: Sequence[str],
        headers: Sequence[tuple[str, str]],
        limit_bytes: int | None,
        reject_text: bool,
    ) -> None:
        super().__init__()
        self._request = ConnectingRequest(
            host=host,
            port=port,
            resource=target,
            headers=dict(headers),
            useragent="",
            protocols=list(protocols),
        )
        factory = WebSocketClientFactory(protocols=list(protocols), useragent="")
        _prepare(self, factory, carrier, limit_bytes, reject_text)

    def startHandshake(self) -> None:
        """Autobahn's own asks an empty hook, and formats the connection's details for a log that nobody keeps."""
        self._actuallyStartHandshake(self._request)

    def _onConnect(self, response: object) -> None:
        pass

    def answered(self, answer: ResponseHead) -> str | None:
        """Take the answer to the request.

        :param answer: one with status 101, read strictly.
        :returns: the subprotocol that was agreed.
        :raises HttpError: when it does not fit the request.
        """
        keep = ("upgrade", "connection", "sec-websocket-")
        fields = [(name, value) for name, value in answer.headers if name.startswith(keep)]
        self.shake(render_head("HTTP/1.1 101 Switching Protocols", fields))
        return self.websocket_protocol_in_use


def _prepare(
    channel: _AutobahnChannel, factory: Any, carrier: ITransport, limit_bytes: int | None, reject_text: bool
) -> None:
    channel.factory = factory
    channel.collect = limit_bytes is not None
    channel.reject_text = reject_text
    channel.maxMessagePayloadSize = limit_bytes or 0  # type: ignore[attr-defined]
    channel.transport = carrier
    channel._connectionMade()  # noqa: SLF001 - what its Twisted classes do when a connection is made


def _fix_options(channel_class: Any, factory: Any, **options: Any) -> None:
    """Set the options once for a class: Autobahn would copy each for each connection and format them for its log."""
    factory.setProtocolOptions(
        failByDrop=False, openHandshakeTimeout=0, closeHandshakeTimeout=0, autoPingInterval=0, **options
    )
    for name in channel_class.CONFIG_ATTRS:
        value = getattr(factory, name)
        setattr(channel_class, name, staticmethod(value) if callable(value) else value)
    channel_class.CONFIG_ATTRS = ()


_fix_options(
    _ServerChannel,
    WebSocketServerFactory(),
    versions=[int(WEBSOCKET_VERSION)],
    webStatus=False,
    allowNullOrigin=True,
)
_fix_options(ClientChannel, WebSocketClientFactory(), serverConnectionDropTimeout=0)
