"""The kinds of TLS end that a gateway has: listener, dialer, cluster member. Each makes connections for Twisted.

A side builds its contexts from the :class:`~kwic.transport.tls_material.Material` of the moment and takes new ones over as a
whole, so that a reload happens for all or for none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Generic, TypeVar

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from kwic.transport.entries import KeyEntry
from kwic.transport.judgement import ChainJudge, CheckedConnection, ClusterJudge
from kwic.transport.tls_context import make_context, trust
from kwic.transport.tls_material import Material, best_fit
from kwic.transport.tls_policy import CLUSTER_POLICY, TlsPolicy
from kwic.transport.tls_sessions import ClientConnection, SessionCache

BuiltT = TypeVar("BuiltT")


class Side(Generic[BuiltT]):
    """What one kind of connection is made of."""

    _built: BuiltT

    def build(self, material: Material, now_s: float) -> BuiltT:
        """:returns: what :meth:`adopt` takes; :raises SetupError: the material does not do for this side."""
        raise NotImplementedError

    def adopt(self, built: BuiltT) -> None:
        """Make new connections from this from now on."""
        self._built = built


@implementer(IOpenSSLServerConnectionCreator)
class ServerSide(Side[SSL.Context]):
    """A listener: presents the certificate that fits the name the client asks for (SNI)."""

    def __init__(self, hosts: tuple[str, ...], policy: TlsPolicy, verify_mode: int) -> None:
        """:param hosts: the hosts of its accepts; :param verify_mode: OpenSSL's, for the clients' certificates."""
        self._hosts = hosts
        self._policy = policy
        self._verify_mode = verify_mode

    def build(self, material: Material, now_s: float) -> SSL.Context:
        """See :class:`Side`."""
        defaults = [material.server_entry(host, now_s) for host in self._hosts]
        entries = material.server_entries(now_s)
        contexts = {entry.certificate: self._context(material, entry) for entry in entries}
        first = contexts[defaults[0].certificate]
        if len(entries) > 1:
            first.set_tlsext_servername_callback(_chooser(entries, contexts))
        return first

    def _context(self, material: Material, entry: KeyEntry) -> SSL.Context:
        context = make_context(self._policy, entry)
        if self._verify_mode != SSL.VERIFY_NONE:
            trust(context, material.truststore, mode=self._verify_mode, name_them=True)
        return context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Twisted wants a connection for one client."""
        return CheckedConnection(self._built, ChainJudge())


def _chooser(
    entries: tuple[KeyEntry, ...], contexts: dict[x509.Certificate, SSL.Context]
) -> Callable[[SSL.Connection], None]:
    def choose(connection: SSL.Connection) -> None:
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        entry = best_fit(entries, name) if name else None
        if entry is not None:
            connection.set_context(contexts[entry.certificate])

    return choose


class ClientSide(Side[tuple[SSL.Context, SessionCache]]):
    """Connections that we make: verify the server, present our key when asked."""

    def __init__(self, policy: TlsPolicy) -> None:
        self._policy = policy

    def build(self, material: Material, now_s: float) -> tuple[SSL.Context, SessionCache]:
        """See :class:`Side`."""
        context = make_context(self._policy, material.client_entry(now_s))
        trust(context, material.truststore)
        sessions = SessionCache()
        sessions.watch(context)
        return context, sessions

    def connection(self, host: str) -> SSL.Connection:
        """:returns: a connection that has to prove it is `host`."""
        context, sessions = self._built
        connection = ClientConnection(context, host)
        if not _is_address(host):  # RFC 6066 section 3: no literal addresses
            connection.set_tlsext_host_name(host.encode("ascii"))
        sessions.resume(connection)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class HostOptions:
    """TLS for connections to one host."""

    def __init__(self, side: ClientSide, host: str) -> None:
        """:param host: name or address, without brackets."""
        self._side = side
        self._host = host.rstrip(".") if host.isascii() else host.rstrip(".").encode("idna").decode("ascii")

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Twisted wants a connection to the server."""
        return self._side.connection(self._host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class ClusterSide(Side[tuple[SSL.Context, frozenset[bytes]]]):
    """Connections between the members of a cluster: both present a key, both are judged alike.

    Only a truststore of our own counts here: the system's CAs would let in everybody who has a certificate.
    """

    def build(self, material: Material, now_s: float) -> tuple[SSL.Context, frozenset[bytes]]:
        """See :class:`Side`."""
        context = make_context(CLUSTER_POLICY, material.cluster_entry(now_s))
        trust(
            context, material.truststore, mode=SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, system=False
        )
        return context, material.own_keys

    def _connection(self) -> SSL.Connection:
        context, own_keys = self._built
        return CheckedConnection(context, ClusterJudge(own_keys))

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Twisted wants a connection for a member that dialled us."""
        return self._connection()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Twisted wants a connection to a member."""
        return self._connection()
