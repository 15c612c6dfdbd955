"""What a certificate says: whom it names, how long it holds, what it is good for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
WARN_BEFORE_EXPIRY_S = 14 * 86400
"""A certificate with less than this left is warned about."""

_SMALLEST_WILDCARD_DOTS = 1  # *.example.com, but not *.com
_PURPOSES = {
    SERVER_AUTH: "serverAuth",
    CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}


class Fit(IntEnum):
    """How well a certificate names a host; more is better."""

    NOT = 0
    WILDCARD = 1
    EXACT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerIdentity:
    """Who the other end is, from its verified certificate."""

    common_name: str | None
    names: frozenset[str]
    """The subject's common name and the DNS and URI names of the subject alternative name: what roles are matched with."""
    fingerprint: str
    """SHA-256 of the certificate, in hex pairs."""

    def __str__(self) -> str:
        return self.common_name or min(self.names, default=None) or self.fingerprint


def identity_of(certificate: x509.Certificate) -> PeerIdentity:
    """:returns: the identity a certificate states; whether to believe it is for the caller to know."""
    name = common_name(certificate)
    san = alternative_names(certificate)
    names = {name} if name else set()
    if san is not None:
        names.update(san.get_values_for_type(x509.DNSName))
        names.update(san.get_values_for_type(x509.UniformResourceIdentifier))
    return PeerIdentity(common_name=name, names=frozenset(names), fingerprint=fingerprint(certificate))


def common_name(certificate: x509.Certificate) -> str | None:
    """:returns: the last common name of the subject, the most specific one; None when there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else None


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """:returns: the subject alternative name; None when there is none, or one that cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def host_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """:returns: the DNS names and IP addresses a server with it may be called by; the CN only when there is no SAN."""
    san = alternative_names(certificate)
    if san is None:
        name = common_name(certificate)
        return (name,) if name else ()
    addresses = san.get_values_for_type(x509.IPAddress)
    return (*san.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def fit(certificate: x509.Certificate, host: str) -> Fit:
    """How well a certificate names a host.

    :param host: a DNS name (ASCII, any case) or an IP address without brackets.
    """
    return max((_name_fits(name, host) for name in host_names(certificate)), default=Fit.NOT)


def _name_fits(name: str, host: str) -> Fit:
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    address = _address(host)
    if address is not None:
        return Fit.EXACT if _address(name) == address else Fit.NOT
    if name == host:
        return Fit.EXACT
    first, _, rest = name.partition(".")
    label, _, domain = host.partition(".")
    if first == "*" and label and rest == domain and rest.count(".") >= _SMALLEST_WILDCARD_DOTS:
        return Fit.WILDCARD
    return Fit.NOT


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def good_for(certificate: x509.Certificate, purpose: x509.ObjectIdentifier) -> bool:
    """Whether the extended key usage allows a purpose; a certificate that states none is good for all."""
    try:
        usage: Iterable[x509.ObjectIdentifier] = certificate.extensions.get_extension_for_class(
            x509.ExtendedKeyUsage
        ).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    stated = set(usage)
    return purpose in stated or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in stated


def states_usage(certificate: x509.Certificate) -> bool:
    """Whether there is an extended key usage at all."""
    try:
        certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return True


def validity_problem(certificate: x509.Certificate, now_s: float) -> str | None:
    """:returns: why a certificate does not hold at `now_s` (seconds since the epoch); None when it does."""
    if now_s > certificate.not_valid_after_utc.timestamp():
        return f"expired on {day(certificate.not_valid_after_utc)}"
    if now_s < certificate.not_valid_before_utc.timestamp():
        return f"is not valid before {day(certificate.not_valid_before_utc)} (is this machine's clock right?)"
    return None


def seconds_left(certificate: x509.Certificate, now_s: float) -> float:
    """:returns: how long a certificate still holds, negative when it has expired."""
    return certificate.not_valid_after_utc.timestamp() - now_s


def day(moment: datetime) -> str:
    """:returns: ``2026-11-30 12:00 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def subject(certificate: x509.Certificate) -> str:
    """:returns: the subject in one line, the common name alone when there is one."""
    name = common_name(certificate)
    return f"CN={name}" if name else certificate.subject.rfc4514_string() or "(no subject)"


def issuer(certificate: x509.Certificate) -> str:
    """:returns: the issuer in one line, the common name alone when there is one."""
    found = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return f"CN={found[-1].value!s}" if found else certificate.issuer.rfc4514_string() or "(no issuer)"


def fingerprint(certificate: x509.Certificate) -> str:
    """:returns: SHA-256 over the certificate, as ``AB:CD:…``."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def key_kind(certificate: x509.Certificate) -> str:
    """:returns: ``RSA 2048``, ``EC secp256r1``, ``Ed25519`` …"""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")


def purposes(certificate: x509.Certificate) -> tuple[str, ...]:
    """:returns: the names of the extended key usage, ``serverAuth`` …; empty when none is stated."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(_PURPOSES.get(purpose, purpose.dotted_string) for purpose in usage)
