"""One line for an operator about why a TLS connection did not come about, or broke."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet import error as neterror
from twisted.python.failure import Failure

from kwic.errors import KwicError

_ALERTS = {
    "unknown ca": "the other end does not know the CA of our certificate; put that CA into its truststore",
    "certificate expired": "the other end says that our certificate has expired; renew it",
    "certificate revoked": "the other end says that our certificate was revoked; get a new one",
    "certificate unknown": "the other end does not accept our certificate; its log says why",
    "bad certificate": "the other end does not accept our certificate; its log says why",
    "unsupported certificate": "the other end does not accept our kind of certificate; see its extended key usage",
    "certificate required": "the other end demands a client certificate and we presented none; "
    "give this gateway a keystore with one",
    "unrecognized name": "the other end does not serve the host name that we asked for",
    "protocol version": "the other end speaks none of our TLS versions",
    "handshake failure": "the other end found no TLS version, cipher or certificate in common with us, "
    "or demands a client certificate",
    "no application protocol": "the other end speaks no application protocol that we offered",
    "access denied": "the other end denies us access",
    "decrypt error": "the other end could not verify our signature",
    "internal error": "the other end gave up without saying why, as one does whose wanted host our certificate does not name; "
    "its log says why",
}
_NO_CERTIFICATE = "peer did not return a certificate"
_REASONS = {
    _NO_CERTIFICATE: "the client sent no certificate and this listener demands one; "
    "give the client a keystore",
    "http request": "the other end speaks plain HTTP, not TLS; use https or wss there",
    "https proxy request": "the other end speaks to an HTTP proxy; this is none",
    "wrong version number": "the other end does not speak TLS; check scheme and port",
    "packet length too long": "the other end does not speak TLS; check scheme and port",
    "unexpected message": "the other end broke the TLS protocol",
    "record layer failure": "the other end broke the TLS protocol",
    "unsupported protocol": "the other end speaks only TLS versions that are off here (1.3 and 1.2 are on unless "
    "ssl.protocols says otherwise)",
    "no protocols available": "no TLS version is left on; check ssl.protocols",
    "no shared cipher": "the other end offers no cipher that we accept; check ssl.ciphers on both sides",
    "no suitable signature algorithm": "the other end cannot verify the kind of key that our certificate has",
    "certificate verify failed": "the other end's certificate does not verify",
    "unexpected eof while reading": "the other end closed the connection without saying goodbye",
    "bad extension": "the other end broke the TLS protocol",
    "decryption failed or bad record mac": "a TLS record arrived damaged",
    "dh key too small": "the other end offers a key exchange that is too weak",
    "ee key too small": "our own certificate's key is too weak for this build of OpenSSL; renew it with a larger key",
}


def explain_tls_failure(failure: Failure | BaseException) -> str:
    """What went wrong, and what to do, in one line without a traceback.

    :param failure: what ``connectionLost`` or an errback got.
    """
    error = failure.value if isinstance(failure, Failure) else failure
    assert error is not None
    if isinstance(error, KwicError):
        return _one_line(str(error))
    if isinstance(error, SSL.SysCallError):
        return _REASONS["unexpected eof while reading"]
    if isinstance(error, SSL.Error):
        return _explain_openssl(error)
    if isinstance(error, neterror.ConnectionDone):
        return "the connection was closed"
    if isinstance(error, neterror.ConnectionLost):
        return "the connection was lost"
    return _one_line(str(error)) or type(error).__name__


def explain_missing_certificate(error: SSL.Error) -> str | None:
    """:returns: the line about a handshake that failed because the other end showed no certificate; None when it was for anything else."""
    return _REASONS[_NO_CERTIFICATE] if _NO_CERTIFICATE in _reasons(error) else None


def _reasons(error: SSL.Error) -> list[str]:
    """What OpenSSL has in its queue."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return [str(entry[-1]).lower() for entry in entries if entry]


def _explain_openssl(error: SSL.Error) -> str:
    reasons = _reasons(error)
    for reason in reasons:
        _, is_alert, alert = reason.partition(" alert ")
        if is_alert:
            return _ALERTS.get(alert, f"the other end refused with the TLS alert '{alert}'")
    for reason in reasons:
        if reason in _REASONS:
            return _REASONS[reason]
    return f"TLS failed: {', '.join(filter(None, reasons)) or type(error).__name__}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
