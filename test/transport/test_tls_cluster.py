"""Members of a cluster: whom they let in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from kwic.config.model import Security
from kwic.transport.certificates import SERVER_AUTH
from kwic.transport.tls import Credentials
from test.transport.tls_ends import (
    DAY_S,
    NO_TLS_OPTIONS,
    NOW_S,
    Joined,
    Scene,
    TlsTestCase,
    request,
)


class ClusterTests(TlsTestCase):
    """Members of a cluster know each other by key, or by CA and usage."""

    def joined(self, one: Credentials, other: Credentials) -> Joined:
        joined = Joined(one.cluster_server_options(), other.cluster_client_options())
        joined.talk()
        return joined

    def test_same_key(self) -> None:
        """Members that share a keystore trust each other, though its certificate is only for servers and its CA unknown."""
        server = self.scene.server("example.com")
        for trusted in ([self.scene.client_ca.certificate], ()):
            joined = self.joined(
                self.scene.credentials("one", server, trusted=trusted),
                self.scene.credentials("two", server, trusted=trusted),
            )
            self.assertEqual((joined.server.received, joined.client.received), (b"ping", b"pong"))
            self.assertEqual(joined.server.identity.common_name, "server")

    def test_same_key_renewed_certificate(self) -> None:
        """A renewed certificate for the same key is as good, and so is one that has just expired."""
        old = self.scene.server("example.com", starts=-9, days=-1)
        new = replace(old, chain=_reissue(self.scene.server_ca, old.key, days=9))
        joined = self.joined(
            self.scene.credentials("one", new), self.scene.credentials("two", old, now_s=NOW_S - 5 * DAY_S)
        )
        self.assertEqual((joined.server.received, joined.client.received), (b"ping", b"pong"))

    def test_same_authority(self) -> None:
        """Members with a key each trust each other when their truststore has the CA of both."""
        trusted = [self.scene.server_ca.certificate]
        joined = self.joined(
            self.scene.credentials("one", self.scene.server("a.example.com", name="one"), trusted=trusted),
            self.scene.credentials("two", self.scene.server("b.example.com", name="two"), trusted=trusted),
        )
        self.assertEqual((joined.server.received, joined.client.received), (b"ping", b"pong"))
        self.assertEqual(joined.server.identity.common_name, "two")

    def test_agent(self) -> None:
        """An agent's client certificate does not open the cluster, though the same truststore vouches for it."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        agent = self.scene.credentials(
            "agent", self.scene.client(), trusted=[self.scene.server_ca.certificate]
        )
        joined = self.joined(cloud, agent)
        self.assertIn("CN=tenant101 is not meant for this use", joined.server.why)
        self.assertEqual(joined.server.received, b"")
        self.assertIsNotNone(joined.client.lost)

    def test_stranger(self) -> None:
        """A gateway with another key and another CA is refused, on either side."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        stranger = Scene(Path(self.mktemp()))
        foreign = stranger.cloud(stranger.server("example.com"))
        for one, other in ((cloud, foreign), (foreign, cloud)):
            joined = self.joined(one, other)
            self.assertIn("which is not in our truststore", joined.client.why)
            self.assertIn("does not have this gateway's key either", joined.client.why)
            self.assertEqual(joined.server.received, b"")

    def test_system_trust_does_not_count(self) -> None:
        """Without a truststore only our own key opens the cluster: a public CA's certificate does not."""
        server = self.scene.server("a.example.com")
        other = self.scene.server("b.example.com")
        os.environ["SSL_CERT_FILE"] = str(self.scene.directory / "system.pem")
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")

        Path(os.environ["SSL_CERT_FILE"]).write_bytes(
            self.scene.server_ca.certificate.public_bytes(Encoding.PEM)
        )
        client = Joined(
            self.scene.cloud(server).server_options([""], NO_TLS_OPTIONS),
            Credentials.from_security(Security()).client_options("a.example.com", NO_TLS_OPTIONS),
        )
        self.assertTrue(client.talk(), client.client.why)  # the system's trust is as we set it
        joined = self.joined(self.scene.credentials("one", server), self.scene.credentials("two", other))
        self.assertIsNotNone(joined.server.lost)
        self.assertEqual(joined.server.received, b"")

    def test_no_certificate(self) -> None:
        """A client without certificate does not get in."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        joined = Joined(
            cloud.cluster_server_options(), self.scene.onprem().client_options("example.com", NO_TLS_OPTIONS)
        )
        self.assertIn("the client sent no certificate", joined.server.why)

    def test_revoked(self) -> None:
        """A revoked certificate is refused even when its key is ours."""
        server = self.scene.server("example.com")
        trusted = [self.scene.server_ca.certificate]

        crl = self.scene.server_ca.revoke([server.certificate], now_s=NOW_S, days=9)
        (self.scene.directory / "servers.crl").write_bytes(crl.public_bytes(Encoding.PEM))
        joined = self.joined(
            self.scene.credentials("one", server, trusted=trusted),
            self.scene.credentials("two", server, trusted=trusted),
        )
        self.assertIn("was revoked", joined.client.why)

    def test_no_keystore(self) -> None:
        """Without a keystore there is nothing to know members by."""
        self.assertIn(
            "the cluster needs a keystore", self.refused(self.scene.onprem().cluster_server_options)
        )
        self.assertIn(
            "the cluster needs a keystore", self.refused(self.scene.onprem().cluster_client_options)
        )

    def test_expired_key(self) -> None:
        """A cluster member whose only certificate has expired does not start."""
        cloud = self.scene.cloud(self.scene.server("example.com", starts=-9, days=-1))
        self.assertIn("expired on", self.refused(cloud.cluster_server_options))


def _reissue(authority, key, *, days: float):
    """A new certificate for an old key."""
    fresh = authority.issue(
        request("server", hosts=("example.com",), purposes=(SERVER_AUTH,), days=days)
    ).certificate
    builder = x509.CertificateBuilder(
        issuer_name=fresh.issuer,
        subject_name=fresh.subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=fresh.not_valid_before_utc,
        not_valid_after=fresh.not_valid_after_utc,
    )
    return (builder.sign(authority.entry.key, hashes.SHA256()), authority.certificate)
