"""Handshakes that are tried before anything runs."""

from __future__ import annotations

from OpenSSL import SSL

from kwic.config.model import TlsOptions
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.rehearsal import Rehearsal, rehearse
from kwic.transport.tls import Credentials
from test.transport.tls_ends import NO_TLS_OPTIONS, OPTIONAL, REQUIRED, TlsTestCase, request

HOST = "cloud1.example.com"


class RehearsalTests(TlsTestCase):
    """`rehearse`"""

    def between(
        self, onprem: Credentials, cloud: Credentials, server: TlsOptions, client: TlsOptions = NO_TLS_OPTIONS
    ) -> Rehearsal:
        """What comes of it when one dials the other."""
        return rehearse(
            onprem.client_options(HOST, client).clientConnectionForTLS(None),
            cloud.server_options([HOST], server).serverConnectionForTLS(None),
        )

    def test_both_are_content(self) -> None:
        """Each end has seen whom it wanted to see."""
        cloud = self.scene.cloud(self.scene.server("*.example.com", name="cloud"))
        found = self.between(self.scene.onprem(self.scene.client()), cloud, REQUIRED)
        self.assertTrue(found.succeeded)
        assert found.client is not None
        assert found.server is not None
        self.assertEqual((found.client.common_name, found.server.common_name), ("tenant101", "cloud"))

    def test_no_certificate_asked_for(self) -> None:
        """A listener that asks nobody has seen nobody."""
        cloud = self.scene.cloud(self.scene.server(HOST))
        found = self.between(self.scene.onprem(self.scene.client()), cloud, NO_TLS_OPTIONS)
        self.assertEqual((found.succeeded, found.client), (True, None))

    def test_tls_1_2(self) -> None:
        """The older version takes more turns and comes to the same end."""
        old = TlsOptions(protocols=("TLSv1.2",))
        cloud = self.scene.cloud(self.scene.server(HOST))
        self.assertTrue(self.between(self.scene.onprem(self.scene.client()), cloud, REQUIRED, old).succeeded)

    def test_client_refuses(self) -> None:
        """Who dials says which names the certificate has instead."""
        cloud = self.scene.cloud(self.scene.server("gw.example.com"))
        cloud_options = cloud.server_options(["gw.example.com"], NO_TLS_OPTIONS)
        found = rehearse(
            self.scene.onprem().client_options(HOST, NO_TLS_OPTIONS).clientConnectionForTLS(None),
            cloud_options.serverConnectionForTLS(None),
        )
        self.assertIn(f"names gw.example.com, not {HOST}", found.refused_by_client)
        self.assertEqual((found.succeeded, found.refused_by_server, found.server), (False, "", None))

    def test_server_refuses(self) -> None:
        """Who listens says what is wrong with the client's certificate, in both versions of TLS."""
        cloud = self.scene.cloud(self.scene.server(HOST))
        stranger = self.scene.server_ca.issue(request("tenant101", purposes=(CLIENT_AUTH,)))
        for protocols in (None, ("TLSv1.2",)):
            found = self.between(
                self.scene.onprem(stranger), cloud, OPTIONAL, TlsOptions(protocols=protocols)
            )
            self.assertIn("which is not in our truststore", found.refused_by_server)
            self.assertFalse(found.succeeded)

    def test_no_certificate_for_clients(self) -> None:
        """A keystore with nothing for clients is as good as none."""
        cloud = self.scene.cloud(self.scene.server(HOST))
        for purposes, wanted in (((SERVER_AUTH,), False), ((SERVER_AUTH, CLIENT_AUTH), True)):
            onprem = self.scene.onprem(self.scene.client(purposes=purposes))
            found = self.between(onprem, cloud, REQUIRED)
            self.assertEqual(found.succeeded, wanted)
            self.assertEqual("sent no certificate" in found.refused_by_server, not wanted)

    def test_versions_differ(self) -> None:
        """No version in common is told in words."""
        cloud = self.scene.cloud(self.scene.server(HOST))
        found = self.between(
            self.scene.onprem(), cloud, TlsOptions(protocols=("TLSv1.3",)), TlsOptions(protocols=("TLSv1.2",))
        )
        self.assertIn("TLS versions", found.refused_by_server)

    def test_members(self) -> None:
        """Two members of a cluster prove themselves to each other."""
        first, second = (
            self.scene.cloud(self.scene.server(HOST), name=name).cluster_client_options()
            for name in ("a", "b")
        )
        found = rehearse(first.clientConnectionForTLS(None), second.serverConnectionForTLS(None))
        self.assertIn("does not have this gateway's key either", found.refused_by_client)

    def test_nobody_speaks(self) -> None:
        """Two ends that both wait come to no end."""

        class Waiting(SSL.Connection):
            def do_handshake(self) -> None:
                raise SSL.WantReadError

        ends = (Waiting(SSL.Context(SSL.TLS_METHOD), None) for _ in range(2))
        self.assertIn("no end", rehearse(*ends).refused_by_server)
