"""
One side of a relayed connection.

A leg is a protocol on any byte transport: a TCP connection, TLS over one, a WebSocket, a stream in a tunnel. It is paused from its first
moment: nothing is read from a client before the far end has answered, so that a failed dial can be tried again elsewhere and nothing is
lost. `Relay` gives a leg its sink and lets it run.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.transport.lean_tcp import READ_BYTES, LeanConnection
from kwic.transport.stream import Stream

_PLAIN = (LeanConnection, Stream)
"""Our own transports: as they should be, with no handshake, and they can be half-closed. What wraps one is none."""


class Course(Enum):
    """How far a leg of a relay is."""

    RUNNING = "it may send"
    ENDED = "it has sent its end of stream"
    CLOSING = "we have closed it, or are about to"


def can_half_close(transport: object) -> bool:
    """
    Whether an end of stream can be sent on a transport while the other direction flows on.

    TLS over TCP claims to, and must not be believed: it would close the raw connection below the session (RFC 8446 6.1 wants a
    close_notify first). WebSocket has no half-close at all (RFC 6455 1.4).
    """
    if type(transport) in _PLAIN:
        return True
    declared = getattr(transport, "half_closes", None)
    if declared is not None:
        return bool(declared)
    return ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport)


def tune(transport: Any) -> None:
    """Send small writes at once, read large pieces, and let the kernel notice a peer that vanished, where there are such knobs."""
    if getattr(transport, "tuned", False):
        return
    if hasattr(transport, "bufferSize"):
        transport.bufferSize = READ_BYTES
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)


_RUNNING = Course.RUNNING


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Leg(Protocol):
    """
    A connection that waits, paused, to be joined to another one.

    :param on_ready: called with the leg once when its transport can carry bytes (after the TLS handshake where there is one).
    :param on_lost: called with the leg and the reason when the connection ends before the leg was joined.
    :param early: bytes that were read from this connection already, by whoever negotiated on it.
    """

    takes_views = True
    """What it receives is sent or copied before it returns (see `sender`)."""
    transport: Any
    other: Leg
    """The leg that this one is joined to, by a relay."""

    # There are two of these for each client: no dictionary each. The last three are Twisted's.
    __slots__ = (
        "_is_ready",
        "_on_ready",
        "connected",
        "course",
        "early",
        "factory",
        "lost",
        "on_end",
        "on_gone",
        "on_lost",
        "other",
        "sink",
        "timer",
        "transport",
    )

    def __init__(
        self,
        on_ready: Callable[[Leg], None] | None = None,
        on_lost: Callable[[Leg, Failure], None] | None = None,
        early: bytes = b"",
    ) -> None:
        self.connected = 0
        self.factory = None
        self.transport = None
        self._on_ready = on_ready
        self._is_ready = False
        self.on_lost = on_lost
        self.early = early
        self.lost: Failure | None = None
        #: How far it is, and what is waited for (see `relay`).
        self.course = _RUNNING
        self.timer: Any = None
        self.sink: Callable[[bytes], None] = self._keep
        self.on_end: Callable[[Leg], None] | None = None
        #: Called when the connection has ended, whatever it was joined to.
        self.on_gone: Callable[[Failure], None] | None = None

    def connectionMade(self) -> None:
        """Stop reading at once, unless TLS still has to shake hands."""
        transport = self.transport
        if type(transport) not in _PLAIN:
            tune(transport)
            if ISSLTransport.providedBy(transport) and not hasattr(transport, "half_closes"):
                return
        self._ready()

    def handshakeCompleted(self) -> None:
        """TLS is up: from here on nothing is read until the leg is joined."""
        self._ready()

    def when_ready(self, on_ready: Callable[[Leg], None], on_lost: Callable[[Failure], None]) -> None:
        """
        Learn when the leg can carry bytes, which may be now.

        :param on_lost: the connection ended before that.
        """
        if self.lost is not None:
            on_lost(self.lost)
        elif self._is_ready:
            on_ready(self)
        else:
            self._on_ready = on_ready
            self.on_lost = lambda leg, reason: on_lost(reason)

    def _ready(self) -> None:
        self._is_ready = True
        self.transport.pauseProducing()
        on_ready, self._on_ready = self._on_ready, None
        if on_ready is not None:
            on_ready(self)

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes to the other leg."""
        self.sink(data)

    def _keep(self, data: bytes) -> None:
        # A transport may deliver the rest of one read after it was paused; that much is kept and no more comes.
        self.early += data

    def pauseProducing(self) -> None:
        """The other leg is full."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It has room again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The other leg is gone; its `connectionLost` says how, and that decides what happens here."""

    def readConnectionLost(self) -> None:
        """The peer sent its end of stream; the other direction may flow on."""
        if self.on_end is not None:
            self.on_end(self)

    def writeConnectionLost(self) -> None:
        """Our own end of stream was sent; nothing to do."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Both directions are over, in order or by a reset."""
        self.lost = reason
        # Not this leg's own method: that would be a cycle, which the collector would have to find.
        self.sink = drop
        if self.on_gone is not None:
            self.on_gone(reason)
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None
            on_lost(self, reason)

    def reset(self) -> None:
        """End the connection abruptly, so that the peer sees a reset rather than an orderly end."""
        if self.lost is None and self.transport is not None:
            self.transport.abortConnection()


def drop(data: bytes) -> None:
    """Nobody is left to read this."""
