"""TLS between two ends in memory: who is let in, who is not, and what the operator reads."""

from __future__ import annotations

import os
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from kwic.config.model import Security, TlsOptions
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.pki import Authority
from kwic.transport.tls import CertificateRefused, Credentials, peer_identity
from test.transport.tls_ends import (
    DAY_S,
    NO_TLS_OPTIONS,
    NOW_S,
    OPTIONAL,
    REQUIRED,
    Joined,
    TlsTestCase,
    lone_end,
    request,
)


class AcceptanceTests(TlsTestCase):
    """Those that get through."""

    def test_server_without_client_certificates(self) -> None:
        """A client that trusts the server's CA and finds its host in the certificate gets through."""
        cloud = self.scene.cloud(self.scene.server("cloud1.example.com"))
        joined = Joined(
            cloud.server_options(["cloud1.example.com"], NO_TLS_OPTIONS),
            self.scene.onprem().client_options("cloud1.example.com", NO_TLS_OPTIONS),
        )
        self.assertTrue(joined.talk())
        self.assertIsNone(joined.server.identity)
        self.assertEqual(joined.client.identity.common_name, "server")
        self.assertEqual(joined.client_tls.getHandle().get_protocol_version_name(), "TLSv1.3")

    def test_required_client_certificate(self) -> None:
        """Where a client certificate is required, the server knows afterwards whose it is."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        tenant = self.scene.client("tenant101", hosts=("agent.example.org",), uris=("urn:kwic:tenant101",))
        joined = Joined(
            cloud.server_options(["example.com"], REQUIRED),
            self.scene.onprem(tenant).client_options("example.com", NO_TLS_OPTIONS),
        )
        self.assertTrue(joined.talk())
        identity = joined.server.identity
        self.assertEqual(identity.common_name, "tenant101")
        self.assertEqual(identity.names, {"tenant101", "agent.example.org", "urn:kwic:tenant101"})
        self.assertEqual(len(identity.fingerprint.split(":")), 32)
        self.assertEqual(str(identity), "tenant101")

    def test_optional_client_certificate(self) -> None:
        """Where it is optional, a client gets through without one, and is known by one when it has one."""
        options = self.scene.cloud(self.scene.server("example.com")).server_options(["example.com"], OPTIONAL)
        without = Joined(options, self.scene.onprem().client_options("example.com", NO_TLS_OPTIONS))
        self.assertTrue(without.talk())
        self.assertIsNone(without.server.identity)
        tenant = self.scene.onprem(self.scene.client())
        with_one = Joined(options, tenant.client_options("example.com", NO_TLS_OPTIONS))
        self.assertTrue(with_one.talk())
        self.assertEqual(with_one.server.identity.common_name, "tenant101")

    def test_tls_1_2(self) -> None:
        """TLS 1.2 is spoken with those who ask for it, with forward secrecy."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        joined = Joined(
            cloud.server_options(["example.com"], REQUIRED),
            self.scene.onprem(self.scene.client()).client_options(
                "example.com", TlsOptions(protocols=("TLSv1.2",))
            ),
        )
        self.assertTrue(joined.talk())
        handle = joined.client_tls.getHandle()
        self.assertEqual(handle.get_protocol_version_name(), "TLSv1.2")
        self.assertTrue(handle.get_cipher_name().startswith("ECDHE-"))

    def test_ip_address(self) -> None:
        """A host given as an IP address is looked for among the certificate's addresses, without SNI."""
        cloud = self.scene.cloud(self.scene.server("192.0.2.7", "2001:db8::7"))
        options = cloud.server_options(["192.0.2.7", "2001:db8::7"], NO_TLS_OPTIONS)
        for host in ("192.0.2.7", "2001:db8::7"):
            joined = Joined(options, self.scene.onprem().client_options(host, NO_TLS_OPTIONS))
            self.assertTrue(joined.talk(), joined.client.why)
            self.assertIsNone(joined.server_tls.getHandle().get_servername())

    def test_wildcard_and_international_names(self) -> None:
        """A wildcard stands for one label; a name beyond ASCII travels in its ASCII form."""
        cloud = self.scene.cloud(self.scene.server("*.example.com", "xn--bcher-kva.example.org"))
        options = cloud.server_options(["cloud7.example.com"], NO_TLS_OPTIONS)
        for host in ("cloud7.example.com", "bücher.example.org", "cloud7.example.com."):
            joined = Joined(options, self.scene.onprem().client_options(host, NO_TLS_OPTIONS))
            self.assertTrue(joined.talk(), joined.client.why)

    def test_intermediate_authority(self) -> None:
        """The chain up to the root is sent along: trusting the root is enough; so is trusting only what is between."""
        root, between = _authorities()
        server = between.issue(request("server", hosts=("example.com",), purposes=(SERVER_AUTH,)))
        server = replace(server, chain=(server.certificate, between.certificate, root.certificate))
        options = self.scene.cloud(server).server_options(["example.com"], NO_TLS_OPTIONS)
        for trusted in (root, between):
            client = self.scene.credentials("client", trusted=[trusted.certificate])
            joined = Joined(options, client.client_options("example.com", NO_TLS_OPTIONS))
            self.assertTrue(joined.talk(), joined.client.why)
            self.assertEqual(len(joined.client_tls.getHandle().get_peer_cert_chain()), 2)

    def test_trusted_leaf(self) -> None:
        """As in Java, a server's own certificate in the truststore is enough, without its CA."""
        server = self.scene.server("example.com")
        client = self.scene.credentials("pinned", trusted=[server.certificate])
        joined = Joined(
            self.scene.cloud(server).server_options(["example.com"], NO_TLS_OPTIONS),
            client.client_options("example.com", NO_TLS_OPTIONS),
        )
        self.assertTrue(joined.talk(), joined.client.why)

    def test_interfaces(self) -> None:
        """The options are what Twisted wants for listeners and for dialers."""
        cloud = self.scene.cloud(self.scene.server("example.com"))
        verifyObject(IOpenSSLServerConnectionCreator, cloud.server_options(["example.com"], NO_TLS_OPTIONS))
        verifyObject(IOpenSSLClientConnectionCreator, cloud.client_options("example.com", NO_TLS_OPTIONS))
        verifyObject(IOpenSSLServerConnectionCreator, cloud.cluster_server_options())
        verifyObject(IOpenSSLClientConnectionCreator, cloud.cluster_client_options())


def _authorities() -> tuple[Authority, Authority]:
    """A root and an authority that it vouches for."""
    made: list[Authority] = []
    for name in ("Root CA", "Between CA"):
        like = Authority.create(name, now_s=NOW_S, days=9)
        issuer = made[0] if made else like
        builder = x509.CertificateBuilder(
            issuer_name=issuer.certificate.subject,
            subject_name=like.certificate.subject,
            public_key=like.entry.key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=like.certificate.not_valid_before_utc,
            not_valid_after=like.certificate.not_valid_after_utc,
        ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made.append(
            Authority(entry=replace(like.entry, chain=(builder.sign(issuer.entry.key, hashes.SHA256()),)))
        )
    return made[0], made[1]


class ClientRefusalTests(TlsTestCase):
    """Servers that a client turns away."""

    def joined(
        self, server, *, host: str = "example.com", client: Credentials | None = None, **server_options
    ) -> Joined:
        now_s = server_options.pop("now_s", NOW_S)
        cloud = self.scene.cloud(server, now_s=now_s)
        client = client or self.scene.onprem()
        joined = Joined(
            cloud.server_options([""], NO_TLS_OPTIONS), client.client_options(host, NO_TLS_OPTIONS)
        )
        self.assertFalse(joined.talk())
        self.assertIsNotNone(joined.server.lost)
        self.assertNotIn("\n", joined.client.why)
        return joined

    def test_wrong_host(self) -> None:
        """A certificate for other hosts is refused, and the text names them."""
        joined = self.joined(self.scene.server("other.example.com", "third.example.com"))
        self.assertEqual(
            joined.client.why,
            "the certificate of example.com names other.example.com, third.example.com, not example.com; "
            "connect to one of these, or renew it",
        )
        self.assertIn("its log says why", joined.server.why)

    def test_wildcard_for_two_labels(self) -> None:
        """A wildcard does not stand for two labels, nor for none."""
        server = self.scene.server("*.example.com")
        self.assertIn("names *.example.com", self.joined(server, host="a.b.example.com").client.why)
        self.assertIn("names *.example.com", self.joined(server, host="example.com").client.why)

    def test_common_name_only(self) -> None:
        """The common name does not count for a client: RFC 6125."""
        joined = self.joined(self.scene.server(name="example.com"))
        self.assertIn("not example.com", joined.client.why)
        self.assertIn("has no subject alternative name", self.warnings)

    def test_wrong_ip_address(self) -> None:
        """Another IP address than the certificate's is refused."""
        self.assertIn(
            "names 192.0.2.7", self.joined(self.scene.server("192.0.2.7"), host="192.0.2.8").client.why
        )

    def test_unknown_authority(self) -> None:
        """A certificate from a CA that is not in the truststore is refused; the server learns why."""
        stranger = self.scene.credentials("stranger", trusted=[self.scene.client_ca.certificate])
        joined = self.joined(self.scene.server("example.com"), client=stranger)
        self.assertIn("CN=Test Server CA, which is not in our truststore", joined.client.why)
        self.assertIn("does not know the CA of our certificate", joined.server.why)

    def test_system_trust(self) -> None:
        """Without a truststore the system's CAs count, and ours is not among them."""
        joined = self.joined(self.scene.server("example.com"), client=Credentials.from_security(Security()))
        self.assertIn("not in our truststore", joined.client.why)

    def test_expired(self) -> None:
        """A certificate that expired while the server was running is refused, with the date."""
        server = self.scene.server("example.com", starts=-20, days=-1)
        joined = self.joined(server, now_s=NOW_S - 10 * DAY_S)
        self.assertIn("expired on 2", joined.client.why)
        self.assertIn("our certificate has expired", joined.server.why)

    def test_not_yet_valid(self) -> None:
        """A certificate of the future is refused, with a hint at the clocks."""
        server = self.scene.server("example.com", starts=2, days=9)
        joined = self.joined(server, now_s=NOW_S + 3 * DAY_S)
        self.assertIn("is not valid before", joined.client.why)
        self.assertIn("clock", joined.client.why)

    def test_client_certificate_as_server(self) -> None:
        """A certificate for clients does not make a server, should one present it."""
        joined = Joined(
            self.scene.cloud(
                self.scene.server("example.com", purposes=(CLIENT_AUTH,))
            ).cluster_server_options(),
            self.scene.onprem().client_options("example.com", NO_TLS_OPTIONS),
        )
        self.assertIn("is not meant for this use", joined.client.why)

    def test_plain_text(self) -> None:
        """A server that does not speak TLS is called that."""
        options = self.scene.onprem().client_options("example.com", NO_TLS_OPTIONS)
        end, wrapper = lone_end(options, is_client=True)
        wrapper.makeConnection(StringTransport())
        wrapper.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wrapper.connectionLost(None)
        self.assertEqual(end.why, "the other end does not speak TLS; check scheme and port")


class ServerRefusalTests(TlsTestCase):
    """Clients that a server turns away."""

    def joined(
        self, client: Credentials, server_tls: TlsOptions = REQUIRED, tls: TlsOptions = NO_TLS_OPTIONS
    ) -> Joined:
        cloud = self.scene.cloud(self.scene.server("example.com"))
        joined = Joined(
            cloud.server_options(["example.com"], server_tls), client.client_options("example.com", tls)
        )
        self.assertFalse(joined.talk())
        self.assertIsNotNone(joined.client.lost)
        self.assertIsNone(joined.server.identity)
        return joined

    def test_no_certificate(self) -> None:
        """A client without certificate is refused where one is required, in TLS 1.3 and 1.2."""
        joined = self.joined(self.scene.onprem())
        self.assertIn("we presented none", joined.client.why)
        older = self.joined(self.scene.onprem(), tls=TlsOptions(protocols=("TLSv1.2",)))
        self.assertIn("demands a client certificate", older.client.why)
        for one in (joined, older):
            self.assertIn("the client sent no certificate", one.server.why)
            self.assertTrue(one.server.lost.check(CertificateRefused), one.server.lost)

    def test_unknown_authority(self) -> None:
        """A client certificate from another CA is refused, also where one is optional."""
        stranger = self.scene.onprem(self.scene.server_ca.issue(request("x", purposes=(CLIENT_AUTH,))))
        for options in (REQUIRED, OPTIONAL):
            joined = self.joined(stranger, options)
            self.assertIn("which is not in our truststore", joined.server.why)
            self.assertIn("does not know the CA of our certificate", joined.client.why)

    def test_expired(self) -> None:
        """An expired client certificate is refused; both logs say what it is."""
        tenant = self.scene.onprem(self.scene.client(starts=-20, days=-1), now_s=NOW_S - 10 * DAY_S)
        joined = self.joined(tenant)
        self.assertIn("the client's certificate CN=tenant101 expired on", joined.server.why)
        self.assertIn("our certificate has expired", joined.client.why)

    def test_no_common_version(self) -> None:
        """Ends without a TLS version in common part with a word about it."""
        joined = self.joined(
            self.scene.onprem(self.scene.client()),
            TlsOptions(protocols=("TLSv1.3",)),
            TlsOptions(protocols=("TLSv1.2",)),
        )
        self.assertIn("TLS versions", joined.server.why)
        self.assertIn("speaks none of our TLS versions", joined.client.why)

    def test_no_common_cipher(self) -> None:
        """Ends without a cipher in common part with a word about it."""
        joined = self.joined(
            self.scene.onprem(self.scene.client()),
            TlsOptions(ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",), protocols=("TLSv1.2",)),
            TlsOptions(ciphers=("ECDHE-ECDSA-AES256-GCM-SHA384",), protocols=("TLSv1.2",)),
        )
        self.assertIn("no cipher that we accept", joined.server.why)

    def test_serverauth_only_is_not_presented(self) -> None:
        """A key that is only good for servers is not presented by a client: it would be refused."""
        joined = self.joined(self.scene.onprem(self.scene.server("example.org")))
        self.assertIn("the client sent no certificate", joined.server.why)

    def test_garbage(self) -> None:
        """Garbage, plain HTTP, and a client that leaves are told apart, in one line each."""
        options = self.scene.cloud(self.scene.server("example.com")).server_options([""], REQUIRED)
        for data, words in (
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "speaks plain HTTP"),
            (os.urandom(1) + b"\x00" * 64, "the other end"),
            (b"", "the connection was lost"),
        ):
            end, wrapper = lone_end(options, is_client=False)
            wrapper.makeConnection(StringTransport())
            if data:
                wrapper.dataReceived(data)
            wrapper.connectionLost(Failure(ConnectionLost()))
            self.assertIn(words, end.why)


class PeerIdentityTests(SynchronousTestCase):
    """The identity of what has none."""

    def test_plain(self) -> None:
        """A transport without TLS, or without a peer certificate, has no identity."""
        self.assertIsNone(peer_identity(StringTransport()))
        self.assertIsNone(peer_identity(ProtocolWrapper(None, None)))

        class Plain:
            def getPeerCertificate(self) -> None:
                raise AttributeError("no TLS below")

        self.assertIsNone(peer_identity(Plain()))
