"""A network in memory: hosts, names, TCP with bounded buffers, half-close and resets, on a clock that the test moves.

It is a reactor as far as endpoints need one. Nothing happens until :meth:`MemoryNetwork.settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, UserError
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.transport.resolver import FixedNames, FixedResolver

BUFFER_BYTES = 65536


@implementer(ITCPTransport, IConsumer, IPushProducer)
class TcpEnd:
    """One end of a TCP connection."""

    def __init__(self, host: Any, peer: Any) -> None:
        self.host, self.peer = host, peer
        self.other: TcpEnd
        self.protocol: Any = None
        self.written = bytearray()
        self.sent = 0
        self.connected = True
        self.disconnecting = False
        self.write_closed = False
        self.fin_sent = False
        self.reading = True
        self.no_delay = self.keep_alive = False
        self.aborted = False
        self.producer: Any = None
        self.streaming = True
        self.producer_paused = False

    # -- ITCPTransport
    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes), type(data)
        if self.connected and not (self.disconnecting or self.write_closed or self.aborted):
            self.written += data
            full = len(self.written) > BUFFER_BYTES and self.streaming
            if self.producer is not None and full:
                self.producer_paused = True
                self.producer.pauseProducing()

    def writeSequence(self, data: Sequence[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        # As Twisted does it: nothing more is read or written, and the protocol is told in the next turn.
        if self.connected:
            self.aborted = True
            self.written.clear()

    def getPeer(self) -> Any:
        return self.peer

    def getHost(self) -> Any:
        return self.host

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpNoDelay(self) -> bool:
        return self.no_delay

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keep_alive = enabled

    def getTcpKeepAlive(self) -> bool:
        return self.keep_alive

    # -- IConsumer
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError("there is a producer already")
        if not self.connected:
            producer.stopProducing()
            return
        self.producer, self.streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    # -- IPushProducer
    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    # -- for the network
    def end(self, reason: Failure) -> None:
        if self.connected:
            self.connected = False
            self.written.clear()
            if self.producer is not None:
                producer, self.producer = self.producer, None
                producer.stopProducing()
            self.protocol.connectionLost(reason)

    def move(self, size: int) -> bool:
        """Carry at most so many bytes to the other end; whether anything happened."""
        if not self.connected:
            return False
        if self.aborted:
            self.end(Failure(ConnectionAborted()))
            self.other.end(Failure(ConnectionLost()))
            return True
        if self.written:
            return self._move_bytes(size)
        if self.disconnecting:
            if self.producer is not None and self.producer_paused:
                return False  # as Twisted: a paused producer keeps the connection open
            self.end(Failure(ConnectionDone()))
            self.other.fin_received(closed=True)
            return True
        if self.write_closed and not self.fin_sent:
            self.fin_sent = True
            self.other.fin_received(closed=False)
            return True
        return False

    def _move_bytes(self, size: int) -> bool:
        if not self.other.reading or not self.other.connected or self.other.aborted:
            return False
        data = bytes(self.written[:size])
        del self.written[: len(data)]
        self.sent += len(data)
        if not self.other.disconnecting:
            self.other.protocol.dataReceived(data)
        if not self.written and self.producer is not None and (self.producer_paused or not self.streaming):
            self.producer_paused = False
            self.producer.resumeProducing()
        return True

    def fin_received(self, *, closed: bool) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None and not closed:
            half.readConnectionLost()
        elif self.connected:
            self.end(Failure(ConnectionDone()))
            self.other.fin_received(closed=True)


class Connector:
    """A TCP connect that is under way."""

    def __init__(self, network: MemoryNetwork, host: str, port: int, factory: Any) -> None:
        self.network, self.host, self.port, self.factory = network, host, port, factory
        self.state = "connecting"
        self.transport: TcpEnd | None = None

    def getDestination(self) -> Any:
        return address(self.host, self.port)

    def stopConnecting(self) -> None:
        assert self.state == "connecting"
        self.fail(UserError())

    def disconnect(self) -> None:
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def fail(self, problem: Exception) -> None:
        if self.state == "connecting":
            self.state = "disconnected"
            self.factory.clientConnectionFailed(self, Failure(problem))


def address(host: str, port: int) -> Any:
    """An address of the right kind."""
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)


@implementer(IReactorTCP, IReactorTime, IReactorPluggableNameResolver)
class MemoryNetwork(Clock):
    """Hosts that listen, names that resolve, and time.

    :param names: addresses by host name.
    :param read_bytes: how much is read at a time.
    """

    def __init__(
        self, names: dict[str, tuple[str, ...]] | None = None, read_bytes: int = BUFFER_BYTES
    ) -> None:
        super().__init__()
        self.names = dict(names or {})
        self.read_bytes = read_bytes
        self.listeners: dict[tuple[str, int], Any] = {}
        self.dialled: list[tuple[str, int]] = []
        self.pairs: list[tuple[TcpEnd, TcpEnd]] = []
        self._connecting: list[Connector] = []
        self._next_port = 40000

    @property
    def nameResolver(self) -> Any:
        return FixedResolver(FixedNames(hosts=self.names), _NoResolver())

    def listen(self, host: str, port: int, factory: Any) -> None:
        """Serve a factory; None accepts nothing and answers nothing."""
        self.listeners[host, port] = factory

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        connector = Connector(self, host, port, factory)
        self.dialled.append((host, port))
        factory.doStart()
        factory.startedConnecting(connector)
        self._connecting.append(connector)
        return connector

    def join(self, client: Any, server: Any, host: str = "10.0.0.1", port: int = 80) -> tuple[TcpEnd, TcpEnd]:
        """Connect two protocols by TCP."""
        self._next_port += 1
        ours, theirs = address("10.9.9.9", self._next_port), address(host, port)
        a, b = TcpEnd(ours, theirs), TcpEnd(theirs, ours)
        a.other, b.other = b, a
        a.protocol, b.protocol = client, server
        self.pairs.append((a, b))
        server.makeConnection(b)
        client.makeConnection(a)
        return a, b

    def settle(self, rounds: int = 200_000) -> None:
        """Let everything happen that happens without time passing."""
        for _ in range(rounds):
            moved = self._connect_one() or self._move_all()
            due = any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())
            if due:
                self.advance(0)
            if not moved and not due:
                return
        raise AssertionError("the network never came to rest")

    def pass_time(self, seconds: float, step_s: float = 0.25) -> None:
        """Let time pass, and everything happen in it."""
        self.settle()
        while seconds > 0:
            self.advance(min(step_s, seconds))
            seconds -= step_s
            self.settle()

    def _move_all(self) -> bool:
        moved = False
        for a, b in self.pairs:
            for end in (a, b):
                moved = end.move(self.read_bytes) or moved
        self.pairs = [pair for pair in self.pairs if pair[0].connected or pair[1].connected]
        return moved

    def _connect_one(self) -> bool:
        for connector in self._connecting:
            key = (connector.host, connector.port)
            if connector.state != "connecting":
                self._connecting.remove(connector)
                return True
            if key in self.listeners and self.listeners[key] is None:
                continue
            self._connecting.remove(connector)
            if key not in self.listeners:
                connector.fail(error.ConnectionRefusedError())
                return True
            connector.state = "connected"
            client = connector.factory.buildProtocol(address(*key))
            server = self.listeners[key].buildProtocol(address("10.9.9.9", 40000))
            connector.transport, _ = self.join(client, server, *key)
            return True
        return False


class _NoResolver:
    """Nobody else knows."""

    def resolveHostName(self, receiver: Any, name: str, *args: Any, **how: Any) -> Any:
        receiver.resolutionBegan(None)
        receiver.resolutionComplete()


class Recorder(Protocol):
    """Writes down what happens to it."""

    def __init__(self, on_data: Callable[[Recorder, bytes], None] | None = None) -> None:
        self.received: list[bytes] = []
        self.lost: Failure | None = None
        self.made = 0
        self._on_data = on_data

    @property
    def data(self) -> bytes:
        return b"".join(self.received)

    def connectionMade(self) -> None:
        self.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        if self._on_data is not None:
            self._on_data(self, data)

    def connectionLost(self, reason: Any = None) -> None:
        assert self.lost is None, "told twice"
        self.lost = reason
