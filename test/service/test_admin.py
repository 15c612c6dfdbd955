"""The administrative listener: its pages, and strangers there."""

from __future__ import annotations

import json

from kwic.service.admin import Admin, pages_of
from kwic.service.admin_pages import VISIT_S, VISITORS_MAXIMUM
from kwic.wire.http_head import MAXIMUM_HEAD_BYTES
from test.service.gateway_case import GatewayCase, Talker

ADDRESS, PORT = "10.0.0.7", 8900
ECHO = "<service><name>E</name><accept>tcp://{ip}:7000</accept><type>echo</type></service>"


class AdminCase(GatewayCase):
    """A gateway that answers about itself."""

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.start("gw", ADDRESS, ECHO)
        self.admin = Admin(self.gateway.context.reactor, f"{ADDRESS}:{PORT}", pages_of(self.gateway))
        self.admin.setServiceParent(self.gateway)

    def visit(self, said: bytes) -> Talker:
        """Somebody who says something there and then nothing more."""
        return self.connect(ADDRESS, PORT, said)

    def told(self, said: bytes) -> tuple[bytes, bytes]:
        """The head and the body that somebody is told, who waits for the end."""
        visitor = self.visit(said)
        self.wait(lambda: visitor.ended, 1)
        visitor.transport.loseConnection()
        head, _, body = visitor.heard.partition(b"\r\n\r\n")
        return head, body

    def tearDown(self) -> None:
        self.assertEqual([event for event in self.events if "log_failure" in event], [])
        super().tearDown()


class PageTests(AdminCase):
    """What there is to be asked."""

    def test_pages(self) -> None:
        """Status, health and metrics, each with its type, in any version of HTTP 1, with a query or without."""
        for version in ("1.0", "1.1"):
            for path, kind, part in (
                ("/status", b"application/json", b'"node": "gw"'),
                ("/health", b"text/plain; charset=utf-8", b"ok\n"),
                ("/metrics?x=y", b"text/plain; version=0.0.4", b"# TYPE"),
            ):
                head, body = self.told(f"GET {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
                self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"), head)
                for line in (b"Content-Type: " + kind, b"Connection: close", b"Cache-Control: no-store"):
                    self.assertIn(line, head.split(b"\r\n"))
                self.assertIn(b"Content-Length: %d" % len(body), head)
                self.assertIn(part, body)
        self.assertEqual(json.loads(self.told(b"GET /status HTTP/1.0\r\n\r\n")[1])["node"], "gw")

    def test_head(self) -> None:
        """HEAD is told what GET would be, without the text."""
        head, body = self.told(b"HEAD /health HTTP/1.1\r\n\r\n")
        self.assertIn(b"Content-Length: 3", head)
        self.assertEqual(body, b"")

    def test_draining(self) -> None:
        """A gateway that stops says so with 503."""
        self.gateway.draining = True
        self.assertTrue(self.told(b"GET /health HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 503 "))

    def test_who_half_closes(self) -> None:
        """A client that ends its stream behind the request is answered all the same."""
        visitor = self.visit(b"GET /health HTTP/1.0\r\n\r\n")
        self.wait(lambda: visitor.transport)
        visitor.transport.loseWriteConnection()
        self.hears_end(visitor)
        self.assertTrue(visitor.heard.endswith(b"\r\n\r\nok\n"), visitor.heard)

    def test_what_there_is_not(self) -> None:
        """Other paths and methods are told what there is."""
        for said, status, words in (
            (b"GET / HTTP/1.1\r\n\r\n", b" 404 ", b"there are /status, /health, /metrics\n"),
            (b"DELETE /status HTTP/1.1\r\n\r\n", b" 405 ", b"these pages can only be read: GET or HEAD\n"),
        ):
            head, body = self.told(said)
            self.assertIn(status, head)
            self.assertEqual(body, words)
        self.assertIn(b"Allow: GET, HEAD", head)

    def test_a_bug(self) -> None:
        """A page that cannot be made is an error for whoever asks, and in the log."""
        self.gateway.servers["broken"] = None  # type: ignore[assignment]
        head, body = self.told(b"GET /status HTTP/1.1\r\n\r\n")
        self.assertIn(b" 500 ", head)
        self.assertIn(b"the log says why", body)
        self.assertEqual(len(self.lines("the page /status could not be made")), 1)
        self.events.clear()
        self.flushLoggedErrors(AttributeError)


class StrangerTests(AdminCase):
    """Whoever is no operator costs bounded time and memory."""

    def test_slow(self) -> None:
        """Silence, half a head and a head that comes byte by byte are all let go after five seconds."""
        silent, half = self.visit(b""), self.visit(b"GET /status HTTP/1.1\r\nHos")
        dripping = self.visit(b"GET /status HTTP/1.1\r\n")
        for _ in range(int(VISIT_S * 10) - 1):
            self.run_for(0.1)
            dripping.say(b"x")
        self.assertEqual([one.lost for one in (silent, half, dripping)], [None] * 3)
        for one in (silent, half, dripping):
            self.is_reset(one, 0.2)

    def test_long_head(self) -> None:
        """An endless head is answered at the limit, and what is said beyond is dropped."""
        visitor = self.visit(b"GET /status HTTP/1.1\r\n" + b"X: y\r\n" * (MAXIMUM_HEAD_BYTES // 6))
        self.wait(lambda: visitor.ended, 1)
        self.assertIn(b" 431 ", visitor.heard)
        for _ in range(100):
            visitor.say(b"x" * 50_000)
            self.run_for(0.1)
        self.assertIsNotNone(visitor.lost)

    def test_body(self) -> None:
        """A body is never waited for, nor kept: a large POST is answered behind its head, and let go when it goes on for five seconds."""
        visitor = self.visit(b"POST /status HTTP/1.1\r\nContent-Length: 10000000000\r\n\r\n")
        self.wait(lambda: visitor.ended, 1)
        self.assertIn(b" 405 ", visitor.heard)
        took_s = 1.0
        while visitor.lost is None and took_s < 2 * VISIT_S:
            visitor.say(b"x" * 100_000)
            self.run_for(0.1)
            took_s += 0.1
        self.assertLess(took_s, VISIT_S + 1.2)

    def test_garbage(self) -> None:
        """What is not HTTP is told so, or just let go."""
        for said, status in (
            (b"\x16\x03\x01\x02\x00", b" 400 "),
            (b"GET\r\n\r\n", b" 400 "),
            (b"GET /status HTTP/2.0\r\n\r\n", b" 505 "),
            (b"GET /status HTTP/1.1\r\nno field\r\n\r\n", b" 400 "),
        ):
            self.assertIn(status, self.told(said)[0], said)

    def test_two_requests(self) -> None:
        """A second request on one connection is not answered: the first answer said that the connection is closed."""
        _, body = self.told(b"GET /health HTTP/1.1\r\n\r\n" * 2)
        self.assertEqual(body, b"ok\n")

    def test_many(self) -> None:
        """Of too many silent ones the oldest goes, and whoever asks is answered."""
        silent = [self.visit(b"") for _ in range(3 * VISITORS_MAXIMUM)]
        self.run_for(0.1)
        self.assertEqual(sum(one.lost is None for one in silent), VISITORS_MAXIMUM)
        self.assertEqual(self.told(b"GET /health HTTP/1.0\r\n\r\n")[1], b"ok\n")

    def test_stopped(self) -> None:
        """A gateway that has stopped keeps nobody there."""
        silent = self.visit(b"")
        self.run_for(0.1)
        stopped = self.gateway.stopService()
        self.is_reset(silent, 0.1)
        self.wait(lambda: stopped.called)
        self.run_for(60)
        self.assertEqual(self.network.hosts["gw"].getDelayedCalls(), [])
