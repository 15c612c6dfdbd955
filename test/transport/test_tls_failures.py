"""The one line that an operator reads about a failed connection."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import SetupError
from kwic.transport.tls import CertificateRefused, explain_tls_failure


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
