"""A certificate authority in a few lines: what `kwic certs`, the demo and the tests sign their certificates with.

Good for trying things out and for a closed circle of gateways; it keeps no record of what it has signed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.entries import KeyEntry

ORGANISATION = "KWIC Demo"
BACKDATE_S = 3600
"""Certificates hold from an hour ago: the clocks of two machines differ."""

_LEAF_RSA_BITS = 2048
_CA_RSA_BITS = 3072
_COMMON_NAME_LIMIT = 64  # X.520


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a certificate is to say."""

    name: str
    """The common name."""
    hosts: tuple[str, ...] = ()
    """DNS names, wildcards or IP addresses for the subject alternative name; none: no such extension."""
    uris: tuple[str, ...] = ()
    """URI names for the subject alternative name."""
    purposes: tuple[x509.ObjectIdentifier, ...] = ()
    """Extended key usage; none: no such extension."""
    starts_s: float
    """Holds from, in seconds since the epoch."""
    ends_s: float
    """Holds until, in seconds since the epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """A certificate authority: a key and its own certificate."""

    entry: KeyEntry

    @classmethod
    def create(cls, name: str, *, now_s: float, days: float, use_rsa: bool = False) -> Authority:
        """:returns: a new one that signs itself.

        :param name: its common name.
        :param now_s: the time, in seconds since the epoch.
        :param days: how long it holds.
        """
        key = new_key(use_rsa=use_rsa, bits=_CA_RSA_BITS)
        request = Request(name=name, starts_s=now_s - BACKDATE_S, ends_s=now_s + days * 86400)
        builder = _builder(request, key).issuer_name(_subject(name))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
        return cls(entry=KeyEntry(alias=_alias(name), key=key, chain=(builder.sign(key, hashes.SHA256()),)))

    @property
    def certificate(self) -> x509.Certificate:
        """What others put into their truststore."""
        return self.entry.certificate

    def issue(self, request: Request, *, use_rsa: bool = False) -> KeyEntry:
        """:returns: a new key with a certificate for it; the chain has the authority's own certificate too."""
        key = new_key(use_rsa=use_rsa)
        builder = _builder(request, key).issuer_name(self.certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(enciphers_keys=use_rsa), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.entry.key.public_key()), critical=False
        )
        names = _alternative_names(request)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if request.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(request.purposes), critical=False)
        certificate = builder.sign(self.entry.key, hashes.SHA256())
        return KeyEntry(alias=_alias(request.name), key=key, chain=(certificate, self.certificate))

    def revoke(
        self, certificates: Sequence[x509.Certificate], *, now_s: float, days: float
    ) -> x509.CertificateRevocationList:
        """:returns: a revocation list that names these certificates and holds for `days`."""
        now = _moment(now_s)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - timedelta(seconds=BACKDATE_S)).next_update(
            now + timedelta(days=days)
        )
        for certificate in certificates:
            revoked = (
                x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
            )
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self.entry.key, hashes.SHA256())


def server_request(hosts: Sequence[str], *, now_s: float, days: float) -> Request:
    """:returns: a request for a server that is called by these hosts; a wildcard among them becomes the common name."""
    fitting = [host for host in hosts if len(host) <= _COMMON_NAME_LIMIT]
    name = next((host for host in fitting if host.startswith("*")), fitting[0] if fitting else ORGANISATION)
    return Request(
        name=name,
        hosts=tuple(hosts),
        purposes=(SERVER_AUTH,),
        starts_s=now_s - BACKDATE_S,
        ends_s=now_s + days * 86400,
    )


def client_request(name: str, *, now_s: float, days: float) -> Request:
    """:returns: a request for a client that is known by this common name."""
    return Request(
        name=name, purposes=(CLIENT_AUTH,), starts_s=now_s - BACKDATE_S, ends_s=now_s + days * 86400
    )


def new_key(
    *, use_rsa: bool = False, bits: int = _LEAF_RSA_BITS
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """:returns: an EC key on P-256, at once, or an RSA key of so many bits, which takes a moment."""
    if use_rsa:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    request: Request, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(_subject(request.name)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(_moment(request.starts_s)).not_valid_after(_moment(request.ends_s))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _alias(name: str) -> str:
    return name.removeprefix("*.").lower().replace(" ", "-")


def _alternative_names(request: Request) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in request.hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names + [x509.UniformResourceIdentifier(uri) for uri in request.uris]


def _key_usage(*, signs_certificates: bool = False, enciphers_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
