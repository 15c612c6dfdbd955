"""`maximum.pending.bytes`, from the file to real connections: how much waits for a client that does not read."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, reactor, ssl
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from kwic.config.address import parse_address
from kwic.config.reader import read_text
from kwic.service.assembly import assemble
from kwic.service.context import Context
from kwic.service.gateway import Gateway
from kwic.transport.paced import PacedTransport
from kwic.transport.resolver import FixedNames
from kwic.transport.stream import Stream
from kwic.transport.tls import Credentials
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_transport import WebSocketTransport
from test.integration.certificates import demo_pki
from test.integration.network import claim_network
from test.service.test_clients import proxy
from test.service.tls_case import HOST, security

PORT, SERVER_PORT, ONPREM_PORT = 7000, 7001, 7002
SAID_BYTES = 12_000_000
"""What the server says: more than the kernel, and every buffer of ours, holds for a client that does not read."""
KERNEL_BYTES = 65_536
"""What the kernel is asked to hold, so that it is soon full."""
READ_BYTES = 16_384
"""What one read of the gateway takes here."""
FRAME_BYTES = 64
"""What TLS or a WebSocket add to a read."""
PATIENCE_S = 20.0


class Sayer(Protocol):
    """A client or a server; it counts what it hears."""

    transport: Any

    def __init__(self) -> None:
        self.heard_bytes = 0
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.heard_bytes += len(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


def below(transport: Any) -> Any:
    """Where what is written waits."""
    if isinstance(transport, ProtocolWrapper):
        return below(transport.transport)
    return below(transport.below) if isinstance(transport, WebSocketTransport) else transport


class Gauge:
    """
    Stands between a transport and its producer, and notes how much waits when the producer is paused and when it goes on.

    :param leg: what is written to.
    :param source: the leg that is read for it.
    """

    def __init__(self, leg: Any, source: Any) -> None:
        self.at_pause: list[int] = []
        self.at_resume: list[int] = []
        #: The largest piece that was written.
        self.largest = 0
        self._seen = (0, 0)
        self._transport = below(leg.transport)
        attribute = "producer" if hasattr(self._transport, "producer") else "_producer"
        self._producer = getattr(self._transport, attribute)
        setattr(self._transport, attribute, self)
        self._sink, source.sink = source.sink, self._written

    @property
    def waiting(self) -> int:
        """Bytes that wait, also those behind what is limited to a rate."""
        transport = self._transport
        if isinstance(transport, PacedTransport):
            return transport._queued_bytes + transport._below.waiting_bytes
        return transport.queued_bytes if isinstance(transport, Stream) else transport.waiting_bytes

    @property
    def is_quiet(self) -> bool:
        """Whether the producer is paused, and was already when this was asked last, and the same waits."""
        seen, self._seen = self._seen, (len(self.at_pause), self.waiting)
        return seen == self._seen and len(self.at_pause) > len(self.at_resume)

    def _written(self, data: Any) -> None:
        self.largest = max(self.largest, len(data))
        self._sink(data)

    def pauseProducing(self) -> None:
        self.at_pause.append(self.waiting)
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self.at_resume.append(self.waiting)
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._producer.stopProducing()


class ClientOf(ClientFactory):
    """A client whose protocol another factory makes."""

    noisy = False

    def __init__(self, factory: Factory) -> None:
        self.buildProtocol = factory.buildProtocol


class PendingTests(TestCase):
    """A server says more than its client reads, and little may wait."""

    limit, limit_bytes = "1k", 1024

    def setUp(self) -> None:
        self.address = f"{claim_network()}.9"
        self.gateways: list[Gateway] = []
        self.clients: list[Sayer] = []
        self.servers: list[Sayer] = []
        server = reactor.listenTCP(SERVER_PORT, self.factory(self.servers), interface=self.address)
        self.addCleanup(server.stopListening)
        self.addCleanup(self.stop)

    @defer.inlineCallbacks
    def stop(self) -> Any:
        """Everything is closed."""
        for end in (*self.clients, *self.servers):
            end.transport.abortConnection()
        for gateway in self.gateways:
            yield gateway.stopService()
        yield self.until(lambda: all(end.lost for end in (*self.clients, *self.servers)))

    def factory(self, made: list[Sayer]) -> Factory:
        def build() -> Sayer:
            made.append(Sayer())
            return made[-1]

        return Factory.forProtocol(build)

    # -- gateways
    def start(self, services: str) -> Gateway:
        text = f'<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">{services}</gateway-config>'
        config = read_text(text.encode(), "gateway.xml")
        names = FixedNames(hosts={HOST: (self.address,)})
        credentials = Credentials.from_security(config.security)
        gateway = assemble(
            config, Context(reactor=reactor, names=names, credentials=credentials, grace_s=0.0)
        )
        gateway.privilegedStartService()
        gateway.startService()
        self.gateways.append(gateway)
        return gateway

    def start_proxy(self, accept: str, rate: str = "") -> None:
        """The gateway whose clients are looked at."""
        bind = f"{accept.partition(':')[0]}.bind"
        options = f"<accept-options><{bind}>{self.address}:{PORT}</{bind}>{rate}</accept-options>"
        properties = f"<maximum.pending.bytes>{self.limit}</maximum.pending.bytes>" if self.limit else ""
        connect = f"tcp://{self.address}:{SERVER_PORT}"
        self.start(security("cloud") + proxy("A", accept, connect, options, properties))

    # -- clients
    def connect_tcp(self, port: int = PORT) -> None:
        reactor.connectTCP(self.address, port, ClientOf(self.factory(self.clients)))

    def connect_tls(self) -> None:
        trusted = ssl.Certificate.loadPEM(demo_pki().ca().read_bytes())
        options = ssl.optionsForClientTLS(HOST, trustRoot=trusted)
        factory = TLSMemoryBIOFactory(options, True, ClientOf(self.factory(self.clients)), reactor)
        reactor.connectTCP(self.address, PORT, factory)

    def connect_websocket(self, uri: str) -> None:
        credentials = Credentials.from_security(demo_pki().security("onprem"))
        where = {"dial_address": self.address, "dial_port": PORT}
        endpoint = WebSocketEndpoint(reactor, parse_address(uri), credentials=credentials, **where)
        endpoint.connect(self.factory(self.clients))

    # -- what is looked at
    @defer.inlineCallbacks
    def until(self, condition: Callable[[], Any]) -> Any:
        """Let the reactor run until something is so."""
        end_s = reactor.seconds() + PATIENCE_S
        while not condition():
            if reactor.seconds() > end_s:
                self.fail("waited in vain")
            yield pause(0.005)

    @defer.inlineCallbacks
    def check(self, *, upward: bool = False, behind: int = 0) -> Any:
        """
        Whoever says a lot is paused when more than the limit waits, one read more at most, and goes on at half of it.

        :param upward: it is the client who does, and the server who does not read.
        :param behind: bytes that may wait beside what the limit is for.
        """
        gateway = self.gateways[0]
        yield self.until(lambda: len(gateway.context.relays) == 1 and self.clients and self.servers)
        (relay,) = gateway.context.relays._relays
        reader, sayer = self.clients[-1], self.servers[-1]
        leg, source = relay._legs
        if upward:
            reader, sayer, leg, source = sayer, reader, source, leg
        source.transport.bufferSize = READ_BYTES
        for end, option in ((reader, socket.SO_RCVBUF), (leg, socket.SO_SNDBUF)):
            connection = getattr(below(end.transport), "socket", None)
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, option, KERNEL_BYTES)
        gauge = Gauge(leg, source)
        reader.transport.pauseProducing()
        sayer.transport.write(bytes(SAID_BYTES))
        yield self.until(lambda: gauge.is_quiet)
        self.assertGreater(gauge.waiting, self.limit_bytes // 2)
        reader.transport.resumeProducing()
        yield self.until(lambda: reader.heard_bytes >= SAID_BYTES)
        self.assertLessEqual(gauge.largest, READ_BYTES)
        self.assertGreater(min(gauge.at_pause), self.limit_bytes)
        self.assertLessEqual(max(gauge.at_pause), self.limit_bytes + behind + gauge.largest + FRAME_BYTES)
        self.assertLessEqual(max(gauge.at_resume), self.limit_bytes // 2 + behind)

    def test_tcp(self) -> Any:
        """On TCP."""
        self.start_proxy(f"tcp://{HOST}:{PORT}")
        self.connect_tcp()
        return self.check()

    def test_upward(self) -> Any:
        """In the other direction, too."""
        self.start_proxy(f"tcp://{HOST}:{PORT}")
        self.connect_tcp()
        return self.check(upward=True)

    def test_tls(self) -> Any:
        """On TLS."""
        self.start_proxy(f"ssl://{HOST}:{PORT}")
        self.connect_tls()
        return self.check()

    def test_websocket(self) -> Any:
        """On a WebSocket."""
        self.start_proxy(f"ws://{HOST}:{PORT}/a")
        self.connect_websocket(f"ws://{HOST}:{PORT}/a")
        return self.check()

    def test_websocket_on_tls(self) -> Any:
        """On a WebSocket over TLS."""
        self.start_proxy(f"wss://{HOST}:{PORT}/a")
        self.connect_websocket(f"wss://{HOST}:{PORT}/a")
        return self.check()

    def test_tunnel(self) -> Any:
        """In a tunnel."""
        tunnelled = f"ws://{self.address}:{PORT}/a"
        self.start_proxy(tunnelled)
        self.start(proxy("A", f"tcp://{self.address}:{ONPREM_PORT}", tunnelled))
        self.connect_tcp(ONPREM_PORT)
        return self.check()

    def test_rate(self) -> Any:
        """In front of a limited rate; behind it is no more than one piece."""
        rate = "<tcp.maximum.outbound.rate>1000MB/s</tcp.maximum.outbound.rate>"
        self.start_proxy(f"tcp://{HOST}:{PORT}", rate)
        self.connect_tcp()
        return self.check(behind=READ_BYTES)


class MuchPendingTests(PendingTests):
    """The same with much that may wait."""

    limit, limit_bytes = "1M", 1_048_576


class DefaultPendingTests(PendingTests):
    """The same where nothing is said about it."""

    limit, limit_bytes = "", 64_000


def pause(seconds: float) -> defer.Deferred[None]:
    """Let the reactor run."""
    return deferLater(reactor, seconds)
