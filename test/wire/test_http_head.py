"""Heads of HTTP messages: read strictly, written safely."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.http_head import (
    MAXIMUM_FIELDS,
    Headers,
    HeadReader,
    HttpError,
    parse_request,
    parse_response,
    render_answer,
    render_head,
    render_request,
)

REQUEST = b"GET /kwic HTTP/1.1\r\nHost: a.example.com\r\n\r\n"


class HeadReaderTests(SynchronousTestCase):
    """Bytes until the empty line."""

    def test_a_head_in_one_read(self) -> None:
        """What follows a head is handed back untouched."""
        self.assertEqual(HeadReader().receive(REQUEST + b"\x82\x00more"), (REQUEST, b"\x82\x00more"))

    def test_a_head_byte_by_byte(self) -> None:
        """A head that comes a byte at a time is the same head."""
        reader = HeadReader()
        for position in range(len(REQUEST) - 1):
            self.assertIsNone(reader.receive(REQUEST[position : position + 1]))
            self.assertEqual(reader.received_bytes, position + 1)
        self.assertEqual(reader.receive(REQUEST[-1:]), (REQUEST, b""))

    def test_two_heads_in_a_row(self) -> None:
        """A reader that has given a head takes the next one."""
        reader = HeadReader()
        self.assertEqual(reader.receive(REQUEST), (REQUEST, b""))
        self.assertEqual(reader.receive(REQUEST), (REQUEST, b""))

    @given(st.lists(st.integers(0, len(REQUEST)), max_size=6))
    def test_any_split(self, cuts: list[int]) -> None:
        """However a head is cut into reads, it is the same head."""
        reader, edges, complete = HeadReader(), sorted({0, *cuts, len(REQUEST)}), None
        for start, end in pairwise(edges):
            self.assertIsNone(complete)
            complete = reader.receive(REQUEST[start:end])
        self.assertEqual(complete, (REQUEST, b""))

    def test_nothing_yet(self) -> None:
        """No byte is no error."""
        self.assertIsNone(HeadReader().receive(b""))

    def test_exactly_the_limit(self) -> None:
        """A head as long as the limit passes; one byte more is refused with 431."""
        self.assertEqual(HeadReader(len(REQUEST)).receive(REQUEST), (REQUEST, b""))
        error = self.assertRaises(HttpError, HeadReader(len(REQUEST) - 1).receive, REQUEST)
        self.assertEqual(error.status, 431)

    def test_a_head_without_end(self) -> None:
        """A head that does not end is refused at the limit, not collected."""
        reader = HeadReader(100)
        self.assertIsNone(reader.receive(b"GET / HTTP/1.1\r\nX: " + b"x" * 80))
        self.assertEqual(self.assertRaises(HttpError, reader.receive, b"x").status, 431)

    def test_garbage_is_refused_at_the_first_byte(self) -> None:
        """A TLS greeting, an empty line or binary noise is not waited for."""
        for garbage in (b"\x16\x03\x01\x02\x00", b"\r\n", b"\x00", b" GET", b"\xff"):
            self.assertEqual(self.assertRaises(HttpError, HeadReader().receive, garbage).status, 400)


class ParseTests(SynchronousTestCase):
    """Start lines and fields."""

    def test_a_request(self) -> None:
        """Method, target, version and fields are read; names are compared in lower case, values are trimmed."""
        head = parse_request(b"GET /a?b HTTP/1.1\r\nHost:  x \r\nVia: 1\r\nvia: 2\r\n\r\n")
        self.assertEqual((head.method, head.target, head.version), ("GET", "/a?b", (1, 1)))
        self.assertEqual(list(head.headers), [("host", "x"), ("via", "1"), ("via", "2")])
        self.assertEqual(head.headers.get("VIA"), "1, 2")
        self.assertIsNone(head.headers.get("from"))

    def test_a_response(self) -> None:
        """Status and reason are read; the reason may be missing."""
        head = parse_response(b"HTTP/1.1 404 Not Found\r\nA: \r\n\r\n")
        self.assertEqual((head.version, head.status, head.reason), ((1, 1), 404, "Not Found"))
        self.assertEqual(head.headers.all("a"), ("",))
        self.assertEqual(parse_response(b"HTTP/1.0 200\r\n\r\n").reason, "")

    def test_a_reason_for_the_log(self) -> None:
        """A reason that would move a terminal's cursor is shown without that."""
        self.assertEqual(parse_response(b"HTTP/1.1 500 a\x9b2Jb\xfc\r\n\r\n").reason, "a?2Jbü")

    def test_a_request_is_written_safely(self) -> None:
        """A request is written when its target is one word."""
        self.assertEqual(render_request("GET", "/a", [("A", "b")]), b"GET /a HTTP/1.1\r\nA: b\r\n\r\n")
        for method, target in (("GET", "/a b"), ("GET", ""), ("GET", "/\r\n"), ("G T", "/"), ("GET", "/ü")):
            self.assertRaises(MisuseError, render_request, method, target, [])

    def test_no_fields(self) -> None:
        """A head may have no fields at all."""
        self.assertEqual(parse_request(b"GET / HTTP/1.1\r\n\r\n").headers, Headers())

    def test_malformed_start_lines(self) -> None:
        """A start line that is not one is a bad request."""
        for line in (
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / http/1.1",
            "GE(T / HTTP/1.1",
            "GET /\xe9 HTTP/1.1",
            "GET /\x01 HTTP/1.1",
            "GET /\t HTTP/1.1",
            "",
        ):
            head = line.encode("iso-8859-1") + b"\r\n\r\n"
            self.assertEqual(self.assertRaises(HttpError, parse_request, head).status, 400, line)
        for line in ("HTTP/1.1 20 OK", "HTTP/2 200 OK", "ICY 200 OK", "HTTP/2.0 200 OK", "HTTP/1.1200 OK"):
            self.assertRaises(HttpError, parse_response, line.encode() + b"\r\n\r\n")

    def test_other_versions(self) -> None:
        """HTTP/2 without TLS negotiation is answered 505."""
        self.assertEqual(self.assertRaises(HttpError, parse_request, b"PRI * HTTP/2.0\r\n\r\n").status, 505)

    def test_malformed_fields(self) -> None:
        """No field without a name, no folded line, no blank before the colon, no control character, no bare CR or LF."""
        for field in (
            "nonsense",
            ": x",
            " folded",
            "\tfolded",
            "Host : x",
            "A: \x00",
            "A: \x7f",
            "A: b\nC: d",
            "A: b\rC",
        ):
            head = f"GET / HTTP/1.1\r\n{field}\r\n\r\n".encode()
            self.assertEqual(self.assertRaises(HttpError, parse_request, head).status, 400, field)

    def test_too_many_fields(self) -> None:
        """The number of fields is bounded."""
        fields = b"A: b\r\n" * MAXIMUM_FIELDS
        parse_request(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
        error = self.assertRaises(HttpError, parse_request, b"GET / HTTP/1.1\r\n" + fields + b"A: b\r\n\r\n")
        self.assertEqual(error.status, 431)

    @given(st.binary(max_size=200))
    def test_garbage_is_an_error_or_a_head(self, data: bytes) -> None:
        """Whatever comes, it is read or refused, never anything else."""
        for parse in (parse_request, parse_response):
            try:
                parse(data + b"\r\n\r\n")
            except HttpError as e:
                self.assertIn(e.status, (400, 431, 505))


class HeadersTests(SynchronousTestCase):
    """Fields that are lists."""

    def test_elements(self) -> None:
        """A list is the same on one line and on several, with empty elements left out."""
        headers = Headers((("connection", "keep-alive, Upgrade,"), ("connection", ", x")))
        self.assertEqual(headers.elements("Connection"), ("keep-alive", "Upgrade", "x"))
        self.assertTrue(headers.has_element("connection", "upgrade"))
        self.assertFalse(headers.has_element("connection", "keep"))


class RenderTests(SynchronousTestCase):
    """What we write."""

    def test_a_head(self) -> None:
        """What is written is what is read."""
        head = render_head("GET /x HTTP/1.1", [("Host", "h"), ("A", "b c")])
        self.assertEqual(parse_request(head).headers, Headers((("host", "h"), ("a", "b c"))))

    def test_nothing_can_be_slipped_in(self) -> None:
        """A value with a line end in it is a bug of ours, not a second field."""
        self.assertRaises(MisuseError, render_head, "GET / HTTP/1.1\r\nA: b", [])
        self.assertRaises(MisuseError, render_head, "GET / HTTP/1.1", [("A", "b\r\nC: d")])
        self.assertRaises(MisuseError, render_head, "GET / HTTP/1.1", [("A: b\r\nC", "d")])

    def test_an_answer(self) -> None:
        """An answer has a length, a line of plain text, and ends the connection."""
        answer = render_answer(503, "no member", [("Retry-After", "1")])
        complete = HeadReader().receive(answer)
        assert complete is not None
        head = parse_response(complete[0])
        self.assertEqual(
            (head.status, head.reason, complete[1]), (503, "Service Unavailable", b"no member\n")
        )
        self.assertEqual(head.headers.get("content-length"), "10")
        self.assertEqual(head.headers.get("connection"), "close")
        self.assertEqual(head.headers.get("retry-after"), "1")
        self.assertEqual(head.headers.get("content-type"), "text/plain; charset=utf-8")

    def test_an_answer_without_body(self) -> None:
        """The answer to HEAD has the fields of the body and not the body."""
        answer = render_answer(405, "no", with_body=False)
        self.assertTrue(answer.endswith(b"\r\n\r\n"))
        self.assertIn(b"Content-Length: 3", answer)

    def test_an_unusual_status(self) -> None:
        """A status whose name we do not know has a reason all the same."""
        self.assertTrue(render_answer(499, "no").startswith(b"HTTP/1.1 499 Refused\r\n"))
