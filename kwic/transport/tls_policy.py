"""Which TLS versions and ciphers are spoken: what ``ssl.protocols`` and ``ssl.ciphers`` mean to OpenSSL.

The names were judged when the file was read (:mod:`kwic.config.tls_names`, :mod:`kwic.config.ciphers`), in Java's spelling and
in OpenSSL's; what is unsafe is left out of what was asked for. What is left of it in all only OpenSSL knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from OpenSSL import SSL

from kwic.config.ciphers import NEVER, SUITES, SUITES_OF_TLS_1_3, asks
from kwic.config.model import TlsOptions
from kwic.errors import SetupError

_VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}

DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else."""
DEFAULT_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""For TLS 1.3, in the client's order: what every peer has comes first (RFC 8446, section 9.1). OpenSSL's own order begins with the longer key, which
costs a fifth more and protects from nothing that anybody can do."""
_NEVER = ":".join(f"!{keyword}" for keyword in NEVER)


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsPolicy:
    """The versions and ciphers of a context."""

    minimum: int = SSL.TLS1_2_VERSION
    maximum: int = SSL.TLS1_3_VERSION
    ciphers: str = DEFAULT_CIPHERS
    """OpenSSL's cipher string for TLS 1.2."""
    suites: str = DEFAULT_SUITES
    """OpenSSL's list of TLS 1.3 suites."""

    def apply(self, context: SSL.Context) -> None:
        """:raises SetupError: no cipher is left that this build of OpenSSL knows."""
        context.set_min_proto_version(self.minimum)
        context.set_max_proto_version(self.maximum)
        try:
            context.set_cipher_list(f"{self.ciphers}:{_NEVER}".encode("ascii"))
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

    :raises SetupError: nothing is left of the ciphers that were asked for, or they are those of a version that was not.
    """
    versions = [_VERSIONS[name] for name in tls.protocols or _VERSIONS]
    minimum, maximum = min(versions), max(versions)
    ciphers, suites, only_new = _ciphers(tls.ciphers or ())
    if only_new:
        if maximum < SSL.TLS1_3_VERSION:
            raise SetupError(
                "ssl.ciphers names TLS 1.3 suites only, ssl.protocols excludes TLS 1.3; add TLSv1.3 there"
            )
        minimum = SSL.TLS1_3_VERSION
    policy = TlsPolicy(minimum=minimum, maximum=maximum, ciphers=ciphers, suites=suites)
    policy.apply(SSL.Context(SSL.TLS_METHOD))
    return policy


def _ciphers(elements: tuple[str, ...]) -> tuple[str, str, bool]:
    """:returns: the string for TLS 1.2, the suites of TLS 1.3, and whether only the latter were asked for."""
    new = [element for element in elements if element in SUITES_OF_TLS_1_3]
    old = [_openssl_name(element) for element in elements if element not in SUITES_OF_TLS_1_3]
    asking = any(map(asks, old))
    return (
        ":".join(old if asking else [DEFAULT_CIPHERS, *old]),
        ":".join(new) or DEFAULT_SUITES,
        bool(new) and not asking,
    )


def _openssl_name(element: str) -> str:
    """:returns: an element of a cipher string, with OpenSSL's name for a suite of Java's."""
    name = element.lstrip("!-+")
    return element.replace(name, SUITES.get(name, name))
