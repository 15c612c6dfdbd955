"""
SOCKS 5 on a connection of its own (RFC 1928, to the letter): a leg on which a request is spoken first, from either side.

    SocksAcceptor   reads the request. CONNECT has one reply, then bytes. BIND has two: the first when the name is registered, the second when
                    a client has come, then bytes.
    SocksOpener     makes the request, a step at a time.

One connection carries one client: TCP, TLS, or a WebSocket on which `socks` was agreed. Between two peers that speak `kwic.1`, streams of
a tunnel take its place (`negotiation`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from ipaddress import ip_address

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from kwic.errors import ProtocolError
from kwic.transport.handshakes import Handshake
from kwic.transport.keepalive import probe_when_silent
from kwic.transport.leg import Leg, tune
from kwic.wire.socks5 import (
    NOWHERE,
    Command,
    Host,
    Rep,
    Reply,
    ReplyParser,
    Request,
    RequestParser,
    SocksError,
    greeting,
    method_reply,
    reply,
    request,
)

#: What a BIND may take until its first reply: nothing is dialled for it.
REGISTER_S = 5.0
#: How long a refused peer may take to read why and leave (RFC 1928 6 allows ten seconds).
REFUSAL_S = 5.0


class Asked(Enum):
    """How far an acceptor is."""

    NOT_YET = "the request is not complete"
    UNDECIDED = "somebody decides about the request"
    REGISTERED = "the name is registered: a client is waited for"
    JOINABLE = "it is a leg like any other"
    REFUSED = "it was told no, and is being closed"


class SocksAcceptor(Leg):
    """
    Reads a request, and answers it.

    :param clock: for closing.
    :param on_request: called with this acceptor and the request; it answers with `accept`, `register` or `refuse`.
    :param on_over: called with this acceptor, once, when it waits for nothing any more: it is joined, refused or gone.
    :param peer: the other end, in log lines.
    """

    #: Nothing speaks against a connection that is up (see `service.reverse.Holder`).
    suspect = False

    def __init__(
        self,
        clock: IReactorTime,
        on_request: Callable[[SocksAcceptor, Request], None],
        on_over: Callable[[SocksAcceptor], None] = lambda acceptor: None,
        peer: str = "?",
    ) -> None:
        super().__init__()
        self.peer = peer
        #: What bounds the time until the request is there.
        self.handshake: Handshake | None = None
        self._clock = clock
        self._on_request = on_request
        self._on_over: Callable[[SocksAcceptor], None] | None = on_over
        self._withdraw: Callable[[], None] | None = None
        self._parser = RequestParser()
        self._method_sent = False
        self._state = Asked.NOT_YET
        self._closing: IDelayedCall | None = None
        self.sink = self._read

    @property
    def usable(self) -> bool:
        """Whether it waits for a client."""
        return self._state is Asked.REGISTERED and self.lost is None

    # -- Protocol -----------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Wait for the request."""
        tune(self.transport)
        probe_when_silent(self.transport)
        self.on_end = _leave

    def handshakeCompleted(self) -> None:
        """TLS is up, and the request may come."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        super().connectionLost(reason)
        self._over()

    def _read(self, data: bytes) -> None:
        try:
            wanted, rest = self._parser.receive(data)
        except SocksError as error:
            self._end_with(error.answer)
            return
        if self._parser.greeted and not self._method_sent:
            self._method_sent = True
            self.transport.write(method_reply())
        if wanted is not None:
            self._through()
            self._wait(rest)
            self._state = Asked.UNDECIDED
            self._on_request(self, wanted)

    def _wait(self, rest: bytes) -> None:
        """Read nothing more until somebody wants it."""
        self.early = bytes(rest)
        self.sink = self._keep
        self.transport.pauseProducing()

    # -- answers ------------------------------------------------------------------------------------------------------------

    def accept(self) -> Leg:
        """The name was reached: the connection as a leg."""
        self._answer(Rep.SUCCEEDED)
        return self._joinable()

    def register(self, on_lost: Callable[[], None]) -> None:
        """
        The name is registered: wait for a client.

        :param on_lost: called when nobody waits here any more: a client has come, or the peer has gone.
        """
        self._withdraw = on_lost
        if self.early:
            # There is nobody yet to whom it could be said.
            self.reset()
            return
        self._state = Asked.REGISTERED
        self.sink = self._too_early
        self._answer(Rep.SUCCEEDED, self.transport.getHost())
        self.transport.resumeProducing()

    def take(self, client: IAddress | None) -> Leg:
        """
        A client has come for the registered name.

        :param client: where it comes from, when that is known.
        :returns: the connection as a leg.
        """
        self._wait(b"")
        self._answer(Rep.SUCCEEDED, client)
        return self._joinable()

    def refuse(self, rep: Rep) -> None:
        """Say why not, and close."""
        self._end_with(reply(rep))

    def close(self) -> None:
        """Nobody will come here for the name any more."""
        self._end_with(b"")

    def _answer(self, rep: Rep, address: IAddress | None = None) -> None:
        self.transport.write(reply(rep, *bound_to(address)))

    def _joinable(self) -> Leg:
        self._state = Asked.JOINABLE
        self._is_ready = True
        self.on_lost = self.on_end = None
        self._over()
        return self

    def _too_early(self, data: bytes) -> None:
        """The peer speaks before there is a client."""
        self.reset()

    def _end_with(self, answer: bytes) -> None:
        self._state = Asked.REFUSED
        self.on_lost = self.on_end = None
        self.early = b""
        self.sink = _drop
        if self.lost is None:
            self.transport.write(answer)
            # Closing on unread bytes would take the answer back (a reset).
            self.transport.resumeProducing()
            self._closing = self._clock.callLater(REFUSAL_S, self.reset)
            self.transport.loseConnection()
        self._over()

    def _through(self) -> None:
        if self.handshake is not None:
            self.handshake.done()

    def _over(self) -> None:
        """It waits for nothing any more."""
        self._through()
        withdraw, self._withdraw = self._withdraw, None
        if withdraw is not None:
            withdraw()
        on_over, self._on_over = self._on_over, None
        if on_over is not None:
            on_over(self)


class Asking(Enum):
    """How far an opener is."""

    GREETED = "the greeting is sent"
    ASKED = "the request is sent"
    REGISTERED = "the name is registered: a client is waited for"
    ANSWERED = "it is a leg like any other, or was told no"


class SocksOpener(Leg):
    """
    Makes a request, waits for the method first, as the RFC has it.

    :param clock: for the deadline of a registration.
    :param command: CONNECT for a client, BIND to offer a name.
    :param name: the rendezvous key.
    :param on_acknowledged: the peer lives: it has chosen the method.
    :param on_registered: a BIND was agreed to.
    :param on_reply: CONNECT was answered, or BIND by its last reply; with `Rep.SUCCEEDED` this is a leg like any other.
    """

    def __init__(
        self,
        clock: IReactorTime,
        command: Command,
        name: str,
        *,
        on_reply: Callable[[SocksOpener, Rep], None],
        on_registered: Callable[[], None] = lambda: None,
        on_acknowledged: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.command = command
        self.name = name
        #: Called when the client that came for the registered name has reached its server.
        self.on_served: Callable[[], None] = lambda: None
        self._clock = clock
        self._on_reply = on_reply
        self._on_registered = on_registered
        self._on_acknowledged = on_acknowledged
        self._parser = ReplyParser()
        self._state = Asking.GREETED
        self._deadline: IDelayedCall | None = None
        self.sink = self._read

    # -- Protocol -----------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Greet."""
        tune(self.transport)
        probe_when_silent(self.transport)
        self.on_end = _leave
        if self.command is Command.BIND:
            self._deadline = self._clock.callLater(REGISTER_S, self.reset)
        self.transport.write(greeting())

    def handshakeCompleted(self) -> None:
        """TLS is up; the greeting is on its way."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone."""
        self._cancel()
        super().connectionLost(reason)

    def _read(self, data: bytes) -> None:
        try:
            answer, rest = self._parser.receive(data)
            while answer is not None:
                self._answered(answer, rest)
                if self._state is not Asking.REGISTERED:
                    return
                answer, rest = self._parser.receive(rest)
        except ProtocolError:
            self.reset()
            return
        if self._parser.method_accepted and self._state is Asking.GREETED:
            self._state = Asking.ASKED
            self.transport.write(request(self.command, self.name))
            self._on_acknowledged()

    def _answered(self, answer: Reply, rest: bytes) -> None:
        self._cancel()
        if self._state is Asking.GREETED:
            raise ProtocolError("a reply to a request that was not made")
        first = self.command is Command.BIND and self._state is Asking.ASKED
        if first and answer.code is Rep.SUCCEEDED:
            self._state = Asking.REGISTERED
            self._on_registered()
            return
        self._state = Asking.ANSWERED
        self._is_ready = True
        self.early = bytes(rest)
        self.sink = self._keep
        self.on_lost = self.on_end = None
        self.transport.pauseProducing()
        if answer.code is not Rep.SUCCEEDED:
            self.reset()
        self._on_reply(self, answer.code)

    def _cancel(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    # -- a client came for the registered name ------------------------------------------------------------------------------

    def accept(self) -> Leg:
        """The name was reached: the connection as a leg."""
        self.on_lost = None
        self.on_served()
        return self

    def refuse(self, rep: Rep) -> None:
        """It was not: RFC 1928 has no way to say so after the second reply, but a reset."""
        self.on_lost = None
        self.reset()


def bound_to(address: IAddress | None) -> tuple[Host, int]:
    """:returns: BND.ADDR and BND.PORT for an address; 0.0.0.0 and 0 for one that is not known, or is none of IP's."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        return NOWHERE, 0
    try:
        return ip_address(host.partition("%")[0]), port
    except ValueError:
        return NOWHERE, 0


def _leave(leg: Leg) -> None:
    """The peer will say no more, and there is nothing that could be said to it."""
    leg.transport.loseConnection()


def _drop(data: bytes) -> None:
    """Nobody is left to read this."""
