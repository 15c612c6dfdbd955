"""What a handshake makes of the certificates it is shown, and the words for it when it refuses.

OpenSSL builds and checks the chain and asks us once for each certificate and each fault. A judge answers for one
connection; :class:`CheckedConnection` turns its refusal into the exception that the connection ends with, so that a log
says *why* and not only "certificate verify failed". The alert that tells the other end is OpenSSL's.

Rejected: raising from the callback. pyOpenSSL keeps such an exception at the context, where it can come up in another
connection; and Twisted's ``failVerification`` drops the connection before the alert is out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Protocol

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from kwic.errors import ProtocolError
from kwic.transport.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    day,
    good_for,
    host_names,
    identity_of,
    issuer,
    subject,
)
from kwic.transport.entries import public_key_bytes
from kwic.transport.tls_failures import explain_missing_certificate

# Verification results of OpenSSL (x509_vfy.h)
_CRL_SIGNATURE_FAILURE = 8
_NOT_YET_VALID = 9
_EXPIRED = 10
_REVOKED = 23
_WRONG_PURPOSE = 26
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_TOO_WEAK = frozenset({66, 67, 68})
_NAME_CONSTRAINTS = frozenset({47, 48})
_OUTDATED_OR_NO_CRL = frozenset({3, 11, 12})
"""No CRL for this issuer, one that is not valid yet, one that should have been replaced: the store's owner was warned
when it was read; those it names stay refused, everybody else is not punished for it."""


class CertificateRefused(SSL.Error, ProtocolError):  # noqa: N818 - a decision, not a mishap
    """We do not accept the certificate of the other end; the text says why and what to do.

    An ``SSL.Error``, because that is what Twisted's TLS transport takes for the end of a handshake.
    """

    def __init__(self, text: str) -> None:
        """:param text: one line."""
        super().__init__([("KWIC", "", text)])  # the shape of OpenSSL's error queue, which Twisted looks into
        self.text = text

    def __str__(self) -> str:
        return self.text


class Judge(Protocol):
    """Decides about the certificates of one handshake."""

    refusal: CertificateRefused | None
    """Set when it has refused."""

    def accepts(self, certificate: x509.Certificate, fault: int, depth: int) -> bool:
        """Whether to go on.

        :param fault: OpenSSL's verification result, 0 when it has found nothing wrong.
        :param depth: 0 for the other end's own certificate, 1 for its issuer, and so on.
        """


class ChainJudge:
    """Accepts what OpenSSL accepts: the side of a server that asks its clients for certificates."""

    whose = "the client's certificate"
    purpose = CLIENT_AUTH

    def __init__(self) -> None:
        self.refusal: CertificateRefused | None = None

    def accepts(self, certificate: x509.Certificate, fault: int, depth: int) -> bool:
        """See :class:`Judge`."""
        if fault and fault not in _OUTDATED_OR_NO_CRL:
            return self.refuse(f"{self.whose} {describe_fault(certificate, fault)}")
        if depth == 0:
            identity_of(
                certificate
            )  # raises on names that cannot be read: better now than in the middle of a request
        return True

    def refuse(self, text: str) -> bool:
        """Keep the first refusal. :returns: False."""
        self.refusal = self.refusal or CertificateRefused(text)
        return False


class HostJudge(ChainJudge):
    """Accepts a good chain whose first certificate names the host we wanted: the side of a client."""

    purpose = SERVER_AUTH

    def __init__(self, host: str) -> None:
        """:param host: ASCII name or IP address."""
        super().__init__()
        self._host = host
        self.whose = f"the certificate of {host}"

    def accepts(self, certificate: x509.Certificate, fault: int, depth: int) -> bool:
        """See :class:`Judge`."""
        if not super().accepts(certificate, fault, depth):
            return False
        if depth > 0:
            return True
        try:
            verify_host(certificate, self._host)
        except (VerificationError, CertificateError, ValueError):
            names = ", ".join(host_names(certificate)) or "no name at all"
            return self.refuse(
                f"{self.whose} names {names}, not {self._host}; connect to one of these, or renew it"
            )
        return True


class ClusterJudge(ChainJudge):
    """Accepts members of our own side: our own public key, or a gateway's certificate that our truststore vouches for.

    Members commonly share one keystore whose certificate is good for servers only, so the extended key usage that counts
    is serverAuth in both directions. This also keeps out the agents, whose client certificates the same truststore vouches
    for.
    """

    whose = "the cluster member's certificate"
    purpose = SERVER_AUTH

    def __init__(self, own_keys: Collection[bytes]) -> None:
        """:param own_keys: the public keys of our keystore, as :func:`kwic.transport.entries.public_key_bytes`."""
        super().__init__()
        self._own_keys = own_keys
        self._is_own: bool | None = None
        self._complaint: str | None = None

    def accepts(self, certificate: x509.Certificate, fault: int, depth: int) -> bool:
        """See :class:`Judge`. OpenSSL comes to the leaf last: faults above it wait until the leaf's key is known."""
        if depth == 0:
            self._is_own = public_key_bytes(certificate) in self._own_keys
            fault = self._fault_of_leaf(certificate, fault)
        if fault == _REVOKED:
            return self.refuse(f"{self.whose} {describe_fault(certificate, fault)}")
        if fault and fault not in _OUTDATED_OR_NO_CRL:
            self._complaint = self._complaint or f"{self.whose} {describe_fault(certificate, fault)}"
        if self._complaint is None or self._is_own is None or self._is_own:
            return True
        return self.refuse(f"{self._complaint}; it does not have this gateway's key either")

    def _fault_of_leaf(self, certificate: x509.Certificate, fault: int) -> int:
        if fault in {0, _WRONG_PURPOSE}:
            return 0 if good_for(certificate, SERVER_AUTH) else _WRONG_PURPOSE
        return fault


def verify_host(certificate: x509.Certificate, host: str) -> None:
    """:raises VerificationError: the certificate does not name the host (RFC 6125, without falling back to the CN).

    :raises CertificateError: it names none at all.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        verify_certificate_hostname(certificate, host)
    else:
        verify_certificate_ip_address(certificate, host)


def describe_fault(certificate: x509.Certificate, fault: int) -> str:
    """:returns: what OpenSSL holds against a certificate, and what to do, for the operator of this gateway."""
    name = subject(certificate)
    if fault == _EXPIRED:
        return f"{name} expired on {day(certificate.not_valid_after_utc)}; it has to be renewed"
    if fault == _NOT_YET_VALID:
        return f"{name} is not valid before {day(certificate.not_valid_before_utc)}; is the clock right on both sides?"
    if fault in _UNKNOWN_ISSUER:
        return f"{name} leads to {issuer(certificate)}, which is not in our truststore; add that CA, or get another one"
    if fault == _REVOKED:
        return f"{name} was revoked by {issuer(certificate)}"
    if fault == _WRONG_PURPOSE:
        return f"{name} is not meant for this use; see its extended key usage ('kwic certs show')"
    if fault in _TOO_WEAK:
        return f"{name} has a key or signature that is too weak; it has to be renewed"
    if fault in _NAME_CONSTRAINTS:
        return f"{name} has a name that its CA may not vouch for (name constraints)"
    if fault == _CRL_SIGNATURE_FAILURE:
        return f"{name} cannot be checked: the revocation list of {issuer(certificate)} is not signed by it"
    return f"{name} does not verify (OpenSSL verification result {fault})"


class CheckedConnection(SSL.Connection):
    """A TLS connection that ends with the words of its judge."""

    def __init__(self, context: SSL.Context, judge: Judge) -> None:
        """:param context: set up with :func:`ask_judge`; :param judge: for this connection alone."""
        super().__init__(context, None)
        self.judge = judge
        self._first_context = context  # its callbacks may be called after SNI has set another

    def do_handshake(self) -> None:
        """As its base; :raises CertificateRefused: when that is why it failed."""
        try:
            super().do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.Error as error:
            refusal = self.judge.refusal or _refusal_of_nothing(error)
            if refusal is not None:
                raise refusal from error
            raise


def _refusal_of_nothing(error: SSL.Error) -> CertificateRefused | None:
    """The refusal of an end that showed no certificate: no judge is asked about that."""
    text = explain_missing_certificate(error)
    return None if text is None else CertificateRefused(text)


def ask_judge(connection: SSL.Connection, certificate: crypto.X509, fault: int, depth: int, ok: int) -> bool:
    """The verify callback of every context: the connection's own judge decides. Never raises."""
    assert isinstance(connection, CheckedConnection)
    judge = connection.judge
    try:
        return judge.accepts(certificate.to_cryptography(), 0 if ok else fault, depth)
    except Exception as error:  # noqa: BLE001 - hostile certificates; an exception here would surface elsewhere
        judge.refusal = CertificateRefused(
            f"the other end's certificate cannot be read: {' '.join(str(error).split())}"
        )
        return False
