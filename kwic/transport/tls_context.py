"""The one place where OpenSSL contexts are made.

Sessions: tickets are on, so that whoever reconnects skips the signatures; they carry the peer's verified certificate. The
key of the tickets belongs to the context, so that new stores, and with them new contexts, mean full handshakes.
"""

from __future__ import annotations

from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags

from kwic.errors import SetupError
from kwic.transport.certificates import subject
from kwic.transport.entries import KeyEntry, Store
from kwic.transport.judgement import ask_judge
from kwic.transport.tls_policy import TlsPolicy

SESSION_LIFETIME_S = 600
"""How long a ticket is good: long enough to reconnect, short enough that an expired certificate does not live on."""

_OPTIONS = (
    SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_SINGLE_ECDH_USE | SSL.OP_NO_RENEGOTIATION
)
_SESSION_ID = b"kwic"  # required by OpenSSL where client certificates and sessions meet


_MODE_ENABLE_PARTIAL_WRITE = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE of openssl/ssl.h; pyOpenSSL sets it and exports no name for it."""


def make_context(policy: TlsPolicy, entry: KeyEntry | None) -> SSL.Context:
    """A context that speaks what the policy allows and presents a key.

    :param entry: our key and its chain; None to present nothing.
    :raises SetupError: OpenSSL cannot use the key, or the policy leaves no cipher.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # One SSL_write takes all that it is given, however many records that makes (SSL_CTX_set_mode(3)).
    context.clear_mode(_MODE_ENABLE_PARTIAL_WRITE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets need no memory here
    context.set_session_id(_SESSION_ID)
    context.set_timeout(SESSION_LIFETIME_S)
    policy.apply(context)
    if entry is not None:
        present(context, entry)
    return context


def present(context: SSL.Context, entry: KeyEntry) -> None:
    """Present a key and its chain, without a self-signed root: whoever trusts it has it.

    :raises SetupError: OpenSSL refuses it, for example because the key is too small.
    """
    try:
        context.use_certificate(entry.certificate)
        context.use_privatekey(entry.key)
        for certificate in entry.chain[1:]:
            if certificate.issuer != certificate.subject:
                context.add_extra_chain_cert(certificate)
        context.check_privatekey()
    except SSL.Error as error:
        reasons = ", ".join(str(item[-1]) for item in error.args[0]) if error.args else "unknown"
        raise SetupError(
            f"OpenSSL cannot use the key {entry.alias} ({subject(entry.certificate)}): {reasons}"
        ) from error


def trust(
    context: SSL.Context,
    truststore: Store | None,
    *,
    mode: int = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
    system: bool = True,
    name_them: bool = False,
) -> None:
    """Have the other end's chain verified.

    :param truststore: the roots and revocation lists; None for the system's roots.
    :param mode: OpenSSL's verify mode.
    :param system: False: no truststore means no roots, not the system's.
    :param name_them: tell clients which CAs their certificate should come from.
    """
    context.set_verify(mode, ask_judge)
    if truststore is None:
        if system:
            context.set_default_verify_paths()
        return
    store = context.get_cert_store()
    assert store is not None
    for certificate in truststore.anchors:
        store.add_cert(X509.from_cryptography(certificate))
    for revocations in truststore.crls:
        store.add_crl(revocations)
    # as in Java, every certificate of a truststore is trusted by itself, not only self-signed ones
    flags = X509StoreFlags.PARTIAL_CHAIN
    if truststore.crls:
        flags |= X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL
    store.set_flags(flags)
    if name_them:
        for certificate in truststore.anchors:
            context.add_client_ca(certificate)
