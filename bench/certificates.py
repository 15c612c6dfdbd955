"""Certificates for one run: a CA for servers, a CA for clients, a leaf of each; EC P-256, shared by every pair that is measured."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 30
"""Longer than any run, and more than the fortnight from which on a gateway warns."""

HOST = "localhost"
"""The name that servers prove and clients check."""

CLIENT = "onprem"
"""The name of the dialling side."""

P12_PASSWORD = "bench"
"""For the programs that read nothing but PKCS 12; the file dies with the run."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One side's key and certificate, and the CA that the other side trusts for it.

    :param certificate: PEM, the leaf.
    :param key: PEM, PKCS 8, not encrypted.
    :param both: PEM, certificate and key in one file.
    :param p12: PKCS 12 of both, with `P12_PASSWORD`.
    :param ca: PEM, the CA.
    """

    certificate: Path
    key: Path
    both: Path
    p12: Path
    ca: Path


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What a pair of gateways needs for mutual TLS.

    :param server: of the side that listens.
    :param client: of the side that dials.
    """

    server: Identity
    client: Identity

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """Makes all of them.

        :param folder: where the files are put, readable by us only.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return cls(
            server=_identity(folder, "server", HOST, host, ExtendedKeyUsageOID.SERVER_AUTH),
            client=_identity(folder, "client", CLIENT, [], ExtendedKeyUsageOID.CLIENT_AUTH),
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _identity(
    folder: Path, label: str, common_name: str, names: list[x509.GeneralName], usage: x509.ObjectIdentifier
) -> Identity:
    ca_key, ca = _authority(f"Bench {label} CA")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(common_name, f"Bench {label} CA", key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    leaf = builder.sign(ca_key, hashes.SHA256())
    certificate_pem = leaf.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    p12 = pkcs12.serialize_key_and_certificates(
        label.encode(), key, leaf, [ca], serialization.BestAvailableEncryption(P12_PASSWORD.encode())
    )
    return Identity(
        certificate=_write(folder / f"{label}.crt", certificate_pem),
        key=_write(folder / f"{label}.key", key_pem),
        both=_write(folder / f"{label}.pem", certificate_pem + key_pem),
        p12=_write(folder / f"{label}.p12", p12),
        ca=_write(folder / f"{label}-ca.crt", ca.public_bytes(serialization.Encoding.PEM)),
    )


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
