"""TLS with the gateway's own stores: what listeners, dialers and the cluster hand to Twisted.

:class:`Credentials` holds one generation of keys and trust. Everything made from it uses the current generation at each
handshake, so that :meth:`Credentials.reload` changes what new connections use and leaves open ones alone. A reload that
fails leaves everything as it was.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.logger import Logger

from kwic.config.model import Security, TlsOptions, VerifyClient
from kwic.transport.certificates import PeerIdentity, identity_of
from kwic.transport.judgement import CertificateRefused
from kwic.transport.tls_failures import explain_tls_failure
from kwic.transport.tls_material import Material, stamps_of
from kwic.transport.tls_policy import TlsPolicy, policy_of
from kwic.transport.tls_sides import ClientSide, ClusterSide, HostOptions, ServerSide, Side

__all__ = ["CertificateRefused", "Credentials", "PeerIdentity", "explain_tls_failure", "peer_identity"]

_VERIFY_MODES = {
    VerifyClient.NONE: SSL.VERIFY_NONE,
    VerifyClient.OPTIONAL: SSL.VERIFY_PEER,
    VerifyClient.REQUIRED: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

SideT = TypeVar("SideT", bound=Side[Any])


class Credentials:
    """Our keys and whom we trust, ready for TLS."""

    log = Logger()

    def __init__(self, security: Security, clock_now: Callable[[], float] = time.time) -> None:
        """See :meth:`from_security`."""
        self._security = security
        self._now = clock_now
        self._sides: weakref.WeakSet[Side[Any]] = weakref.WeakSet()
        self._client_sides: dict[TlsPolicy, ClientSide] = {}
        self._seen = stamps_of(security)
        self._material = Material.read(security)
        self._warn(self.warnings())

    @classmethod
    def from_security(cls, security: Security, clock_now: Callable[[], float] = time.time) -> Credentials:
        """Read the stores.

        :param security: the stores of the configuration; none at all is fine for a gateway that only dials.
        :param clock_now: the time, in seconds since the epoch.
        :raises ConfigError: stores are missing, damaged, or have another password: all of them, each with its place.
        """
        return cls(security, clock_now)

    @property
    def has_key(self) -> bool:
        """Whether there is a keystore: without one, TLS listeners and a cluster beyond loopback are refused."""
        return self._material.keystore is not None

    @property
    def has_trust(self) -> bool:
        """Whether there is a truststore of our own; without one, the system's counts."""
        return self._material.truststore is not None

    # -- what is made from them -----------------------------------------------------------------------------------------

    def server_options(self, hosts: Sequence[str], tls: TlsOptions) -> IOpenSSLServerConnectionCreator:
        """TLS for one listener.

        :param hosts: the host of each accept served there. A client gets the certificate that fits the name it asks for
            (SNI), and the first host's when it asks for none or for another. Any certificate fits a wildcard address or an
            interface.
        :raises SetupError: no usable certificate for a host, or options that cannot be met.
        """
        side = _server_side(hosts, tls)
        mode = tls.verify_client or VerifyClient.NONE
        if mode is not VerifyClient.NONE and not self.has_trust:
            self._warn(
                [
                    f"ssl.verify-client {mode.value} without a truststore: a certificate of any public CA will do"
                ]
            )
        return self._started(side)

    def check_server(self, hosts: Sequence[str], tls: TlsOptions) -> None:
        """Find out whether :meth:`server_options` would do, and make nothing.

        :raises SetupError: as there.
        """
        _server_side(hosts, tls).build(self._material, self._now())

    def client_options(self, host: str, tls: TlsOptions) -> IOpenSSLClientConnectionCreator:
        """TLS for connections to one host, whose certificate chain and name are verified; cheap to call for each.

        :param host: the name or address that was configured, whatever address is dialled.
        :raises SetupError: options that cannot be met, or our own client certificate is not valid now.
        """
        policy = policy_of(tls)
        side = self._client_sides.get(policy)
        if side is None:
            side = self._client_sides[policy] = self._started(ClientSide(policy))
        return HostOptions(side, host)

    def cluster_server_options(self) -> IOpenSSLServerConnectionCreator:
        """Mutual TLS for the cluster port; :raises SetupError: there is no keystore, or its key is not valid now."""
        return self._started(ClusterSide())

    def cluster_client_options(self) -> IOpenSSLClientConnectionCreator:
        """Mutual TLS for connections to other members; raises as :meth:`cluster_server_options`."""
        return self._started(ClusterSide())

    def _started(self, side: SideT) -> SideT:
        side.adopt(side.build(self._material, self._now()))
        self._sides.add(side)
        return side

    # -- new material ---------------------------------------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether a store, a password file or a revocation list is not the one that was last read, well or in vain."""
        return stamps_of(self._security) != self._seen

    def reload(self) -> None:
        """Read everything again; new handshakes use it, open connections stay.

        :raises SetupError: something is wrong with the new stores (see :meth:`from_security`); the old ones stay in use.
        """
        self.adopt(self.read())

    def read(self) -> Material:
        """The first half of :meth:`reload`, for a thread: a JCEKS key that keytool sealed takes a fifth of a second.

        :raises ConfigError: as :meth:`from_security`.
        """
        self._seen = stamps_of(self._security)  # before reading: what changes meanwhile is noticed later
        return Material.read(self._security)

    def adopt(self, material: Material) -> None:
        """The second half: use what was read, or raise SetupError and change nothing."""
        built = [(side, side.build(material, self._now())) for side in list(self._sides)]
        for side, contexts in built:
            side.adopt(contexts)
        self._material = material
        self._warn(self.warnings())

    def warnings(self) -> tuple[str, ...]:
        """:returns: one line for each certificate and revocation list of the stores that ends soon or has ended."""
        return self._material.warnings(self._now())

    def _warn(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.log.warn("{line}", line=line)


def _server_side(hosts: Sequence[str], tls: TlsOptions) -> ServerSide:
    """:raises SetupError: the options cannot be met."""
    mode = _VERIFY_MODES[tls.verify_client or VerifyClient.NONE]
    return ServerSide(tuple(hosts) or ("",), policy_of(tls), mode)


def peer_identity(transport: object) -> PeerIdentity | None:
    """Who is at the other end, from the certificate that the handshake has verified.

    :param transport: one with ``getPeerCertificate()``; call it when the handshake is over.
    :returns: None without TLS, before the handshake, or when the other end presented nothing.
    """
    ask = getattr(transport, "getPeerCertificate", None)
    if ask is None:
        return None
    try:
        certificate = ask()
    except AttributeError:  # Twisted's, when the TLS connection is gone or the layer below is plain
        return None
    return identity_of(certificate.to_cryptography()) if isinstance(certificate, X509) else None
