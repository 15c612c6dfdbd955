"""
One stream of a tunnel as a Twisted transport.

Outbound, bytes queue here until the session has credit and the link has room; a registered producer is paused while more than
`HIGH_BYTES` wait. Inbound, bytes go straight to the protocol; while the protocol has paused us they wait here, and the credit they used is
not returned: that is what stops the far sender, and no other stream (yamux specification, "Flow Control").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from kwic.transport.tunnel import Tunnel

_DONE = Failure(ConnectionDone())
"""One for all: it is met at the end of each stream."""

#: More than this waiting to be sent pauses the producer; at half of it the producer goes on.
HIGH_BYTES = 65_536
#: So much that was taken is told to the session at once: it returns credit in far bigger steps (`kwic.wire.window`).
RETURN_BYTES = 16_384
#: Pieces that wait for a paused reader are joined up to this size.
HOLD_BYTES = 4096


class Outbound(Enum):
    """How far our own direction is."""

    OPEN = "bytes may be written"
    FINISHING = "an end of stream follows what is queued"
    RESETTING = "a reset follows what is queued"
    DONE = "nothing more goes out"


class Inbound(Enum):
    """How far the peer's direction is."""

    OPEN = "bytes may arrive"
    FINISHED = "the peer sent its end of stream; what is held is still to be delivered"
    DELIVERED = "the protocol knows of the end of stream"
    UNWANTED = "we closed: what still arrives while our last bytes leave is dropped"


# looked up for each client and each message: a member of an enum costs ten times as much in Python 3.11
_OUT_OPEN = Outbound.OPEN
_OUT_FINISHING = Outbound.FINISHING
_OUT_RESETTING = Outbound.RESETTING
_OUT_DONE = Outbound.DONE
_IN_OPEN = Inbound.OPEN
_IN_FINISHED = Inbound.FINISHED
_IN_DELIVERED = Inbound.DELIVERED
_IN_UNWANTED = Inbound.UNWANTED


@implementer(ITransport, IConsumer, IPushProducer)
class Stream:
    """
    A stream of a session, for one protocol.

    :param tunnel: the tunnel it runs in.
    :param number: its id in the session.
    """

    #: An end of stream is a frame of its own here (see `leg.can_half_close`).
    half_closes = True

    # There are as many of these as clients: no dictionary each, and no queues that nothing waits in.
    __slots__ = (
        "_held",
        "_inbound",
        "_outbound",
        "_owed_bytes",
        "_paused",
        "_producer",
        "_producer_paused",
        "_queue",
        "_streaming",
        "_takes_views",
        "acknowledged",
        "connected",
        "disconnecting",
        "high_bytes",
        "housekeeping",
        "number",
        "protocol",
        "queued_bytes",
        "tunnel",
    )

    def __init__(self, tunnel: Tunnel, number: int) -> None:
        self.tunnel = tunnel
        self.disconnecting = False
        self.number = number
        self.protocol: Any = None
        self.connected = True
        self.acknowledged = False
        #: Carries no client: a registration, or news about the nodes. A draining tunnel does not wait for it.
        self.housekeeping = False
        #: Bytes that may wait unsent before the producer is paused.
        self.high_bytes = HIGH_BYTES
        self._outbound = _OUT_OPEN
        self._inbound = _IN_OPEN
        self._queue: deque[bytes | memoryview] | None = None
        self.queued_bytes = 0
        self._held: deque[bytes] | None = None
        self._owed_bytes = 0
        self._takes_views = False
        self._paused = False
        self._producer: Any = None
        self._streaming = True
        self._producer_paused = False

    def attach(self, protocol: IProtocol) -> None:
        """Give the stream its first protocol."""
        self.protocol = protocol
        protocol.makeConnection(self)

    def hand_over(self, protocol: IProtocol) -> None:
        """Give the stream another protocol: the negotiation is over. The old one is not told."""
        self.protocol = protocol
        self._takes_views = getattr(protocol, "takes_views", False)
        protocol.makeConnection(self)

    # -- ITransport ---------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """
        Send bytes at once where nothing waits before them; else queue them, and they leave when credit and link allow.

        :param data: may be a view of bytes that change afterwards.
        """
        if not data or self._outbound is not _OUT_OPEN:
            return
        if self._queue is None:
            if self.tunnel.send_alone(self.number, data):
                return
            self._queue = deque()
        self._queue.append(data if type(data) is bytes else bytes(data))
        self.queued_bytes += len(data)
        self.tunnel.wants_to_send(self)
        # What left at once needs no pause: that would be two system calls for nothing.
        if self._producer is not None and self.queued_bytes > self.high_bytes and not self._producer_paused:
            self._producer_paused = True
            if self._streaming:
                self._producer.pauseProducing()

    send_now = write

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Queue several pieces."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """Send an end of stream behind what is queued; the peer's direction flows on."""
        if self._outbound is not _OUT_OPEN:
            return
        self._outbound = _OUT_FINISHING
        if self._queue is None and self.tunnel.finish_alone(self.number):
            self.end_sent()
        else:
            self.tunnel.wants_to_send(self)

    def loseConnection(self) -> None:
        """Send what is queued and an end of stream, and want nothing more."""
        self.disconnecting = True
        self.loseWriteConnection()
        if self._inbound is not _IN_DELIVERED:
            self._inbound = _IN_UNWANTED
        if self._held:
            self._owed_bytes += sum(len(piece) for piece in self._held)
            self._held = None
        self._check_done()

    def reset_when_sent(self) -> None:
        """Send what is queued, then a reset: a refusal and its reason."""
        if self._outbound in (_OUT_OPEN, _OUT_FINISHING):
            self._outbound = _OUT_RESETTING
            self.tunnel.wants_to_send(self)

    def abortConnection(self) -> None:
        """Reset both directions at once."""
        if self.connected:
            self.tunnel.reset(self)
            self.lost(Failure(ConnectionAborted()))

    def getPeer(self) -> IAddress:
        """The other end of the tunnel's link."""
        return self.tunnel.transport.getPeer()

    def getHost(self) -> IAddress:
        """This end of the tunnel's link."""
        return self.tunnel.transport.getHost()

    # -- IConsumer ----------------------------------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause this producer while too much waits."""
        if self._producer is not None:
            raise RuntimeError(f"a producer is registered with stream {self.number} already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            # What he writes is queued: he is asked for more when it has left.
            self._queue = self._queue or deque()
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer, self._streaming = None, True

    # -- IPushProducer: what the protocol says to what we deliver -----------------------------------------------------------

    def pauseProducing(self) -> None:
        """Deliver nothing; the far sender stops when its credit is used up."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Deliver what was held, and return the credit it used."""
        self._paused = False
        while self._held and not self._paused and self.connected:
            self._deliver(self._held.popleft())
        self._held = self._held or None
        self._return_credit()
        if self._inbound is _IN_FINISHED:
            self._deliver_end()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- called by the tunnel -----------------------------------------------------------------------------------------------

    def received(self, data: bytes | memoryview) -> None:
        """Bytes arrived; a view is one of what the link read."""
        if self._inbound is _IN_UNWANTED:
            self.tunnel.consumed(self, len(data))
        elif self._paused or self._held:
            self._hold(data)
        else:
            self._owed_bytes += len(data)
            protocol: Any = self.protocol
            protocol.dataReceived(data if self._takes_views else bytes(data))
            if self._owed_bytes >= RETURN_BYTES:
                self._return_credit()

    def finished(self) -> None:
        """The peer's end of stream arrived."""
        if self._inbound is _IN_UNWANTED:
            self._inbound = _IN_DELIVERED
            self._check_done()
        else:
            self._inbound = _IN_FINISHED
            self._deliver_end()

    def take(self, limit_bytes: int) -> bytes | memoryview | None:
        """The next piece to send, at most so many bytes; None when nothing waits."""
        if not self._queue:
            return None
        queue = self._queue
        piece = queue.popleft()
        if len(piece) > limit_bytes:
            view = memoryview(piece)
            piece = view[:limit_bytes]
            queue.appendleft(view[limit_bytes:])
        if not queue and self._streaming:
            self._queue = None
        self.queued_bytes -= len(piece)
        return piece

    @property
    def ending(self) -> Outbound | None:
        """The end that is to be sent now, when everything queued is gone."""
        if self._queue or self._outbound not in (_OUT_FINISHING, _OUT_RESETTING):
            return None
        return self._outbound

    def sent(self) -> None:
        """The queue shrank: let the producer go on."""
        if (
            self._producer is not None
            and (self._producer_paused or not self._streaming)
            and self.queued_bytes <= self.high_bytes // 2
        ):
            self._producer_paused = False
            self._producer.resumeProducing()

    def end_sent(self) -> None:
        """Our end of stream is out."""
        self._outbound = _OUT_DONE
        if not self.disconnecting and _hears_ends(self.protocol):
            self.protocol.writeConnectionLost()
        self._check_done()

    def link_lost(self, reason: Failure) -> None:
        """The tunnel is gone. A stream of which everything has arrived and been sent only waits for its reader, and goes on waiting."""
        if self._inbound is not _IN_FINISHED or self._outbound is not _OUT_DONE:
            self.lost(reason)

    def lost(self, reason: Failure) -> None:
        """The stream is over: tell the protocol, once."""
        if not self.connected:
            return
        self.connected = False
        self._outbound = _OUT_DONE
        self._queue = None
        self.queued_bytes = 0
        self._held = None
        self._producer = None
        self.tunnel.forget(self)
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)

    # -- within -------------------------------------------------------------------------------------------------------------

    def _deliver(self, data: bytes | memoryview) -> None:
        self._owed_bytes += len(data)
        protocol: Any = self.protocol
        protocol.dataReceived(data if self._takes_views else bytes(data))

    def _hold(self, data: bytes | memoryview) -> None:
        """Keep bytes until they are wanted; small pieces are joined, as each would cost more than it carries."""
        if self._held and len(self._held[-1]) + len(data) <= HOLD_BYTES:
            self._held[-1] += bytes(data)
        elif self._held is not None:
            self._held.append(bytes(data))
        else:
            self._held = deque((bytes(data),))

    def _return_credit(self) -> None:
        if self._owed_bytes >= RETURN_BYTES and not self._paused and self.connected:
            owed, self._owed_bytes = self._owed_bytes, 0
            self.tunnel.consumed(self, owed)

    def _deliver_end(self) -> None:
        if self._inbound is not _IN_FINISHED or self._held or self._paused or not self.connected:
            return
        self._inbound = _IN_DELIVERED
        if _hears_ends(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.loseConnection()
        self._check_done()

    def _check_done(self) -> None:
        """Both directions over, or ours over and the other one not wanted: the connection is done."""
        if self._outbound is _OUT_DONE and self.connected and self._inbound in _OVER:
            self.lost(_DONE)


_OVER = (Inbound.DELIVERED, Inbound.UNWANTED)
_HEARS_ENDS: dict[type, bool] = {}


def _hears_ends(protocol: Any) -> bool:
    """Whether a protocol wants to know how each direction ends; a class says it once."""
    kind = type(protocol)
    hears = _HEARS_ENDS.get(kind)
    if hears is None:
        hears = _HEARS_ENDS[kind] = IHalfCloseableProtocol.implementedBy(kind)
    return hears
