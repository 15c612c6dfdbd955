"""An independent WebSocket implementation opposite ours: a client of our services, and a server that ours are clients of."""

from __future__ import annotations

import socket
import threading

from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from test.integration.certificates import client_context, server_context, stores
from test.integration.gateways import CLIENT_S, ETC, GatewayTestCase, read_exactly
from test.integration.servers import PlainServer, echo

WS_PORT, TLS_PORT = "8080", "8443"


class IndependentTestCase(GatewayTestCase):
    """A cloud called example.com."""

    hosts = {"example.com": (11,), "onprem": (21,), "server-b": (32,)}

    def websocket(self, uri: str, port: str, **options: object) -> ClientConnection:
        """A client that is not ours."""
        sock = socket.create_connection((self.address("example.com"), int(port)), timeout=CLIENT_S)
        client = connect(uri, sock=sock, open_timeout=CLIENT_S, proxy=None, **options)  # type: ignore[arg-type]
        self.addCleanup(client.close)
        return client


class ClientTests(IndependentTestCase):
    """A WebSocket client that is not ours, before a service of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(PlainServer((self.address("server-b"), 6661), echo).close)

    def check(self, client: ClientConnection) -> None:
        """Text, binary and fragmented messages all reach the server as bytes, and bytes come back."""
        client.send("text, ")
        client.send(b"binary, ")
        client.send([b"in ", b"pieces, "])
        client.send(b"x" * 100_000)
        sent = b"text, binary, in pieces, " + b"x" * 100_000
        heard = b""
        while len(heard) < len(sent):
            message = client.recv(timeout=CLIENT_S)
            assert isinstance(message, bytes)
            heard += message
        self.assertEqual(heard, sent)

    def test_clear(self) -> None:
        """A client of ws:// is served, and its close is answered."""
        self.run_gateway("example.com", ETC / "simple" / "cloud-config.xml", ws_port=WS_PORT)
        client = self.websocket(f"ws://example.com:{WS_PORT}/serviceB", WS_PORT)
        self.check(client)
        client.close()
        self.assertEqual(client.close_code, 1000)

    def test_tls(self) -> None:
        """A client of wss:// with a certificate is served."""
        self.run_gateway("example.com", ETC / "tls" / "cloud-config.xml", tls_port=TLS_PORT, stores=stores())
        uri = f"wss://example.com:{TLS_PORT}/serviceB"
        self.check(self.websocket(uri, TLS_PORT, ssl=client_context("onprem")))

    def test_message_too_large(self) -> None:
        """A message above the limit is answered with close 1009."""
        self.run_gateway("example.com", ETC / "simple" / "cloud-config.xml", ws_port=WS_PORT)
        client = self.websocket(f"ws://example.com:{WS_PORT}/serviceB", WS_PORT)
        client.send(b"x" * 200_000)
        while client.close_code is None:
            try:
                client.recv(timeout=CLIENT_S)
            except Exception:  # whatever its words for it are, the code is what counts
                break
        self.assertEqual(client.close_code, 1009)


class ServerTests(IndependentTestCase):
    """A WebSocket server that is not ours, at the far end of a forward service."""

    def serve(self, port: str, **options: object) -> Server:
        """Echo every message, to no subprotocol."""

        def converse(connection: ServerConnection) -> None:
            self.paths.append(connection.request.path if connection.request else "")
            for message in connection:
                connection.send(message)

        self.paths: list[str] = []
        server = serve(converse, self.address("example.com"), int(port), **options)  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        return server

    def check(self) -> None:
        """Two clients at the same time, each with a WebSocket of its own."""
        clients = [self.connect("onprem", 6661) for _ in range(2)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number * 100_000)
        for number, client in enumerate(clients):
            self.assertEqual(read_exactly(client, 100_000), b"%d" % number * 100_000)
        self.assertGreaterEqual(self.paths.count("/serviceB"), len(clients))

    def test_clear(self) -> None:
        """Clients of a forward service reach a server that does not speak our protocol, one WebSocket each."""
        self.serve(WS_PORT)
        self.run_gateway("onprem", ETC / "simple" / "onprem-config.xml", ws_port=WS_PORT)
        self.check()

    def test_tls(self) -> None:
        """So they do over TLS with certificates on both sides."""
        self.serve(TLS_PORT, ssl=server_context())
        self.run_gateway("onprem", ETC / "tls" / "onprem-config.xml", tls_port=TLS_PORT, stores=stores())
        self.check()
