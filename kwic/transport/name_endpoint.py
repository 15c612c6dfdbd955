"""TCP to a name or to an address, and the addresses of a name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from kwic.transport.lean_connect import LeanEndpoint
from kwic.transport.lean_tcp import fits
from kwic.transport.race import Contender, Race
from kwic.transport.resolver import take_back


def tcp_endpoint(reactor: Any, host: str, port: int, timeout_s: float) -> IStreamClientEndpoint:
    """:returns: an endpoint for a host and port.

    A name is resolved anew for each connect, and all its addresses are tried, a moment apart. For a literal address no
    resolver is asked: that would cost a thread.

    :param host: without brackets; an IPv6 address may have a scope.
    :param timeout_s: for each address.
    """
    if is_literal(host):
        return address_endpoint(reactor, host, port, timeout_s)
    return NameEndpoint(reactor, host, port, timeout_s)


def address_endpoint(reactor: Any, address: str, port: int, timeout_s: float) -> IStreamClientEndpoint:
    """:returns: an endpoint for a literal address."""
    if fits(reactor):
        return LeanEndpoint(reactor, address, port, timeout_s)
    # Twisted's endpoints bring much that a gateway never calls; this is for reactors that are none of ours (Windows, tests).
    from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint

    kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    return DirectEndpoint(kind(reactor, address, port, timeout=timeout_s))


@implementer(IStreamClientEndpoint)
class DirectEndpoint:
    """Lets the transport talk to the factory's protocol itself.

    Twisted's endpoints leave a protocol of their own in between, and it provides only the last of the interfaces that the
    factory's protocol does: one that also listens for a TLS handshake would be closed when the far end half-closes.

    :param endpoint: connects.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect."""
        return self._endpoint.connect(factory).addCallback(_introduced)


def _introduced(protocol: Any) -> Any:
    if protocol.transport is not None:
        protocol.transport.protocol = protocol
    return protocol


@functools.lru_cache(maxsize=256)
def is_literal(host: str) -> bool:
    """Whether a host is an address, with or without a scope, rather than a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@implementer(IStreamClientEndpoint)
class NameEndpoint:
    """All addresses of a name."""

    def __init__(self, reactor: Any, host: str, port: int, timeout_s: float) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout_s = timeout_s

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the first address that answers."""

        def way(address: str) -> Callable[[], Contender]:
            endpoint = address_endpoint(self._reactor, address, self._port, self._timeout_s)
            return lambda: Contender(outcome=endpoint.connect(factory))

        async def run() -> IProtocol:
            addresses = await resolve(self._reactor, self._host)
            protocol: IProtocol = await Race(self._reactor, map(way, addresses)).run()
            return protocol

        return Deferred.fromCoroutine(run())


def resolve(reactor: Any, host: str) -> Deferred[tuple[str, ...]]:
    """Ask the reactor's resolver, without blocking.

    :returns: the addresses of a name in the resolver's order of preference, at least one; a literal address is its own
        answer. Fails with DNSLookupError.
    """
    if is_literal(host):
        return succeed((host,))
    answers = _Answers(host)
    reactor.nameResolver.resolveHostName(answers, host)
    return answers.all


@implementer(IResolutionReceiver)
class _Answers:
    """
    Collects addresses.

    :ivar all: fires with them; cancelled when nobody waits for them any more.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self.all: Deferred[tuple[str, ...]] = Deferred(lambda answer: take_back(self._question))
        self._question: IHostResolution | None = None
        self._found: dict[str, None] = {}

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The question is on its way."""
        self._question = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        """One address."""
        self._found[address.host] = None  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """That was all."""
        if self.all.called:
            return
        if self._found:
            self.all.callback(tuple(self._found))
        else:
            self.all.errback(DNSLookupError(f"no address for {self._host}"))
