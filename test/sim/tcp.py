"""
TCP in memory: bytes that take time, buffers that are bounded, half-close, resets, and what a network does to them.

A segment that meets a cut waits and is delivered when the cut is healed, as TCP sends it again. One that meets a closed or vanished end is answered with a reset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    ConnectBindError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from test.sim.network import SimReactor

#: What may be on its way or unread at the other end.
WINDOW_BYTES = 262_144
#: What one read takes.
READ_BYTES = 65_536
#: The other end is told that so much was read.
ACKNOWLEDGE_BYTES = WINDOW_BYTES // 4


def tcp_address(host: str, port: int) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


class Mark(Enum):
    """What travels beside bytes."""

    FIN = "no more bytes"
    RESET = "the connection is over"


Item = bytes | Mark | int
"""What travels: bytes, a mark, or how many bytes were read."""


@implementer(ITCPTransport, IConsumer, IPushProducer)
class SimTransport:
    """One end of a connection."""

    log = Logger()
    disconnecting = False
    bufferSize = 65_536

    def __init__(self, reactor: SimReactor, ours: tuple[str, int], theirs: tuple[str, int]) -> None:
        self.reactor = reactor
        self._ours, self._theirs = ours, theirs
        self.number = reactor.network.next_number()
        self.other: SimTransport
        self.protocol: Any = None
        self.connected = True
        self._out: deque[bytes] = deque()
        self.out_bytes = 0
        self._in: deque[bytes | Mark] = deque()
        self._under_way = 0
        #: The last that was sent, and when it arrives.
        self._arrives_s = 0.0
        self._flight: list[Item] = []
        #: Bytes of ours came to a machine that is gone.
        self.unheard = False
        #: Read, and not told to the other end yet.
        self._unacknowledged = 0
        self._reading = True
        self._read_scheduled = False
        self._write_closing = False
        self._aborting = False
        self._fin_sent = False
        self._fin_received = False
        self._producer: Any = None
        self._streaming = True
        self._producer_paused = False
        self._on_lost: Callable[[Failure], None] = lambda reason: None

    def open(self, protocol: Any, on_lost: Callable[[Failure], None] = lambda reason: None) -> None:
        """The process has taken the connection."""
        self._on_lost = on_lost
        self.protocol = protocol
        self.reactor.transports.add(self)
        protocol.makeConnection(self)
        self._schedule_read()

    def refuse(self) -> None:
        """The process does not want the connection."""
        self.connected = False
        self.tell(Mark.RESET)

    # -- ITCPTransport
    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes), type(data)
        if not data or not self.connected or self._write_closing or self.disconnecting:
            return
        if len(data) <= READ_BYTES:
            self._out.append(data)
        else:
            self._out.extend(data[start : start + READ_BYTES] for start in range(0, len(data), READ_BYTES))
        self.out_bytes += len(data)
        self._send()
        if self._producer is None:
            return
        if not self._streaming:
            self.reactor.callLater(0, self._check_sent)
        elif self.out_bytes > self.bufferSize and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Sequence[bytes]) -> None:
        for piece in data:
            assert isinstance(piece, bytes), type(piece)  # as Twisted's TCP has it
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.reactor.callLater(0, self._check_sent)

    def loseWriteConnection(self) -> None:
        if self.connected and not self._write_closing:
            self._write_closing = True
            self.reactor.callLater(0, self._check_sent)

    def abortConnection(self) -> None:
        if self.connected and not self._aborting:
            # Nothing is read or written any more until it is told (as in Twisted).
            self._aborting = self.disconnecting = True
            self.reactor.callLater(0, self._reset)

    def _reset(self) -> None:
        if self.connected:
            self.tell(Mark.RESET)
            self.end(Failure(ConnectionAborted()))

    def getPeer(self) -> Any:
        return tcp_address(*self._theirs)

    def getHost(self) -> Any:
        return tcp_address(*self._ours)

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    # -- IConsumer
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        if self.connected and self.disconnecting:
            self.reactor.callLater(0, self._check_sent)

    # -- IPushProducer
    def pauseProducing(self) -> None:
        self._reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self._reading = True
            self._schedule_read()

    def stopProducing(self) -> None:
        self.loseConnection()

    # -- sending
    def _send(self) -> None:
        """Put on its way what the other end's window has room for."""
        while self._out and self._under_way < WINDOW_BYTES:
            piece = self._out.popleft()
            self.out_bytes -= len(piece)
            self._under_way += len(piece)
            self.reactor.network.carry(self, piece)

    def tell(self, mark: Mark) -> None:
        """Let the other machine know."""
        self.reactor.network.carry(self, mark)

    @property
    def waits_for_answer(self) -> bool:
        """Whether the kernel has something to send again, or to ask when it may."""
        return self.unheard or self.out_bytes > 0

    def arrival(self, latency_s: float) -> tuple[float, list[Item]]:
        """:returns: when something that is sent now arrives, never before what was sent earlier; and what arrives at the same moment."""
        at_s = self.reactor.network.clock.now_s + latency_s
        if at_s > self._arrives_s:
            self._arrives_s = at_s
            self._flight = []
        return self._arrives_s, self._flight

    def _check_sent(self) -> None:
        """What was to be sent is gone: let the producer go on, or close."""
        if not self.connected or self._aborting:
            return
        waits = self._producer_paused or not self._streaming
        if self._producer is not None and waits and self.out_bytes <= self.bufferSize // 2:
            self._producer_paused = False
            self._producer.resumeProducing()
        if self._out or not self.connected:
            return
        if self.disconnecting and not (self._producer is not None and self._producer_paused):
            unread = any(isinstance(item, bytes) for item in self._in)
            self.tell(Mark.RESET if unread else Mark.FIN)
            self.end(Failure(ConnectionDone()))
        elif self._write_closing and not self._fin_sent:
            self._fin_sent = True
            self.tell(Mark.FIN)
            half = IHalfCloseableProtocol(self.protocol, None)
            if half is not None:
                half.writeConnectionLost()
            if self._fin_received:
                self.end(Failure(ConnectionDone()))

    def _taken(self, size: int) -> None:
        """The other end has read: there is room."""
        self._under_way -= size
        if self._out:
            self._send()
            self.reactor.callLater(0, self._check_sent)

    # -- receiving, called by the network
    def arrived(self, items: Sequence[Item]) -> None:
        """Something has come to this machine; the process is told when it runs."""
        if not self.connected:
            if any(isinstance(item, bytes) for item in items):
                self.tell(Mark.RESET)
            return
        for item in items:
            if isinstance(item, int):
                self._taken(item)
            else:
                self._in.append(item)
                if item is Mark.RESET:
                    self._reading = True
        if not self._in or self._read_scheduled or self.protocol is None:
            return
        if self.reactor.runs:
            self.reactor.network.clock.acting = self.reactor
            self._read()
        else:
            self._schedule_read()

    def _schedule_read(self) -> None:
        if not self._read_scheduled and self._in and self.connected and self.protocol is not None:
            self._read_scheduled = True
            self.reactor.callLater(0, self._read)

    def _read(self) -> None:
        self._read_scheduled = False
        if not self.connected or self._aborting:
            return
        if Mark.RESET in self._in:
            self.end(Failure(ConnectionLost()))
            return
        if not self._reading or not self._in:
            return
        item = self._in.popleft()
        if item is Mark.FIN:
            self._read_fin()
        else:
            assert isinstance(item, bytes)
            self._read_bytes(item)
        self._schedule_read()

    def _read_bytes(self, data: bytes) -> None:
        while self._in and isinstance(self._in[0], bytes) and len(data) + len(self._in[0]) <= READ_BYTES:
            piece = self._in.popleft()
            assert isinstance(piece, bytes)
            data += piece
        self._unacknowledged += len(data)
        if self._unacknowledged >= ACKNOWLEDGE_BYTES:
            self.reactor.network.carry(self, self._unacknowledged)
            self._unacknowledged = 0
        if self.disconnecting:
            return
        try:
            self.protocol.dataReceived(data)
        except Exception:
            failure = Failure()
            self.log.failure("a protocol failed on what it read", failure=failure)
            self.tell(Mark.RESET)
            self.end(failure)

    def _read_fin(self) -> None:
        self._fin_received = True
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is None or self.disconnecting or self._fin_sent:
            if half is not None and not self.disconnecting:
                half.readConnectionLost()
            if self.connected:
                if not self._fin_sent:
                    self.tell(Mark.FIN)
                self.end(Failure(ConnectionDone()))
        else:
            half.readConnectionLost()

    def end(self, reason: Failure) -> None:
        """The connection is over for this process."""
        if not self.connected:
            return
        self.connected = False
        self.disconnecting = True
        self._out.clear()
        self._in.clear()
        producer, self._producer = self._producer, None
        self.reactor.transports.discard(self)
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(reason)
        self._on_lost(reason)

    def vanish(self) -> None:
        """The process is gone and told nothing."""
        self.connected = False
        self._out.clear()
        self._in.clear()
        self._producer = None


@implementer(IListeningPort)
class SimPort:
    """A listening socket."""

    def __init__(self, reactor: SimReactor, host: str, port: int, factory: Any) -> None:
        self.reactor, self.host, self.port, self.factory = reactor, host, port, factory

    def startListening(self) -> None:
        self.reactor.ports[self.host, self.port] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        if self.reactor.ports.pop((self.host, self.port), None) is not None:
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> Any:
        return tcp_address(self.host or "0.0.0.0", self.port)


@implementer(IConnector)
class SimConnector:
    """A connect that is under way, or its connection."""

    def __init__(
        self,
        reactor: SimReactor,
        place: tuple[str, int],
        factory: Any,
        timeout_s: float,
        bind: tuple[str, int] | None,
    ) -> None:
        self.reactor, self.place, self.factory = reactor, place, factory
        self.state = "disconnected"
        self.transport: SimTransport | None = None
        self._timeout_s = timeout_s
        self._bind = bind
        self._timer: Any = None

    def connect(self) -> None:
        assert self.state == "disconnected"
        self.state = "connecting"
        self.factory.doStart()
        self.factory.startedConnecting(self)
        self._timer = self.reactor.callLater(self._timeout_s, self.failed, TimeoutError())
        source = self.reactor.source_for(self.place[0], self._bind)
        if source is None:
            self.reactor.callLater(0, self.failed, ConnectBindError("no address of that family"))
        else:
            self.reactor.network.dial(self, source, self.place)

    def stopConnecting(self) -> None:
        assert self.state == "connecting", self.state
        self.failed(UserError())

    def disconnect(self) -> None:
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> Any:
        return tcp_address(*self.place)

    # -- called by the network, within the process
    def refused(self) -> None:
        self.failed(ConnectionRefusedError())

    def failed(self, error: Exception) -> None:
        if self.state == "connecting":
            self.state = "disconnected"
            self._cancel()
            self.factory.clientConnectionFailed(self, Failure(error))
            self.factory.doStop()

    def connected(self, transport: SimTransport) -> None:
        if self.state != "connecting":
            transport.refuse()
            return
        self.state = "connected"
        self._cancel()
        protocol = self.factory.buildProtocol(tcp_address(*self.place))
        if protocol is None:
            transport.refuse()
            return
        self.transport = transport
        transport.open(protocol, self._lost)

    def _lost(self, reason: Failure) -> None:
        self.state = "disconnected"
        self.factory.clientConnectionLost(self, reason)
        self.factory.doStop()

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
