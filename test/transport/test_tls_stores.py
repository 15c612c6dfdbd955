"""What stores and revocation lists do to listeners and dialers: which certificate, and when not to start."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from kwic.config.model import Security
from kwic.config.problem import ConfigError
from kwic.transport.certificates import CLIENT_AUTH, common_name
from kwic.transport.pki import Authority
from kwic.transport.tls import Credentials
from test.transport.tls_ends import (
    DAY_S,
    NO_TLS_OPTIONS,
    NOW_S,
    PLACE,
    REQUIRED,
    Joined,
    TlsTestCase,
)


class RevocationTests(TlsTestCase):
    """Revocation lists next to the truststore."""

    def joined(self, *revoked, days: float = 10, authority=None, der: bool = False) -> Joined:
        self.tenant = self.scene.client("tenant101")
        self.other = self.scene.client("tenant201")
        authority = authority or self.scene.client_ca
        crl = authority.revoke(
            [getattr(self, name).certificate for name in revoked],
            now_s=NOW_S + min(days, 0) * 2 * DAY_S,
            days=abs(days),
        )

        encoding = Encoding.DER if der else Encoding.PEM
        (self.scene.directory / "clients.crl").write_bytes(crl.public_bytes(encoding))
        cloud = self.scene.cloud(self.scene.server("example.com"))
        joined = Joined(
            cloud.server_options(["example.com"], REQUIRED),
            self.scene.onprem(self.tenant).client_options("example.com", NO_TLS_OPTIONS),
        )
        joined.talk()
        return joined

    def test_revoked(self) -> None:
        """A revoked client is refused; the list may be PEM or DER."""
        for der in (False, True):
            joined = self.joined("tenant", der=der)
            self.assertIn("CN=tenant101 was revoked by CN=Test Client CA", joined.server.why)
            self.assertIn("our certificate was revoked", joined.client.why)

    def test_others_pass(self) -> None:
        """Those that the list does not name get through."""
        self.assertIsNone(self.joined("other").server.lost)

    def test_outdated_list(self) -> None:
        """A list that should have been replaced still refuses those it names, nobody else, and is warned about."""
        self.assertIn("was revoked", self.joined("tenant", days=-3).server.why)
        self.assertIsNone(self.joined("other", days=-3).server.lost)
        self.assertIn("should have been replaced", self.warnings)

    def test_list_of_another_authority(self) -> None:
        """A list of another CA changes nothing for ours."""
        self.assertIsNone(self.joined("tenant", authority=self.scene.server_ca).server.lost)

    def test_forged_list(self) -> None:
        """A list in our CA's name that it has not signed lets nobody in rather than everybody."""
        forger = Authority.create("Test Client CA", now_s=NOW_S, days=3)
        self.assertIn("revocation list", self.joined(authority=forger).server.why)

    def test_damaged_list(self) -> None:
        """A damaged list stops the start: to go on without it would let in whom it names."""
        (self.scene.directory / "bad.crl").write_bytes(b"\x30\x03bad")
        self.assertIn("bad.crl: not a certificate revocation list", self.refused(self.scene.cloud))


class ServerCertificateTests(TlsTestCase):
    """Which certificate a listener presents, and when it refuses to start."""

    def presented(self, options, host: str) -> str | None:
        joined = Joined(options, self.scene.onprem(name="asker").client_options(host, NO_TLS_OPTIONS))
        joined.flush()
        handle = joined.client_tls.getHandle()
        certificate = handle.get_peer_certificate(as_cryptography=True) if handle is not None else None
        return common_name(certificate) if certificate is not None else joined.client.why

    def test_sni(self) -> None:
        """The certificate follows the name the client asks for, exact before wildcard, whatever the order."""
        cloud = self.scene.cloud(
            self.scene.server("*.example.com", name="wild"),
            self.scene.server("cloud1.example.com", name="exact"),
            self.scene.server("example.org", name="other"),
        )
        options = cloud.server_options(
            ["cloud1.example.com", "cloud2.example.com", "example.org"], NO_TLS_OPTIONS
        )
        self.assertEqual(self.presented(options, "cloud1.example.com"), "exact")
        self.assertEqual(self.presented(options, "cloud2.example.com"), "wild")
        self.assertEqual(self.presented(options, "example.org"), "other")

    def test_no_sni(self) -> None:
        """Who asks for no name, or an unknown one, gets the first host's certificate."""
        cloud = self.scene.cloud(
            self.scene.server("192.0.2.7", "example.org", name="first"),
            self.scene.server("example.com", name="second"),
        )
        options = cloud.server_options(["example.org", "example.com"], NO_TLS_OPTIONS)
        self.assertEqual(self.presented(options, "192.0.2.7"), "first")
        self.assertIn("names example.org, 192.0.2.7", self.presented(options, "nobody.example.net"))

    def test_wildcard_address(self) -> None:
        """An accept on every address, or on an interface, takes any certificate."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        for host in ("0.0.0.0", "::", "@eth0", "*"):
            self.assertEqual(
                self.presented(cloud.server_options([host], NO_TLS_OPTIONS), "example.com"), "server"
            )

    def test_common_name(self) -> None:
        """Without a subject alternative name the common name counts; with one it does not."""
        self.scene.cloud(self.scene.server(name="example.com")).server_options(
            ["example.com"], NO_TLS_OPTIONS
        )
        cloud = self.scene.cloud(self.scene.server("example.org", name="example.com"))
        self.assertIn(
            "no certificate for example.com",
            self.refused(cloud.server_options, ["example.com"], NO_TLS_OPTIONS),
        )

    def test_none_fits(self) -> None:
        """A host without certificate stops the start; the text says which there are and where."""
        cloud = self.scene.cloud(self.scene.server("*.example.com", "example.org"))
        text = self.refused(cloud.server_options, ["cloud.example.com", "example.net"], NO_TLS_OPTIONS)
        self.assertIn("keystore-cloud.jks: no certificate for example.net", text)
        self.assertIn("*.example.com, example.org", text)

    def test_no_keystore(self) -> None:
        """TLS without a keystore is refused, and the text says what to add."""
        text = self.refused(self.scene.onprem().server_options, ["example.com"], NO_TLS_OPTIONS)
        self.assertEqual(
            text, "TLS on example.com needs a keystore; add security/keystore to the configuration"
        )

    def test_expired(self) -> None:
        """An expired certificate stops the start, named with its file, alias and date."""
        cloud = self.scene.cloud(self.scene.server("example.com", starts=-9, days=-2))
        text = self.refused(cloud.server_options, ["example.com"], NO_TLS_OPTIONS)
        self.assertRegex(
            text,
            r"keystore-cloud\.jks: the certificate CN=server \(alias server\) expired on \d{4}-.* UTC; renew it",
        )

    def test_not_yet_valid(self) -> None:
        """A certificate of the future stops the start."""
        cloud = self.scene.cloud(self.scene.server("example.com", starts=1))
        self.assertIn(
            "is not valid before", self.refused(cloud.server_options, ["example.com"], NO_TLS_OPTIONS)
        )

    def test_successor_beside_it(self) -> None:
        """While its successor lies in the same store, an expired certificate is only warned about."""
        cloud = self.scene.cloud(
            self.scene.server("example.com", name="old", starts=-9, days=-2),
            self.scene.server("example.com", name="new"),
        )
        options = cloud.server_options(["example.com"], NO_TLS_OPTIONS)
        self.assertEqual(self.presented(options, "example.com"), "new")
        self.assertIn("(alias old) expired on", self.warnings)

    def test_expires_soon(self) -> None:
        """Less than 14 days left is a warning; more is none."""
        self.scene.cloud(self.scene.server("example.com", days=15))
        self.assertEqual(self.warnings, "")
        self.scene.cloud(self.scene.server("example.com", days=13.5))
        self.assertIn("(alias server) expires on", self.warnings)
        self.assertIn("in 13 days", self.warnings)

    def test_client_certificate(self) -> None:
        """A certificate that states only clientAuth cannot be a server's."""
        cloud = self.scene.cloud(self.scene.server("example.com", purposes=(CLIENT_AUTH,)))
        text = self.refused(cloud.server_options, ["example.com"], NO_TLS_OPTIONS)
        self.assertIn("its extended key usage lacks serverAuth", text)

    def test_no_stated_usage(self) -> None:
        """A certificate that states no usage is good for both sides."""
        both = self.scene.cloud(self.scene.server("example.com", purposes=()))
        both.server_options(["example.com"], NO_TLS_OPTIONS)
        self.assertIsNotNone(both._material.client_entry(NOW_S))

    def test_expired_client_certificate(self) -> None:
        """A dialer whose own certificate has expired does not start."""
        onprem = self.scene.onprem(self.scene.client(starts=-9, days=-2))
        self.assertIn("CN=tenant101", self.refused(onprem.client_options, "example.com", NO_TLS_OPTIONS))

    def test_public_authorities_for_clients(self) -> None:
        """Verifying clients against the system's CAs is allowed, and warned about."""
        alone = self.scene.credentials("alone", self.scene.server("example.com"))
        alone.server_options(["example.com"], REQUIRED)
        self.assertIn("any public CA will do", self.warnings)


class StoreProblemTests(TlsTestCase):
    """Stores that a configuration names and that do not do."""

    def test_missing(self) -> None:
        """A missing store or password file is named."""
        security = self.scene.security("cloud", self.scene.server("example.com"))
        security.keystore.password_file.unlink()
        self.assertIn(
            "keystore-cloud.pw: there is no such file", self.refused(Credentials.from_security, security)
        )
        security.keystore.file.unlink()
        security.keystore.password_file.write_text("secret")
        self.assertIn(
            "keystore-cloud.jks: there is no such file", self.refused(Credentials.from_security, security)
        )

    def test_all_in_one_run(self) -> None:
        """What is wrong with both stores is told in one run, each with the place in the file, and whose password-file it is."""
        security = self.scene.security(
            "cloud", self.scene.server("example.com"), trusted=[self.scene.client_ca.certificate]
        )
        security.keystore.password_file.unlink()
        security.truststore.password_file.write_text("wrong")
        keystore, truststore = self.assertRaises(ConfigError, Credentials.from_security, security).problems
        self.assertEqual(
            keystore.message,
            f"the password-file of the keystore, {security.keystore.password_file}: there is no such file",
        )
        self.assertIn(f"{security.truststore.file}: ", truststore.message)
        self.assertIn("password", truststore.message)
        self.assertEqual([keystore.place, truststore.place], [PLACE, PLACE])

    def test_swapped(self) -> None:
        """A truststore in place of the keystore is noticed, and an empty truststore."""
        trust = self.scene.store("trust", trusted=[self.scene.client_ca.certificate])
        self.assertIn(
            "is it the truststore?", self.refused(Credentials.from_security, Security(keystore=trust))
        )
        empty = self.scene.store("empty")
        self.assertIn(
            "no certificate in this truststore",
            self.refused(Credentials.from_security, Security(truststore=empty)),
        )

    def test_what_there_is(self) -> None:
        """Whoever builds listeners can ask what there is."""
        self.assertTrue(self.scene.cloud(self.scene.server("a")).has_key)
        self.assertTrue(self.scene.onprem().has_trust)
        self.assertFalse(Credentials.from_security(Security()).has_key)
        self.assertFalse(Credentials.from_security(Security()).has_trust)

    def test_keystore_as_truststore(self) -> None:
        """A keystore named as truststore vouches for its own certificate, as in Java, not for everything from its CA."""
        server = self.scene.server("example.com")
        security = Security(truststore=self.scene.store("both", server))
        for name, entry in (("same", server), ("other", self.scene.server("example.com"))):
            joined = Joined(
                self.scene.cloud(entry, name=name).server_options(["example.com"], NO_TLS_OPTIONS),
                Credentials.from_security(security).client_options("example.com", NO_TLS_OPTIONS),
            )
            self.assertEqual(joined.talk(), name == "same", joined.client.why)

    def test_old_roots(self) -> None:
        """Many expired roots, as in a system's store, are one warning."""
        roots = [Authority.create(f"old {n}", now_s=NOW_S - 9 * DAY_S, days=3).certificate for n in range(5)]
        self.scene.credentials("old", trusted=roots)
        self.assertIn(
            "5 trusted certificates have expired or will within 14 days: ca0, ca1, ca2, …", self.warnings
        )
