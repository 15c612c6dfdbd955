"""The dialling side: names, addresses, TLS, redirects, deadlines, and errors in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from kwic.config.model import Address, TlsOptions
from kwic.transport.connect_error import ConnectError, WebSocketRefusedError, Why
from kwic.transport.tls import Credentials, peer_identity
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, Redirect, Refuse, UpgradeRequest, WebSocketSite
from kwic.transport.websocket_transport import WebSocketClosed
from test.transport.memory_network import MemoryNetwork, Recorder
from test.transport.tls_ends import DAY_S, NOW_S, REQUIRED, Scene
from test.transport.tls_ends import request as cert_request
from test.transport.websocket_case import Route, accept_of

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


class ConnectTests(DialCase):
    """To an open WebSocket."""

    def test_interface(self) -> None:
        """It is an endpoint, and is shown as its address."""
        endpoint = WebSocketEndpoint(self.network, address("cloud.example.com"))
        verifyObject(IStreamClientEndpoint, endpoint)
        self.assertEqual(str(endpoint), "ws://cloud.example.com:80/kwic")

    def test_by_name(self) -> None:
        """A name is resolved, and is the Host."""
        route = self.site(A, "cloud.example.com")
        protocol = self.open(address("cloud.example.com"))
        self.assertEqual(route.asked[0].host, "cloud.example.com:80")
        self.assertEqual(protocol.transport.uri, "ws://cloud.example.com:80/kwic")

    def test_anew_each_time(self) -> None:
        """Each attempt resolves the name anew."""
        self.site(A, "cloud.example.com")
        endpoint = WebSocketEndpoint(self.network, address("cloud.example.com"))
        for host in (A, B):
            self.network.names["cloud.example.com"] = (host,)
            endpoint.connect(Factory.forProtocol(Recorder)).addErrback(lambda _: None)
            self.network.settle()
        self.assertEqual(self.network.dialled, [(A, 80), (B, 80)])

    def test_every_address_is_tried(self) -> None:
        """When one address refuses, or does not answer, the next one is tried within the same attempt."""
        self.site(B, "cluster.example.com")
        opened = self.dial(address("cluster.example.com"))
        self.network.pass_time(0.4, 0.1)
        self.successResultOf(opened)
        self.network.listen(A, 80, None)
        opened = self.dial(address("cluster.example.com"))
        self.network.pass_time(0.4, 0.1)
        self.successResultOf(opened)

    def test_addresses(self) -> None:
        """A literal address is dialled without any resolver, with brackets in the Host if it has colons."""
        self.site("fd00::1", "[fd00::1]")
        self.open(address("fd00::1"))
        self.site(A, f"{A}:8080", port=8080)
        self.open(address(A, port=8080))

    def test_one_given_address(self) -> None:
        """One address of the host may be given; the Host stays the name."""
        route = self.site(C, "cloud.example.com")
        self.open(address("cloud.example.com"), dial_address=C)
        self.assertEqual(route.asked[0].host, "cloud.example.com:80")
        self.assertEqual(self.network.dialled, [(C, 80)])

    def test_what_is_asked(self) -> None:
        """Path, query, subprotocols and fields of our choice are in the request, and nothing that tells who made it."""
        built = self.says(A, b"")
        target = Address(text="", scheme="ws", host=A, port=80, path="/kwic", query="a=b")
        self.dial(target, protocols=("kwic.1", "socks"), headers={"Kwic-Instance": "x y"})
        lines = built[0].heard.decode().split("\r\n")
        self.assertEqual(lines[0], "GET /kwic?a=b HTTP/1.1")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.assertEqual(fields["host"], f"{A}:80")
        self.assertEqual(fields["upgrade"].lower(), "websocket")
        self.assertEqual(fields["sec-websocket-version"], "13")
        self.assertEqual(fields["sec-websocket-protocol"].replace(" ", ""), "kwic.1,socks")
        self.assertEqual(fields["kwic-instance"], "x y")
        for absent in ("user-agent", "origin", "sec-websocket-extensions"):
            self.assertNotIn(absent, fields)

    def test_what_is_learnt(self) -> None:
        """Subprotocol and fields of the answer are known on the transport."""
        self.site(
            A,
            answer=lambda _: Accept(protocol=Recorder(), subprotocol="socks", headers={"Kwic-Nodes": "1 2"}),
        )
        transport = self.open(address(A), protocols=("kwic.1", "socks")).transport
        self.assertEqual(transport.subprotocol, "socks")
        self.assertEqual(transport.response_headers.get("kwic-nodes"), "1 2")

    def test_a_message_right_behind_the_answer(self) -> None:
        """A message in the same read as the answer is delivered after the protocol is connected."""

        class Greets(Recorder):
            def connectionMade(self) -> None:
                self.transport.write(b"hello")  # type: ignore[union-attr]

        self.site(A, answer=lambda _: Accept(protocol=Greets()))
        self.assertEqual(self.open(address(A)).data, b"hello")

    def test_interim_answers(self) -> None:
        """An interim response (RFC 9110 15.2) is not the answer."""

        def says(heard: bytes) -> bytes:
            key = heard.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            return (
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 x\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept_of(key)}\r\n\r\n"
            ).encode()

        self.says(A, says)
        self.open(address(A))

    def test_bytes_both_ways(self) -> None:
        """What one end writes the other reads, and a Close goes through."""
        far = Recorder(lambda protocol, data: protocol.transport.write(data))  # type: ignore[union-attr]
        self.site(A, answer=lambda _: Accept(protocol=far))
        near = self.open(address(A))
        data = bytes(range(256)) * 1000
        near.transport.write(data)
        self.network.settle()
        self.assertEqual(near.data, data)
        far.transport.close(1001, "going")  # type: ignore[union-attr]
        self.network.settle()
        self.assertEqual((near.lost.type, near.lost.value.code), (WebSocketClosed, 1001))
        self.assert_idle()

    def test_an_injected_line(self) -> None:
        """A field with a line end in it is a bug of ours, never a second field."""
        self.site(A)
        self.fails(self.dial(address(A), headers={"A": "b\r\nC: d"}), Why.HTTP)
        self.fails(self.dial(address(A, path="/a b")), Why.HTTP)
        self.assertEqual(self.network.dialled, [])


class ConnectByteByByteTests(ConnectTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1

    def test_bytes_both_ways(self) -> None:
        """As above; that many bytes one by one would take long."""


class FailureTests(DialCase):
    """To an error: one line that says who, what and why."""

    def test_refused(self) -> None:
        """Nobody listens."""
        text = self.fails(self.dial(address(A)), Why.REFUSED)
        self.assertEqual(text, f"connection refused to {A}:80")
        self.assert_idle()

    def test_no_name(self) -> None:
        """The name has no address."""
        text = self.fails(self.dial(address("nowhere.example.com")), Why.NO_NAME)
        self.assertEqual(text, "no address is known for nowhere.example.com:80")
        self.assert_idle()

    def test_no_answer_to_tcp(self) -> None:
        """The host drops packets: given up after the timeout."""
        self.network.listen(A, 80, None)
        opened = self.dial(address(A), timeout_s=3.0)
        self.network.pass_time(2.9)
        self.assertNoResult(opened)
        self.network.pass_time(0.2)
        self.assertEqual(self.fails(opened, Why.TIMEOUT), f"no answer from {A}:80 within 3 s")
        self.assert_idle()

    def test_no_answer_to_the_upgrade(self) -> None:
        """The host accepts and says nothing: given up after the timeout, connection and all."""
        self.says(A, b"")
        opened = self.dial(address(A))
        self.network.pass_time(5.1)
        self.fails(opened, Why.TIMEOUT)
        self.assert_idle()

    def test_an_answer_that_trickles(self) -> None:
        """An answer that takes too long is given up, however it trickles."""
        built = self.says(A, b"HTTP/1.1 ")
        opened = self.dial(address(A))
        for _ in range(51):
            built[0].transport.write(b"1")
            self.network.pass_time(0.1)
        self.fails(opened, Why.TIMEOUT)
        self.assert_idle()

    def test_other_answers(self) -> None:
        """Any other answer than an upgrade is reported as what it is, with its fields."""
        self.site(A, answer=Refuse(status=503, reason="no member", headers={"Retry-After": "1"}))
        for path, status, said in (("/kwic", 503, "503 Service Unavailable"), ("/x", 404, "404 Not Found")):
            problem = self.failureResultOf(self.dial(address(A, path=path)), WebSocketRefusedError).value
            self.assertEqual((problem.status, problem.why), (status, Why.HTTP))
            self.assertEqual(str(problem), f"{A}:80 answered {said} to the upgrade at {path}")
        self.assert_idle()

    def test_closed_without_an_answer(self) -> None:
        """The host leaves instead of answering."""
        self.says(A, b"", leaves=True)
        text = self.fails(self.dial(address(A)), Why.LOST)
        self.assertEqual(text, f"{A}:80 closed the connection before it was usable")
        self.assert_idle()

    def test_answers_that_are_none(self) -> None:
        """Garbage, an endless head and a wrong handshake are told apart from refusals, without a traceback."""
        good = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        accept = "Sec-WebSocket-Accept: {}\r\n"
        for says in (
            b"\x16\x03\x01\x00\x00",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 999999 x\r\n\r\n",
            b"HTTP/1.1 101 \xff\r\nA: \xc3\x28\r\n\r\n",
            b"HTTP/1.1 200 x\r\nA: " + b"x" * 20000,
            (good + "\r\n").encode(),
            (good + accept.format("x") + "\r\n").encode(),
            b"HTTP/1.0 101 x\r\n\r\n",
            b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n",
        ):
            self.says(A, says)
            text = self.fails(self.dial(address(A)), Why.HTTP)
            self.assertIn(f"{A}:80 gave no proper answer", text)
            self.assert_idle()

    def test_what_was_not_offered(self) -> None:
        """A subprotocol or an extension that we did not offer is refused."""

        def says_with(field: str) -> Callable[[bytes], bytes]:
            def says(heard: bytes) -> bytes:
                key = heard.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
                return (
                    "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept_of(key)}\r\n{field}\r\n\r\n"
                ).encode()

            return says

        for field in (
            "Sec-WebSocket-Protocol: other",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "A: b",
        ):
            self.says(A, says_with(field))
            opened = self.dial(address(A), protocols=("kwic.1",))
            if field == "A: b":
                self.successResultOf(opened)
            else:
                self.fails(opened, Why.HTTP)

    def test_nobody_wants_it(self) -> None:
        """A factory that builds nothing ends the connection."""
        self.site(A)
        factory = Factory()
        factory.buildProtocol = lambda _: None  # type: ignore[method-assign]
        opened = WebSocketEndpoint(self.network, address(A)).connect(factory)
        self.network.settle()
        self.fails(opened, Why.CANCELLED)
        self.assert_idle()

    def test_cancelling(self) -> None:
        """Cancelling drops everything, at whatever stage."""
        self.network.listen(A, 80, None)
        self.says(B, b"")
        for host in (A, B):
            opened = self.dial(address(host))
            opened.cancel()
            self.failureResultOf(opened, CancelledError)
            self.assert_idle()


class RedirectTests(DialCase):
    """Redirects, as a balancer sends them."""

    def setUp(self) -> None:
        super().setUp()
        self.answers = iter(())
        self.balancer = self.site(A, "balancer.example.com", answer=lambda _: next(self.answers))
        self.network.names.update(
            {"balancer.example.com": (A,), "m1.example.com": (B,), "m2.example.com": (C,)}
        )
        self.target = address("balancer.example.com")

    def redirects_to(self, *hosts: str) -> None:
        """The balancer sends clients to these, one after the other."""
        self.answers = iter([Redirect(location=f"http://{host}.example.com:80/kwic") for host in hosts])

    def test_followed(self) -> None:
        """A redirect is followed to the member, and the transport knows where it leads."""
        member = self.site(B, "m1.example.com")
        self.redirects_to("m1")
        protocol = self.open(self.target)
        self.assertEqual(protocol.transport.uri, "ws://m1.example.com:80/kwic")
        self.assertEqual(member.asked[0].host, "m1.example.com:80")
        protocol.transport.abortConnection()
        self.assert_idle()

    def test_every_status(self) -> None:
        """301, 302, 303, 307 and 308 are redirects; 300 and 304 are not. Location may be relative, in any case."""
        self.site(B, "m1.example.com")
        for status in (301, 302, 303, 307, 308):
            self.says(A, f"HTTP/1.1 {status} x\r\nLOCATION: //m1.example.com/kwic\r\n\r\n".encode())
            self.open(self.target)
        for status in (300, 304):
            self.says(A, f"HTTP/1.1 {status} x\r\nLocation: //m1.example.com/kwic\r\n\r\n".encode())
            self.fails(self.dial(self.target), Why.HTTP)

    def test_a_given_address_is_for_the_origin(self) -> None:
        """The address that was given is the origin's; the member's name is resolved."""
        self.site(B, "m1.example.com")
        self.redirects_to("m1")
        self.network.names["balancer.example.com"] = ()
        self.open(self.target, dial_address=A)
        self.assertEqual(self.network.dialled, [(A, 80), (B, 80)])

    def test_not_wanted(self) -> None:
        """With no redirects allowed, a redirect is an error that says so."""
        self.redirects_to("m1")
        text = self.fails(self.dial(self.target, maximum_redirects=0), Why.HTTP)
        self.assertIn("redirect", text)
        self.assert_idle()

    def test_a_loop(self) -> None:
        """A circle of redirects ends at the limit."""
        self.redirects_to(*["balancer"] * 10)
        self.fails(self.dial(self.target), Why.HTTP)
        self.assertEqual(len(self.balancer.asked), 4)
        self.assert_idle()

    def test_a_dead_member(self) -> None:
        """A member that is down sends us back to the balancer, which knows a better one."""
        self.site(C, "m2.example.com")
        self.redirects_to("m1", "m2")
        opened = self.dial(self.target)
        self.network.pass_time(0.2, 0.1)
        self.assertEqual(self.successResultOf(opened).transport.uri, "ws://m2.example.com:80/kwic")
        self.assertIn("m1.example.com:80", "".join(str(event.get("reason", "")) for event in self.events))

    def test_a_silent_member(self) -> None:
        """A member that does not answer costs its hop's time, and no more."""
        self.site(C, "m2.example.com")
        self.says(B, b"")
        self.redirects_to("m1", "m2")
        opened = self.dial(self.target, timeout_s=2.0)
        self.network.pass_time(2.3)
        self.successResultOf(opened)

    def test_a_member_that_refuses(self) -> None:
        """A member that answers 503, because it is just leaving, is left out too."""
        self.site(B, "m1.example.com", answer=Refuse(status=503, reason="leaving"))
        self.site(C, "m2.example.com")
        self.redirects_to("m1", "m2")
        opened = self.dial(self.target)
        self.network.pass_time(0.2, 0.1)
        self.successResultOf(opened)

    def test_a_balancer_that_insists(self) -> None:
        """A balancer that only knows the dead member is asked again, more and more slowly, until the deadline."""
        self.redirects_to(*["m1"] * 100)
        opened = self.dial(self.target, deadline_s=8.0)
        self.network.pass_time(3)
        self.assertEqual(self.network.dialled.count((B, 80)), 1)
        self.site(C, "m2.example.com")
        self.network.pass_time(6)
        text = self.fails(opened, Why.HTTP)
        self.assertIn("m1.example.com:80", text)
        self.assertIn("in time", text)
        self.assertLess(len(self.balancer.asked), 15)
        self.assert_idle()

    def test_a_balancer_that_learns(self) -> None:
        """As soon as the balancer names another member, that is where we go."""
        self.site(C, "m2.example.com")
        self.redirects_to("m1", "m1", "m1", "m2")
        opened = self.dial(self.target)
        self.network.pass_time(2)
        self.successResultOf(opened)

    def test_cancelling_a_pause(self) -> None:
        """Cancelling between two questions leaves nothing behind."""
        self.redirects_to(*["m1"] * 10)
        opened = self.dial(self.target)
        self.network.pass_time(0.2, 0.1)
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        self.assert_idle()


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
        self.assert_idle()

    def test_a_certificate_that_we_refuse(self) -> None:
        """A client with a certificate of a stranger's is worth a warning with the reason, at most one a second."""
        self.secure_site(A, "cloud.example.com")
        stranger = self.scene.onprem(self.scene.server_ca.issue(cert_request("eve")), name="eve")
        for _ in range(3):
            opened = self.dial(address("cloud.example.com", scheme="wss"), credentials=stranger)
            self.fails(opened, Why.TLS)
        lines = [str(formatEvent(e)) for e in self.events if e["log_level"] is LogLevel.warn]
        self.assertEqual(
            len([line for line in lines if "10.9.9.9" in line and "is refused: " in line]), 1, lines
        )
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

    def test_close(self) -> None:
        """As above; that many bytes one by one would take long."""

    def test_a_slow_reader_gets_everything(self) -> None:
        """As above."""
