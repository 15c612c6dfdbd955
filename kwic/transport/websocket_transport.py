"""An open WebSocket as a Twisted transport: messages are chunks of a byte stream.

How one ends, and what the protocol on it is told in ``connectionLost``:

    loseConnection, close(code)     Close is sent; ConnectionDone once the connection is gone
    the peer's Close                ours is sent back, the connection is closed at once; WebSocketClosed (a ConnectionDone)
                                    for 1000, 1001 and no code, WebSocketFailed (a ConnectionLost) for every other code
    the connection ends without     WebSocketFailed with code 1006: bytes may be missing, as after a reset
    the peer breaks a rule          Close with that code is sent; WebSocketFailed
    nothing is received for long    Close 1001 is sent; WebSocketFailed
    abortConnection, drop(why)      no Close; ConnectionAborted, with the words of why

A peer that does not answer our Close is waited for, because a slow reader must still get what was written before it. After
``CLOSE_TIMEOUT_S`` the connection is closed under it, which leaves the rest to the kernel; after ``DRAIN_TIMEOUT_S`` more
it is aborted. Once both Close frames are exchanged there is nothing left to protect: TLS is not waited for either.

The frames are a :class:`~kwic.transport.autobahn_channel.Channel`'s business; here is neither Autobahn nor HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.policy.inactivity import Inactivity, Verdict
from kwic.transport.autobahn_channel import ABNORMAL, GOING_AWAY, NO_CODE, NORMAL, Channel
from kwic.transport.ending import explain_end
from kwic.wire.http_head import printable

MAXIMUM_MESSAGE_BYTES = 262144
"""What is written becomes messages of at most this: larger ones are slower (one read of the peer's is 64 KiB)."""
DEFAULT_MESSAGE_LIMIT_BYTES = 131072
"""``ws.maximum.message.size``, for what is received; a peer of the same default is not sent more either."""
CLOSE_TIMEOUT_S = 5.0
"""How long the other end's Close is waited for: what KWIC 5 allowed."""
DRAIN_TIMEOUT_S = 60.0
"""How long a closed connection may take to send what it has buffered."""

_NO_CLOSE = "the connection was closed without a Close"
_ORDERLY = frozenset({NORMAL, GOING_AWAY, NO_CODE})


class WebSocketClosed(ConnectionDone):
    """The WebSocket was closed in order.

    :param code: of the other end's Close; 1005 when it had none.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__()
        self.code = code
        self.close_reason = reason

    def __str__(self) -> str:
        return _closed_text("closed", self.code, self.close_reason)


class WebSocketFailed(ConnectionLost):
    """The WebSocket ended otherwise than in order.

    :param code: of the Close that was received or sent; 1006 when the connection ended without one.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__()
        self.code = code
        self.close_reason = reason

    def __str__(self) -> str:
        if self.code == ABNORMAL:
            return f"{self.close_reason} ({self.code})"
        return _closed_text("failed", self.code, self.close_reason)


def _closed_text(how: str, code: int, reason: str) -> str:
    return f"the WebSocket {how} ({code}{': ' if reason else ''}{printable(reason)})"


class _State(Enum):
    OPEN = "bytes flow both ways"
    CLOSING = "our Close is sent, the other end's has not come"
    CLOSED = "nothing more is sent or heard; the connection below is being closed"
    LOST = "the connection below is gone and the protocol knows"


# looked up for each message
_OPEN = _State.OPEN


@implementer(ITransport, IConsumer, IPushProducer)
class WebSocketTransport:
    """Bytes over an open WebSocket.

    Whoever holds the connection below makes one when the handshake is done, calls :meth:`start`, and passes on what that
    connection receives (:meth:`data_received`) and how it ends (:meth:`connection_lost`).

    :param clock: for the closing handshake and inactivity.
    :param carrier: the transport below.
    :param channel: makes messages of bytes and back; its user is this object.
    :param uri: what was asked for, for logs.
    :param subprotocol: what was agreed, or None.
    :param message_limit_bytes: longer messages are refused, and none longer is sent; None for a tunnel.
    :param inactivity_timeout_s: ``ws.inactivity.timeout``, None when off.
    """

    log = Logger()
    half_closes = False
    """RFC 6455 1.4: a Close ends both directions."""

    def __init__(
        self,
        clock: IReactorTime,
        carrier: ITransport,
        channel: Channel,
        *,
        uri: str = "",
        subprotocol: str | None = None,
        request: Any = None,
        response_headers: Any = None,
        message_limit_bytes: int | None = DEFAULT_MESSAGE_LIMIT_BYTES,
        inactivity_timeout_s: float | None = None,
    ) -> None:
        self.uri = uri
        self.subprotocol = subprotocol
        self.request = request
        self.response_headers = response_headers
        self.protocol: IProtocol | None = None
        self.end: Failure | None = None
        self.receiving_text = False
        self._clock = clock
        self._carrier: Any = carrier
        self._channel = channel
        self._gate = _Gate(channel)
        self._write_limit_bytes = min(message_limit_bytes or MAXIMUM_MESSAGE_BYTES, MAXIMUM_MESSAGE_BYTES)
        #: Sends one message that is given in pieces, where the channel is one for tunnels; None elsewhere. Who calls keeps it within the limit.
        self.send_pieces = getattr(channel, "send_pieces", None)
        self._state = _State.OPEN
        self._paused = False
        self._carrier_lost = False
        self._how_lost = ""
        self._timer: IDelayedCall | None = None
        self._inactivity: Inactivity | None = None
        if inactivity_timeout_s:
            self._inactivity = Inactivity(inactivity_timeout_s, clock.seconds())

    # -- for whoever holds the connection ----------------------------------------------------------------------------------

    def start(self, protocol: IProtocol) -> None:
        """Connect the protocol; messages may follow."""
        self.protocol = protocol
        for option in (_no_delay, _keep_alive):
            option(self._carrier)
        self._watch()
        self._carrier.registerProducer(self._gate, True)
        protocol.makeConnection(self)

    def data_received(self, data: bytes) -> None:
        """The connection below received bytes."""
        if self._inactivity is not None:
            self._inactivity.received(self._clock.seconds())
        self._channel.receive(data)

    def connection_lost(self, reason: Failure) -> None:
        """The connection below is gone."""
        self._carrier_lost = True
        self._how_lost = _NO_CLOSE if reason.type is ConnectionDone else explain_end(reason)
        self._cancel_timer()
        if self.end is None:
            if self._paused and self._channel.pending:
                return  # what was received before is delivered first, on resumeProducing
            self.end = Failure(WebSocketFailed(ABNORMAL, self._how_lost))
        self._tell()

    # -- ChannelUser -------------------------------------------------------------------------------------------------------

    def message_received(self, data: bytes, is_text: bool) -> None:
        """A message came."""
        if self._state is _OPEN and self.protocol is not None:
            self.receiving_text = is_text
            self.protocol.dataReceived(data)

    def close_received(self, code: int, reason: str) -> None:
        """The other end closed, or answered our Close: both frames are exchanged."""
        if self.end is None:
            self.end = Failure((WebSocketClosed if code in _ORDERLY else WebSocketFailed)(code, reason))
        self._drop()

    def channel_failed(self, code: int, why: str) -> None:
        """The other end broke a rule and has been sent our Close."""
        self._begin_close(Failure(WebSocketFailed(code, why)))

    # -- ITransport --------------------------------------------------------------------------------------------------------

    @property
    def below(self) -> Any:
        """The connection that carries it, where what is written waits."""
        return self._carrier

    @property
    def disconnecting(self) -> bool:
        """Whether nothing more is sent."""
        return self._state is not _State.OPEN

    def write(self, data: bytes) -> None:
        """Send bytes as one message, or several when they are many. After the end they are dropped, as TCP does.

        :param data: of any size; nothing is sent for none.
        """
        if self._state is not _OPEN or not data:
            return
        if len(data) <= self._write_limit_bytes:
            self._channel.send(data if type(data) is bytes else bytes(data))
            return
        view = memoryview(data)
        for start in range(0, len(view), self._write_limit_bytes):
            self._channel.send(bytes(view[start : start + self._write_limit_bytes]))

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several chunks as one message."""
        self.write(b"".join(iovec))

    def write_text(self, data: bytes) -> None:
        """Send one text message.

        :param data: UTF-8, not longer than the other end's limit.
        """
        if self._state is _State.OPEN:
            self._channel.send(bytes(data), text=True)

    def loseConnection(self, _connDone: object = None) -> None:
        """Send what was written, then Close 1000."""
        self.close(NORMAL)

    def close(self, code: int, reason: str = "") -> None:
        """Send what was written, then Close.

        :param code: any that may stand in a Close frame: 1000, 1001, 1002, 1008, 1009, 1011 to 1014, 3000 to 4999.
        :param reason: one line for the other end's log, cut at 123 bytes.
        """
        if self._state is _State.OPEN:
            self._channel.send_close(code, reason)
            self._begin_close(Failure(WebSocketClosed(code, reason)))

    def abortConnection(self) -> None:
        """Drop the connection below at once, without Close."""
        self.drop("")

    def drop(self, why: str) -> None:
        """As `abortConnection`.

        :param why: for the log; may be empty.
        """
        if self._state is _State.LOST:
            return
        if self._state is not _State.CLOSED:
            self.end = Failure(ConnectionAborted(why) if why else ConnectionAborted())
        self._state = _State.CLOSED
        self._cancel_timer()
        self._channel.stop()
        self._abort_carrier()
        if self._carrier_lost:
            self._tell()

    def getPeer(self) -> IAddress:
        """:returns: the address of the other end of the connection below."""
        return self._carrier.getPeer()

    def getHost(self) -> IAddress:
        """:returns: the address of our end of the connection below."""
        return self._carrier.getHost()

    def getPeerCertificate(self) -> Any:
        """:returns: the other end's certificate, or None when there is none or no TLS."""
        get = getattr(self._carrier, "getPeerCertificate", None)
        return None if get is None else get()

    # -- IConsumer: whoever writes here obeys the connection below ------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have a producer paused while the connection below has enough to send.

        :param streaming: whether it is a push producer; a pull producer is asked by the connection below.
        """
        if self._state is not _State.OPEN:
            producer.stopProducing()
            return
        if self._gate.producer is not None:
            raise RuntimeError("there is a producer already")
        self._gate.producer = producer
        if not streaming:
            self._gate.is_pull = True
            self._carrier.unregisterProducer()
            self._carrier.registerProducer(producer, False)
        elif self._gate.is_full:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """The producer has nothing more."""
        self._gate.producer = None
        if self._gate.is_pull and self._state is _State.OPEN:
            self._gate.is_pull = False
            self._carrier.unregisterProducer()
            self._gate.resumeProducing()
            self._carrier.registerProducer(self._gate, True)

    # -- IPushProducer -------------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Deliver nothing until :meth:`resumeProducing`. What was read already is kept: at most one read."""
        if self._state is not _State.OPEN or self._paused:
            return
        self._paused = True
        self._channel.pause()
        if not self._carrier_lost:
            self._carrier.pauseProducing()
        if self._inactivity is not None:
            self._inactivity.stopped_reading()

    def resumeProducing(self) -> None:
        """Deliver what waits, and go on."""
        if self._state is not _State.OPEN or not self._paused:
            return
        self._paused = False
        if self._inactivity is not None and not self._carrier_lost:
            self._inactivity.resumed_reading(self._clock.seconds())
            self._watch()
        self._channel.resume()
        if self._paused:
            return  # by what was just delivered
        if not self._carrier_lost:
            if self._state is _State.OPEN:
                self._carrier.resumeProducing()
        elif self.end is None:
            self.end = Failure(WebSocketFailed(ABNORMAL, self._how_lost))
            self._tell()

    def stopProducing(self) -> None:
        """Called when a consumer of ours is gone."""
        self.loseConnection()

    # -- the end -----------------------------------------------------------------------------------------------------------

    def _begin_close(self, end: Failure) -> None:
        """Our Close is sent: wait for the other end's, reading and dropping what comes before it."""
        self.end = self.end or end
        self._state = _State.CLOSING
        self._cancel_timer()
        if self._carrier_lost:
            self._tell()
            return
        self._carrier.unregisterProducer()
        self._timer = self._clock.callLater(CLOSE_TIMEOUT_S, self._unanswered)
        if self._paused:
            self._paused = False
            self._carrier.resumeProducing()
            self._channel.resume()

    def _unanswered(self) -> None:
        self._timer = None
        self.log.info("{uri}: no answer to Close within {timeout} s", uri=self.uri, timeout=CLOSE_TIMEOUT_S)
        self._drop()

    def _drop(self) -> None:
        """Close the connection below, by a deadline."""
        self._state = _State.CLOSED
        self._cancel_timer()
        self._channel.stop()
        if self._carrier_lost:
            self._tell()
            return
        self._timer = self._clock.callLater(DRAIN_TIMEOUT_S, self._abort_carrier)
        self._carrier.unregisterProducer()
        self._carrier.loseConnection()
        below = getattr(self._carrier, "transport", None)
        if not self._carrier_lost and ISSLTransport.providedBy(self._carrier) and below is not None:
            # close_notify is written; the peer's is not worth waiting for after its Close.
            below.loseConnection()

    def _abort_carrier(self) -> None:
        self._timer = None
        if not self._carrier_lost:
            abort = getattr(self._carrier, "abortConnection", self._carrier.loseConnection)
            abort()

    def _tell(self) -> None:
        """Tell the protocol, once."""
        if self._state is not _State.LOST and self.protocol is not None and self.end is not None:
            self._state = _State.LOST
            self._channel.stop()
            self.protocol.connectionLost(self.end)

    # -- inactivity --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look again when the silence would be too long."""
        self._cancel_timer()
        due_s = None if self._inactivity is None else self._inactivity.due_s
        if due_s is not None and self._state is _State.OPEN:
            self._timer = self._clock.callLater(max(0.0, due_s - self._clock.seconds()), self._check_silence)

    def _check_silence(self) -> None:
        self._timer = None
        assert self._inactivity is not None
        verdict = self._inactivity.check(self._clock.seconds())
        if verdict is Verdict.DEAD:
            why = "nothing was received for too long"
            self._channel.send_close(GOING_AWAY, why)
            self._begin_close(Failure(WebSocketFailed(GOING_AWAY, why)))
            return
        if verdict is Verdict.PING:
            self._channel.send_ping()
        self._watch()

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


@implementer(IPushProducer)
class _Gate:
    """Hears from the connection below whether it can take more, and passes that on; a pull producer takes its place."""

    def __init__(self, channel: Channel) -> None:
        self.producer: Any = None
        self.is_pull = False
        self.is_full = False
        self._channel = channel

    def pauseProducing(self) -> None:
        """Enough for now."""
        self.is_full = True
        self._channel.hold_pongs(True)
        if self.producer is not None:
            self.producer.pauseProducing()

    def resumeProducing(self) -> None:
        """More can be taken."""
        self.is_full = False
        self._channel.hold_pongs(False)
        if self.producer is not None:
            self.producer.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing more will be taken."""
        if self.producer is not None:
            self.producer.stopProducing()


def _no_delay(carrier: Any) -> None:
    # Autobahn means to, and does not: it asks for the option before its factory has handed it over.
    if ITCPTransport.providedBy(carrier):
        carrier.setTcpNoDelay(True)


def _keep_alive(carrier: Any) -> None:
    if ITCPTransport.providedBy(carrier):
        carrier.setTcpKeepAlive(True)
