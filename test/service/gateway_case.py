"""Whole gateways, each from its file, on a network in memory, with clients and servers that are not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.config.reader import read_text
from kwic.service.assembly import assemble
from kwic.service.context import Context
from kwic.service.gateway import Gateway
from kwic.transport.resolver import FixedNames
from kwic.transport.tls import Credentials
from test.sim.network import SimNetwork, SimReactor

USER = "10.1.1.1"
"""Where all clients come from."""


@implementer(IHalfCloseableProtocol)
class Talker(Protocol):
    """A client or a server that does what the test says, and keeps what it hears."""

    transport: Any

    def __init__(self, hello: bytes = b"") -> None:
        self.hello = hello
        self.heard = b""
        self.ended = False
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        if self.hello:
            self.transport.write(self.hello)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        """We said all."""

    def connectionLost(self, reason: Failure) -> None:
        self.lost = reason

    def say(self, data: bytes) -> None:
        self.transport.write(data)

    def take(self, count: int) -> bytes:
        """The next bytes that were heard, taken off."""
        taken, self.heard = self.heard[:count], self.heard[count:]
        return taken

    @property
    def how_it_ended(self) -> str:
        """The name of the exception; empty while it lives."""
        return "" if self.lost is None else type(self.lost.value).__name__


class Echoer(Talker):
    """Says everything back, the end of the stream too."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.transport.loseWriteConnection()


class Server(Factory):
    """A listener and those whom it has accepted."""

    noisy = False

    def __init__(self, kind: Callable[[], Talker]) -> None:
        self._kind = kind
        self.talkers: list[Talker] = []

    def buildProtocol(self, addr: Any) -> Talker:
        talker = self._kind()
        self.talkers.append(talker)
        return talker

    @property
    def last(self) -> Talker:
        return self.talkers[-1]


class GatewayCase(SynchronousTestCase):
    """Gateways, and what they logged."""

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.network.host("user", USER)
        self.gateways: dict[str, Gateway] = {}
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    # -- gateways
    def make(self, name: str, address: str, services: str, **context: Any) -> Gateway:
        """A gateway on a host of its own, not started.

        :param services: what stands in its file within the root; `{ip}` is the address.
        """
        text = f'<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">{services.replace("{ip}", address)}</gateway-config>'
        config = read_text(text.encode(), f"{name}.xml")
        self.network.names[name] = (address,)
        reactor = self.network.host(name, address)
        names = context.pop("names", None) or FixedNames(
            hosts=self.network.names, interfaces={"eth0": (address,)}
        )
        credentials = Credentials.from_security(config.security)
        context = {"node": name, "names": names, "credentials": credentials, **context}
        return assemble(config, Context(reactor=reactor, **context))

    def start(self, name: str, address: str, services: str, **context: Any) -> Gateway:
        """A gateway on a host of its own, started."""
        gateway = self.make(name, address, services, **context)
        gateway.privilegedStartService()
        gateway.startService()
        self.gateways[name] = gateway
        return gateway

    def run_for(self, seconds: float) -> None:
        self.network.run(seconds)

    def wait(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> float:
        """Let time pass until something is so."""
        return self.network.run_until(condition, timeout_s)

    def lines(self, part: str) -> list[str]:
        """The log lines that contain a text."""
        return [line for line in map(formatEvent, self.events) if line is not None and part in line]

    def warnings(self, part: str) -> list[str]:
        """Those that are warnings."""
        found = [event for event in self.events if event["log_level"].name == "warn"]
        return [line for line in map(formatEvent, found) if line is not None and part in line]

    # -- others
    def host(self, name: str, address: str) -> SimReactor:
        """A machine that has no gateway."""
        self.network.names[name] = (address,)
        return self.network.hosts.get(name) or self.network.host(name, address)

    def serve(self, name: str, address: str, port: int, kind: Callable[[], Talker] = Echoer) -> Server:
        """A server on a machine that has no gateway."""
        server = Server(kind)
        self.host(name, address).listenTCP(port, server, interface=address)
        return server

    def connect(self, address: str, port: int, hello: bytes = b"", *, by: str = "user") -> Talker:
        """A client; it says something at once, if there is something to say."""
        talker = Talker(hello)
        self.network.hosts[by].connectTCP(address, port, One(talker))
        return talker

    def hears(self, talker: Talker, data: bytes, timeout_s: float = 10.0) -> None:
        """Somebody hears these bytes next."""
        try:
            self.wait(lambda: len(talker.heard) >= len(data) or talker.lost, timeout_s)
        except AssertionError:
            self.fail(f"heard only {talker.heard!r} of {data!r}\n" + "\n".join(self.lines("")))
        self.assertEqual(talker.take(len(data)), data, talker.how_it_ended)

    def served(self, address: str, port: int) -> Talker:
        """A client that has been echoed."""
        client = self.connect(address, port, b"hello")
        self.hears(client, b"hello")
        return client

    def hears_end(self, talker: Talker, timeout_s: float = 15.0) -> None:
        """The other end has said all."""
        self.wait(lambda: talker.ended or talker.lost, timeout_s)
        self.assertIn(talker.how_it_ended, ("", "ConnectionDone"))

    def is_reset(self, talker: Talker, timeout_s: float = 15.0) -> None:
        """The other end resets the connection."""
        self.wait(lambda: talker.lost, timeout_s)
        self.assertEqual(talker.how_it_ended, "ConnectionLost")


class One(Factory):
    """For a connection whose protocol is there already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def startedConnecting(self, connector: Any) -> None:
        """It begins."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._protocol.connectionLost(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """The protocol knows."""

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._protocol
