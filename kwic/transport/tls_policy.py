"""Which TLS versions and ciphers are spoken: what ``ssl.protocols`` and ``ssl.ciphers`` mean, and what is never done.

Both spellings that KWIC 5 files use are understood, JSSE's (``TLSv1.2``, ``TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256``) and
OpenSSL's (``HIGH,MEDIUM,!ADH``). What is unsafe is left out of what was asked for, with a warning; when nothing is left,
that is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from OpenSSL import SSL

from kwic.config.model import TlsOptions
from kwic.errors import SetupError

_VERSIONS = {"TLS1.2": SSL.TLS1_2_VERSION, "TLS1.3": SSL.TLS1_3_VERSION}
_UNSAFE_VERSIONS = frozenset({"SSL2", "SSL2HELLO", "SSL3", "TLS1", "TLS1.0", "TLS1.1"})

DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else."""
_NEVER = "!aNULL:!eNULL:!LOW:!EXPORT:!DES:!3DES:!RC4:!RC2:!IDEA:!SEED:!MD5:!PSK:!SRP:!kDH:!kECDH"
_TLS13_SUITES = frozenset(
    {
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    }
)
_JSSE_SUITE = re.compile(r"(?:TLS|SSL)_(?P<exchange>\w+?)_WITH_(?P<cipher>\w+)")
_EXCHANGES = {"RSA": "", "ECDHE_RSA": "ECDHE-RSA-", "ECDHE_ECDSA": "ECDHE-ECDSA-", "DHE_RSA": "DHE-RSA-"}
_CIPHERS = (
    (re.compile(r"AES_(128|256)_GCM_(SHA\d+)"), r"AES\1-GCM-\2"),
    (re.compile(r"AES_(128|256)_CBC_(SHA\d*)"), r"AES\1-\2"),
    (re.compile(r"AES_(128|256)_CCM(_8)?"), r"AES\1-CCM\2"),
    (re.compile(r"CHACHA20_POLY1305_SHA256"), "CHACHA20-POLY1305"),
    (re.compile(r"CAMELLIA_(128|256)_CBC_(SHA\d*)"), r"CAMELLIA\1-\2"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsPolicy:
    """The versions and ciphers of a context."""

    minimum: int = SSL.TLS1_2_VERSION
    maximum: int = SSL.TLS1_3_VERSION
    ciphers: str = DEFAULT_CIPHERS
    """OpenSSL's cipher string for TLS 1.2."""
    suites: str | None = None
    """OpenSSL's list of TLS 1.3 suites; None: its own choice."""
    warnings: tuple[str, ...] = ()

    def apply(self, context: SSL.Context) -> None:
        """:raises SetupError: no cipher is left that this build of OpenSSL knows."""
        context.set_min_proto_version(self.minimum)
        context.set_max_proto_version(self.maximum)
        try:
            context.set_cipher_list(f"{self.ciphers}:{_NEVER}".encode("ascii"))
            if self.suites is not None:
                context.set_tls13_ciphersuites(self.suites.encode("ascii"))
        except (SSL.Error, UnicodeEncodeError) as error:
            raise SetupError(
                f"ssl.ciphers {self.ciphers!r} leaves no safe cipher; remove ssl.ciphers to get TLS 1.3 and 1.2 "
                "with forward secrecy"
            ) from error


CLUSTER_POLICY = TlsPolicy(minimum=SSL.TLS1_3_VERSION)
"""Members of a cluster are all ours: nothing older than TLS 1.3 is needed."""


@cache
def policy_of(tls: TlsOptions) -> TlsPolicy:
    """What the options of a service mean; asked for at each dial, found out once.

    :raises SetupError: only unsafe versions or ciphers were asked for, or something that does not exist.
    """
    minimum, maximum, version_warnings = _versions(tls.protocols)
    ciphers, suites, only_new = _ciphers(tls.ciphers)
    if only_new:
        if maximum < SSL.TLS1_3_VERSION:
            raise SetupError(
                "ssl.ciphers names TLS 1.3 suites only, ssl.protocols excludes TLS 1.3; add TLSv1.3 there"
            )
        minimum = SSL.TLS1_3_VERSION
    policy = TlsPolicy(
        minimum=minimum, maximum=maximum, ciphers=ciphers, suites=suites, warnings=version_warnings
    )
    policy.apply(SSL.Context(SSL.TLS_METHOD))
    return policy


def _versions(protocols: tuple[str, ...] | None) -> tuple[int, int, tuple[str, ...]]:
    if not protocols:
        return SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION, ()
    wanted, unsafe = [], []
    for name in protocols:
        version = "".join(name.upper().split()).replace("V", "").replace("_", ".")
        if version in _VERSIONS:
            wanted.append(_VERSIONS[version])
        elif version in _UNSAFE_VERSIONS:
            unsafe.append(name)
        elif version not in {"TLS", "SSL"}:
            raise SetupError(f"ssl.protocols: there is no protocol {name!r}; use TLSv1.3 and TLSv1.2")
        else:
            wanted.extend(_VERSIONS.values())
    if not wanted:
        raise SetupError(
            f"ssl.protocols asks for {', '.join(unsafe)} only, which is unsafe; use TLSv1.3 and TLSv1.2"
        )
    warnings = (f"ssl.protocols: {', '.join(unsafe)} is unsafe and stays off",) if unsafe else ()
    return min(wanted), max(wanted), warnings


def _ciphers(names: tuple[str, ...] | None) -> tuple[str, str | None, bool]:
    """:returns: the string for TLS 1.2, the suites of TLS 1.3, and whether only the latter were named."""
    old: list[str] = []
    new: list[str] = []
    for name in names or ():
        for element in re.split(r"[\s,:]+", name.strip()):
            if element.startswith("@"):
                raise SetupError(f"ssl.ciphers: {element} is not allowed here; name ciphers only")
            if element in _TLS13_SUITES:
                new.append(element)
            elif element:
                old.append(_openssl_name(element))
    only_new = bool(new) and not old
    return ":".join(old) or DEFAULT_CIPHERS, ":".join(new) or None, only_new


def _openssl_name(name: str) -> str:
    """:returns: OpenSSL's name for a JSSE suite; anything else unchanged."""
    suite = _JSSE_SUITE.fullmatch(name)
    if suite is None:
        return name
    exchange = _EXCHANGES.get(suite["exchange"])
    if exchange is not None:
        for pattern, replacement in _CIPHERS:
            if match := pattern.fullmatch(suite["cipher"]):
                return exchange + match.expand(replacement).replace("_", "")
    return name
