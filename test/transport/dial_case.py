"""A network with names for tests of dialling, and servers of few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Address
from kwic.transport.connect_error import ConnectError, Why
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, WebSocketSite
from test.transport.memory_network import MemoryNetwork, Recorder
from test.transport.websocket_case import Route

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def address(host: str, *, scheme: str = "ws", port: int | None = None, path: str = "/kwic") -> Address:
    """An address as the configuration has it."""
    default = 443 if scheme == "wss" else 80
    return Address(text="", scheme=scheme, host=host, port=port or default, path=path)


class Says(Protocol):
    """A server that says something when it has heard a whole request."""

    def __init__(self, says: bytes | Callable[[bytes], bytes], *, leaves: bool = False) -> None:
        self.heard = b""
        self._says = says
        self._leaves = leaves

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if b"\r\n\r\n" in self.heard:
            says = self._says(self.heard) if callable(self._says) else self._says
            if says:
                self.transport.write(says)
            if self._leaves:
                self.transport.loseConnection()


class DialCase(SynchronousTestCase):
    """A network with names, and something to dial in it."""

    read_bytes = 65536

    def setUp(self) -> None:
        self.network = MemoryNetwork(
            {"cloud.example.com": (A,), "cluster.example.com": (A, B), "six.example.com": ("fd00::1",)},
            read_bytes=self.read_bytes,
        )
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def site(self, host: str, *authorities: str, port: int = 80, answer: Any = None) -> Route:
        """A site that serves /kwic under some authorities."""
        route = Route(answer or (lambda request: Accept(protocol=Recorder(), message_limit_bytes=None)))
        site = WebSocketSite(self.network, secure=False)
        for authority in authorities or (host,):
            site.add(authority, "/kwic", route)
        self.network.listen(host, port, site)
        return route

    def says(self, host: str, says: Any, *, leaves: bool = False) -> list[Says]:
        """A server of few words."""
        built: list[Says] = []

        def build(_: object) -> Says:
            built.append(Says(says, leaves=leaves))
            return built[-1]

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[method-assign]
        self.network.listen(host, 80, factory)
        return built

    def dial(self, target: Address, **options: Any) -> Deferred[Any]:
        """Dial, and let happen what takes no time."""
        endpoint = WebSocketEndpoint(self.network, target, **options)
        opened = endpoint.connect(Factory.forProtocol(Recorder))
        self.network.settle()
        return opened

    def open(self, target: Address, **options: Any) -> Any:
        """Dial, and expect an open WebSocket; its protocol."""
        return self.successResultOf(self.dial(target, **options))

    def fails(self, opened: Deferred[Any], why: Why) -> str:
        """Expect a failure of that kind; its one line."""
        problem = self.failureResultOf(opened, ConnectError).value
        self.assertIs(problem.why, why)
        text = str(problem)
        self.assertNotIn("\n", text)
        return text

    def assert_idle(self) -> None:
        """Nothing is open or scheduled."""
        self.network.settle()
        self.assertEqual(self.network.pairs, [])
        self.assertEqual(self.network.getDelayedCalls(), [])
