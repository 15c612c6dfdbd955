"""The ways in which TLS is put below a protocol, and two ends joined by any two of them in a memory network."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from kwic.transport.certificates import SERVER_AUTH
from kwic.transport.openssl_handles import Handles
from kwic.transport.pki import Authority
from kwic.transport.tls_context import make_context
from kwic.transport.tls_policy import TlsPolicy
from kwic.transport.whole_tls import WholeFactory
from test.transport.memory_network import MemoryNetwork, TcpEnd
from test.transport.tls_ends import request

Kind = Callable[..., TLSMemoryBIOFactory]


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Creator:
    """Makes connections of one context; nobody's certificate is looked at here."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self._context, None)

    serverConnectionForTLS = clientConnectionForTLS


@functools.cache
def creators() -> tuple[Creator, Creator]:
    """A client's and a server's."""
    authority = Authority.create("Test CA", now_s=time.time(), days=9)
    entry = authority.issue(request("server", hosts=("example.com",), purposes=(SERVER_AUTH,), days=9))
    return Creator(make_context(TlsPolicy(), None)), Creator(make_context(TlsPolicy(), entry))


def with_handles(*how: Any) -> TLSMemoryBIOFactory:
    """Ours, with pyOpenSSL's handles."""
    return WholeFactory(*how, handles=Handles.make())


def with_public_functions(*how: Any) -> TLSMemoryBIOFactory:
    """Ours, with pyOpenSSL's public functions."""
    return WholeFactory(*how, handles=None)


stock: Kind = TLSMemoryBIOFactory
"""Twisted's own."""


def tls_end(kind: Kind, protocol: Any, *, is_client: bool, clock: Any, creator: Creator | None = None) -> Any:
    """The TLS protocol below a protocol."""
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    return kind(creator or creators()[0 if is_client else 1], is_client, factory, clock).buildProtocol(None)


def join(
    network: MemoryNetwork, client: tuple[Kind, Any], server: tuple[Kind, Any], **how: Any
) -> tuple[TcpEnd, TcpEnd]:
    """
    Connect two protocols by TLS.

    :param client: how TLS is put below it, and the protocol.
    :param server: likewise.
    :returns: the TCP ends below them.
    """
    return network.join(
        tls_end(*client, is_client=True, clock=network, **how),
        tls_end(*server, is_client=False, clock=network, **how),
    )
