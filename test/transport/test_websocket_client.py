"""The dialling side: names, addresses, deadlines, and errors in one line."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface.verify import verifyObject

from kwic.config.model import Address
from kwic.transport.connect_error import WebSocketRefusedError, Why
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, Refuse
from kwic.transport.websocket_transport import WebSocketClosed
from test.transport.dial_case import A, B, C, DialCase, address
from test.transport.memory_network import Recorder
from test.transport.websocket_case import accept_of


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
