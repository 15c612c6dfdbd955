"""HTTP/1.1 message heads (RFC 9112): read strictly, within a limit, and written so that nothing can be slipped in.

Only heads are needed here: an upgrade request, its answer, and the answer of a CONNECT proxy. A strict reader of our own
stands in front of every library that would be lenient, because what two parsers read differently is how requests are
smuggled: line ends are CRLF, names are tokens, folded lines and control characters are refused, and the size is bounded
before anything is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kwic.errors import MisuseError, ProtocolError

MAXIMUM_HEAD_BYTES = 16384
"""Start line and fields together: four times what browsers with large cookies send, little enough to hold for strangers."""
MAXIMUM_FIELDS = 100
"""An upgrade request has about ten."""

_END = b"\r\n\r\n"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")
_TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REQUEST_LINE = re.compile(r"(\S+) (\S+) HTTP/(\d)\.(\d)\Z")
_STATUS_LINE = re.compile(r"HTTP/(\d)\.(\d) (\d{3})(?: (.*))?\Z")
_PRINTABLE = re.compile(r"[!-~]+\Z")

REASONS = {
    101: "Switching Protocols",
    200: "OK",
    302: "Found",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class HttpError(ProtocolError):
    """The other end's head broke a rule, or asked for what there is not.

    :param status: the status code that answers it.
    :param text: one line for whoever reads the answer.
    :param headers: further fields of the answer.
    """

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


@dataclass(frozen=True)
class Headers:
    """The fields of a head, in order, names in lower case."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """:returns: the value of a field, several joined by commas (RFC 9110 5.2); None when it is not there."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """:returns: the value of every line with that name."""
        wanted = name.lower()
        return tuple(value for key, value in self.fields if key == wanted)

    def elements(self, name: str) -> tuple[str, ...]:
        """:returns: the elements of a field that is a comma-separated list, as written, empty ones left out."""
        return tuple(part.strip() for value in self.all(name) for part in value.split(",") if part.strip())

    def has_element(self, name: str, element: str) -> bool:
        """Whether a list field holds an element, in any case of letters."""
        return element.lower() in (part.lower() for part in self.elements(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)


@dataclass(frozen=True, kw_only=True)
class RequestHead:
    """A request line and its fields."""

    method: str
    target: str
    version: tuple[int, int]
    headers: Headers = field(default_factory=Headers)


@dataclass(frozen=True, kw_only=True)
class ResponseHead:
    """A status line and its fields."""

    version: tuple[int, int]
    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)


class HeadReader:
    """Collects bytes until a head is complete.

    :param limit_bytes: the head may be as long as this.
    """

    def __init__(self, limit_bytes: int = MAXIMUM_HEAD_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    @property
    def received_bytes(self) -> int:
        """How much of a head has come."""
        return len(self._buffer)

    def receive(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take what was read.

        :returns: the head with its empty line, and what followed it; None while more is needed.
        :raises HttpError: 400 when it cannot become a head, 431 when it is too long.
        """
        searched = max(0, len(self._buffer) - len(_END) + 1)
        self._buffer += data
        if self._buffer and self._buffer[0] not in _TOKEN_BYTES:
            raise HttpError(400, "this is not HTTP")
        end = self._buffer.find(_END, searched)
        if end + len(_END) > self._limit_bytes or (end < 0 and len(self._buffer) >= self._limit_bytes):
            raise HttpError(431, f"the head is longer than {self._limit_bytes} bytes")
        if end < 0:
            return None
        end += len(_END)
        head, rest = bytes(self._buffer[:end]), bytes(self._buffer[end:])
        self._buffer.clear()
        return head, rest


def parse_request(head: bytes) -> RequestHead:
    """:returns: a request head.

    :param head: as :meth:`HeadReader.receive` returns it.
    :raises HttpError: 400, 431 or 505.
    """
    line, headers = _split(head)
    match = _REQUEST_LINE.match(line)
    if match is None or not _TOKEN.match(match[1]) or not _PRINTABLE.match(match[2]):
        raise HttpError(400, "the request line is malformed")
    version = (int(match[3]), int(match[4]))
    if version[0] != 1:
        raise HttpError(505, "only HTTP/1.1 is spoken here")
    return RequestHead(method=match[1], target=match[2], version=version, headers=headers)


def parse_response(head: bytes) -> ResponseHead:
    """:returns: a response head.

    :param head: as :meth:`HeadReader.receive` returns it.
    :raises HttpError: when it is not one.
    """
    line, headers = _split(head)
    match = _STATUS_LINE.match(line)
    if match is None or match[1] != "1":
        raise HttpError(400, "the status line is malformed")
    return ResponseHead(
        version=(int(match[1]), int(match[2])),
        status=int(match[3]),
        reason=printable(match[4] or "").strip(),
        headers=headers,
    )


def _split(head: bytes) -> tuple[str, Headers]:
    """The start line and the fields of a head."""
    start, *lines = head.removesuffix(_END).decode("iso-8859-1").split("\r\n")
    if len(lines) > MAXIMUM_FIELDS:
        raise HttpError(431, f"there are more than {MAXIMUM_FIELDS} header fields")
    if not _VALUE.match(start):
        raise HttpError(400, "the first line has control characters")
    return start, Headers(tuple(_field(line) for line in lines))


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.match(name):
        raise HttpError(400, "a header field has no proper name")
    if not _VALUE.match(value):
        raise HttpError(400, f"the header field {name} has control characters")
    return name.lower(), value.strip(" \t")


def printable(text: str) -> str:
    """:returns: a text of the other end's that may stand in a log: no line ends, no control sequences of terminals."""
    return "".join(character if character.isprintable() else "?" for character in text)


def render_head(start_line: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """:returns: a head as bytes, with its empty line.

    :raises MisuseError: when a part would break out of its line.
    """
    if not _VALUE.match(start_line):
        raise MisuseError(f"not a start line: {start_line!r}")
    lines = [start_line]
    for name, value in fields:
        if not _TOKEN.match(name) or not _VALUE.match(value):
            raise MisuseError(f"not a header field: {name!r}: {value!r}")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("iso-8859-1")


def render_request(method: str, target: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """:returns: a request head as bytes.

    :raises MisuseError: when a part would break out of its place.
    """
    if not _TOKEN.match(method) or not _PRINTABLE.match(target):
        raise MisuseError(f"not a request: {method!r} {target!r}")
    return render_head(f"{method} {target} HTTP/1.1", fields)


def render_answer(
    status: int, text: str, fields: Iterable[tuple[str, str]] = (), *, with_body: bool = True
) -> bytes:
    """:returns: a whole answer that ends the connection, with a line of plain text as its body.

    :param with_body: False in answer to HEAD.
    """
    body = f"{text}\n".encode()
    head = render_head(
        f"HTTP/1.1 {status} {REASONS.get(status, 'Refused')}",
        [
            *fields,
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ],
    )
    return head + body if with_body else head
