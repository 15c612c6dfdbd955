"""The names of TLS versions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.problem import BadValueError
from kwic.config.tls_names import parse_protocols, unsafe_protocols


class ProtocolTests(SynchronousTestCase):
    """ssl.protocols."""

    def test_safe_versions_are_kept_in_order(self) -> None:
        """JSSE names are understood, separated by commas, blanks or colons."""
        self.assertEqual(parse_protocols("TLSv1.3, TLSv1.2"), ("TLSv1.2", "TLSv1.3"))
        self.assertEqual(parse_protocols("TLSv1.3"), ("TLSv1.3",))
        self.assertEqual(unsafe_protocols("TLSv1.2,TLSv1.3"), "")

    def test_unsafe_versions_are_left_out_and_named(self) -> None:
        """Old versions beside new ones cost a warning."""
        self.assertEqual(parse_protocols("SSLv3,TLSv1,TLSv1.1,TLSv1.2"), ("TLSv1.2",))
        self.assertEqual(unsafe_protocols("SSLv3,TLSv1,TLSv1.2"), "SSLv3 and TLSv1 will not be used: unsafe")

    def test_only_unsafe_versions_are_an_error(self) -> None:
        """Asking for nothing but old versions cannot be granted."""
        for name in ("SSLv2", "SSLv2Hello", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1"):
            self.assertIn("unsafe", self.assertRaises(BadValueError, parse_protocols, name).message)

    def test_unknown_names(self) -> None:
        """A name that is none gets a suggestion when one is close; an empty list is an error."""
        self.assertIn("TLSv1.2", self.assertRaises(BadValueError, parse_protocols, "TLS1.2").hint)
        self.assertIn("use TLSv1.2", self.assertRaises(BadValueError, parse_protocols, "quic").hint)
        self.assertRaises(BadValueError, parse_protocols, ", ,")
