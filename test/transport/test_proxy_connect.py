"""Connections through an HTTP CONNECT proxy."""

from __future__ import annotations

from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from kwic.config.model import Address, TlsOptions
from kwic.errors import MisuseError
from kwic.transport.connect_error import ConnectError, Why
from kwic.transport.proxy_connect import Proxy, ProxyEndpoint, ProxyRefusedError, proxy_for
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, WebSocketSite
from test.transport.memory_network import MemoryNetwork, Recorder
from test.transport.tls_ends import REQUIRED, Scene
from test.transport.websocket_case import Route

PROXY_HOST, CLOUD = "10.0.0.8", "10.0.0.1"
SQUID = Proxy(host="squid", port=3128)


class MemoryProxy(Protocol):
    """A CONNECT proxy: says what it is told to, and joins the two connections when that is 200."""

    def __init__(self, network: MemoryNetwork, answer: bytes, *, leaves: bool = False) -> None:
        self.head = b""
        self._network = network
        self._answer = answer
        self._leaves = leaves
        self._far: Any = None

    def dataReceived(self, data: bytes) -> None:
        if self._far is not None:
            self._far.write(data)
            return
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 200" in self._answer.partition(b"\r\n")[0]:
            host, _, port = head.split()[1].decode().rpartition(":")
            address = self._network.names.get(host, (host,))[0]
            back = Recorder(lambda _, data: self.transport.write(data))
            self._far, _ = self._network.join(
                back, self._network.listeners[address, int(port)].buildProtocol(None)
            )
            self._far.write(rest)
        self.transport.write(self._answer)
        if self._leaves:
            self.transport.loseConnection()


class ProxyCase(SynchronousTestCase):
    """A network with a proxy in it."""

    read_bytes = 65536

    def setUp(self) -> None:
        self.network = MemoryNetwork(
            {"squid": (PROXY_HOST,), "cloud.example.com": (CLOUD,)}, read_bytes=self.read_bytes
        )
        self.proxies: list[MemoryProxy] = []
        self.proxy_says(b"HTTP/1.1 200 Connection established\r\nVia: squid\r\n\r\n")

    def proxy_says(self, answer: bytes, **how: Any) -> None:
        """Let the proxy answer so."""

        def build(_: object) -> MemoryProxy:
            self.proxies.append(MemoryProxy(self.network, answer, **how))
            return self.proxies[-1]

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[method-assign]
        self.network.listen(PROXY_HOST, 3128, factory)

    def connect(
        self, proxy: Proxy = SQUID, host: str = "cloud.example.com", port: int = 443, **how: Any
    ) -> Deferred[Any]:
        """Connect through the proxy."""
        opened = ProxyEndpoint(self.network, proxy, host, port, **how).connect(Factory.forProtocol(Recorder))
        self.network.settle()
        return opened

    def fails(self, opened: Deferred[Any], why: Why) -> str:
        """Expect a failure of that kind; its one line."""
        problem = self.failureResultOf(opened, ConnectError).value
        self.assertIs(problem.why, why)
        self.assertNotIn("\n", str(problem))
        return str(problem)

    def assert_idle(self) -> None:
        """Nothing is open or scheduled."""
        self.network.settle()
        self.assertEqual(self.network.pairs, [])
        self.assertEqual(self.network.getDelayedCalls(), [])


class ConnectTests(ProxyCase):
    """CONNECT."""

    def setUp(self) -> None:
        super().setUp()
        self.far = Recorder(lambda protocol, data: protocol.transport.write(data.upper()))  # type: ignore[union-attr]
        factory = Factory()
        factory.buildProtocol = lambda _: self.far  # type: ignore[method-assign]
        self.network.listen(CLOUD, 443, factory)

    def test_interface(self) -> None:
        """It is an endpoint."""
        verifyObject(IStreamClientEndpoint, ProxyEndpoint(self.network, SQUID, "a", 1))

    def test_a_tunnel(self) -> None:
        """Bytes go both ways, and the end of one connection is the end of the other."""
        near = self.successResultOf(self.connect())
        near.transport.write(b"hello")
        self.network.settle()
        self.assertEqual((self.far.data, near.data), (b"hello", b"HELLO"))
        self.proxies[0].transport.loseConnection()
        self.network.settle()
        self.assertIsNotNone(near.lost)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_what_is_asked(self) -> None:
        """The name is left to the proxy to resolve; the request has a Host and nothing needless."""
        self.connect()
        self.assertEqual(
            self.proxies[0].head,
            b"CONNECT cloud.example.com:443 HTTP/1.1\r\nHost: cloud.example.com:443\r\n\r\n",
        )

    def test_an_ipv6_target(self) -> None:
        """An IPv6 address is in brackets."""
        self.proxy_says(b"HTTP/1.1 403 x\r\n\r\n")
        self.fails(self.connect(host="fd00::1"), Why.PROXY)
        self.assertIn(b"CONNECT [fd00::1]:443 ", self.proxies[0].head)

    def test_credentials(self) -> None:
        """User and password are sent as Basic credentials."""
        self.connect(Proxy(host="squid", port=3128, user="jürgen", password="a:b"))
        credentials = self.proxies[0].head.split(b"Proxy-Authorization: Basic ")[1].split(b"\r\n")[0]
        self.assertEqual(b64decode(credentials).decode(), "jürgen:a:b")
        self.connect(Proxy(host="squid", port=3128, user="u"))
        self.assertIn(b"Basic dTo=\r\n", self.proxies[1].head)

    def test_a_target_that_would_break_out(self) -> None:
        """A target with a line end or a blank in it is a bug of ours, not a second field."""
        for host in ("a\r\nX: y", "a b", ""):
            if host:
                self.assertRaises(MisuseError, ProxyEndpoint, self.network, SQUID, host, 443)

    def test_bytes_right_behind_the_answer(self) -> None:
        """What follows the proxy's head in the same read is the target's."""
        self.proxy_says(b"HTTP/1.0 200 ok\r\n\r\nSSH-2.0")
        self.assertEqual(self.successResultOf(self.connect()).data, b"SSH-2.0")

    def test_an_interim_answer(self) -> None:
        """An interim response is not the answer."""
        self.proxy_says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 no\r\n\r\n")
        self.fails(self.connect(), Why.PROXY)

    def test_wants_credentials(self) -> None:
        """407 says whether credentials are missing or wrong, and which kind is wanted."""
        self.proxy_says(
            b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
        )
        text = self.fails(self.connect(), Why.PROXY)
        self.assertEqual(
            text,
            'proxy squid:3128 wants credentials (407 Proxy Authentication Required; Basic realm="x")',
        )
        text = self.fails(
            self.connect(Proxy(host="squid", port=3128, user="u", password="secret")), Why.PROXY
        )
        self.assertIn("does not accept the credentials of u (407", text)
        self.assertNotIn("secret", text)
        self.assert_idle()

    def test_forbids(self) -> None:
        """403 is the proxy's rule, not the target's."""
        self.proxy_says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\n<html>")
        self.assertEqual(
            self.fails(self.connect(), Why.PROXY),
            "proxy squid:3128 does not allow connections to cloud.example.com:443 (403 Forbidden)",
        )
        self.assert_idle()

    def test_does_not_get_there(self) -> None:
        """Any other status is named, with what squid has to say about it."""
        self.proxy_says(b"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n")
        problem = self.failureResultOf(self.connect(), ProxyRefusedError).value
        self.assertEqual(problem.status, 503)
        self.assertEqual(
            str(problem),
            "proxy squid:3128 opened no connection to cloud.example.com:443 (503 Service Unavailable; ERR_DNS_FAIL 0)",
        )
        self.proxy_says(b"HTTP/1.1 302 \r\n\r\n")
        self.assertIn("(302)", self.fails(self.connect(), Why.PROXY))

    def test_no_proxy_there(self) -> None:
        """A proxy that is down is not a target that is down."""
        del self.network.listeners[PROXY_HOST, 3128]
        self.assertEqual(self.fails(self.connect(), Why.REFUSED), "connection refused to proxy squid:3128")
        self.network.names.clear()
        self.assertIn("proxy squid:3128", self.fails(self.connect(), Why.NO_NAME))
        self.assert_idle()

    def test_leaves_without_an_answer(self) -> None:
        """A proxy that closes the connection is said to."""
        self.proxy_says(b"", leaves=True)
        self.assertIn("proxy squid:3128 closed", self.fails(self.connect(), Why.LOST))
        self.assert_idle()

    def test_no_proper_answer(self) -> None:
        """Garbage and endless heads are not waited for."""
        for answer in (b"SSH-2.0-x\r\n\r\n", b"\x00", b"HTTP/1.1 200 ok\r\nA: " + b"x" * 20000):
            self.proxy_says(answer)
            self.network.listeners[CLOUD, 443] = Factory.forProtocol(Recorder)
            self.assertIn("proxy squid:3128 gave no proper answer", self.fails(self.connect(), Why.PROXY))

    def test_silence(self) -> None:
        """A proxy that says nothing is given up, connection and all."""
        self.proxy_says(b"")
        opened = self.connect(timeout_s=4.0)
        self.network.pass_time(4.1)
        self.assertEqual(
            self.fails(opened, Why.TIMEOUT),
            "proxy squid:3128 opened no connection to cloud.example.com:443 within 4 s",
        )
        self.assert_idle()

    def test_cancelling(self) -> None:
        """Cancelling drops the connection to the proxy."""
        self.proxy_says(b"")
        opened = self.connect()
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        self.assert_idle()

    def test_nobody_wants_it(self) -> None:
        """A factory that builds nothing ends the connection."""
        factory = Factory()
        factory.buildProtocol = lambda _: None  # type: ignore[method-assign]
        opened = ProxyEndpoint(self.network, SQUID, "cloud.example.com", 443).connect(factory)
        self.network.settle()
        self.fails(opened, Why.CANCELLED)


class ConnectByteByByteTests(ConnectTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1


class WebSocketThroughProxyTests(ProxyCase):
    """WebSockets over TLS through a proxy."""

    def setUp(self) -> None:
        super().setUp()
        self.scene = Scene(Path(self.mktemp()))
        self.onprem = self.scene.onprem(self.scene.client("tenant101"))
        self.target = Address(text="", scheme="wss", host="cloud.example.com", port=443, path="/kwic")
        self.route = Route(lambda _: Accept(protocol=Recorder()))
        site = WebSocketSite(self.network, secure=True)
        site.add("cloud.example.com", "/kwic", self.route)
        cloud = self.scene.cloud(self.scene.server("cloud.example.com"))
        options = cloud.server_options(["cloud.example.com"], REQUIRED)
        self.network.listen(CLOUD, 443, TLSMemoryBIOFactory(options, False, site, self.network))

    def dial(self, **how: Any) -> Deferred[Any]:
        endpoint = WebSocketEndpoint(self.network, self.target, credentials=self.onprem, **how)
        opened = endpoint.connect(Factory.forProtocol(Recorder))
        self.network.settle()
        return opened

    def test_open(self) -> None:
        """The certificate is verified end to end; only the proxy's name is resolved here."""
        near = self.successResultOf(self.dial(proxy=SQUID))
        self.assertEqual(self.network.dialled, [(PROXY_HOST, 3128)])
        self.assertIsNotNone(near.transport.getPeerCertificate())
        near.transport.loseConnection()
        self.network.settle()
        self.assertIsNotNone(near.lost)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_given_address(self) -> None:
        """An address that was given is what the proxy is asked for; the certificate has to name the host."""
        self.successResultOf(self.dial(proxy=SQUID, dial_address=CLOUD))
        self.assertIn(b"CONNECT 10.0.0.1:443", self.proxies[0].head)

    def test_chosen_for_each_target(self) -> None:
        """A function chooses the proxy for each target: a host that is listed is reached directly."""
        properties = {"http.proxyHost": "squid", "http.proxyPort": "3128"}
        choose = partial(proxy_for, properties=properties, environ={})
        self.successResultOf(self.dial(proxy=choose))
        self.assertEqual(len(self.proxies), 1)
        properties["http.nonProxyHosts"] = "*.example.com"
        self.successResultOf(self.dial(proxy=choose))
        self.assertEqual(len(self.proxies), 1)

    def test_refused(self) -> None:
        """The proxy's refusal is what the operator reads."""
        self.proxy_says(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        text = self.fails(self.dial(proxy=SQUID), Why.PROXY)
        self.assertTrue(text.startswith("proxy squid:3128 does not allow"), text)
        self.assert_idle()

    def test_slow(self) -> None:
        """A proxy that is too slow is named, not the target."""
        self.proxy_says(b"")
        opened = self.dial(proxy=SQUID)
        self.network.pass_time(5.1)
        self.assertIn("proxy squid:3128", self.fails(opened, Why.TIMEOUT))
        self.assert_idle()

    def test_tls_to_the_proxy_too(self) -> None:
        """A proxy that wants TLS gets TLS of its own, verified by its own name, around the target's."""
        own = self.scene.cloud(self.scene.server("squid", name="proxy"), name="proxy")
        clear = self.network.listeners[PROXY_HOST, 3128]
        options = own.server_options(["squid"], TlsOptions())
        self.network.listen(PROXY_HOST, 3128, TLSMemoryBIOFactory(options, False, clear, self.network))
        secure = Proxy(host="squid", port=3128, secure=True)
        near = self.successResultOf(self.dial(proxy=secure))
        near.transport.write(b"hello")
        self.network.settle()
        self.network.names["other"] = (PROXY_HOST,)
        text = self.fails(self.dial(proxy=Proxy(host="other", port=3128, secure=True)), Why.TLS)
        self.assertIn("proxy other:3128", text)

    def test_tls_to_the_proxy_without_options(self) -> None:
        """TLS to the proxy without credentials is never TLS without verification."""
        secure = Proxy(host="squid", port=3128, secure=True)
        endpoint = ProxyEndpoint(self.network, secure, "cloud.example.com", 443)
        self.assertRaises(MisuseError, endpoint.connect, Factory.forProtocol(Recorder))
