"""Our WebSockets over real sockets, with the independent `websockets` package at the other end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from kwic.config.model import Address
from kwic.transport.connect_error import WebSocketRefusedError
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, Redirect, Refuse, UpgradeRequest, WebSocketSite
from kwic.transport.websocket_transport import WebSocketClosed, WebSocketFailed
from test.integration.network import claim_network

LIMIT_S = 20.0
BLOB = bytes(range(256)) * 400


class Echo(Protocol):
    """Says what it hears, and closes with a code when it hears which."""

    transport: Any

    def __init__(self) -> None:
        self.gone: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"close "):
            self.transport.close(int(data[6:]), "as you wish")
        elif self.transport.receiving_text:
            self.transport.write_text(data)
        else:
            self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reason.value)


class ServerTests(TestCase):
    """Our site, their client."""

    timeout = LIMIT_S

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.protocols: list[Echo] = []
        site = WebSocketSite(reactor, secure=False)  # type: ignore[arg-type]
        self.host = f"{claim_network()}.51"
        port = reactor.listenTCP(0, site, interface=self.host)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.authority = f"{self.host}:{port.getHost().port}"
        site.add(self.authority, "/kwic", self)
        site.add(self.authority, "/elsewhere", Fixed(Redirect(location="/kwic")))
        site.add(
            self.authority, "/down", Fixed(Refuse(status=503, reason="down", headers={"Retry-After": "1"}))
        )

    def answer(self, request: UpgradeRequest) -> Accept:
        """Accept everything."""
        self.protocols.append(Echo())
        chosen = "socks" if "socks" in request.protocols else None
        return Accept(protocol=self.protocols[-1], subprotocol=chosen)

    async def ask(self, talk: Callable[[ClientConnection], Any], path: str = "/kwic", **options: Any) -> Any:
        """Let their client talk, in a thread; what it found."""

        def run() -> Any:
            uri = f"ws://{self.authority}{path}"
            with connect(uri, proxy=None, open_timeout=LIMIT_S, **options) as client:
                return talk(client)

        return await deferToThread(run)

    async def test_messages(self) -> None:
        """Text, binary, fragments, an empty ping and large messages come back."""

        def talk(client: ClientConnection) -> list[Any]:
            client.send("grüß dich")
            client.send([b"frag", b"", b"mented"])
            heard: list[Any] = [client.recv(LIMIT_S), client.recv(LIMIT_S)]
            self.assertTrue(client.ping().wait(LIMIT_S))
            client.send(BLOB)
            heard.append(client.recv(LIMIT_S))
            return heard

        self.assertEqual(await self.ask(talk), ["grüß dich", b"fragmented", BLOB])
        reason = await self.protocols[0].gone
        self.assertIsInstance(reason, WebSocketClosed)

    async def test_compression_and_subprotocols(self) -> None:
        """Their offer of compression is declined; the subprotocol is the one we picked."""
        found = await self.ask(
            lambda client: (client.subprotocol, client.protocol.extensions),
            subprotocols=[Subprotocol("kwic.1"), Subprotocol("socks")],
            compression="deflate",
        )
        self.assertEqual(found, ("socks", []))

    async def test_our_close(self) -> None:
        """The codes that we close with arrive, with their reasons."""
        for code in (1000, 1001, 1011, 1014):

            def talk(client: ClientConnection, code: int = code) -> ConnectionClosed:
                client.send(f"close {code}".encode())
                try:
                    client.recv(LIMIT_S)
                except ConnectionClosed as e:
                    return e
                raise AssertionError("not closed")

            closed = await self.ask(talk)
            assert closed.rcvd is not None
            self.assertEqual((closed.rcvd.code, closed.rcvd.reason), (code, "as you wish"))
            await self.protocols[-1].gone

    async def test_their_close(self) -> None:
        """The code that they close with is the reason of the end."""
        await self.ask(lambda client: client.close(4321, "enough"))
        reason = await self.protocols[0].gone
        self.assertIsInstance(reason, WebSocketFailed)
        self.assertEqual((reason.code, reason.close_reason), (4321, "enough"))

    async def test_too_big(self) -> None:
        """A message above 128 KiB is refused with 1009."""

        def talk(client: ClientConnection) -> int | None:
            try:
                client.send(b"x" * 131073)
                client.recv(LIMIT_S)
            except ConnectionClosed:
                pass
            return client.close_code

        self.assertEqual(await self.ask(talk), 1009)
        await self.protocols[0].gone

    async def test_answers(self) -> None:
        """Their client reads our refusals, and follows our redirects."""
        for path, status in (("/nowhere", 404), ("/down", 503)):
            error = await self.assertFailure(deferToThread(self.refused, path), InvalidStatus)
            self.assertEqual(error.response.status_code, status)
            self.assertTrue(error.response.body.endswith(b"\n"))

        def talk(client: ClientConnection) -> str | bytes:
            client.send(b"x")
            return client.recv(LIMIT_S)

        self.assertEqual(await self.ask(talk, "/elsewhere"), b"x")

    def refused(self, path: str) -> None:
        """Ask for what is not served."""
        connect(f"ws://{self.authority}{path}", proxy=None, open_timeout=LIMIT_S)


class Fixed:
    """A route with one answer."""

    def __init__(self, answer: Redirect | Refuse) -> None:
        self._answer = answer

    def answer(self, request: UpgradeRequest) -> Redirect | Refuse:
        return self._answer


class Listener(Protocol):
    """Keeps what it hears until there is enough."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.gone: Deferred[Any] = Deferred()
        self._waiting: tuple[int, Deferred[bytes]] | None = None

    def hear(self, count: int) -> Deferred[bytes]:
        """So many bytes."""
        enough: Deferred[bytes] = Deferred()
        self._waiting = (count, enough)
        self.dataReceived(b"")
        return enough

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self._waiting is not None and len(self.data) >= self._waiting[0]:
            (count, enough), self._waiting = self._waiting, None
            heard, self.data = self.data[:count], self.data[count:]
            enough.callback(heard)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reason.value)


class ClientTests(TestCase):
    """Our endpoint, their server."""

    timeout = LIMIT_S

    def start(self, talk: Callable[[ServerConnection], None], **options: Any) -> WebSocketEndpoint:
        """Let their server talk, in a thread; our way to it."""
        from twisted.internet import reactor

        server = serve(talk, f"{claim_network()}.52", 0, **options)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def stop() -> Any:
            return deferToThread(lambda: (server.shutdown(), thread.join(LIMIT_S)))

        self.addCleanup(stop)
        host, port = server.socket.getsockname()
        address = Address(text="", scheme="ws", host=host, port=port, path="/kwic")
        return WebSocketEndpoint(reactor, address, protocols=("kwic.1", "socks"))

    async def open(self, endpoint: WebSocketEndpoint) -> Any:
        """Open it; our protocol."""
        return await endpoint.connect(Factory.forProtocol(Listener))

    async def test_messages(self) -> None:
        """Large and small messages go both ways; our Close is answered."""

        def echo(connection: ServerConnection) -> None:
            for message in connection:
                connection.send(message)

        ours = await self.open(self.start(echo))
        for data in (b"x", BLOB, BLOB * 20):
            ours.transport.write(data)
            self.assertEqual(await ours.hear(len(data)), data)
        ours.transport.loseConnection()
        self.assertIsInstance(await ours.gone, WebSocketClosed)

    async def test_fragments_and_text(self) -> None:
        """Their fragments and their text are bytes to us, and their pings are answered."""
        answered = threading.Event()

        def talk(connection: ServerConnection) -> None:
            connection.send(["grüß", " ", "dich"])
            connection.send([b"a", b"b"])
            if connection.ping().wait(LIMIT_S):
                answered.set()

        ours = await self.open(self.start(talk))
        self.assertEqual(await ours.hear(13), "grüß dichab".encode())
        self.assertIsInstance(await ours.gone, WebSocketClosed)
        self.assertTrue(answered.is_set())

    async def test_subprotocol(self) -> None:
        """The subprotocol that they pick is known."""
        ours = await self.open(self.start(lambda _: None, subprotocols=[Subprotocol("socks")]))
        self.assertEqual(ours.transport.subprotocol, "socks")
        await ours.gone

    async def test_their_close(self) -> None:
        """The code that they close with is the reason of the end."""
        ours = await self.open(self.start(lambda connection: connection.close(1011, "broken")))
        reason = await ours.gone
        self.assertEqual((type(reason), reason.code), (WebSocketFailed, 1011))

    async def test_their_refusal(self) -> None:
        """Their refusal is reported as what it is."""
        endpoint = self.start(
            lambda _: None, process_request=lambda connection, _: connection.respond(418, "teapot\n")
        )
        error = await self.assertFailure(
            endpoint.connect(Factory.forProtocol(Listener)), WebSocketRefusedError
        )
        self.assertEqual(error.status, 418)

    async def test_a_slow_reader(self) -> None:
        """While we do not read, they are held up; then everything comes, in order."""
        sent = threading.Event()

        def talk(connection: ServerConnection) -> None:
            for number in range(400):
                connection.send(number.to_bytes(4, "big") * 16384)
            sent.set()

        ours = await self.open(self.start(talk))
        ours.transport.pauseProducing()
        self.assertFalse(await deferToThread(sent.wait, 1.0))
        self.assertLess(len(ours.data), 200_000)
        ours.transport.resumeProducing()
        for number in range(400):
            self.assertEqual(await ours.hear(65536), number.to_bytes(4, "big") * 16384)
        await ours.gone
