"""What ssl.protocols and ssl.ciphers mean."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.ciphers import KEYWORDS, NEVER, SUITES, SUITES_OF_TLS_1_3, parse_ciphers
from kwic.config.model import TlsOptions
from kwic.config.problem import BadValueError
from kwic.config.tls_names import PROTOCOLS
from kwic.errors import SetupError
from kwic.transport.tls_policy import TlsPolicy, policy_of


def ciphers_of(policy: TlsPolicy) -> set[str]:
    """What OpenSSL would offer."""
    context = SSL.Context(SSL.TLS_METHOD)
    policy.apply(context)
    return set(SSL.Connection(context).get_cipher_list())


class ProtocolTests(SynchronousTestCase):
    """TLS versions."""

    def versions(self, *names: str) -> tuple[int, int]:
        policy = policy_of(TlsOptions(protocols=names or None))
        return policy.minimum, policy.maximum

    def test_default(self) -> None:
        """TLS 1.3 and 1.2."""
        self.assertEqual(self.versions(), (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION))

    def test_one_version(self) -> None:
        """What is asked for, and nothing else."""
        self.assertEqual(self.versions("TLSv1.2"), (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION))
        self.assertEqual(self.versions("TLSv1.3"), (SSL.TLS1_3_VERSION, SSL.TLS1_3_VERSION))
        self.assertEqual(self.versions("TLSv1.2", "TLSv1.3"), self.versions())

    def test_same_table(self) -> None:
        """Each version that is safe for the reader of files is one that is spoken."""
        for name, is_safe in PROTOCOLS.items():
            if is_safe:
                self.versions(name)


class CipherTests(SynchronousTestCase):
    """Cipher strings and suites."""

    def old_ones(self, *names: str) -> set[str]:
        policy = policy_of(TlsOptions(ciphers=names or None))
        return {name for name in ciphers_of(policy) if not name.startswith("TLS_")}

    def test_default(self) -> None:
        """Forward secrecy and authenticated encryption only."""
        for name in self.old_ones():
            self.assertRegex(name, r"^ECDHE-(RSA|ECDSA)-.*(GCM|POLY1305|CCM)")

    def test_kwic_5_default(self) -> None:
        """The string of KWIC 5 is understood; what is unsafe in it is left out."""
        found = self.old_ones("HIGH", "MEDIUM", "!ADH", "!KRB5")
        self.assertIn("ECDHE-RSA-AES256-GCM-SHA384", found)
        self.assertFalse(
            [name for name in found if "RC4" in name or "NULL" in name or "DES" in name or "ADH" in name]
        )
        self.assertEqual(found, self.old_ones("HIGH:MEDIUM:!ADH:!KRB5"))

    def test_jsse_names(self) -> None:
        """JSSE's suites are OpenSSL's ciphers by other names."""
        for jsse, openssl in (
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
            ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"),
            ("TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
            ("TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"),
        ):
            self.assertEqual(self.old_ones(jsse), {openssl}, jsse)

    def test_unsafe_beside_safe(self) -> None:
        """Unsafe ciphers beside a safe one are left out."""
        found = self.old_ones("RC4-SHA", "NULL-SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "EXP-RC4-MD5")
        self.assertEqual(found, {"ECDHE-RSA-AES128-GCM-SHA256"})

    def test_only_unsafe(self) -> None:
        """Asking for unsafe ciphers alone is refused, in either spelling, and so is what leaves nothing."""
        for names in (
            ("RC4-SHA",),
            ("NULL",),
            ("EXPORT",),
            ("DES-CBC3-SHA",),
            ("ADH-AES128-SHA",),
            ("SSL_RSA_WITH_RC4_128_MD5",),
            ("TLS_RSA_WITH_NULL_SHA",),
            ("kRSA+CHACHA20",),
            ("HIGH", "!HIGH"),
            ("ÄES",),
        ):
            error = self.assertRaises(SetupError, policy_of, TlsOptions(ciphers=names))
            self.assertIn("leaves no safe cipher", str(error))

    def test_commands(self) -> None:
        """What is asked for may be sorted, and the level of security raised."""
        self.assertEqual(self.old_ones("HIGH", "@STRENGTH", "@SECLEVEL=3"), self.old_ones("HIGH"))
        policy = policy_of(TlsOptions(ciphers=("AES128-SHA", "AES256-SHA", "@STRENGTH")))
        context = SSL.Context(SSL.TLS_METHOD)
        policy.apply(context)
        found = [name for name in SSL.Connection(context).get_cipher_list() if not name.startswith("TLS_")]
        self.assertEqual(found, ["AES256-SHA", "AES128-SHA"])

    def test_same_table(self) -> None:
        """What the reader of files takes for safe OpenSSL would speak, and nothing else of what it knows."""
        everything = self.known("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        self.assertGreater(len(everything), 100)
        spoken = self.old_ones("ALL")
        self.assertEqual(spoken, set(SUITES.values()))
        for name in everything:
            try:
                taken = parse_ciphers(name)
            except BadValueError as error:
                self.assertIn("asks for no", error.message, name)
                taken = ()
            self.assertEqual(bool(taken), name in spoken or name in SUITES_OF_TLS_1_3, name)
        for keyword in KEYWORDS:
            self.assertTrue(self.old_ones(keyword), keyword)
        for keyword in NEVER:
            self.assertEqual(self.old_ones("ALL", f"!{keyword}"), spoken, keyword)

    def known(self, text: str) -> list[str]:
        """What OpenSSL makes of a string of its own."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_cipher_list(text.encode("ascii"))
        return SSL.Connection(context).get_cipher_list()

    def test_order_of_tls_1_3(self) -> None:
        """Unless others are asked for, the suite that every peer has is the first that we offer, and the two usual others follow."""
        for policy in (policy_of(TlsOptions()), policy_of(TlsOptions(ciphers=("HIGH",)))):
            context = SSL.Context(SSL.TLS_METHOD)
            policy.apply(context)
            offered = [name for name in SSL.Connection(context).get_cipher_list() if name.startswith("TLS_")]
            self.assertEqual(
                offered, ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
            )

    def test_suites_of_tls_1_3(self) -> None:
        """Suites of TLS 1.3 alone mean TLS 1.3 alone; with others, each counts for its version."""
        policy = policy_of(TlsOptions(ciphers=("TLS_AES_256_GCM_SHA384",)))
        self.assertEqual(policy.minimum, SSL.TLS1_3_VERSION)
        self.assertEqual(
            {name for name in ciphers_of(policy) if name.startswith("TLS_")}, {"TLS_AES_256_GCM_SHA384"}
        )
        both = policy_of(TlsOptions(ciphers=("TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256")))
        self.assertEqual(ciphers_of(both), {"TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"})
        sorted_only = policy_of(TlsOptions(ciphers=("TLS_AES_128_GCM_SHA256", "!ADH", "@STRENGTH")))
        self.assertEqual(sorted_only.minimum, SSL.TLS1_3_VERSION)
        contradiction = TlsOptions(ciphers=("TLS_AES_256_GCM_SHA384",), protocols=("TLSv1.2",))
        self.assertIn("excludes TLS 1.3", str(self.assertRaises(SetupError, policy_of, contradiction)))
