"""What an address of a `<connect>` is dialled by, where a client gets a connection of its own."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from kwic.config.model import Address, TlsOptions
from kwic.errors import SetupError
from kwic.transport.name_endpoint import tcp_endpoint
from kwic.transport.tls import Credentials
from kwic.transport.whole_tls import tls_factory

#: Seconds that one TCP connect may take: the plan of a dial has moved on by then (policy/attempts).
CONNECT_S = 10.0


def connect_endpoint(
    reactor: Any,
    address: Address,
    credentials: Credentials | None,
    tls: TlsOptions,
    *,
    dial_address: str | None = None,
    dial_port: int | None = None,
) -> IStreamClientEndpoint:
    """
    An endpoint for a tcp or ssl address; a name is resolved anew for each attempt, and all its addresses are tried.

    :param dial_address: one address of the host, or another host that leads there; what the certificate must fit stays the host.
    :param dial_port: the port of that, where it is another one.

    :raises SetupError: when TLS is asked for and there is nothing to verify the other end with.
    """
    port = dial_port or address.port
    assert port is not None
    endpoint = tcp_endpoint(reactor, dial_address or address.host, port, CONNECT_S)
    if not address.secure or not tls.encryption:
        return endpoint
    if credentials is None:
        raise SetupError(f"{address} needs TLS, and there are no credentials for it")
    return TlsEndpoint(reactor, endpoint, credentials.client_options(address.host, tls))


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """
    TLS on what another endpoint connects.

    :param reactor: keeps time.
    :param below: connects.
    :param creator: makes the TLS connections (see `kwic.transport.tls`).
    """

    def __init__(self, reactor: Any, below: IStreamClientEndpoint, creator: Any) -> None:
        self._reactor = reactor
        self._below = below
        self._creator = creator

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        :returns: the factory's protocol, as soon as TCP is connected: TLS is being agreed on then.
        """
        through = tls_factory(self._creator, client=True, wrapped=protocolFactory, clock=self._reactor)
        connected: Deferred[Any] = self._below.connect(through)
        return connected.addCallback(lambda tls: tls.wrappedProtocol)
