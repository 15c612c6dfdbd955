"""The listening side: what is answered to whom, and what it may cost."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from kwic.config.model import CrossSite
from kwic.errors import SetupError
from kwic.transport.websocket_server import Accept, Redirect, Refuse, WebSocketSite
from test.transport.memory_network import MemoryNetwork, Recorder
from test.transport.websocket_case import ACCEPT, HOST, Route, WebSocketCase, frame, request


class RoutingTableTests(SynchronousTestCase):
    """Who serves which host and path."""

    def setUp(self) -> None:
        self.site = WebSocketSite(MemoryNetwork(), secure=True)

    def test_interface(self) -> None:
        """A site is a factory for a listener."""
        verifyObject(IProtocolFactory, self.site)

    def test_handshakes_can_wait(self) -> None:
        """The connection below is patient until its handshake is over, one way or the other."""
        transport = StringTransport()
        transport.patient = False
        connection = self.site.buildProtocol(None)
        connection.makeConnection(transport)
        self.assertTrue(transport.patient)
        connection.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(transport.patient)

    def test_two_services_on_one_path(self) -> None:
        """Two services that claim the same host and path are an error that names both, whatever the spelling."""
        self.site.add("cloud1.example.com", "/kwic", Route(Refuse(status=404, reason="")), owner="A")
        error = self.assertRaises(
            SetupError,
            self.site.add,
            "Cloud1.example.com:443",
            "/kwic",
            Route(Refuse(status=404, reason="")),
            owner="B",
        )
        for part in ("'A'", "'B'", "cloud1.example.com:443/kwic"):
            self.assertIn(part, str(error))

    def test_what_is_different(self) -> None:
        """Another path, host or port is another row; a removed row may be taken again."""
        route = Route(Refuse(status=404, reason=""))
        for authority, path in (("a", "/x"), ("a", "/x/"), ("b", "/x"), ("a:80", "/x"), ("*:443", "/x")):
            self.site.add(authority, path, route)
        self.assertEqual(len(self.site), 5)
        self.site.remove("a:443", "/x")
        self.site.remove("a:443", "/x")
        self.site.add("A", "/x", route)


class AnswerTests(WebSocketCase):
    """What requests that become no WebSocket are answered."""

    def refused(self, data: bytes, status: int) -> dict[str, str]:
        """Expect an answer with that status, properly made, after which the connection is closed."""
        client = self.dial(data)
        head, body = client.answer()
        fields = dict(head.headers)
        self.assertEqual(head.status, status, body)
        self.assertEqual(int(fields["content-length"]), len(body))
        self.assertLess(len(body), 200)
        self.assertIn("close", head.headers.elements("connection"))
        self.assertEqual(fields["content-type"], "text/plain; charset=utf-8")
        self.assertNotIn(b"<", body)
        self.assertIsNotNone(client.lost)
        self.assert_idle()
        self.assertEqual(self.served, [])
        return fields

    def test_unknown_path(self) -> None:
        """A path that nobody serves is 404; paths are exact."""
        for path in ("/", "/kwi", "/kwic/", "/kwic/x", "/KWIC", "/kwic%2F"):
            self.refused(request(path), 404)

    def test_unknown_host(self) -> None:
        """A host or port that nobody serves is 404."""
        for host in ("other.example.com", f"{HOST}:8080", "10.0.0.2"):
            self.refused(request(host=host), 404)

    def test_plain_get(self) -> None:
        """A browser that opens the address learns that it takes a WebSocket."""
        fields = self.refused(f"GET /kwic HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), 426)
        self.assertEqual(fields["upgrade"], "websocket")

    def test_hosts(self) -> None:
        """No Host, an empty one and two of them are 400."""
        self.refused(b"GET /kwic HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 400)
        self.refused(request(host=""), 400)
        self.refused(request(extra=f"Host: {HOST}\r\n"), 400)

    def test_bad_upgrades(self) -> None:
        """An upgrade that is not quite one is 400."""
        for old, new in (
            (b"Upgrade: websocket\r\n", b""),
            (b"Upgrade: websocket", b"Upgrade: h2c"),
            (b"Connection: Upgrade", b"Connection: keep-alive"),
            (b"Sec-WebSocket-Key: dGhl", b"Sec-WebSocket-Key: x"),
        ):
            self.refused(request().replace(old, new), 400)

    def test_other_versions(self) -> None:
        """Another version than 13 is 426, with the one that is spoken."""
        for version in ("8", "14", "x"):
            fields = self.refused(request(version=version), 426)
            self.assertEqual(fields["sec-websocket-version"], "13")

    def test_other_methods(self) -> None:
        """Another method than GET is 405."""
        for method in ("POST", "OPTIONS", "get"):
            self.assertEqual(self.refused(request(method=method), 405)["allow"], "GET")

    def test_head(self) -> None:
        """HEAD is 405 like the others, without a body."""
        head, body = self.dial(request(method="HEAD")).answer()
        self.assertEqual((head.status, body), (405, b""))

    def test_other_http(self) -> None:
        """HTTP/1.0 and HTTP/2 are 505."""
        self.refused(request().replace(b"HTTP/1.1", b"HTTP/1.0"), 505)
        self.refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)

    def test_large_heads(self) -> None:
        """A head of more than 16 KiB is 431, also when it never ends."""
        self.refused(request(extra=f"Cookie: {'x' * 16384}\r\n"), 431)
        self.refused(b"GET /" + b"x" * 100_000, 431)
        self.refused(request(extra="A: b\r\n" * 101), 431)

    def test_almost_too_large(self) -> None:
        """A head of just 16 KiB is served."""
        room = 16384 - len(request(extra="Cookie: \r\n"))
        client = self.dial(request(extra=f"Cookie: {'x' * room}\r\n"))
        self.assertEqual(client.answer()[0].status, 101)

    def test_absolute_targets(self) -> None:
        """An absolute target is served when it agrees with the Host, and is 400 when not."""
        client = self.dial(request(f"http://{HOST}/kwic"))
        self.assertEqual(client.answer()[0].status, 101)
        self.served.clear()
        client.transport.abortConnection()
        self.refused(request("http://other/kwic"), 400)

    def test_garbage(self) -> None:
        """What is not HTTP at all is 400 at once."""
        for garbage in (b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100, b"\r\n\r\n", b"hello world\r\n\r\n"):
            self.refused(garbage, 400)

    def test_nothing_is_logged(self) -> None:
        """Refused requests leave no line above debug, and no traceback."""
        for data in (b"\x00", request("/x"), request(host=""), b"GET /" + b"x" * 20000):
            self.dial(data)
        self.assertEqual([e for e in self.events if e["log_level"] > LogLevel.debug], [])

    def test_redirect(self) -> None:
        """A redirect is 302 with the Location as the route wrote it."""
        location = "https://cloud2.example.com:443/serviceB"
        self.site.add(HOST, "/b", Route(Redirect(location=location)))
        self.assertEqual(self.refused(request("/b"), 302)["location"], location)

    def test_refusal(self) -> None:
        """A route refuses with a status, a reason and fields of its choice."""
        refuse = Refuse(status=503, reason="no member is there", headers={"Retry-After": "1"})
        self.site.add(HOST, "/b", Route(refuse))
        self.assertEqual(self.refused(request("/b"), 503)["retry-after"], "1")

    def test_a_route_that_fails(self) -> None:
        """A bug in a route is 500 and one logged failure; the listener goes on."""

        def fail(_: object) -> Refuse:
            raise RuntimeError("a bug")

        self.site.add(HOST, "/b", Route(fail), owner="B")
        self.refused(request("/b"), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.dial(request("/kwic"))

    def test_a_subprotocol_that_was_not_offered(self) -> None:
        """A route that picks what was not offered is a bug, not a broken handshake."""
        self.accept = {"subprotocol": "other"}
        self.dial(request(extra="Sec-WebSocket-Protocol: kwic.1\r\n")).answer()
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_a_line_end_in_a_field(self) -> None:
        """A route cannot break the answer's head apart: its field is refused, 500 is answered."""
        evil = "a\r\nSet-Cookie: b"
        for answer in (
            Accept(protocol=Recorder(), headers={"Kwic-Instance": evil}),
            Redirect(location=evil),
            Refuse(status=403, reason="no", headers={"A": evil}),
        ):
            self.site.remove(HOST, "/b")
            self.site.add(HOST, "/b", Route(answer))
            client = self.dial(request("/b"))
            self.assertEqual(client.answer()[0].status, 500)
            self.assertNotIn(b"Set-Cookie", client.data)
        self.assertEqual(len(self.flushLoggedErrors()), 3)


class AnswerByteByByteTests(AnswerTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1


class OpenTests(WebSocketCase):
    """Requests that become WebSockets."""

    def test_open(self) -> None:
        """A proper request is answered 101 with the right accept, and the protocol is connected."""
        client, server = self.open()
        head, rest = client.answer()
        self.assertEqual(head.headers.get("sec-websocket-accept"), ACCEPT)
        self.assertIsNone(head.headers.get("sec-websocket-protocol"))
        self.assertIsNone(head.headers.get("sec-websocket-extensions"))
        self.assertIsNone(head.headers.get("server"))
        self.assertEqual((rest, server.made), (b"", 1))
        self.assertEqual(self.site.handshakes, 0)

    def test_what_the_route_learns(self) -> None:
        """The route learns host, path, query, origin, subprotocols, fields and peer."""
        self.dial(
            request(
                "/kwic?a=b",
                f"{HOST}:80",
                extra="Sec-WebSocket-Protocol: kwic.1, socks\r\nKwic-Instance: x\r\nOrigin: http://10.0.0.1\r\n",
            )
        )
        (asked,) = self.route.asked
        self.assertEqual((asked.host, asked.path, asked.query), (f"{HOST}:80", "/kwic", "a=b"))
        self.assertEqual((asked.protocols, asked.origin), (("kwic.1", "socks"), "http://10.0.0.1"))
        self.assertEqual((asked.headers.get("kwic-instance"), asked.peer.host), ("x", "10.9.9.9"))
        self.assertEqual((asked.secure, asked.identity), (False, None))

    def test_what_the_route_answers(self) -> None:
        """Subprotocol and fields of the route's choice are in the answer, and the transport knows them."""
        self.accept = {"subprotocol": "socks", "headers": {"Kwic-Nodes": "1 2"}}
        client = self.dial(request(extra="Sec-WebSocket-Protocol: kwic.1, socks\r\n"))
        head, _ = client.answer()
        self.assertEqual(head.headers.get("sec-websocket-protocol"), "socks")
        self.assertEqual(head.headers.get("kwic-nodes"), "1 2")
        transport = self.served[0].transport
        self.assertEqual((transport.subprotocol, transport.uri), ("socks", "ws://10.0.0.1:80/kwic"))
        self.assertEqual(transport.request, self.route.asked[0])

    def test_extensions_are_not_taken(self) -> None:
        """Compression that a client offers is not agreed to."""
        client = self.dial(request(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n" * 2))
        self.assertIsNone(client.answer()[0].headers.get("sec-websocket-extensions"))

    def test_a_message_right_behind_the_request(self) -> None:
        """What comes in the same read as the request is the first message."""
        self.dial(request() + frame(2, b"early") + frame(1, b" bird"))
        self.assertEqual(self.served[0].data, b"early bird")

    def test_host_in_any_case(self) -> None:
        """Host and scheme are compared without case, the default port may be left out."""
        self.site.add("Cloud.example.com", "/b", self.route)
        for host in ("cloud.example.com", "CLOUD.EXAMPLE.COM:80", "cloud.example.com."):
            self.assertEqual(self.dial(request("/b", host)).answer()[0].status, 101)

    def test_any_host(self) -> None:
        """A service for any host gets those that nobody else serves, on its port."""
        self.site.add("*", "/any", self.route)
        self.assertEqual(self.dial(request("/any", "whatever.example.com")).answer()[0].status, 101)
        self.assertEqual(self.dial(request("/any", "whatever.example.com:81")).answer()[0].status, 404)

    def test_origins(self) -> None:
        """Pages from elsewhere are refused with 403, unless a constraint allows them."""
        for origin, status in (
            (f"http://{HOST}", 101),
            ("https://evil.example.org", 403),
            ("null", 403),
            ("http://balancer.example.com", 101),
            ("http://friend.example.org:8080", 101),
        ):
            site = self.site
            site.remove(HOST, "/kwic")
            site.add(
                HOST,
                "/kwic",
                self.route,
                cross_sites=[CrossSite(allow_origin="http://friend.example.org:8080")],
                balances=["balancer.example.com:80"],
            )
            client = self.dial(request(extra=f"Origin: {origin}\r\n"))
            self.assertEqual(client.answer()[0].status, status, origin)

    def test_nagle_and_keep_alive(self) -> None:
        """An open connection sends small writes at once, and the kernel looks after a peer that vanished."""
        client, _ = self.open()
        self.assertTrue(client.transport.other.no_delay)
        self.assertTrue(client.transport.other.keep_alive)


class OpenByteByByteTests(OpenTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1


class CostTests(WebSocketCase):
    """What strangers can cost."""

    def test_silence(self) -> None:
        """A connection that says nothing is dropped after 5 s."""
        client = self.dial()
        self.network.pass_time(4.9)
        self.assertIsNone(client.lost)
        self.network.pass_time(0.2)
        self.assertIsNotNone(client.lost)
        self.assert_idle()

    def test_a_slow_head(self) -> None:
        """A head that trickles is dropped after 5 s all the same."""
        client = self.dial(b"GET /kwic HTTP/1.1\r\n")
        for _ in range(50):
            client.transport.write(b"A")
            self.network.pass_time(0.1)
        self.network.pass_time(0.2)
        self.assertIsNotNone(client.lost)
        self.assert_idle()

    def test_the_deadline_ends_with_the_handshake(self) -> None:
        """An open WebSocket is not dropped when the handshake's time is over."""
        _, server = self.open()
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.network.pass_time(60, 10)
        self.assertIsNone(server.lost)

    def test_who_does_not_leave(self) -> None:
        """Whoever is refused and stays is dropped after 2 s; what it still sends is dropped too."""
        client = self.dial()
        client.transport.other.protocol.dataReceived(b"\x00")
        client.transport.reading = False
        client.transport.write(b"x" * 10)
        self.network.pass_time(1.9)
        self.assertIsNone(client.lost)
        self.network.pass_time(0.2)
        self.assertIsNotNone(client.lost)
        self.assert_idle()

    def test_an_answer_is_not_taken_back(self) -> None:
        """Whoever is still sending gets the whole answer: the connection is closed for sending only."""
        client = self.dial(b"GET /" + b"x" * 1_000_000)
        self.assertEqual(client.answer()[0].status, 431)
        self.assertFalse(client.transport.other.aborted)
        self.assert_idle()

    def test_too_many(self) -> None:
        """Beyond the bound, the one that has been shaking hands longest goes; those that are open do not count."""
        self.site = WebSocketSite(self.network, secure=False, maximum_handshakes=3)
        self.site.add(HOST, "/kwic", self.route)
        opened = [self.dial(request()) for _ in range(5)]
        waiting = [self.dial() for _ in range(4)]
        self.assertEqual([client.lost is None for client in waiting], [False, True, True, True])
        self.assertEqual(self.site.handshakes, 3)
        self.say(waiting[1], request())
        self.assertEqual(waiting[1].answer()[0].status, 101)
        self.assertTrue(all(client.lost is None for client in opened))

    def test_closing_the_listener(self) -> None:
        """When the listener stops, those that are not open are let go and those that are stay."""
        opened, waiting = self.dial(request()), self.dial()
        self.site.doStart()
        self.site.doStop()
        self.network.settle()
        self.assertIsNone(opened.lost)
        self.assertIsNotNone(waiting.lost)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_probes(self) -> None:
        """Probes that connect and leave, politely or not, leave nothing behind and no line above debug."""
        for leave in ("loseConnection", "abortConnection"):
            client = self.dial()
            getattr(client.transport, leave)()
            self.assert_idle()
        self.assertEqual([e for e in self.events if e["log_level"] > LogLevel.debug], [])

    def test_leaving_in_the_middle(self) -> None:
        """A client may leave at any byte of its request."""
        whole = request()
        for length in range(0, len(whole), 7):
            client = self.dial(whole[:length])
            client.transport.abortConnection()
        self.assert_idle()

    def test_garbage_after_the_handshake(self) -> None:
        """Garbage frames end the WebSocket, and nothing else."""
        client, server = self.open()
        self.say(client, b"\xff" * 1000)
        self.assertEqual(client.frames[0][1][:2], (1002).to_bytes(2, "big"))
        self.network.pass_time(5.1)
        self.assertIsNotNone(server.lost)
        self.assert_idle()
