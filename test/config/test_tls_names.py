"""The names of TLS versions and ciphers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.problem import BadValueError
from kwic.config.tls_names import parse_ciphers, parse_protocols, unsafe_ciphers, unsafe_protocols


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


class CipherTests(SynchronousTestCase):
    """ssl.ciphers."""

    def test_both_vocabularies(self) -> None:
        """OpenSSL strings and JSSE names are kept as written, without repetitions."""
        self.assertEqual(parse_ciphers("HIGH,MEDIUM,!ADH,!KRB5,HIGH"), ("HIGH", "MEDIUM", "!ADH", "!KRB5"))
        self.assertEqual(
            parse_ciphers("ECDHE+AESGCM:-AES128:@STRENGTH"), ("ECDHE+AESGCM", "-AES128", "@STRENGTH")
        )
        name = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        self.assertEqual(parse_ciphers(f"{name} {name}"), (name,))

    def test_unsafe_names(self) -> None:
        """NULL, RC4, export, anonymous and single DES suites are unsafe in either vocabulary."""
        for name in (
            *("TLS_RSA_WITH_NULL_SHA256", "NULL-SHA", "eNULL", "aNULL", "ADH-AES256-SHA", "AECDH-AES256-SHA"),
            *(
                "SSL_RSA_WITH_RC4_128_MD5",
                "RC4-SHA",
                "RC4",
                "SSL_RSA_EXPORT_WITH_DES40_CBC_SHA",
                "EXP-RC4-MD5",
            ),
            *(
                "EXPORT40",
                "TLS_DH_anon_WITH_AES_128_CBC_SHA",
                "DES-CBC-SHA",
                "LOW",
                "SSL_RSA_WITH_DES_CBC_SHA",
            ),
        ):
            self.assertIn("no safe cipher", self.assertRaises(BadValueError, parse_ciphers, name).message)
            self.assertEqual(parse_ciphers(f"HIGH,{name}"), ("HIGH",), name)
            self.assertEqual(unsafe_ciphers(f"HIGH,{name}"), f"{name} will not be used: unsafe")

    def test_safe_names(self) -> None:
        """Suites that only look like unsafe ones are not."""
        for name in ("DES-CBC3-SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "AES128-SHA", "TLS_AES_128_GCM_SHA256"):
            self.assertEqual(parse_ciphers(name), (name,))
            self.assertEqual(unsafe_ciphers(name), "")

    def test_nothing_to_offer(self) -> None:
        """A list that only takes away, and what is no list, are errors."""
        for text in ("!ADH,!KRB5", ",", "@STRENGTH"):
            self.assertIn("no safe cipher", self.assertRaises(BadValueError, parse_ciphers, text).message)
        self.assertIn("is not the name", self.assertRaises(BadValueError, parse_ciphers, "HIGH;LOW").message)
