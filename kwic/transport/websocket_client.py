"""The dialling side of WebSockets: an endpoint that resolves, connects, shakes hands and follows redirects.

``WebSocketEndpoint(...).connect(factory)`` builds the factory's protocol on an open
:class:`~kwic.transport.websocket_transport.WebSocketTransport`. Each attempt resolves the name anew. Certificates are
always verified, against the host of the URI: also through a proxy, at a given address and after a redirect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import Address, TlsOptions, bracketed
from kwic.errors import MisuseError, SetupError
from kwic.policy.forward_proxy import Proxy
from kwic.policy.redirect import STATUSES, AskAgain, Redirection, Refuse
from kwic.transport.attempt import Attempt, within
from kwic.transport.autobahn_channel import Channel, ClientChannel
from kwic.transport.connect_error import ConnectError, WebSocketRefusedError, Why, explain
from kwic.transport.connection_log import (
    ConnectionEntry,
    ConnectionLog,
    Layer,
    Role,
    address_text,
    websocket_layer,
)
from kwic.transport.ending import explain_end
from kwic.transport.lean_channel import LeanChannel
from kwic.transport.name_endpoint import address_endpoint, resolve
from kwic.transport.proxy_connect import ProxyEndpoint
from kwic.transport.race import Contender, Race
from kwic.transport.websocket_transport import DEFAULT_MESSAGE_LIMIT_BYTES, WebSocketTransport
from kwic.transport.whole_tls import tls_factory
from kwic.wire.http_head import HeadReader, HttpError, ResponseHead, parse_response, render_request
from kwic.wire.kwic_headers import TUNNEL_SUBPROTOCOL

HOP_TIMEOUT_S = 5.0
"""For one hop: name, TCP, proxy, TLS and HTTP together."""
PROXY_SHARE = 0.9
"""Of that time, what the proxy may take: so that it is named when it was too slow."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
"""Between asking the origin again for another target than the dead one: doubled each time."""
_SWITCHING_PROTOCOLS = 101
_INTERIM = range(100, 200)
_NO_TLS_OPTIONS = TlsOptions()


class ClientCredentials(Interface):
    """What TLS needs of kwic.transport.tls."""

    def client_options(self, host: str, tls: TlsOptions) -> Any:
        """:returns: an IOpenSSLClientConnectionCreator that verifies chain and host name."""


@dataclass(frozen=True, kw_only=True)
class WebSocketOptions:
    """How to ask for a WebSocket and what to make of it."""

    protocols: Sequence[str] = ()
    """Subprotocols, in order of preference."""
    headers: Mapping[str, str] = field(default_factory=dict)
    message_limit_bytes: int | None = DEFAULT_MESSAGE_LIMIT_BYTES
    """None for tunnels: no limit, and no waiting for whole messages."""
    inactivity_timeout_s: float | None = None
    reject_text: bool = False


@implementer(IStreamClientEndpoint)
class WebSocketEndpoint:
    """Where a WebSocket is served.

    :param reactor: connects, resolves and keeps time.
    :param address: ws or wss.
    :param credentials: needed for wss, also when only a redirect leads there.
    :param tls: protocols and ciphers.
    :param dial_address: one address of the host, or another host that leads there; Host, SNI and verification stay with the name.
    :param dial_port: the port of that, where it is another one.
    :param proxy: what connections go through, or who knows the proxy for each redirect target too.
    :param maximum_redirects: followed in a row; 0 = none.
    :param timeout_s: for each hop.
    :param deadline_s: for all of it, when dead targets send us back to the origin.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        address: Address,
        *,
        credentials: ClientCredentials | None = None,
        tls: TlsOptions = _NO_TLS_OPTIONS,
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        maximum_redirects: int = 3,
        dial_address: str | None = None,
        dial_port: int | None = None,
        proxy: Proxy | Callable[[Address], Proxy | None] | None = None,
        message_limit_bytes: int | None = DEFAULT_MESSAGE_LIMIT_BYTES,
        inactivity_timeout_s: float | None = None,
        reject_text: bool = False,
        timeout_s: float = HOP_TIMEOUT_S,
        deadline_s: float = 2 * HOP_TIMEOUT_S,
        connection_log: ConnectionLog | None = None,
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._credentials = credentials
        self._tls = tls
        self._maximum_redirects = maximum_redirects
        self._dial_address = dial_address
        self._dial_port = dial_port
        self._proxy: Callable[[Address], Proxy | None] = proxy if callable(proxy) else lambda _: proxy
        self._options = WebSocketOptions(
            protocols=tuple(protocols),
            headers=dict(headers or {}),
            message_limit_bytes=message_limit_bytes,
            inactivity_timeout_s=inactivity_timeout_s,
            reject_text=reject_text,
        )
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._connection_log = connection_log or ConnectionLog(enabled=False)

    def __str__(self) -> str:
        return str(self._address)

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a WebSocket.

        :returns: fires with the factory's protocol when it is connected; fails with :class:`ConnectError`. Cancelling it
            drops everything.
        """
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        redirection = Redirection(self._address, maximum_hops=self._maximum_redirects)
        deadline_s = self._reactor.seconds() + self._deadline_s
        pause_s = FIRST_PAUSE_S
        while True:
            target = redirection.target
            try:
                return await self._attempt(target, factory)
            except WebSocketRefusedError as e:
                problem: ConnectError = e
                if e.status in STATUSES:
                    decision = redirection.answer(e.status, e.headers.get("location"))
                else:
                    decision = redirection.failed(str(e))
            except ConnectError as e:
                problem, decision = e, redirection.failed(str(e))
            if isinstance(decision, Refuse):
                if isinstance(problem, WebSocketRefusedError) and problem.status in STATUSES:
                    raise ConnectError(decision.reason, Why.HTTP) from problem
                raise problem
            if isinstance(decision, AskAgain):
                if self._reactor.seconds() + pause_s >= deadline_s:
                    raise ConnectError(
                        f"{decision.reason}; no other target in time", problem.why
                    ) from problem
                self.log.info(
                    "{reason}; asking {target} again", reason=decision.reason, target=decision.target
                )
                await deferLater(self._reactor, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _attempt(self, target: Address, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """One hop, with a deadline."""
        self._check(target)
        hop = Deferred.fromCoroutine(self._hop(target, factory))
        return within(self._reactor, self._timeout_s, hop, f"no answer from {target.authority}")

    async def _hop(self, target: Address, factory: IProtocolFactory) -> IProtocol:
        """Try all addresses of the target, up to an open WebSocket."""
        proxy, host = self._proxy(target), target.host
        if self._dial_address is not None and target == self._address:
            host = self._dial_address
        if proxy is not None:
            return await self._contend(target, factory, host, proxy).outcome
        try:
            addresses = await resolve(self._reactor, host)
        except DNSLookupError as e:
            raise explain(Failure(e), target.authority) from e
        ways = (partial(self._contend, target, factory, address) for address in addresses)
        protocol: IProtocol = await Race(self._reactor, ways).run()
        return protocol

    def _contend(
        self, target: Address, factory: IProtocolFactory, host: str, proxy: Proxy | None = None
    ) -> Contender:
        """Try one address, or what a proxy makes of a name."""
        where = target.authority if host == target.host else f"{target.authority} ({host})"
        attempt = Attempt(
            where,
            lambda attempt: _Dialled(
                attempt, self._reactor, target, factory, self._options, self._connection_log, proxy
            ),
        )
        through: IProtocolFactory = attempt
        if target.secure and self._tls.encryption:
            creator = self._client_options(target.host, self._tls)
            through = tls_factory(creator, client=True, wrapped=attempt, clock=self._reactor)
        port = self._dial_port if self._dial_port is not None and target == self._address else target.port
        assert port is not None
        below: IStreamClientEndpoint
        if proxy is None:
            below = address_endpoint(self._reactor, host, port, self._timeout_s)
        else:
            timeout_s = PROXY_SHARE * self._timeout_s
            below = ProxyEndpoint(
                self._reactor, proxy, host, port, tls=self._client_options, timeout_s=timeout_s
            )
        return Contender(outcome=attempt.run(below, through), is_connected=lambda: attempt.is_connected)

    def _check(self, target: Address) -> None:
        """:raises ConnectError: when the request cannot be written, which a redirect may bring about."""
        fields = [*self._options.headers.items(), ("Host", target.authority)]
        fields += [("Sec-WebSocket-Protocol", protocol) for protocol in self._options.protocols]
        try:
            render_request("GET", target.target, fields)
        except MisuseError as e:
            raise ConnectError(f"{target} cannot be asked for: {e}", Why.HTTP) from e

    def _client_options(self, host: str, tls: TlsOptions = _NO_TLS_OPTIONS) -> Any:
        if self._credentials is None:
            raise ConnectError(f"{host} needs TLS, and there are no credentials for it", Why.TLS)
        try:
            return self._credentials.client_options(host, tls)
        except SetupError as e:
            raise ConnectError(f"no TLS with {host}: {e}", Why.TLS) from e


class _Dialled(Protocol):
    """A connection that was dialled, from TCP (TLS is not up yet) to its end."""

    takes_views = False
    """Whether what was read may be given as a view of a buffer that is used again (see `whole_tls`)."""
    transport: Any

    def __init__(
        self,
        attempt: Attempt,
        reactor: IReactorTime,
        target: Address,
        factory: IProtocolFactory,
        options: WebSocketOptions,
        connection_log: ConnectionLog,
        proxy: Proxy | None,
    ) -> None:
        self._attempt = attempt
        self._reactor = reactor
        self._target = target
        self._factory = factory
        self._options = options
        self._connection_log = connection_log
        self._proxy = proxy
        self._reader: HeadReader | None = HeadReader()
        self._channel: ClientChannel | None = None
        self._websocket: WebSocketTransport | None = None
        self._entry: ConnectionEntry | None = None

    # -- IProtocol ---------------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Send the request; below TLS it waits for the handshake."""
        assert self._target.port is not None
        self._channel = ClientChannel(
            self.transport,
            host=bracketed(self._target.host),
            port=self._target.port,
            target=self._target.target,
            protocols=self._options.protocols,
            headers=tuple(self._options.headers.items()),
            limit_bytes=self._options.message_limit_bytes,
            reject_text=self._options.reject_text,
        )

    def dataReceived(self, data: bytes) -> None:
        """The answer, then messages."""
        if self._websocket is not None:
            self._websocket.data_received(data)
            return
        try:
            while self._reader is not None:
                complete = self._reader.receive(data)
                if complete is None:
                    return
                head, data = complete
                self._answered(parse_response(head), data)
        except HttpError as e:
            self._fail(
                ConnectError(f"{self._target.authority} gave no proper answer to the upgrade: {e}", Why.HTTP)
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self._websocket is None:
            self._attempt.lost(reason)
            return
        self._websocket.connection_lost(reason)
        if self._entry is not None:
            self._entry.closed(explain_end(self._websocket.end or reason))

    # -- the attempt -------------------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Drop the connection."""
        self._reader = None
        self.transport.abortConnection()

    def _fail(self, problem: ConnectError) -> None:
        self._attempt.failed(problem)
        self.abandon()

    def _answered(self, answer: ResponseHead, rest: bytes) -> None:
        if answer.status == _SWITCHING_PROTOCOLS:
            self._reader = None
            assert self._channel is not None
            self._open(self._channel, self._channel.answered(answer), answer, rest)
        elif answer.status not in _INTERIM:
            said = f"{self._target.authority} answered {answer.status} {answer.reason}".rstrip()
            self._fail(
                WebSocketRefusedError(
                    f"{said} to the upgrade at {self._target.path}",
                    status=answer.status,
                    reason=answer.reason,
                    headers=answer.headers,
                )
            )

    def _open(self, channel: Channel, subprotocol: str | None, answer: ResponseHead, rest: bytes) -> None:
        protocol = self._factory.buildProtocol(self.transport.getPeer())
        if protocol is None:
            self._fail(ConnectError(f"nobody wants the connection to {self._target}", Why.CANCELLED))
            return
        if subprotocol == TUNNEL_SUBPROTOCOL:
            channel = LeanChannel(self.transport, client=True)
            self.takes_views = True
        self._websocket = channel.user = WebSocketTransport(
            self._reactor,
            self.transport,
            channel,
            uri=str(self._target),
            subprotocol=subprotocol,
            response_headers=answer.headers,
            message_limit_bytes=self._options.message_limit_bytes,
            inactivity_timeout_s=self._options.inactivity_timeout_s,
        )
        ours = address_text(self.transport.getHost())
        self._entry = self._connection_log.opened(Role.CLIENT, ours, self._layers(ours))
        self._websocket.start(protocol)
        self._attempt.succeeded(protocol)
        if rest:
            self._websocket.data_received(rest)

    def _layers(self, ours: str) -> list[Layer]:
        target = self._target
        layers = [Layer(name="tcp", ours=f"/{ours}", theirs=f"/{address_text(self.transport.getPeer())}")]
        if self._proxy is not None:
            layers.append(
                Layer(name="proxy", ours=f"http://{self._proxy}", theirs=f"http://{target.authority}")
            )
        if ISSLTransport.providedBy(self.transport):
            layers.append(Layer(name="ssl", ours=f"ssl://{ours}", theirs=f"ssl://{target.authority}"))
        layers.append(websocket_layer(Role.CLIENT, str(target)))
        return layers
