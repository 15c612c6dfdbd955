"""Two TLS ends joined in memory, and certificates and stores to try them with."""

from __future__ import annotations

import time
from pathlib import Path

from twisted.internet import task
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.config import model
from kwic.config.problem import Place
from kwic.errors import SetupError
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.entries import Contents, KeyEntry, StoreFormat
from kwic.transport.pki import Authority, Request
from kwic.transport.stores import encode_store
from kwic.transport.tls import Credentials, explain_tls_failure, peer_identity

NOW_S = time.time()
DAY_S = 86400
PLACE = Place(file="test", line=1, column=1, path="security")
NO_TLS_OPTIONS = model.TlsOptions()
REQUIRED = model.TlsOptions(verify_client=model.VerifyClient.REQUIRED)
OPTIONAL = model.TlsOptions(verify_client=model.VerifyClient.OPTIONAL)


@implementer(IHandshakeListener)
class End(Protocol):
    """Keeps what it got, how its handshake ended, and why it was closed."""

    def __init__(self) -> None:
        self.received = b""
        self.open = False
        self.lost = None
        self.identity = None

    def handshakeCompleted(self) -> None:
        self.open = True
        self.identity = peer_identity(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason) -> None:
        self.lost = reason

    @property
    def why(self) -> str:
        """What an operator would read about the end of the connection."""
        return explain_tls_failure(self.lost) if self.lost is not None else ""


def lone_end(options, *, is_client: bool, clock=None):
    """An end, and the TLS protocol to connect to a transport."""
    end = End()
    factory = Factory.forProtocol(lambda: end)
    factory.noisy = False
    wrapper = TLSMemoryBIOFactory(options, is_client, factory, clock or task.Clock())
    return end, wrapper.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))


class Joined:
    """A server and a client, joined; the handshake has had its chance."""

    def __init__(self, server_options, client_options) -> None:
        self.clock = task.Clock()
        self.server, self.server_tls = lone_end(server_options, is_client=False, clock=self.clock)
        self.client, self.client_tls = lone_end(client_options, is_client=True, clock=self.clock)
        self.pump = iosim.connect(
            self.server_tls,
            iosim.makeFakeServer(self.server_tls),
            self.client_tls,
            iosim.makeFakeClient(self.client_tls),
        )

    def talk(self) -> bool:
        """Say something both ways; whether it arrived."""
        for end, words in ((self.client, b"ping"), (self.server, b"pong")):
            if end.lost is None:
                end.transport.write(words)
        self.flush()
        return (self.server.received, self.client.received) == (b"ping", b"pong")

    def flush(self) -> None:
        self.clock.advance(0)
        self.pump.flush()

    def cut(self) -> None:
        """The network breaks: neither end hears a goodbye."""
        for side in (self.pump.serverIO, self.pump.clientIO):
            side.abortConnection()
        self.flush()

    @property
    def resumed(self) -> bool:
        """Whether the client was spared a look at the server's certificate."""
        return self.client.open and self.client_tls.getHandle().get_verified_chain() is None


class Scene:
    """A server CA and a client CA, and stores on disk made from what they sign."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.server_ca = Authority.create("Test Server CA", now_s=NOW_S, days=30)
        self.client_ca = Authority.create("Test Client CA", now_s=NOW_S, days=30)

    def server(
        self, *hosts: str, name: str = "server", days: float = 30, starts: float = -1, **more
    ) -> KeyEntry:
        return self.server_ca.issue(
            request(name, hosts=hosts, days=days, starts=starts, **{"purposes": (SERVER_AUTH,), **more})
        )

    def client(self, name: str = "tenant101", *, days: float = 30, starts: float = -1, **more) -> KeyEntry:
        return self.client_ca.issue(
            request(name, days=days, starts=starts, **{"purposes": (CLIENT_AUTH,), **more})
        )

    def store(self, name: str, *entries: KeyEntry, trusted=()) -> model.Store:
        """Write a store and say where it is, as a configuration would."""
        file = self.directory / f"{name}.jks"
        contents = Contents(
            entries=entries,
            certificates=tuple((f"ca{number}", certificate) for number, certificate in enumerate(trusted)),
        )
        password_file = self.directory / f"{name}.pw"
        password_file.write_bytes(b"secret\n")
        file.write_bytes(encode_store(contents, StoreFormat.JKS, b"secret", now_s=NOW_S))
        return model.Store(kind=model.StoreKind.JCEKS, file=file, password_file=password_file, place=PLACE)

    def security(self, name: str, *entries: KeyEntry, trusted=()) -> model.Security:
        return model.Security(
            keystore=self.store(f"keystore-{name}", *entries) if entries else None,
            truststore=self.store(f"truststore-{name}", trusted=trusted) if trusted else None,
        )

    def credentials(self, name: str, *entries: KeyEntry, trusted=(), now_s: float = NOW_S) -> Credentials:
        return Credentials.from_security(self.security(name, *entries, trusted=trusted), lambda: now_s)

    def cloud(self, *entries: KeyEntry, name: str = "cloud", now_s: float = NOW_S) -> Credentials:
        """A server's credentials that trust the client CA."""
        return self.credentials(name, *entries, trusted=[self.client_ca.certificate], now_s=now_s)

    def onprem(self, *entries: KeyEntry, name: str = "onprem", now_s: float = NOW_S) -> Credentials:
        """A client's credentials that trust the server CA."""
        return self.credentials(name, *entries, trusted=[self.server_ca.certificate], now_s=now_s)


def request(name: str, *, hosts=(), uris=(), purposes=(), days: float = 30, starts: float = -1) -> Request:
    """A request that holds from `starts` days from now to `days` days from now."""
    return Request(
        name=name,
        hosts=tuple(hosts),
        uris=tuple(uris),
        purposes=tuple(purposes),
        starts_s=NOW_S + starts * DAY_S,
        ends_s=NOW_S + days * DAY_S,
    )


class TlsTestCase(SynchronousTestCase):
    """A scene, and what was logged."""

    def setUp(self) -> None:
        self.scene = Scene(Path(self.mktemp()))
        self.events: list[dict] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    @property
    def warnings(self) -> str:
        return "\n".join(str(event["line"]) for event in self.events if "line" in event)

    def refused(self, callable_, *args) -> str:
        error = self.assertRaises(SetupError, callable_, *args)
        self.assertNotIn("\n", str(error))
        return str(error)
