"""
How a stream begins: the SOCKS 5 request and its reply (RFC 1928 4 and 6), on either side.

The opener asks for a name and learns whether the far dial worked; the acceptor learns the name and answers when it knows. Either hands the stream
over to a leg afterwards, with the bytes that came behind the negotiation.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from kwic.errors import ProtocolError
from kwic.transport.deadlines import Deadline, Deadlines
from kwic.transport.leg import Leg
from kwic.transport.stream import Stream
from kwic.wire.socks5 import (
    REQUEST_MAXIMUM_BYTES,
    Command,
    Rep,
    ReplyParser,
    Request,
    RequestParser,
    SocksError,
    method_reply,
    open_request,
    reply,
    whole_request,
)

_METHOD = method_reply()
_CONNECTED = Rep.SUCCEEDED
_SUCCEEDED = reply(Rep.SUCCEEDED)
_METHOD_AND_SUCCEEDED = _METHOD + _SUCCEEDED

#: The request follows the opening of a stream at once; a peer that opens and says nothing is reset.
REQUEST_S = 5.0


class Opener(Protocol):
    """
    Asks on a fresh stream for a name.

    :param command: CONNECT for a client, BIND to offer a name.
    :param name: the rendezvous key, or the path of the service.
    :param on_acknowledged: the far session has seen the stream.
    :param on_reply: the far side has answered; with `Rep.SUCCEEDED` the stream is usable.
    :param on_lost: the stream ended before the answer.
    """

    transport: Stream

    def __init__(
        self,
        command: Command,
        name: str,
        *,
        on_reply: Callable[[Opener, Rep], None],
        on_lost: Callable[[Opener], None],
        on_acknowledged: Callable[[], None] = lambda: None,
    ) -> None:
        self._request = open_request(command, name)
        self._parser: ReplyParser | None = None
        self._on_reply = on_reply
        self._on_lost = on_lost
        self.acknowledged = on_acknowledged
        self.rest = b""

    def connectionMade(self) -> None:
        """Send greeting and request without waiting."""
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Read the reply."""
        try:
            code = self._read(data)
        except ProtocolError:
            self.transport.abortConnection()
            return
        if code is None:
            return
        # Nothing of what follows may arrive before somebody is there to take it.
        self.transport.pauseProducing()
        if code is not _CONNECTED:
            self._on_lost = _nobody
            self.transport.abortConnection()
        self._on_reply(self, code)

    def _read(self, data: bytes) -> Rep | None:
        if self._parser is None:
            # So it comes from one that does as ours; others may send it in pieces.
            if data == _METHOD_AND_SUCCEEDED:
                return _CONNECTED
            self._parser = ReplyParser()
        answer, self.rest = self._parser.receive(data)
        return None if answer is None else answer.code

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """No answer will come."""
        self._on_lost(self)

    def leg(self) -> Leg:
        """The stream as a leg, with the bytes that came behind the reply."""
        leg = Leg(early=self.rest)
        self.transport.hand_over(leg)
        return leg


class Acceptor(Protocol):
    """
    Reads the request of a stream that the peer opened.

    :param deadlines: for the request, `REQUEST_S` each; several acceptors may share them.
    :param on_request: called with this acceptor when the request is there; it answers with `accept` or `refuse`.
    """

    transport: Stream

    def __init__(self, deadlines: Deadlines, on_request: Callable[[Acceptor, Request], None]) -> None:
        self._deadlines = deadlines
        self._parser: RequestParser | None = None
        self._on_request = on_request
        self._deadline: Deadline
        #: The method, where it was not said yet.
        self._unsaid = b""
        self._rest = b""
        self.on_lost: Callable[[], None] = _nothing

    def connectionMade(self) -> None:
        """Wait for the request, for a bounded time."""
        self._deadline = self._deadlines.begin(self.transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Read the request."""
        try:
            request = self._read(data)
        except SocksError as error:
            self.transport.write(error.answer)
            self.transport.reset_when_sent()
            return
        if request is not None:
            self._deadlines.cancel(self._deadline)
            self.transport.pauseProducing()
            self._on_request(self, request)

    def _read(self, data: bytes) -> Request | None:
        parser = self._parser
        if parser is None:
            request = whole_request(data) if len(data) <= REQUEST_MAXIMUM_BYTES else None
            if request is not None:
                # This opener runs ahead, and need not hear of the method before it hears of the rest.
                self._unsaid = _METHOD
                return request
            parser = self._parser = RequestParser()
        was_greeted = parser.greeted
        request, self._rest = parser.receive(data)
        if parser.greeted and not was_greeted:
            # One that goes step by step waits for it before it sends the request.
            self.transport.write(_METHOD)
        return request

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The opener gave up."""
        self._deadlines.cancel(self._deadline)
        self.on_lost()

    def accept(self) -> Leg:
        """Say that the name was reached; the stream as a leg."""
        leg = Leg(early=self._rest)
        self.on_lost = _nothing
        self.transport.write(self._unsaid + _SUCCEEDED)
        self.transport.hand_over(leg)
        return leg

    def accept_with(self, protocol: Protocol) -> None:
        """Say that the name was reached, and give the stream to a protocol of ours; it carries no client."""
        self.on_lost = _nothing
        self.transport.housekeeping = True
        self.transport.write(self._unsaid + _SUCCEEDED)
        self.transport.hand_over(protocol)

    def register(self, on_lost: Callable[[], None]) -> None:
        """Say that the name is registered; the stream stays open as the registration, until either side ends it."""
        self.accept_with(Registration(on_lost))
        self.transport.resumeProducing()

    def refuse(self, rep: Rep) -> None:
        """Say why not, and end the stream."""
        self.on_lost = _nothing
        self.transport.write(self._unsaid + reply(rep))
        self.transport.reset_when_sent()


class Registration(Protocol):
    """
    A stream that stands for a registered name for as long as it is open.

    :param on_lost: called when it ended.
    """

    transport: Stream

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost

    def dataReceived(self, data: bytes) -> None:
        """Nothing is said here (protocol.md, Stream)."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The name is not offered any more."""
        self._on_lost()


def _nobody(opener: Opener) -> None:
    """The answer was given already."""


def _nothing() -> None:
    """Nobody waits for this any more."""
