"""
One server of an etcd, spoken to through its JSON gateway over HTTP or HTTPS, by Twisted's HTTP client.

Every call has a deadline, every answer a limit. What fails, fails as `EtcdError` with one line for the operator; whoever calls closes the client then and takes
the next server. Rejected: gRPC itself, which would be a dependency and a second event loop for the same six calls.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from kwic.config.model import Address, TlsOptions
from kwic.errors import KwicError, ProtocolError, SetupError
from kwic.transport.connect_error import Why, explain
from kwic.transport.endpoints import connect_endpoint
from kwic.transport.stores import read_password
from kwic.transport.tls import Credentials
from kwic.wire.etcd_messages import (
    NOT_FOUND,
    Deleted,
    Lease,
    Snapshot,
    WatchCreated,
    WatchEnded,
    WatchReader,
    Written,
    authenticate_request,
    grant_request,
    lease_request,
    parse_done,
    parse_grant,
    parse_kept_alive,
    parse_refusal,
    parse_snapshot,
    parse_token,
    put_request,
    range_request,
    watch_request,
)

#: What one call may take, connecting included: a server that is slower is as good as none, as another may be faster.
CALL_S = 2.0
#: The largest answer of a call: every member's entry, a few of them with the most names that a member may tell of.
ANSWER_MAXIMUM_BYTES = 32 * 1024 * 1024

ParsedT = TypeVar("ParsedT")
Heard = Callable[[Written | Deleted], None]


class EtcdError(KwicError):
    """
    A server of etcd could not be asked, or did not answer as one does.

    :param text: one line.
    :param is_there: somebody is, and there is no agreement: on TLS, on HTTP, or on what we may do.
    """

    def __init__(self, text: str, *, is_there: bool = False) -> None:
        super().__init__(text)
        self.is_there = is_there


class EtcdRefusedError(EtcdError):
    """
    Etcd answered, and refused.

    :param text: one line.
    :param code: of gRPC.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, is_there=True)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who we are to an etcd that asks; the file is read each time, so that a new password counts at once."""

    user: str
    password_file: Path

    def password(self) -> str:
        """:raises SetupError: there is none to be read."""
        try:
            return read_password(self.password_file).decode()
        except UnicodeDecodeError as error:
            raise SetupError(f"{self.password_file}: the password of etcd is not UTF-8") from error


class EtcdClient:
    """
    Speaks to one server.

    :param reactor: for connections and time.
    :param address: the server; etcd+ssl for TLS.
    :param credentials: whom we trust and who we are, where TLS is spoken.
    :param account: who we are to etcd, when it asks for users.
    """

    def __init__(
        self, reactor: Any, address: Address, credentials: Credentials | None, account: Account | None = None
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._account = account
        self._base = f"{'https' if address.secure else 'http'}://{address.authority}/v3".encode()
        self._headers = Headers({b"Content-Type": [b"application/json"], b"User-Agent": [b"kwic"]})
        self._connections: set[ProtocolWrapper] = set()
        self._closed: Deferred[None] | None = None
        self._pool = HTTPConnectionPool(reactor)
        self._pool.retryAutomatically = False
        self._endpoint = partial(connect_endpoint, reactor, address, credentials, TlsOptions())
        self._agent = Agent.usingEndpointFactory(reactor, _Endpoints(self._endpoint, self), self._pool)
        #: The address of our end of the last connection; empty before there was any.
        self.local_host = ""

    def __str__(self) -> str:
        return self._address.authority

    def check(self) -> None:
        """
        Find out whether it can be dialled at all.

        :raises SetupError: TLS is asked for and there is nothing to verify the server with, or our own certificate is not valid now.
        """
        self._endpoint()

    # -- calls: each fails with EtcdError ------------------------------------------------------------------------------------

    async def authenticate(self) -> None:
        """Prove who we are, when there is anything to prove; what is asked afterwards is asked in that name."""
        if self._account is None:
            return
        try:
            request = authenticate_request(self._account.user, self._account.password())
        except SetupError as error:
            raise EtcdError(str(error)) from error
        token = await self._call("/auth/authenticate", request, parse_token)
        self._headers.setRawHeaders(b"Authorization", [token.encode("ascii")])

    async def snapshot(self, prefix: bytes, limit: int, *, keys_only: bool = False) -> Snapshot:
        """Ask for all keys that begin with a prefix, at most `limit` of them."""
        return await self._call(
            "/kv/range", range_request(prefix, limit, keys_only=keys_only), parse_snapshot
        )

    async def grant(self, ttl_s: int) -> Lease:
        """Get a lease."""
        return await self._call("/lease/grant", grant_request(ttl_s), parse_grant)

    async def keep_alive(self, lease: int) -> int:
        """Keep a lease alive; how many seconds it has now, 0 when it is gone."""
        return await self._call("/lease/keepalive", lease_request(lease), parse_kept_alive)

    async def put(self, key: bytes, value: bytes, lease: int) -> bool:
        """Write a key that goes with a lease; False when the lease is gone."""
        try:
            await self._call("/kv/put", put_request(key, value, lease), parse_done)
        except EtcdRefusedError as error:
            if error.code == NOT_FOUND:
                return False
            raise
        return True

    async def revoke(self, lease: int) -> None:
        """Give a lease back, and with it what was written."""
        await self._call("/lease/revoke", lease_request(lease), parse_done)

    async def watch(
        self, prefix: bytes, revision: int, heard: Heard, ended: Callable[[EtcdError], None]
    ) -> None:
        """
        Hear of what happens to the keys that begin with a prefix; comes back when the server has agreed.

        :param revision: the first that is of interest.
        :param heard: called for each event.
        :param ended: called once, some time after that, when nothing more can be heard.
        """
        await self._within(self._watch(watch_request(prefix, revision), heard, ended))

    # -- how they are made --------------------------------------------------------------------------------------------------

    async def _call(self, path: str, body: bytes, parse: Callable[[bytes], ParsedT]) -> ParsedT:
        status, answer = await self._within(self._exchange(path, body))
        self._check(status, answer)
        try:
            return parse(answer)
        except ProtocolError as error:
            raise EtcdError(f"{self}: {error}", is_there=True) from error

    def _check(self, status: int, answer: bytes) -> None:
        if status != 200:
            refusal = parse_refusal(status, answer)
            raise EtcdRefusedError(f"{self}: {refusal.why}", refusal.code)

    async def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        response = await self._post(path, body)
        return response.code, await _read(response)

    async def _watch(self, body: bytes, heard: Heard, ended: Callable[[EtcdError], None]) -> None:
        response = await self._post("/watch", body)
        if response.code != 200:
            self._check(response.code, await _read(response))
        agreed: Deferred[None] = Deferred()
        response.deliverBody(_WatchBody(str(self), agreed, heard, ended))
        await agreed

    def _post(self, path: str, body: bytes) -> Deferred[IResponse]:
        return self._agent.request(b"POST", self._base + path.encode(), self._headers, _Body(body))

    async def _within(self, work: Coroutine[Any, Any, ParsedT]) -> ParsedT:
        """Wait for an answer, for a bounded time; whatever goes wrong is put into one line."""
        answer = Deferred.fromCoroutine(work)
        deadline = self._reactor.callLater(CALL_S, answer.cancel)
        try:
            return await answer
        except EtcdError:
            raise
        except Exception as error:
            # Connecting, TLS and HTTP have many ways to fail, and as many to be cancelled.
            if not deadline.active():
                raise EtcdError(f"{self} does not answer in time") from error
            raise _explained(error, str(self)) from error
        finally:
            if deadline.active():
                deadline.cancel()

    # -- connections --------------------------------------------------------------------------------------------------------

    def connected(self, connection: ProtocolWrapper) -> None:
        """There is one more."""
        self._connections.add(connection)
        assert connection.transport is not None
        self.local_host = str(getattr(connection.transport.getHost(), "host", ""))

    def disconnected(self, connection: ProtocolWrapper) -> None:
        """There is one less."""
        self._connections.discard(connection)
        self._check_closed()

    def close(self) -> Deferred[None]:
        """
        Cut every connection.

        :returns: fires when none is left.
        """
        closed: Deferred[None] = Deferred()
        self._closed = closed
        for connection in tuple(self._connections):
            connection.transport.abortConnection()  # type: ignore[union-attr]
        self._pool.closeCachedConnections()
        self._check_closed()
        return closed

    def _check_closed(self) -> None:
        if self._closed is not None and not self._connections:
            closed, self._closed = self._closed, None
            closed.callback(None)


def _explained(error: BaseException, where: str) -> EtcdError:
    """Why an exchange failed."""
    if isinstance(error, SetupError):
        return EtcdError(str(error))
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    explained = explain(Failure(error), where)
    return EtcdError(str(explained), is_there=explained.why is Why.TLS)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Gives the agent our own endpoints: names are resolved, and servers are verified, as everywhere."""

    def __init__(self, make: Callable[[], IStreamClientEndpoint], client: EtcdClient) -> None:
        self._make = make
        self._client = client

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """There is only one server."""
        return _CountedEndpoint(self._make(), self._client)


@implementer(IStreamClientEndpoint)
class _CountedEndpoint:
    """Tells the client of each connection."""

    def __init__(self, endpoint: IStreamClientEndpoint, client: EtcdClient) -> None:
        self._endpoint = endpoint
        self._client = client

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`."""
        connected: Deferred[Any] = self._endpoint.connect(_Counting(protocolFactory, self._client))
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


class _Counting(WrappingFactory):
    """Knows when a connection begins and ends."""

    noisy = False

    def __init__(self, wrapped: Any, client: EtcdClient) -> None:
        super().__init__(wrapped)
        wrapped.noisy = False
        self._client = client

    def registerProtocol(self, p: ProtocolWrapper) -> None:
        """It begins."""
        super().registerProtocol(p)
        self._client.connected(p)

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        """It ends."""
        super().unregisterProtocol(p)
        self._client.disconnected(p)


@implementer(IBodyProducer)
class _Body:
    """The body of a request, written at once: the largest is an entry of little more than a megabyte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All was written."""

    def resumeProducing(self) -> None:
        """All was written."""

    def stopProducing(self) -> None:
        """All was written."""


def _read(response: IResponse) -> Deferred[bytes]:
    """The body of an answer; fails when it is too long, or ends early."""
    answer: Deferred[bytes] = Deferred()
    response.deliverBody(_AnswerBody(answer))
    return answer


class _AnswerBody(Protocol):
    """Collects an answer."""

    def __init__(self, answer: Deferred[bytes]) -> None:
        self._answer: Deferred[bytes] | None = answer
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        """Some more."""
        if self._answer is None:
            return
        self._data += data
        if len(self._data) > ANSWER_MAXIMUM_BYTES:
            self._data.clear()
            self._finish(Failure(EtcdError(f"an answer of more than {ANSWER_MAXIMUM_BYTES} bytes")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """That was all, or the connection is gone."""
        self._finish(bytes(self._data) if reason.check(ResponseDone) else reason)

    def _finish(self, outcome: bytes | Failure) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.called:
            answer.callback(outcome)


class _WatchBody(Protocol):
    """Hears a watch."""

    def __init__(
        self, where: str, agreed: Deferred[None], heard: Heard, ended: Callable[[EtcdError], None]
    ) -> None:
        self._where = where
        self._agreed = agreed
        self._heard = heard
        self._ended: Callable[[EtcdError], None] | None = ended
        self._reader = WatchReader()

    def dataReceived(self, data: bytes) -> None:
        """Some more."""
        if self._ended is None:
            return
        try:
            events = self._reader.receive(data)
        except ProtocolError as error:
            self._end(EtcdError(f"{self._where}: {error}"))
            return
        for event in events:
            if isinstance(event, WatchCreated):
                if not self._agreed.called:
                    self._agreed.callback(None)
            elif isinstance(event, WatchEnded):
                self._end(EtcdError(f"{self._where} ended the watch: {event.why}"))
            elif self._ended is not None:
                self._heard(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing more comes."""
        self._end(EtcdError(f"the watch at {self._where} was lost"))

    def _end(self, error: EtcdError) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        if not self._agreed.called:
            self._agreed.errback(error)
        else:
            ended(error)
