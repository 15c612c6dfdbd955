"""Upgrade requests: where they want to go, and whether they are proper."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.wire.http_head import Headers, HttpError, RequestHead
from kwic.wire.upgrade_request import Target, canonical_authority, read_target, read_upgrade

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PROPER = (
    ("host", "example.com"),
    ("upgrade", "websocket"),
    ("connection", "keep-alive, Upgrade"),
    ("sec-websocket-key", KEY),
    ("sec-websocket-version", "13"),
)


def request(
    *extra: tuple[str, str],
    without: str = "",
    method: str = "GET",
    target: str = "/kwic",
    version: tuple[int, int] = (1, 1),
) -> RequestHead:
    """A request that is proper but for what the arguments change."""
    fields = tuple(field for field in PROPER if field[0] != without)
    return RequestHead(method=method, target=target, version=version, headers=Headers((*fields, *extra)))


class AuthorityTests(SynchronousTestCase):
    """Host and port in one form."""

    def test_one_form(self) -> None:
        """Case, a trailing dot, a default port and the spelling of an IPv6 address make no difference."""
        for text, secure, expected in (
            ("Example.COM", True, "example.com:443"),
            ("example.com.", False, "example.com:80"),
            ("example.com:8080", True, "example.com:8080"),
            ("[::1]", False, "[::1]:80"),
            ("[0:0::1]:9", False, "[::1]:9"),
            ("10.0.0.1:65535", False, "10.0.0.1:65535"),
        ):
            self.assertEqual(canonical_authority(text, secure=secure), expected)

    def test_malformed(self) -> None:
        """What is not a host and a port is refused."""
        for text in (
            "",
            ":80",
            ".",
            "a b",
            "a:b",
            "a:0",
            "a:65536",
            "a:1:2",
            "[::1",
            "[::g]",
            "[1.2.3]",
            "::1",
            "u@h",
            "a/b",
        ):
            error = self.assertRaises(HttpError, canonical_authority, text, secure=False)
            self.assertEqual(error.status, 400, text)


class TargetTests(SynchronousTestCase):
    """Where a request wants to go."""

    def test_origin_form(self) -> None:
        """Host, path and query are told apart."""
        self.assertEqual(
            read_target(request(target="/a/b?c=d?e"), secure=True),
            Target(authority="example.com:443", path="/a/b", query="c=d?e"),
        )

    def test_absolute_form(self) -> None:
        """An absolute target is as good when it agrees with the Host."""
        for target, path, query in (
            ("http://EXAMPLE.com/a", "/a", ""),
            ("ws://example.com:80", "/", ""),
            ("http://example.com?q", "/", "q"),
        ):
            self.assertEqual(
                read_target(request(target=target), secure=False),
                Target(authority="example.com:80", path=path, query=query),
            )

    def test_absolute_form_for_another_host(self) -> None:
        """An absolute target for another host, or another port, is refused."""
        for target in ("http://other.example.com/a", "https://example.com/a", "http://u@example.com/"):
            error = self.assertRaises(HttpError, read_target, request(target=target), secure=False)
            self.assertEqual(error.status, 400)

    def test_other_forms(self) -> None:
        """Neither a star, nor an authority, nor a fragment is a target for us."""
        for target in ("*", "example.com:443", "kwic", "/a#b", "ftp://example.com/a"):
            error = self.assertRaises(HttpError, read_target, request(target=target), secure=False)
            self.assertEqual(error.status, 400)

    def test_host_fields(self) -> None:
        """No Host, an empty one and two of them, even if they are equal, are refused."""
        for bad in (
            request(without="host"),
            request(("host", ""), without="host"),
            request(("host", "example.com")),
        ):
            self.assertEqual(self.assertRaises(HttpError, read_target, bad, secure=False).status, 400)


class UpgradeTests(SynchronousTestCase):
    """Whether a request is a proper upgrade."""

    def refused(self, head: RequestHead) -> HttpError:
        """The refusal of a request."""
        return self.assertRaises(HttpError, read_upgrade, head)

    def test_proper(self) -> None:
        """A proper request gives its key, its subprotocols in order, and its Origin."""
        plain = read_upgrade(request())
        self.assertEqual((plain.key, plain.protocols, plain.origin), (KEY, (), None))
        full = read_upgrade(
            request(
                ("sec-websocket-protocol", "kwic.1, socks"),
                ("sec-websocket-protocol", "x"),
                ("origin", "https://a"),
                ("content-length", "0"),
            )
        )
        self.assertEqual((full.protocols, full.origin), (("kwic.1", "socks", "x"), "https://a"))

    def test_other_methods(self) -> None:
        """Whatever is not GET is answered 405 with what is allowed."""
        error = self.refused(request(method="POST"))
        self.assertEqual((error.status, error.headers), (405, (("Allow", "GET"),)))

    def test_other_http_versions(self) -> None:
        """HTTP/1.0 knows no upgrade."""
        self.assertEqual(self.refused(request(version=(1, 0))).status, 505)

    def test_plain_get(self) -> None:
        """A browser that opens the address is told what it would take."""
        plain = RequestHead(method="GET", target="/", version=(1, 1), headers=Headers((("host", "a"),)))
        error = self.refused(plain)
        self.assertEqual((error.status, dict(error.headers)["Upgrade"]), (426, "websocket"))

    def test_an_upgrade_that_lost_its_fields(self) -> None:
        """Upgrade or Connection taken out by something on the way, or naming something else, is a bad request."""
        for head in (
            request(without="upgrade"),
            request(without="connection"),
            request(("upgrade", "h2c"), without="upgrade"),
            request(("connection", "close"), without="connection"),
        ):
            self.assertEqual(self.refused(head).status, 400)

    def test_no_body(self) -> None:
        """A request with a body is refused: its bytes would be taken for frames."""
        self.assertEqual(self.refused(request(("content-length", "5"))).status, 400)
        self.assertEqual(self.refused(request(("transfer-encoding", "chunked"))).status, 400)

    def test_other_websocket_versions(self) -> None:
        """Any version but 13, none and two are answered 426 with the one that is spoken."""
        for head in (
            request(without="sec-websocket-version"),
            request(("sec-websocket-version", "8"), without="sec-websocket-version"),
            request(("sec-websocket-version", "13")),
        ):
            error = self.refused(head)
            self.assertEqual(error.status, 426)
            self.assertIn(("Sec-WebSocket-Version", "13"), error.headers)

    def test_keys(self) -> None:
        """A key that is missing, doubled, too short, too long or no base64 is refused."""
        for key in ("", "AAAA", KEY[:-1], KEY[:-2] + "!=", "A" * 44, "dGhlIHNhbXBsZSBub25jZ Q=="):
            head = request(("sec-websocket-key", key), without="sec-websocket-key")
            self.assertEqual(self.refused(head).status, 400, key)
        self.assertEqual(self.refused(request(("sec-websocket-key", KEY))).status, 400)
        self.assertEqual(self.refused(request(without="sec-websocket-key")).status, 400)

    def test_a_subprotocol_twice(self) -> None:
        """A subprotocol that is offered twice is refused (RFC 6455 11.3.4)."""
        self.assertEqual(self.refused(request(("sec-websocket-protocol", "a, b, a"))).status, 400)

    def test_two_origins(self) -> None:
        """Two Origins are refused: which one would count?"""
        self.assertEqual(self.refused(request(("origin", "http://a"), ("origin", "http://a"))).status, 400)
