"""The dialling side of WebSockets: an endpoint that resolves, connects, shakes hands and follows redirects.

``WebSocketEndpoint(...).connect(factory)`` builds the factory's protocol on an open
:class:`~kwic.transport.websocket_transport.WebSocketTransport`. Each attempt resolves the name anew. Certificates are
always verified, against the host of the URI: also through a proxy, at a given address and after a redirect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import Address, TlsOptions, bracketed
from kwic.policy.redirect import STATUSES, AskAgain, Redirection, Refuse
from kwic.transport.autobahn_channel import ClientChannel
from kwic.transport.connect_error import ConnectError, WebSocketRefusedError, Why, explain
from kwic.transport.connection_log import ConnectionEntry, ConnectionLog, Layer, Role, address_text
from kwic.transport.websocket_transport import DEFAULT_MESSAGE_LIMIT_BYTES, WebSocketTransport
from kwic.wire.http_head import HeadReader, HttpError, ResponseHead, parse_response

HOP_TIMEOUT_S = 5.0
"""For one hop: name, TCP, proxy, TLS and HTTP together."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
"""Between asking the origin again for another target than the dead one: doubled each time."""
_SWITCHING_PROTOCOLS = 101


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
    :param dial_address: one address of the host; Host, SNI and verification stay with the name.
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
        tls: TlsOptions = TlsOptions(),  # noqa: B008 - frozen
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        maximum_redirects: int = 3,
        dial_address: str | None = None,
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
        attempt = _Attempt(self._reactor, target, factory, self._options, self._connection_log)
        through: IProtocolFactory = attempt
        if target.secure:
            if self._credentials is None:
                raise ConnectError(f"{target} needs TLS, and there are no credentials for it", Why.TLS)
            creator = self._credentials.client_options(target.host, self._tls)
            through = TLSMemoryBIOFactory(creator, True, attempt, self._reactor)
        return attempt.run(self._below(target), through, self._timeout_s)

    def _below(self, target: Address) -> IStreamClientEndpoint:
        """What TLS or HTTP run over."""
        host = target.host
        if self._dial_address is not None and target == self._address:
            host = self._dial_address
        assert target.port is not None
        return tcp_endpoint(self._reactor, host, target.port, self._timeout_s)


def tcp_endpoint(reactor: Any, host: str, port: int, timeout_s: float) -> IStreamClientEndpoint:
    """:returns: an endpoint for a name (all its addresses, staggered) or a literal address (no resolver is asked)."""
    if ":" in host:
        return TCP6ClientEndpoint(reactor, host, port, timeout=timeout_s)
    if host.replace(".", "").isdigit():
        return TCP4ClientEndpoint(reactor, host, port, timeout=timeout_s)
    return HostnameEndpoint(reactor, host, port, timeout=timeout_s)


@implementer(IProtocolFactory)
class _Attempt(Factory):
    """One hop: from the first packet to an open WebSocket, or to an error."""

    noisy = False

    def __init__(
        self,
        reactor: Any,
        target: Address,
        factory: IProtocolFactory,
        options: WebSocketOptions,
        connection_log: ConnectionLog,
    ) -> None:
        self.reactor = reactor
        self.target = target
        self.factory = factory
        self.options = options
        self.connection_log = connection_log
        self._result: Deferred[IProtocol] | None = Deferred(lambda _: self._give_up())
        self._connecting: Deferred[IProtocol] | None = None
        self._connection: _Dialled | None = None
        self._timer: IDelayedCall | None = None

    def run(
        self, endpoint: IStreamClientEndpoint, through: IProtocolFactory, timeout_s: float
    ) -> Deferred[IProtocol]:
        """Go.

        :param endpoint: connects to the target's host.
        :param through: this, or what wraps it in TLS.
        """
        result = self._result
        assert result is not None
        self._timer = self.reactor.callLater(timeout_s, self._timed_out, timeout_s)
        self._connecting = endpoint.connect(through)
        self._connecting.addCallbacks(lambda _: None, self._not_connected)
        return result

    def buildProtocol(self, addr: IAddress | None) -> _Dialled:  # noqa: ARG002 - the interface has it
        """Called when TCP is connected."""
        self._connection = _Dialled(self)
        return self._connection

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the outcome."""
        return self._result is not None

    def succeeded(self, protocol: IProtocol) -> None:
        """The WebSocket is open."""
        result = self._settle()
        if result is not None:
            result.callback(protocol)

    def failed(self, problem: ConnectError) -> None:
        """It will not open."""
        result = self._settle()
        if result is not None:
            result.errback(Failure(problem))

    def _settle(self) -> Deferred[IProtocol] | None:
        result, self._result = self._result, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        return result

    def _not_connected(self, failure: Failure) -> None:
        self.failed(explain(failure, self.target.authority))

    def _timed_out(self, timeout_s: float) -> None:
        problem = ConnectError(f"{self.target}: not open within {timeout_s:g} s", Why.TIMEOUT)
        self.failed(problem)
        self._abandon()

    def _give_up(self) -> None:
        """Called when the outcome is no longer wanted; the Deferred fails by itself."""
        self._settle()
        self._abandon()

    def _abandon(self) -> None:
        if self._connection is not None:
            self._connection.abandon()
        elif self._connecting is not None:
            self._connecting.cancel()


class _Dialled(Protocol):
    """A connection that was dialled, from TCP (TLS is not up yet) to its end."""

    transport: Any

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt
        self._reader: HeadReader | None = HeadReader()
        self._channel: ClientChannel | None = None
        self._websocket: WebSocketTransport | None = None
        self._entry: ConnectionEntry | None = None

    def connectionMade(self) -> None:
        """Send the request; below TLS it waits for the handshake."""
        target, options = self._attempt.target, self._attempt.options
        assert target.port is not None
        if not self._attempt.wanted:
            self.abandon()
            return
        self._channel = ClientChannel(
            self.transport,
            self._attempt.reactor,
            host=bracketed(target.host),
            port=target.port,
            target=target.target,
            protocols=options.protocols,
            headers=tuple(options.headers.items()),
            limit_bytes=options.message_limit_bytes,
            reject_text=options.reject_text,
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
                ConnectError(f"{self._attempt.target} gave no proper answer to the upgrade: {e}", Why.HTTP)
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self._websocket is None:
            self._attempt.failed(explain(reason, self._attempt.target.authority))
            return
        self._websocket.connection_lost(reason)
        if self._entry is not None:
            self._entry.closed((self._websocket.end or reason).getErrorMessage())
        self._attempt.failed(explain(reason, self._attempt.target.authority))

    def abandon(self) -> None:
        """Drop the connection."""
        self._reader = None
        if self.transport is not None:
            self.transport.abortConnection()

    def _answered(self, answer: ResponseHead, rest: bytes) -> None:
        if 100 <= answer.status < 200 and answer.status != _SWITCHING_PROTOCOLS:
            return  # an interim response: the answer follows
        self._reader = None
        if answer.status != _SWITCHING_PROTOCOLS:
            target = self._attempt.target
            text = f"{target.authority} answered {answer.status} {answer.reason}".rstrip()
            self._fail(
                WebSocketRefusedError(
                    f"{text} to the upgrade at {target.path}",
                    status=answer.status,
                    reason=answer.reason,
                    headers=answer.headers,
                )
            )
            return
        assert self._channel is not None
        self._open(self._channel, self._channel.answered(answer), answer, rest)

    def _fail(self, problem: ConnectError) -> None:
        self._attempt.failed(problem)
        self.abandon()

    def _open(
        self, channel: ClientChannel, subprotocol: str | None, answer: ResponseHead, rest: bytes
    ) -> None:
        protocol = self._attempt.factory.buildProtocol(self.transport.getPeer())
        if protocol is None:
            self._fail(ConnectError(f"nobody wants the connection to {self._attempt.target}", Why.CANCELLED))
            return
        options, reactor = self._attempt.options, self._attempt.reactor
        self._websocket = channel.user = WebSocketTransport(
            reactor,
            self.transport,
            channel,
            uri=str(self._attempt.target),
            subprotocol=subprotocol,
            response_headers=answer.headers,
            message_limit_bytes=options.message_limit_bytes,
            inactivity_timeout_s=options.inactivity_timeout_s,
        )
        ours = address_text(self.transport.getHost())
        self._entry = self._attempt.connection_log.opened(Role.CLIENT, ours, self._layers(ours))
        self._websocket.start(protocol)
        self._attempt.succeeded(protocol)
        if rest:
            self._websocket.data_received(rest)

    def _layers(self, ours: str) -> list[Layer]:
        theirs, target = address_text(self.transport.getPeer()), self._attempt.target
        layers = [Layer(name="tcp", ours=f"/{ours}", theirs=f"/{theirs}")]
        if ISSLTransport.providedBy(self.transport):
            layers.append(Layer(name="ssl", ours=f"ssl://{ours}", theirs=f"ssl://{target.authority}"))
        layers.append(Layer(name="wsn", ours=f"ws://{target.authority}{target.path}", theirs=str(target)))
        return layers
