"""Connections through an HTTP CONNECT proxy (RFC 9110 9.3.6).

An endpoint like any other: what the factory builds sees a byte stream to the target, and TLS with the target goes on top.
What the proxy says when it refuses is reported as what it is; it is the operator's, not the target's, doing.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import bracketed
from kwic.errors import MisuseError
from kwic.policy.forward_proxy import Proxy, proxy_for
from kwic.transport.attempt import Attempt, within
from kwic.transport.connect_error import ConnectError, Why
from kwic.transport.name_endpoint import tcp_endpoint
from kwic.wire.http_head import HeadReader, HttpError, ResponseHead, parse_response, printable, render_request

__all__ = ["Proxy", "ProxyEndpoint", "ProxyRefusedError", "proxy_for"]

CONNECT_TIMEOUT_S = 5.0
"""For the proxy's name, TCP, TLS to it and its answer, which waits for its own connect."""
_SUCCESS = range(200, 300)
_INTERIM = range(100, 200)
_FORBIDDEN = 403
_WANTS_CREDENTIALS = 407


class ProxyRefusedError(ConnectError):
    """The proxy answered, and not with a tunnel.

    :param status: what it answered.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, Why.PROXY)
        self.status = status


def connect_request(host: str, port: int, proxy: Proxy) -> bytes:
    """:returns: the CONNECT request for a target.

    :raises MisuseError: when the target is not a host and a port.
    """
    authority = f"{bracketed(host)}:{port}"
    fields = [("Host", authority)]
    if proxy.user is not None:
        credentials = f"{proxy.user}:{proxy.password or ''}".encode()
        fields.append(("Proxy-Authorization", f"Basic {b64encode(credentials).decode()}"))
    return render_request("CONNECT", authority, fields)


def refusal(answer: ResponseHead, target: str, proxy: Proxy) -> ProxyRefusedError:
    """:returns: what the answer of a proxy that opened no tunnel comes to."""
    said = f"{answer.status} {answer.reason}".rstrip()
    if answer.status == _WANTS_CREDENTIALS:
        challenge = printable(answer.headers.get("proxy-authenticate") or "no scheme named")
        what = (
            "wants credentials" if proxy.user is None else f"does not accept the credentials of {proxy.user}"
        )
        text = f"proxy {proxy} {what} ({said}; {challenge})"
    elif answer.status == _FORBIDDEN:
        text = f"proxy {proxy} does not allow connections to {target} ({said})"
    else:
        cause = printable(answer.headers.get("x-squid-error") or "")
        text = f"proxy {proxy} opened no connection to {target} ({said}{f'; {cause}' if cause else ''})"
    return ProxyRefusedError(text, answer.status)


@implementer(IStreamClientEndpoint)
class ProxyEndpoint:
    """A host and port behind a proxy.

    :param reactor: connects, resolves the proxy's name and keeps time.
    :param host: the target's name or address, which the proxy resolves.
    :param tls: makes the TLS options for the proxy itself of its host; needed when it wants TLS.
    :param timeout_s: until the tunnel is there.
    """

    def __init__(
        self,
        reactor: Any,
        proxy: Proxy,
        host: str,
        port: int,
        *,
        tls: Callable[[str], Any] | None = None,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._request = connect_request(host, port, proxy)
        self._target = f"{bracketed(host)}:{port}"
        self._tls = tls
        self._timeout_s = timeout_s

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect through the proxy.

        :returns: fires with the factory's protocol when the tunnel is there; fails with
            :class:`~kwic.transport.connect_error.ConnectError`. Cancelling it drops the connection.
        """
        attempt = Attempt(
            f"proxy {self._proxy}",
            lambda attempt: _Tunnel(attempt, self._proxy, self._target, self._request, factory),
        )
        through: IProtocolFactory = attempt
        if self._proxy.secure:
            if self._tls is None:
                raise MisuseError(f"proxy {self._proxy} needs TLS, and there are no options for it")
            through = TLSMemoryBIOFactory(self._tls(self._proxy.host), True, attempt, self._reactor)
        below = tcp_endpoint(self._reactor, self._proxy.host, self._proxy.port, self._timeout_s)
        what = f"proxy {self._proxy} opened no connection to {self._target}"
        return within(self._reactor, self._timeout_s, attempt.run(below, through), what)


class _Tunnel(Protocol):
    """The connection to the proxy: its head, then whatever the target's protocol sends and receives."""

    transport: Any

    def __init__(
        self, attempt: Attempt, proxy: Proxy, target: str, request: bytes, factory: IProtocolFactory
    ) -> None:
        self._attempt = attempt
        self._proxy = proxy
        self._target = target
        self._request = request
        self._factory = factory
        self._reader: HeadReader | None = HeadReader()
        self._inner: IProtocol | None = None

    def connectionMade(self) -> None:
        """Ask."""
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """The answer, then the target's bytes."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        try:
            while self._reader is not None:
                complete = self._reader.receive(data)
                if complete is None:
                    return
                head, data = complete
                self._answered(parse_response(head), data)
        except HttpError as e:
            self._fail(ConnectError(f"proxy {self._proxy} gave no proper answer: {e}", Why.PROXY))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection to the proxy is gone."""
        if self._inner is not None:
            self._inner.connectionLost(reason)
        else:
            self._attempt.lost(reason)

    def abandon(self) -> None:
        """Drop the connection."""
        self._reader = None
        self.transport.abortConnection()

    def _answered(self, answer: ResponseHead, rest: bytes) -> None:
        if answer.status in _INTERIM:
            return
        self._reader = None
        if answer.status not in _SUCCESS:
            self._fail(refusal(answer, self._target, self._proxy))
            return
        inner = self._factory.buildProtocol(self.transport.getPeer())
        if inner is None:
            self._fail(ConnectError(f"nobody wants the connection to {self._target}", Why.CANCELLED))
            return
        self._inner = inner
        inner.makeConnection(self.transport)
        self._attempt.succeeded(inner)
        if rest:
            inner.dataReceived(rest)

    def _fail(self, problem: ConnectError) -> None:
        self._attempt.failed(problem)
        self.abandon()
