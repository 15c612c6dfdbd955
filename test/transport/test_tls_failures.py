"""The one line that an operator reads about a failed connection."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import SetupError
from kwic.transport.entries import KeyEntry
from kwic.transport.judgement import ChainJudge, CheckedConnection, ask_judge, describe_fault
from kwic.transport.pki import new_key
from kwic.transport.tls import CertificateRefused, explain_tls_failure
from kwic.transport.tls_context import make_context
from kwic.transport.tls_policy import TlsPolicy
from test.transport.test_stores import AUTHORITY, SERVER


class FaultTests(SynchronousTestCase):
    """What OpenSSL holds against a certificate, in words."""

    def test_faults(self) -> None:
        """The common faults say what to do, all others their number."""
        for fault, words in (
            (10, "expired on"),
            (20, "not in our truststore"),
            (23, "was revoked by CN=Test CA"),
            (26, "extended key usage"),
            (67, "too weak"),
            (47, "name constraints"),
            (8, "is not signed by it"),
            (999, "OpenSSL verification result 999"),
        ):
            self.assertIn(words, describe_fault(SERVER.certificate, fault))
            self.assertIn("CN=server", describe_fault(SERVER.certificate, fault))

    def test_unreadable_certificate(self) -> None:
        """A certificate that cannot be read ends the handshake with a line about it, not with an exception."""

        class Unreadable:
            def to_cryptography(self):
                raise ValueError("error parsing\nasn1 value")

        connection = CheckedConnection(SSL.Context(SSL.TLS_METHOD), ChainJudge())
        self.assertFalse(ask_judge(connection, Unreadable(), 0, 0, 1))
        self.assertEqual(
            str(connection.judge.refusal),
            "the other end's certificate cannot be read: error parsing asn1 value",
        )

    def test_weak_key(self) -> None:
        """A key of ours that OpenSSL finds too small is refused at the start, with its alias."""
        key = new_key(use_rsa=True, bits=1024)
        certificate = x509.CertificateBuilder(
            issuer_name=SERVER.certificate.issuer,
            subject_name=SERVER.certificate.subject,
            public_key=key.public_key(),
            serial_number=1,
            not_valid_before=SERVER.certificate.not_valid_before_utc,
            not_valid_after=SERVER.certificate.not_valid_after_utc,
        ).sign(AUTHORITY.entry.key, hashes.SHA256())
        entry = KeyEntry(alias="weak", key=key, chain=(certificate,))
        error = self.assertRaises(SetupError, make_context, TlsPolicy(), entry)
        self.assertIn("OpenSSL cannot use the key weak (CN=server): ee key too small", str(error))


class ExplainTests(SynchronousTestCase):
    """From exceptions to words."""

    def test_alerts(self) -> None:
        """Alerts of the other end are told as such, unknown ones by their name, whatever OpenSSL calls them."""
        for reason, words in (
            ("tlsv1 alert unknown ca", "put that CA into its truststore"),
            ("ssl/tls alert certificate expired", "our certificate has expired"),
            ("tlsv13 alert certificate required", "we presented none"),
            ("sslv3 alert handshake failure", "in common"),
            ("tlsv1 alert something new", "TLS alert 'something new'"),
        ):
            self.assertIn(words, explain_tls_failure(SSL.Error([("SSL routines", "", reason)])))

    def test_reasons(self) -> None:
        """OpenSSL's own reasons get words, unknown ones are passed on."""
        self.assertIn("plain HTTP", explain_tls_failure(SSL.Error([("SSL routines", "", "http request")])))
        self.assertEqual(explain_tls_failure(SSL.Error([("x", "", "odd thing")])), "TLS failed: odd thing")
        for empty in (SSL.Error(), SSL.Error([]), SSL.Error([()])):
            self.assertEqual(explain_tls_failure(empty), "TLS failed: Error")

    def test_ends(self) -> None:
        """Ends of connections are told apart."""
        self.assertEqual(explain_tls_failure(Failure(ConnectionDone())), "the connection was closed")
        self.assertEqual(explain_tls_failure(Failure(ConnectionLost())), "the connection was lost")
        self.assertIn("without saying goodbye", explain_tls_failure(SSL.SysCallError(-1, "Unexpected EOF")))

    def test_others(self) -> None:
        """Our own errors speak for themselves, others too, always in one line."""
        self.assertEqual(explain_tls_failure(CertificateRefused("too old")), "too old")
        self.assertEqual(explain_tls_failure(SetupError("two\nlines")), "two lines")
        self.assertIn("refused", explain_tls_failure(ConnectionRefusedError("connection refused")))
        self.assertEqual(explain_tls_failure(ValueError()), "ValueError")
