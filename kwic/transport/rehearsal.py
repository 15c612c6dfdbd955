"""A TLS handshake between two gateways of which neither runs: in memory, with the keys and the trust of both.

Everything that decides about a real connection decides here too – chains, host names, purposes, dates, revocation, versions
and ciphers – because it is the same code and the same OpenSSL; so what is found is what would happen.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from OpenSSL import SSL

from kwic.transport.certificates import PeerIdentity, identity_of
from kwic.transport.tls_failures import explain_tls_failure

MOST_FLIGHTS = 32
"""Turns of both ends; a handshake takes three. Only two ends that talk past each other need more."""
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal:
    """What came of it."""

    refused_by_client: str = ""
    """Why the end that dials breaks off; empty when it does not."""
    refused_by_server: str = ""
    """Why the end that listens does."""
    client: PeerIdentity | None = None
    """Whom the listening end has seen: None when no certificate was shown."""
    server: PeerIdentity | None = None
    """Whom the dialling end has seen."""

    @property
    def succeeded(self) -> bool:
        """Whether both ends were content."""
        return not (self.refused_by_client or self.refused_by_server)


def rehearse(client: SSL.Connection, server: SSL.Connection) -> Rehearsal:
    """Let two connections in memory shake hands.

    :param client: as ``clientConnectionForTLS`` of :meth:`kwic.transport.tls.Credentials.client_options` makes it.
    :param server: as ``serverConnectionForTLS`` of :meth:`kwic.transport.tls.Credentials.server_options` makes it.
    """
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(MOST_FLIGHTS):
        done = []
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                why = explain_tls_failure(error)
                return Rehearsal(refused_by_client=why) if end is client else Rehearsal(refused_by_server=why)
            else:
                done.append(end)
            _carry(end, other)
        if len(done) == len((client, server)):
            return Rehearsal(client=_shown(server), server=_shown(client))
    return Rehearsal(refused_by_server="the two ends come to no end of their handshake")


def _carry(end: SSL.Connection, other: SSL.Connection) -> None:
    """Take to the other end what one has written."""
    try:
        while True:
            other.bio_write(end.bio_read(_CHUNK_BYTES))
    except SSL.WantReadError:
        return


def _shown(end: SSL.Connection) -> PeerIdentity | None:
    """:returns: whom one end has seen at the other."""
    certificate = end.get_peer_certificate(as_cryptography=True)
    return identity_of(certificate) if isinstance(certificate, x509.Certificate) else None
