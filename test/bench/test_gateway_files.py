"""The files of our own pair, and the certificates that all pairs share."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from bench.certificates import CLIENT, HOST, Certificates
from bench.gateway_files import Rendezvous, cloud_config, onprem_config
from kwic.config.reader import read_text


class GatewayFilesTests(SynchronousTestCase):
    """XML that the gateway itself reads."""

    def setUp(self) -> None:
        """Certificates in a folder whose name XML would misread."""
        folder = Path(self.mktemp()) / "a & b"
        self.rendezvous = Rendezvous(host=HOST, port=4433, certificates=Certificates.make(folder))

    def test_cloud(self) -> None:
        """The cloud side listens for clients of each name, and for the tunnel."""
        text = cloud_config(self.rendezvous, ["a", "b"], 5000)
        config = read_text(text.encode(), "cloud.xml")
        self.assertEqual(config.warnings, ())
        self.assertEqual([service.accepts[0].port for service in config.services], [5000, 5001])
        self.assertEqual([service.connects[0].host for service in config.services], ["a", "b"])
        self.assertTrue(all(service.is_reverse_acceptor for service in config.services))

    def test_onprem(self) -> None:
        """The on-prem side dials the tunnel, and one server for all names."""
        config = read_text(onprem_config(self.rendezvous, ["a", "b"], 6000).encode(), "onprem.xml")
        self.assertEqual(config.warnings, ())
        self.assertEqual([service.connects[0].port for service in config.services], [6000, 6000])
        self.assertTrue(all(service.is_reverse_agent for service in config.services))


class CertificatesTests(SynchronousTestCase):
    """One CA for each side."""

    def setUp(self) -> None:
        """All of them."""
        self.folder = Path(self.mktemp())
        self.found = Certificates.make(self.folder)

    def test_each_side_verifies_the_other(self) -> None:
        """The leaf of a side is signed by the CA that the other side trusts for it, and by no other."""
        for us, them in ((self.found.server, self.found.client), (self.found.client, self.found.server)):
            leaf = x509.load_pem_x509_certificate(us.certificate.read_bytes())
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(us.ca.read_bytes()))
            with self.assertRaises(ValueError):
                leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(them.ca.read_bytes()))
            self.assertIsInstance(leaf.public_key(), ec.EllipticCurvePublicKey)

    def test_names(self) -> None:
        """The server proves the host that clients dial; the client is known by its common name."""
        server = x509.load_pem_x509_certificate(self.found.server.certificate.read_bytes())
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), [HOST])
        client = x509.load_pem_x509_certificate(self.found.client.certificate.read_bytes())
        self.assertIn(CLIENT, client.subject.rfc4514_string())

    def test_keys_are_ours_alone(self) -> None:
        """Nobody else on the machine can read a key."""
        for path in self.folder.iterdir():
            self.assertFalse(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path)
