"""What a store holds, whatever its format: private keys with their chains, trusted certificates, revocation lists."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)
"""The kinds of key that TLS 1.2 and 1.3 can sign with."""


PARSE_FAULTS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises over damaged or unheard-of keys, certificates and revocation lists."""


class StoreFormat(Enum):
    """How a store is laid out on disk; recognised by content."""

    JKS = "JKS"
    JCEKS = "JCEKS"
    PKCS12 = "PKCS12"
    PEM = "PEM"


JAVA_MAGIC = {bytes.fromhex("feedfeed"): StoreFormat.JKS, bytes.fromhex("cececece"): StoreFormat.JCEKS}
"""How the files of the Java formats begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyEntry:
    """A private key of ours and the certificates that vouch for it."""

    alias: str
    key: PrivateKey
    chain: tuple[x509.Certificate, ...]
    """The key's own certificate first, then its issuer, and so on; never empty."""

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate of the key itself."""
        return self.chain[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a store has in it."""

    entries: tuple[KeyEntry, ...] = ()
    certificates: tuple[tuple[str, x509.Certificate], ...] = ()
    """Trusted certificates with their aliases."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Store(Contents):
    """A keystore or a truststore, read."""

    file: Path
    format: StoreFormat
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    notes: tuple[str, ...] = ()
    """What was skipped, one line each, for the log."""

    @property
    def anchors(self) -> frozenset[x509.Certificate]:
        """What it vouches for as a truststore: the trusted certificates, and of each key what Java would take, its own
        certificate alone. PEM does not tell a chain from trusted certificates: there it is the end of the chain.
        """
        own = -1 if self.format is StoreFormat.PEM else 0
        return frozenset(
            {item for _, item in self.certificates} | {entry.chain[own] for entry in self.entries}
        )


def unreadable(certificate: x509.Certificate) -> str | None:
    """Look at every part of a certificate once: `cryptography` reads most of them only when they are asked for.

    :returns: what is wrong with it; None when nothing is.
    """
    try:
        certificate.public_key()
        for part in ("subject", "issuer", "extensions", "not_valid_before_utc", "not_valid_after_utc"):
            getattr(certificate, part)
    except PARSE_FAULTS as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


def readable(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    """:returns: the list, all of it looked at once; raises one of PARSE_FAULTS when a part of it cannot be read."""
    for part in ("issuer", "extensions", "last_update_utc", "next_update_utc", "signature_hash_algorithm"):
        getattr(crl, part)
    len(crl)
    return crl


def public_key_bytes(certificate: x509.Certificate) -> bytes:
    """:returns: the SubjectPublicKeyInfo in DER: equal for two certificates exactly when they are for the same key."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def private_key_identity(key: PrivateKey) -> bytes:
    """:returns: what :func:`public_key_bytes` gives for the certificates of this key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ordered_chain(leaf: x509.Certificate, others: list[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The leaf, its issuer, the issuer's issuer, as far as they are there; what does not belong is left out.

    :param leaf: the certificate to begin with.
    :param others: candidates, in any order, possibly with the leaf among them.
    """
    chain = [leaf]
    remaining = [certificate for certificate in others if certificate != leaf]
    while chain[-1].issuer != chain[-1].subject:
        issuer = next((certificate for certificate in remaining if issued(certificate, chain[-1])), None)
        if issuer is None:
            break
        chain.append(issuer)
        remaining.remove(issuer)
    return tuple(chain)


def issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether one certificate was signed by the key of the other."""
    try:
        subject.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - wrong name, wrong kind of key, wrong signature, unknown algorithm: all mean no
        return False
    return True
