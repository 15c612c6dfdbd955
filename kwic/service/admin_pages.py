"""
Pages for an operator: one request on each connection, by a deadline, read as strictly as those of strangers, answered and closed.

Rejected: twisted.web. It waits thirty seconds for each byte and takes a body of any length, which suits a site for the public and not a port that may be
left open to a whole network by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.transport.handshakes import Handshake, Handshakes
from kwic.wire.http_head import REASONS, HeadReader, HttpError, RequestHead, parse_request, render_head

#: From the TCP connect until the answer was taken.
VISIT_S = 5.0
#: So many visitors at a time; when there are more, the oldest goes.
VISITORS_MAXIMUM = 100
_PLAIN = "text/plain; charset=utf-8"
_OK, _NOT_FOUND, _METHOD_NOT_ALLOWED, _INTERNAL_ERROR = 200, 404, 405, 500


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page."""

    make: Callable[[], tuple[int, str] | Deferred[tuple[int, str]]]
    """Returns the HTTP status and the text, anew for each request; at once or later."""
    content_type: str = _PLAIN


class Pages(ServerFactory):
    """
    All of them.

    :param clock: for the deadlines.
    :param pages: each by its path.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self.visits = Handshakes(clock, timeout_s=VISIT_S, maximum=VISITORS_MAXIMUM)

    def buildProtocol(self, addr: IAddress | None) -> Visit:
        """Somebody came."""
        return Visit(self)

    def doStop(self) -> None:
        """The socket was closed: whoever is there still is let go."""
        super().doStop()
        self.visits.give_up()


@implementer(IHalfCloseableProtocol)
class Visit(Protocol):
    """
    One connection: a request, and its answer.

    :param site: the pages.
    """

    log = Logger()
    transport: Any

    def __init__(self, site: Pages) -> None:
        self._site = site
        self._reader: HeadReader | None = HeadReader()
        self._visit: Handshake | None = None
        self._gone = False

    def connectionMade(self) -> None:
        """The request is waited for."""
        self._visit = self._site.visits.began(self.transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """A part of the request; what follows its head is dropped."""
        if self._reader is None:
            return
        with_body = True
        try:
            complete = self._reader.receive(data)
            if complete is None:
                return
            self._reader = None
            request = parse_request(complete[0])
            with_body = request.method != "HEAD"
            page = self._page(request)
        except HttpError as error:
            self._refuse(error, with_body=with_body)
            return
        made: Deferred[Any] = maybeDeferred(page.make)
        made.addCallback(self._made, page.content_type, with_body=with_body)
        made.addErrback(self._not_made, request.target, with_body=with_body)

    def _made(self, found: tuple[int, str], content_type: str, *, with_body: bool) -> None:
        self._answer(*found, content_type, with_body=with_body)

    def _not_made(self, failure: Failure, path: str, *, with_body: bool) -> None:
        self.log.failure("the page {path} could not be made", failure, path=path)
        error = HttpError(_INTERNAL_ERROR, "the page could not be made; the log says why")
        self._refuse(error, with_body=with_body)

    def _refuse(self, error: HttpError, *, with_body: bool) -> None:
        self._answer(error.status, f"{error.text}\n", headers=error.headers, with_body=with_body)

    def _page(self, request: RequestHead) -> Page:
        if request.method not in ("GET", "HEAD"):
            raise HttpError(
                _METHOD_NOT_ALLOWED, "these pages can only be read: GET or HEAD", (("Allow", "GET, HEAD"),)
            )
        page = self._site.pages.get(request.target.partition("?")[0])
        if page is None:
            raise HttpError(_NOT_FOUND, f"there are {', '.join(self._site.pages)}")
        return page

    def _answer(
        self,
        status: int,
        text: str,
        content_type: str = _PLAIN,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        with_body: bool = True,
    ) -> None:
        """Say it and that nothing follows, yet go on reading until the deadline: closing on unread bytes would take the answer back (a reset)."""
        self._reader = None
        if self._gone:
            return
        body = text.encode()
        head = render_head(
            f"HTTP/1.1 {status} {REASONS.get(status, 'Refused')}",
            [
                *headers,
                ("Content-Type", content_type),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("Connection", "close"),
            ],
        )
        self.transport.write(head + body if with_body else head)
        self.transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        """The visitor has said everything; the answer, if there is one, is still sent."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our answer is out."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._gone = True
        if self._visit is not None:
            self._visit.done()
