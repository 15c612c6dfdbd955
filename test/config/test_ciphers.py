"""The names of ciphers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.ciphers import SUITES, parse_ciphers, unspoken_ciphers
from kwic.config.problem import BadValueError

# fmt: off
UNSAFE = (
    "TLS_RSA_WITH_NULL_SHA256", "NULL-SHA", "eNULL", "aNULL", "ADH-AES256-SHA", "AECDH-AES256-SHA", "SSL_RSA_WITH_RC4_128_MD5",
    "RC4-SHA", "RC4", "SSL_RSA_EXPORT_WITH_DES40_CBC_SHA", "EXP-RC4-MD5", "EXPORT40", "TLS_DH_anon_WITH_AES_128_CBC_SHA",
    "DES-CBC-SHA", "LOW", "SSL_RSA_WITH_DES_CBC_SHA", "DES-CBC3-SHA", "EDH-RSA-DES-CBC3-SHA", "3DES", "IDEA-CBC-SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "SSL_DHE_DSS_WITH_3DES_EDE_CBC_SHA", "SSL_RSA_FIPS_WITH_DES_CBC_SHA", "PSK-NULL-SHA",
    "TLS_KRB5_EXPORT_WITH_RC4_40_MD5", "SSLv2", "SSLv3", "COMPLEMENTOFALL", "ECDHE+RC4", "@SECLEVEL=0", "@SECLEVEL=1",
)
ABSENT = (
    "SEED-SHA", "SEED", "PSK", "PSK-AES128-CBC-SHA", "TLS_PSK_WITH_AES_128_CBC_SHA", "SRP-RSA-AES-128-CBC-SHA", "kRSA+PSK",
    "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA", "ECDH-RSA-AES128-SHA", "DH-DSS-AES128-SHA", "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    "GOST2001-GOST89-GOST89", "TLS_GOSTR341001_WITH_28147_CNT_IMIT", "KRB5", "kECDHr",
)
# fmt: on


class CipherTests(SynchronousTestCase):
    """ssl.ciphers."""

    def refused(self, text: str) -> str:
        """:returns: why, and what to do."""
        return str(self.assertRaises(BadValueError, parse_ciphers, text))

    def test_both_vocabularies(self) -> None:
        """OpenSSL strings and Java's names are kept as written, without repetitions."""
        self.assertEqual(parse_ciphers("HIGH,MEDIUM,!ADH,-LOW,HIGH"), ("HIGH", "MEDIUM", "!ADH", "-LOW"))
        self.assertEqual(
            parse_ciphers("ECDHE+AESGCM:-AES128:+AES256:@STRENGTH"),
            ("ECDHE+AESGCM", "-AES128", "+AES256", "@STRENGTH"),
        )
        name = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        self.assertEqual(parse_ciphers(f"{name} {name}"), (name,))

    def test_unsafe_names(self) -> None:
        """NULL, RC4, export, anonymous, DES and 3DES suites are unsafe in either vocabulary."""
        for name in UNSAFE:
            self.assertIn("asks for no safe cipher", self.refused(name), name)
            self.assertEqual(parse_ciphers(f"HIGH,{name}"), ("HIGH",), name)
            self.assertEqual(unspoken_ciphers(f"HIGH,{name}"), f"{name} will not be used: unsafe")

    def test_names_of_what_is_not_spoken(self) -> None:
        """What is not there is told apart from what does not exist; a list with it goes on without it."""
        for name in ABSENT:
            self.assertIn("asks for no cipher that is spoken here", self.refused(name), name)
            self.assertEqual(parse_ciphers(f"HIGH,{name}"), ("HIGH",), name)
            self.assertEqual(unspoken_ciphers(f"HIGH,{name}"), f"{name} will not be used: not spoken here")
        self.assertIn("asks for no safe cipher", self.refused("PSK,RC4"))
        self.assertEqual(
            unspoken_ciphers("PSK,RC4,HIGH,SEED,EXP"),
            "RC4 and EXP will not be used: unsafe, PSK and SEED will not be used: not spoken here",
        )

    def test_safe_names(self) -> None:
        """What is spoken is taken by each of its names."""
        for name in (
            *(
                "AES128-SHA",
                "TLS_AES_128_GCM_SHA256",
                "TLS_DHE_DSS_WITH_AES_128_CBC_SHA",
                "ECDHE-ARIA256-GCM-SHA384",
            ),
            *("SSL_RSA_WITH_AES_128_CBC_SHA", "kEECDH+aRSA+AES", "DEFAULT", "DHE-RSA-CAMELLIA256-SHA256"),
        ):
            self.assertEqual(parse_ciphers(name), (name,))
            self.assertEqual(unspoken_ciphers(name), "")

    def test_java_names(self) -> None:
        """Java's suites are OpenSSL's by other names."""
        for java, openssl in (
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
            ("TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256", "DHE-RSA-CAMELLIA256-SHA256"),
            ("TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", "ECDHE-ARIA128-GCM-SHA256"),
            ("SSL_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
        ):
            self.assertEqual(SUITES[java], openssl)

    def test_any_case(self) -> None:
        """Names may be written in lower case, as in OpenSSL; they become what they are called."""
        self.assertEqual(
            parse_ciphers("high,kEcdhe+aesgcm,!anull,tls_rsa_with_aes_128_cbc_sha,HIGH"),
            ("HIGH", "kECDHE+AESGCM", "!aNULL", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        )

    def test_what_is_gone_needs_no_taking_away(self) -> None:
        """OpenSSL is not told words of old: it would take the static kECDHe for kECDHE."""
        self.assertEqual(parse_ciphers("HIGH,!KRB5,!kECDHe:!PSK:-SEED-SHA"), ("HIGH",))
        self.assertEqual(unspoken_ciphers("HIGH,!KRB5,!kECDHe:!PSK"), "")

    def test_unknown_names(self) -> None:
        """A name that is none gets a suggestion when one is close, also where it would only take something away."""
        for name, hint in (
            ("FOOBAR", "use the names of Java or of OpenSSL"),
            ("!CAMELIA", "did you mean “CAMELLIA”?"),
            ("ECDHE+AESGMC", "did you mean “AESGCM”?"),
            ("ECDHE-RSA-AES128-GCM-SHA255", "did you mean “ECDHE-RSA-AES128-GCM-SHA256”?"),
            (
                "TLS_ECDHE_RSA_WITH_AES_128_GMC_SHA256",
                "did you mean “TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256”?",
            ),
            ("HIGH;LOW", "separate the names by commas"),
            ("ECDHE++AES", "use the names"),
        ):
            for text in (name, f"HIGH,{name}"):
                refused = self.refused(text)
                self.assertIn("is not the name of a cipher", refused)
                self.assertIn(hint, refused)

    def test_commands(self) -> None:
        """A list may be sorted, and the level of security raised."""
        self.assertEqual(parse_ciphers("HIGH:@STRENGTH:@SECLEVEL=3"), ("HIGH", "@STRENGTH", "@SECLEVEL=3"))
        for text in ("HIGH:@STRENGHT", "HIGH:@SECLEVEL=9", "HIGH:@SECLEVEL"):
            self.assertIn("nor a word about ciphers; use @STRENGTH, or remove it", self.refused(text))

    def test_suites_of_tls_1_3_taken_away(self) -> None:
        """Those of TLS 1.3 are a list of their own, from which nothing is taken away."""
        text = "HIGH,!TLS_AES_128_GCM_SHA256"
        self.assertIn("!TLS_AES_128_GCM_SHA256 has no effect", unspoken_ciphers(text))

    def test_nothing_to_offer(self) -> None:
        """A list that only takes away, and what is no list, are errors."""
        for text in ("!ADH,!KRB5", ",", "@STRENGTH"):
            self.assertIn("asks for no safe cipher", self.refused(text))
