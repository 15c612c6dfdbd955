"""The listening side of WebSockets: one site for all services of one address and port.

A :class:`WebSocketSite` builds a protocol for each connection; the caller listens, and wraps the site in TLS when it is
to be secure. Each connection goes through

    head        bytes are collected until the request is complete, by a deadline that counts from the TCP connect
    open        a route accepted it: from here on the connection belongs to its WebSocketTransport
    answered    it was refused or redirected: the answer is sent, the rest of the request is dropped, and it is closed

and is bounded in each: the head in size, the first and the last in time, and all that are not open in number. When there
are too many, the oldest goes: it had its time, and a flood of silent connections must not lock out those who speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import CrossSite
from kwic.errors import MisuseError, SetupError
from kwic.policy.origin import origin_allowed
from kwic.transport.autobahn_channel import Channel, ServerChannels
from kwic.transport.connection_log import (
    ConnectionEntry,
    ConnectionLog,
    Role,
    address_text,
    socket_layers,
    websocket_layer,
)
from kwic.transport.ending import explain_end
from kwic.transport.judgement import CertificateRefused
from kwic.transport.lean_channel import LeanChannel
from kwic.transport.line import connection_below
from kwic.transport.websocket_transport import DEFAULT_MESSAGE_LIMIT_BYTES, WebSocketTransport
from kwic.wire.http_head import (
    Headers,
    HeadReader,
    HttpError,
    RequestHead,
    parse_request,
    render_answer,
    render_head,
)
from kwic.wire.kwic_headers import TUNNEL_SUBPROTOCOL
from kwic.wire.upgrade_request import canonical_authority, read_target, read_upgrade

HANDSHAKE_TIMEOUT_S = 5.0
"""From the TCP connect until the WebSocket is open: TLS and HTTP together."""
MAXIMUM_HANDSHAKES = 1000
"""Connections that are not open yet, per site: with TLS about 100 KiB each."""
ANSWER_TIMEOUT_S = 2.0
"""How long a refused client may take to read its answer and leave."""
REFUSAL_LOG_S = 1.0
"""A refused client certificate is logged at most so often; the others are on level debug."""
ANY_HOST = "*"


@dataclass(frozen=True, kw_only=True)
class UpgradeRequest:
    """What a client asks for, checked."""

    host: str
    """``host:port``, lower case, the port explicit."""
    path: str
    query: str
    secure: bool
    origin: str | None
    protocols: tuple[str, ...]
    headers: Headers
    peer: IAddress
    identity: Any = None
    """The verified identity in the client's certificate; None when it showed none."""


@dataclass(frozen=True, kw_only=True)
class Accept:
    """Open the WebSocket, and connect this protocol to it."""

    protocol: IProtocol
    subprotocol: str | None = None
    """One of those that the client offers."""
    headers: Mapping[str, str] = field(default_factory=dict)
    message_limit_bytes: int | None = DEFAULT_MESSAGE_LIMIT_BYTES
    """None for tunnels: no limit, and no waiting for whole messages."""
    inactivity_timeout_s: float | None = None
    reject_text: bool = False
    logged: bool = True
    """Whether the connection log notes it."""


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Send the client elsewhere."""

    location: str
    """An absolute http or https URI."""


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Answer with an error."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)


class IRoute(Interface):
    """Whoever serves a host and path."""

    def answer(self, request: UpgradeRequest) -> Accept | Redirect | Refuse:
        """Decide about one request, at once."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A row of the routing table."""

    route: IRoute
    owner: str
    origins: frozenset[str]
    cross_sites: tuple[CrossSite, ...]


@implementer(IProtocolFactory)
class WebSocketSite:
    """The services of one listener.

    :param clock: for deadlines.
    :param secure: whether the caller wraps this in TLS.
    :param identify: reads the verified identity of a client from its connection.
    :param connection_log: says which connections open and close.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        *,
        secure: bool,
        identify: Callable[[Any], Any] = lambda _: None,
        connection_log: ConnectionLog | None = None,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        maximum_handshakes: int = MAXIMUM_HANDSHAKES,
    ) -> None:
        self.clock = clock
        self.secure = secure
        self.identify = identify
        self.connection_log = connection_log or ConnectionLog(enabled=False)
        self.handshake_timeout_s = handshake_timeout_s
        self.channels = ServerChannels()
        self._maximum_handshakes = maximum_handshakes
        self._routes: dict[tuple[str, str], _Entry] = {}
        self._handshakes: dict[_Connection, None] = {}
        self._refusal_logged_s: float | None = None

    # -- routes ------------------------------------------------------------------------------------------------------------

    def add(
        self,
        authority: str,
        path: str,
        route: IRoute,
        *,
        owner: str = "",
        cross_sites: Iterable[CrossSite] = (),
        balances: Iterable[str] = (),
    ) -> None:
        """Serve a host and path.

        :param authority: ``host`` or ``host:port`` as clients name it; ``*:port`` for any host that no one else serves.
        :param path: exactly this one.
        :param owner: the name of the service, for the error below.
        :param cross_sites: the pages from which browsers may come, besides the authority's own.
        :param balances: the authorities of balancers that send clients here.
        :raises SetupError: when somebody serves that host and path already.
        """
        key = (self._canonical(authority), path)
        if key in self._routes:
            raise SetupError(
                f"services {self._routes[key].owner!r} and {owner!r} both accept {key[0]}{path}: give one another path or host"
            )
        self._routes[key] = _Entry(
            route=route,
            owner=owner,
            origins=frozenset({key[0], *(self._canonical(balance) for balance in balances)}),
            cross_sites=tuple(cross_sites),
        )

    def remove(self, authority: str, path: str) -> None:
        """Serve a host and path no longer; what is open there stays."""
        self._routes.pop((self._canonical(authority), path), None)

    def __len__(self) -> int:
        return len(self._routes)

    def _canonical(self, authority: str) -> str:
        if authority.partition(":")[0] == ANY_HOST:
            return authority if ":" in authority else f"{authority}:{443 if self.secure else 80}"
        return canonical_authority(authority, secure=self.secure)

    def find(self, authority: str, path: str) -> _Entry:
        """:returns: who serves a host and path.

        :raises HttpError: 404.
        """
        entry = self._routes.get((authority, path))
        if entry is None:
            entry = self._routes.get((f"{ANY_HOST}:{authority.rpartition(':')[2]}", path))
        if entry is None:
            raise HttpError(404, f"nothing is served at {authority}{path}")
        return entry

    # -- connections -------------------------------------------------------------------------------------------------------

    @property
    def handshakes(self) -> int:
        """How many connections are not open yet, or refused and not gone yet."""
        return len(self._handshakes)

    def doStart(self) -> None:
        """Called for each port that listens."""

    def doStop(self) -> None:
        """Called for each port that stops listening: whoever is not open yet is let go."""
        for connection in tuple(self._handshakes):
            connection.abort("the listener was closed")

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """:returns: a protocol for a connection that was accepted."""
        return _Connection(self)

    def shaking(self, connection: _Connection) -> None:
        """A connection was made and is not open."""
        if len(self._handshakes) >= self._maximum_handshakes:
            next(iter(self._handshakes)).abort("too many connections are shaking hands")
        self._handshakes[connection] = None
        _set_patient(connection, patient=True)

    def certificate_refused(self, peer: str, why: str) -> None:
        """A client showed a certificate that we do not accept: worth a line, though not one for each of a flood."""
        now_s = self.clock.seconds()
        is_due = self._refusal_logged_s is None or now_s - self._refusal_logged_s >= REFUSAL_LOG_S
        self.log.emit(
            LogLevel.warn if is_due else LogLevel.debug, "{peer} is refused: {why}", peer=peer, why=why
        )
        if is_due:
            self._refusal_logged_s = now_s

    def settled(self, connection: _Connection) -> None:
        """A connection is open, or gone."""
        self._handshakes.pop(connection, None)
        _set_patient(connection, patient=False)


def _set_patient(connection: _Connection, *, patient: bool) -> None:
    """Handshakes are served after what is open, where the connection knows of it (see `lean_reactor`)."""
    below = connection_below(connection.transport)
    if hasattr(below, "patient"):
        below.patient = patient


class _Connection(Protocol):
    """One connection from its TCP connect to its end."""

    takes_views = False
    """Whether what was read may be given as a view of a buffer that is used again (see `whole_tls`)."""

    log = Logger()
    transport: Any

    def __init__(self, site: WebSocketSite) -> None:
        self._site = site
        self._reader: HeadReader | None = HeadReader()
        self._deadline: IDelayedCall | None = None
        self._websocket: WebSocketTransport | None = None
        self._entry: ConnectionEntry | None = None
        self._is_head = False

    # -- IProtocol ---------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """TCP is connected; TLS is not yet."""
        self._site.shaking(self)
        self._deadline = self._site.clock.callLater(
            self._site.handshake_timeout_s, self.abort, "the handshake took too long"
        )

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the head; later ones go to the WebSocket directly."""
        if self._websocket is not None:
            self._websocket.data_received(data)
        elif self._reader is not None:
            try:
                self._read(self._reader, data)
            except HttpError as e:
                self._answer(e.status, e.text, e.headers)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._settled()
        if self._websocket is not None:
            self._websocket.connection_lost(reason)
            if self._entry is not None:
                end = self._websocket.end or reason
                self._entry.closed(explain_end(end))
        elif reason.check(CertificateRefused):
            self._site.certificate_refused(self._peer(), explain_end(reason))
        else:
            self.log.debug("{peer} left: {why}", peer=self._peer(), why=explain_end(reason))

    def abort(self, why: str) -> None:
        """Drop the connection."""
        self.log.debug("{peer} is dropped: {why}", peer=self._peer(), why=why)
        self._reader = None
        self._settled()
        self.transport.abortConnection()

    def _settled(self) -> None:
        self._site.settled(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _peer(self) -> str:
        return "?" if self.transport is None else address_text(self.transport.getPeer())

    # -- the request -------------------------------------------------------------------------------------------------------

    def _read(self, reader: HeadReader, data: bytes) -> None:
        complete = reader.receive(data)
        if complete is None:
            return
        self._reader = None
        head, rest = complete
        request = parse_request(head)
        self._is_head = request.method == "HEAD"
        target = read_target(request, secure=self._site.secure)
        entry = self._site.find(target.authority, target.path)
        upgrade = read_upgrade(request)
        if not origin_allowed(upgrade.origin, entry.origins, entry.cross_sites):
            raise HttpError(403, f"pages of {upgrade.origin!a} may not open WebSockets here")
        asked = UpgradeRequest(
            host=target.authority,
            path=target.path,
            query=target.query,
            secure=self._site.secure,
            origin=upgrade.origin,
            protocols=upgrade.protocols,
            headers=request.headers,
            peer=self.transport.getPeer(),
            identity=self._site.identify(self.transport),
        )
        self._follow(self._decide(entry, asked), request, asked, rest)

    def _decide(self, entry: _Entry, asked: UpgradeRequest) -> Accept | Redirect | Refuse:
        try:
            answer = entry.route.answer(asked)
            _check(answer, asked)
        except Exception:  # noqa: BLE001 - a bug of one service must not show as a broken connection of the listener
            self.log.failure("{owner} failed on a request for {path}", owner=entry.owner, path=asked.path)
            return Refuse(status=500, reason="the service failed")
        return answer

    def _follow(
        self, answer: Accept | Redirect | Refuse, request: RequestHead, asked: UpgradeRequest, rest: bytes
    ) -> None:
        if isinstance(answer, Redirect):
            self._answer(302, f"go to {answer.location}", (("Location", answer.location),))
        elif isinstance(answer, Refuse):
            self._answer(answer.status, answer.reason, tuple(answer.headers.items()))
        else:
            self._open(answer, request, asked, rest)

    def _answer(self, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send an answer and close, by a deadline; what still comes of the request is dropped."""
        self.log.debug("{peer} is answered {status}: {text}", peer=self._peer(), status=status, text=text)
        self._reader = None
        self.transport.write(render_answer(status, text, headers, with_body=not self._is_head))
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = self._site.clock.callLater(ANSWER_TIMEOUT_S, self.abort, "it did not leave")
        self._finish()

    def _finish(self) -> None:
        """Say that nothing more follows, yet go on reading: closing on unread bytes would take the answer back (a reset)."""
        transport = self.transport
        if ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport):
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    # -- the WebSocket -----------------------------------------------------------------------------------------------------

    def _open(self, answer: Accept, request: RequestHead, asked: UpgradeRequest, rest: bytes) -> None:
        transport = self.transport
        channel: Channel = self._site.channels.open(
            transport,
            request,
            subprotocol=answer.subprotocol,
            headers=tuple(answer.headers.items()),
            limit_bytes=answer.message_limit_bytes,
            reject_text=answer.reject_text,
        )
        self._settled()
        if answer.subprotocol == TUNNEL_SUBPROTOCOL:
            channel = LeanChannel(transport, client=False)
            self.takes_views = True
        self._websocket = channel.user = WebSocketTransport(
            self._site.clock,
            transport,
            channel,
            uri=f"{'wss' if asked.secure else 'ws'}://{asked.host}{asked.path}",
            subprotocol=answer.subprotocol,
            request=asked,
            message_limit_bytes=answer.message_limit_bytes,
            inactivity_timeout_s=answer.inactivity_timeout_s,
        )
        if answer.logged:
            self._entry = self._site.connection_log.opened(
                Role.SERVER,
                address_text(asked.peer),
                [*socket_layers(transport), websocket_layer(Role.SERVER, self._websocket.uri)],
            )
        self._websocket.start(answer.protocol)
        if rest:
            self._websocket.data_received(rest)


def _check(answer: Accept | Redirect | Refuse, asked: UpgradeRequest) -> None:
    """:raises MisuseError: when a route's answer would not be a proper head."""
    if isinstance(answer, Redirect):
        render_head("", [("Location", answer.location)])
        return
    render_head("", answer.headers.items())
    if isinstance(answer, Accept) and answer.subprotocol not in (None, *asked.protocols):
        raise MisuseError(f"subprotocol {answer.subprotocol!r} was not offered")
