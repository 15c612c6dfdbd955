"""WebSockets over TLS, both sides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.logger import LogLevel, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory

from kwic.config.model import TlsOptions
from kwic.transport.connect_error import ConnectError, WebSocketRefusedError, Why
from kwic.transport.connection_log import ConnectionLog
from kwic.transport.tls import Credentials, peer_identity
from kwic.transport.websocket_server import Accept, Redirect, UpgradeRequest, WebSocketSite
from kwic.transport.websocket_transport import WebSocketClosed
from test.transport.dial_case import A, B, C, DialCase, address
from test.transport.memory_network import Recorder
from test.transport.tls_ends import DAY_S, NOW_S, REQUIRED, Scene
from test.transport.tls_ends import request as cert_request
from test.transport.websocket_case import Route


class TlsTests(DialCase):
    """Over TLS."""

    read_bytes = 65536

    def setUp(self) -> None:
        super().setUp()
        self.scene = Scene(Path(self.mktemp()))
        self.network.names["cloud1.example.com"] = (B,)
        self.onprem = self.scene.onprem(self.scene.client("tenant101"))
        self.routes: list[Route] = []

    def secure_site(
        self,
        host: str,
        name: str,
        *,
        credentials: Credentials | None = None,
        tls: TlsOptions = REQUIRED,
        answer: Any = None,
    ) -> Route:
        """A site behind TLS at host:443, served under a name, that wants a client certificate."""
        route = Route(answer or (lambda _: Accept(protocol=Recorder())))
        site = WebSocketSite(self.network, secure=True, identify=peer_identity)
        site.add(name, "/kwic", route)
        credentials = credentials or self.scene.cloud(self.scene.server("cloud.example.com", "*.example.com"))
        options = credentials.server_options([name], tls)
        self.network.listen(host, 443, TLSMemoryBIOFactory(options, False, site, self.network))
        self.tls_site = site
        return route

    def test_open(self) -> None:
        """Both ends prove who they are; the route learns the client's name."""
        route = self.secure_site(A, "cloud.example.com")
        near = self.open(address("cloud.example.com", scheme="wss"), credentials=self.onprem)
        asked: UpgradeRequest = route.asked[0]
        self.assertTrue(asked.secure)
        self.assertEqual((asked.host, asked.identity.common_name), ("cloud.example.com:443", "tenant101"))
        self.assertIsNotNone(near.transport.getPeerCertificate())
        self.assertEqual(near.transport.uri, "wss://cloud.example.com:443/kwic")

    def test_lines(self) -> None:
        """At port 443 the lines about the WebSocket are those of KWIC 5, on both sides."""
        self.secure_site(A, "cloud.example.com")
        self.tls_site.connection_log = ConnectionLog()
        self.open(
            address("cloud.example.com", scheme="wss"),
            credentials=self.onprem,
            connection_log=ConnectionLog(),
        )
        lines = [line for line in map(formatEvent, self.events) if line and "[wsn#" in line]
        shape = r"^\[wsn#3 10\.9\.9\.9:\d+\] OPENED: \(#00000003: kwic wsn, (server|client), (.*)\)$"
        found = [re.match(shape, line) for line in lines]
        self.assertEqual({one[1] for one in found if one}, {"server", "client"}, lines)
        self.assertEqual(
            {one[2] for one in found if one},
            {"ws://cloud.example.com:443/kwic => wss://cloud.example.com/kwic"},
        )

    def test_close(self) -> None:
        """Close goes through, and neither end waits for the other's TLS goodbye."""
        far = Recorder()
        self.secure_site(A, "cloud.example.com", answer=lambda _: Accept(protocol=far))
        near = self.open(address("cloud.example.com", scheme="wss"), credentials=self.onprem)
        near.transport.write(b"x" * 300_000)
        near.transport.close(1001)
        self.network.settle()
        self.assertEqual(len(far.data), 300_000)
        self.assertEqual(far.lost.value.code, 1001)  # type: ignore[union-attr]
        self.assertIsNotNone(near.lost)
        self.assert_idle()

    def test_a_given_address(self) -> None:
        """At a given address the certificate still has to name the host."""
        self.secure_site(C, "cloud.example.com")
        self.open(address("cloud.example.com", scheme="wss"), credentials=self.onprem, dial_address=C)

    def test_another_name(self) -> None:
        """A certificate that does not name the host is refused, and the line says what it names."""
        wrong = self.scene.cloud(self.scene.server("other.example.org"), name="wrong")
        self.secure_site(A, "other.example.org", credentials=wrong)
        text = self.fails(
            self.dial(address("cloud.example.com", scheme="wss"), credentials=self.onprem), Why.TLS
        )
        self.assertIn("other.example.org", text)
        self.assertIn("cloud.example.com:443", text)
        self.assert_idle()

    def test_no_client_certificate(self) -> None:
        """A server that demands a certificate refuses who has none, and the line says so."""
        self.secure_site(A, "cloud.example.com")
        text = self.fails(
            self.dial(address("cloud.example.com", scheme="wss"), credentials=self.scene.onprem(name="bare")),
            Why.TLS,
        )
        self.assertIn("certificate", text)
        self.assertEqual(
            self.refusals(),
            [
                "is refused: the client sent no certificate and this listener demands one; give the client a keystore"
            ],
        )
        self.assert_idle()

    def refusals(self) -> list[str]:
        """What the log says of clients from 10.9.9.9 that are turned away, without their ports."""
        lines = [str(formatEvent(e)) for e in self.events if e["log_level"] is LogLevel.warn]
        return [line.partition(" ")[2] for line in lines if line.startswith("10.9.9.9:")]

    def test_a_certificate_that_we_refuse(self) -> None:
        """A client with a certificate of a stranger's is worth a warning with the reason, at most one a second."""
        self.secure_site(A, "cloud.example.com")
        stranger = self.scene.onprem(self.scene.server_ca.issue(cert_request("eve")), name="eve")
        for _ in range(3):
            opened = self.dial(address("cloud.example.com", scheme="wss"), credentials=stranger)
            self.fails(opened, Why.TLS)
        (line,) = self.refusals()
        self.assertRegex(line, r"^is refused: the client's certificate .* is not in our truststore")
        self.assert_idle()

    def test_no_tls_there(self) -> None:
        """A server that speaks clear text is said to."""
        self.network.listen(A, 443, WebSocketSite(self.network, secure=False))
        text = self.fails(
            self.dial(address("cloud.example.com", scheme="wss"), credentials=self.onprem), Why.TLS
        )
        self.assertIn("TLS", text)
        self.assert_idle()

    def test_clear_text_to_a_tls_port(self) -> None:
        """The other way round: dropped without a traceback."""
        self.secure_site(A, "cloud.example.com")
        opened = self.dial(address("cloud.example.com", port=443))
        self.failureResultOf(opened, ConnectError)
        self.assert_idle()

    def test_without_credentials(self) -> None:
        """TLS without credentials is never TLS without verification."""
        self.secure_site(A, "cloud.example.com")
        text = self.fails(self.dial(address("cloud.example.com", scheme="wss")), Why.TLS)
        self.assertIn("credentials", text)

    def test_taken_off_before(self) -> None:
        """With ssl.encryption disabled something else puts the TLS on: the URI is wss, the bytes are clear."""
        route = Route(lambda _: Accept(protocol=Recorder()))
        site = WebSocketSite(self.network, secure=True)
        site.add("cloud.example.com", "/kwic", route)
        self.network.listen(A, 443, site)
        self.open(address("cloud.example.com", scheme="wss"), tls=TlsOptions(encryption=False))
        self.assertEqual(route.asked[0].host, "cloud.example.com:443")

    def test_our_certificate_has_expired(self) -> None:
        """A certificate of ours that is not valid any more is an error that says so, before anything is sent."""
        self.secure_site(A, "cloud.example.com")
        entry = self.scene.client("tenant101", days=1)
        late = self.scene.credentials(
            "late", entry, trusted=[self.scene.server_ca.certificate], now_s=NOW_S + 2 * DAY_S
        )
        text = self.fails(self.dial(address("cloud.example.com", scheme="wss"), credentials=late), Why.TLS)
        self.assertIn("no TLS with cloud.example.com: ", text)
        self.assert_idle()

    def test_a_slow_reader_gets_everything(self) -> None:
        """Over TLS too, whoever reads slowly gets what was written before the Close, however late it begins."""
        far = Recorder()
        self.secure_site(A, "cloud.example.com", answer=lambda _: Accept(protocol=far))
        near = self.open(address("cloud.example.com", scheme="wss"), credentials=self.onprem)
        near.transport.pauseProducing()
        far.transport.write(b"x" * 400_000)  # type: ignore[union-attr]
        far.transport.loseConnection()  # type: ignore[union-attr]
        self.network.pass_time(30, 5)
        near.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(len(near.data), 400_000)
        self.assertEqual((near.lost.type, near.lost.value.code), (WebSocketClosed, 1000))
        self.assertIsNotNone(far.lost)
        self.assert_idle()

    def test_redirect(self) -> None:
        """A redirect keeps certificates and verification, for the member's own name."""
        self.secure_site(
            A, "cloud.example.com", answer=Redirect(location="https://cloud1.example.com:443/kwic")
        )
        member = self.secure_site(B, "cloud1.example.com")
        self.open(address("cloud.example.com", scheme="wss"), credentials=self.onprem)
        self.assertEqual(member.asked[0].identity.common_name, "tenant101")

    def test_redirect_to_clear(self) -> None:
        """A redirect from TLS to clear text is refused."""
        self.secure_site(
            A, "cloud.example.com", answer=Redirect(location="http://cloud1.example.com:80/kwic")
        )
        text = self.fails(
            self.dial(address("cloud.example.com", scheme="wss"), credentials=self.onprem), Why.HTTP
        )
        self.assertIn("clear", text)
        self.assertEqual(self.network.dialled, [(A, 443)])

    def test_the_handshakes_deadline(self) -> None:
        """Who connects to a TLS site and says nothing is dropped after 5 s, as is who stops in the middle."""
        self.secure_site(A, "cloud.example.com")
        for words in (b"", b"\x16\x03\x01"):
            client = Recorder()
            self.network.join(client, self.network.listeners[A, 443].buildProtocol(None))
            client.transport.write(words)  # type: ignore[union-attr]
            self.network.pass_time(5.1)
            self.assertIsNotNone(client.lost)
            self.assert_idle()
        self.assertEqual(self.tls_site.handshakes, 0)

    def test_refused_over_tls(self) -> None:
        """An answer over TLS is read whole, and the connection is closed."""
        self.secure_site(A, "cloud.example.com")
        target = address("cloud.example.com", scheme="wss", path="/x")
        problem = self.failureResultOf(
            self.dial(target, credentials=self.onprem), WebSocketRefusedError
        ).value
        self.assertEqual(problem.status, 404)
        self.assert_idle()


class TlsByteByByteTests(TlsTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1

    def test_lines(self) -> None:
        """At port 443 the lines about the WebSocket are those of KWIC 5, on both sides."""
        self.secure_site(A, "cloud.example.com")
        self.tls_site.connection_log = ConnectionLog()
        self.open(
            address("cloud.example.com", scheme="wss"),
            credentials=self.onprem,
            connection_log=ConnectionLog(),
        )
        lines = [line for line in map(formatEvent, self.events) if line and "[wsn#" in line]
        shape = r"^\[wsn#3 10\.9\.9\.9:\d+\] OPENED: \(#00000003: kwic wsn, (server|client), (.*)\)$"
        found = [re.match(shape, line) for line in lines]
        self.assertEqual({one[1] for one in found if one}, {"server", "client"}, lines)
        self.assertEqual(
            {one[2] for one in found if one},
            {"ws://cloud.example.com:443/kwic => wss://cloud.example.com/kwic"},
        )

    def test_close(self) -> None:
        """As above; that many bytes one by one would take long."""

    def test_a_slow_reader_gets_everything(self) -> None:
        """As above."""
