"""Certificates of two sides that do not fit, made for each case; and those of the examples, which do."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kwic.cli import check
from kwic.config.model import Security
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.demo_pki import DemoPlan, make_demo_pki
from kwic.transport.entries import KeyEntry
from kwic.transport.pki import Authority
from test.cli.files import StoresTestCase, security_of
from test.config.test_etc import ETC
from test.config.text import proxy, reverse
from test.transport.tls_ends import NOW_S, request

HOST = "cloud.example.com"
TUNNEL = f"wss://{HOST}/kwic"
VERIFY = "<accept-options><ssl.verify-client>required</ssl.verify-client></accept-options>"


class PairTestCase(StoresTestCase):
    """A cloud that is fit for everything, and an agent: each case changes what it is about."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.scene.server(HOST)
        self.client = self.scene.client()
        self.verify = "required"
        self.cloud_rest: list[str] = []
        self.onprem_rest: list[str] = []
        self.more = ""
        self.agent_options: dict[str, str] = {}
        self.cloud_options: dict[str, str] = {}

    def cloud(self, *entries: KeyEntry, trusted: list[x509.Certificate] | None = None) -> Security:
        """The stores of the cloud."""
        roots = [self.scene.client_ca.certificate] if trusted is None else trusted
        return self.scene.security("cloud", *(entries or (self.server,)), trusted=roots)

    def onprem(self, *entries: KeyEntry, trusted: list[x509.Certificate] | None = None) -> Security:
        """The stores of the agent."""
        roots = [self.scene.server_ca.certificate] if trusted is None else trusted
        return self.scene.security("onprem", *(entries or (self.client,)), trusted=roots)

    def check(self, cloud: Security | None = None, onprem: Security | None = None) -> list[str]:
        """What is said about both sides: the first line of each problem, and what to do."""
        verify = {"socks_ssl_verify__client": self.verify, **self.cloud_options}
        files = [
            self.write(
                "cloud.xml",
                security_of(cloud or self.cloud()),
                proxy(
                    connect="pipe://a",
                    name="A",
                    connect_options=reverse(TUNNEL, f"socks://{HOST}", **verify),
                    rest=self.more,
                ),
                *self.cloud_rest,
            ),
            self.write(
                "onprem.xml",
                security_of(onprem or self.onprem()),
                proxy(
                    "pipe://a",
                    "tcp://server:7000",
                    name="A",
                    accept_options=reverse(TUNNEL, f"socks://{HOST}", **self.agent_options),
                ),
                *self.onprem_rest,
            ),
        ]
        status, out, err = self.type(check, *files)
        self.assertEqual(err, "")
        lines = out.splitlines()
        self.assertEqual(status, int(any(": error: " in line for line in lines)))
        return [
            line.partition("xml:")[0] + "xml: " + line.partition(": ")[2]
            for line in lines
            if ": error: " in line or ": warning: " in line
        ]

    def assert_one(self, found: list[str], where: str, *words: str) -> None:
        """There is one problem, in that file, with these words."""
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{where}: "), found[0])
        for word in words:
            self.assertIn(word, found[0])


class MismatchTests(PairTestCase):
    """Each deliberate mistake is found, and nothing besides."""

    def test_they_fit(self) -> None:
        """The sides that all cases begin with."""
        self.assertEqual(self.check(), [])

    def test_server_of_another_ca(self) -> None:
        """The agent does not know the CA of the cloud's certificate."""
        other = Authority.create("Other CA", now_s=NOW_S, days=30)
        server = other.issue(request("server", hosts=(HOST,), purposes=(SERVER_AUTH,)))
        found = self.check(self.cloud(server))
        self.assert_one(
            found, "onprem.xml", "would refuse service “A” of cloud.xml", "leads to CN=Other CA", "error: "
        )

    def test_ca_of_the_same_name(self) -> None:
        """The CA was made anew on one side."""
        again = Authority.create("Test Server CA", now_s=NOW_S, days=30)
        found = self.check(onprem=self.onprem(trusted=[again.certificate]))
        self.assert_one(found, "onprem.xml", "leads to CN=Test Server CA")
        self.assertIn("trusts another CA of that name", self.last)

    def test_no_truststore_on_the_agent(self) -> None:
        """Public CAs count, and those of another machine may be others: a warning."""
        found = self.check(onprem=self.onprem(trusted=[]))
        self.assert_one(found, "onprem.xml", "warning: ", "leads to CN=Test Server CA")

    def test_no_certificate_for_our_own_name(self) -> None:
        """The cloud has no certificate for the name that it listens by."""
        server = self.scene.server("gw.example.net")
        found = self.check(self.cloud(server))
        self.assert_one(found, "cloud.xml", f"no certificate for {HOST}")

    def test_wildcard_does_not_reach_so_far(self) -> None:
        """A wildcard stands for one label."""
        self.cloud_rest = [
            proxy(f"wss://b.{HOST}/b", name="B"),
        ]
        self.onprem_rest = [proxy("tcp://127.0.0.1:1", f"wss://b.{HOST}/b", name="B")]
        found = self.check(self.cloud(self.scene.server(HOST, "*.example.com")))
        self.assert_one(found, "cloud.xml", f"service “B”: keystore-cloud.jks: no certificate for b.{HOST}")

    def test_interface_that_may_be_of_another_machine(self) -> None:
        """Who dials a port of some machine need not mean the instance that has that port open on an interface."""
        self.cloud_rest = [proxy("ssl://@eth0:7443", name="B")]
        self.onprem_rest = [proxy("tcp://127.0.0.1:1", "ssl://gw.example.net:7443", name="B")]
        self.assertEqual(self.check(), [])

    def test_server_of_another_name(self) -> None:
        """A listener on every address starts with any certificate; who dials it wants one for the name."""
        self.cloud_rest = [proxy("wss://0.0.0.0:7443/b", name="B")]
        self.onprem_rest = [proxy("tcp://127.0.0.1:1", "wss://gw.example.net:7443/b", name="B")]
        self.assert_one(
            self.check(),
            "onprem.xml",
            "would refuse service “B” of cloud.xml",
            f"names {HOST}, not gw.example.net",
        )

    def test_server_certificate_without_names(self) -> None:
        """A common name is no name for a server; the cloud starts with it, and is warned."""
        server = self.scene.server(name=HOST)
        found = self.check(self.cloud(server))
        self.assertEqual(len(found), 2, found)
        self.assertIn("has no subject alternative name", found[0])
        self.assertIn("would refuse service “A” of cloud.xml", found[1])

    def test_server_certificate_for_clients(self) -> None:
        """The cloud's only certificate is not for servers."""
        found = self.check(self.cloud(self.scene.server(HOST, purposes=(CLIENT_AUTH,))))
        self.assert_one(found, "cloud.xml", "is not for servers")

    def test_server_certificate_expired(self) -> None:
        """The cloud would not start."""
        found = self.check(self.cloud(self.scene.server(HOST, starts=-9, days=-1)))
        self.assertEqual(len(found), 2, found)
        self.assertIn(
            "warning: keystore-cloud.jks: the certificate CN=server (alias server) expired", found[0]
        )
        self.assertIn("error: service “A”: keystore-cloud.jks: the certificate CN=server", found[1])

    def test_server_ca_expired(self) -> None:
        """The agent's truststore is out of date."""
        old = Authority.create("Old CA", now_s=NOW_S - 9 * 86400, days=1)
        server = old.issue(request("server", hosts=(HOST,), purposes=(SERVER_AUTH,)))
        found = self.check(self.cloud(server), self.onprem(trusted=[old.certificate]))
        self.assertEqual(len(found), 2, found)
        self.assertIn(
            "onprem.xml: warning: truststore-onprem.jks: 1 trusted certificates have expired", found[0]
        )
        self.assertIn("CN=Old CA expired", found[1])

    def test_server_revoked(self) -> None:
        """A list beside the agent's truststore names the cloud's certificate."""
        crl = self.scene.server_ca.revoke([self.server.certificate], now_s=NOW_S, days=9)
        (self.folder / "list.crl").write_bytes(crl.public_bytes(Encoding.PEM))
        self.assert_one(self.check(), "onprem.xml", "was revoked by CN=Test Server CA")

    def test_client_of_another_ca(self) -> None:
        """The cloud does not know the CA of the agent's certificate."""
        stranger = self.scene.server_ca.issue(request("tenant101", purposes=(CLIENT_AUTH,)))
        found = self.check(onprem=self.onprem(stranger))
        self.assert_one(
            found,
            "onprem.xml",
            "service “A” of cloud.xml would refuse service “A” of onprem.xml",
            "leads to CN=Test Server CA, which is not in our truststore",
        )

    def test_stranger_where_a_certificate_is_optional(self) -> None:
        """Who shows a certificate that does not verify is refused even where none is required."""
        self.verify = "optional"
        stranger = self.scene.server_ca.issue(request("tenant101", purposes=(CLIENT_AUTH,)))
        self.assert_one(self.check(onprem=self.onprem(stranger)), "onprem.xml", "not in our truststore")

    def test_client_certificate_for_servers(self) -> None:
        """The agent's only certificate is not for clients."""
        client = self.scene.client(purposes=(SERVER_AUTH,), hosts=("agent.example.org",))
        found = self.check(onprem=self.onprem(client))
        self.assert_one(found, "onprem.xml", "no certificate in keystore-onprem.jks is meant for clients")

    def test_client_certificate_expired(self) -> None:
        """The agent could not dial."""
        found = self.check(onprem=self.onprem(self.scene.client(starts=-9, days=-1)))
        self.assertEqual(len(found), 2, found)
        self.assertIn("error: keystore-onprem.jks: the certificate CN=tenant101", found[1])

    def test_client_certificate_not_yet_valid(self) -> None:
        """Nor before its time has come."""
        found = self.check(onprem=self.onprem(self.scene.client(starts=3, days=9)))
        self.assertIn("is not valid before", " ".join(found))

    def test_client_revoked(self) -> None:
        """A list in the cloud's truststore names the agent's certificate."""
        crl = self.scene.client_ca.revoke([self.client.certificate], now_s=NOW_S, days=9)
        (self.folder / "list.crl").write_bytes(crl.public_bytes(Encoding.DER))
        self.assert_one(self.check(), "onprem.xml", "was revoked by CN=Test Client CA")

    def test_nobody_vouches_for_clients(self) -> None:
        """The cloud's truststore holds its own certificate instead of the CA of its clients."""
        found = self.check(self.cloud(trusted=[self.server.certificate]))
        self.assertEqual(len(found), 2, found)
        self.assertIn("nobody can satisfy ssl.verify-client required", found[0])
        self.assertIn("holds CN=server, which is not for clients", found[0])

    def test_no_truststore_for_clients(self) -> None:
        """Asking clients for certificates of public CAs is hardly what was meant."""
        found = self.check(self.cloud(trusted=[]))
        self.assertEqual(len(found), 2, found)
        self.assertIn("cloud.xml: warning: ssl.verify-client required without a truststore", found[0])
        self.assertIn("onprem.xml: warning: ", found[1])

    def test_role_of_another_tenant(self) -> None:
        """The agent's certificate is good, and not that of the tenant whose service it is."""
        self.more = (
            "<authorization-constraint><require-role>tenant201</require-role></authorization-constraint>"
        )
        self.assert_one(
            self.check(),
            "onprem.xml",
            "service “A” of cloud.xml lets in “tenant201” only, and service “A” of onprem.xml is “tenant101”",
        )

    def test_role_at_a_balancer(self) -> None:
        """A balancer turns away whom its constraint does not name."""
        constraint = "<authorization-constraint><require-role>{}</require-role></authorization-constraint>"
        balancer = f"<service><name>LB</name><accept>wss://{HOST}/b</accept><type>balancer</type>{VERIFY}{{}}</service>"
        member = proxy("wss://b.example.com/b", name="B").replace(
            "<type>", f"<balance>wss://{HOST}/b</balance><type>"
        )
        self.onprem_rest = [proxy("tcp://127.0.0.1:1", f"wss://{HOST}/b", name="B")]
        fitting = self.cloud(self.scene.server(HOST, "b.example.com"))
        self.cloud_rest = [balancer.format(constraint.format("tenant101")), member]
        self.assertEqual(self.check(fitting), [])
        self.cloud_rest = [balancer.format(constraint.format("tenant201")), member]
        self.assert_one(
            self.check(fitting), "onprem.xml", "service “LB” of cloud.xml lets in “tenant201” only"
        )

    def test_role_of_the_tenant(self) -> None:
        """With the right certificate nothing is said."""
        self.more = (
            "<authorization-constraint><require-role>tenant101</require-role></authorization-constraint>"
        )
        self.assertEqual(self.check(), [])

    def test_ciphers_differ(self) -> None:
        """Both insist on TLS 1.2 ciphers that the other does not have."""
        self.cloud_options = {
            "socks_ssl_protocols": "TLSv1.2",
            "socks_ssl_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256",
        }
        self.agent_options = {
            "socks_ssl_protocols": "TLSv1.2",
            "socks_ssl_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384",
        }
        self.assert_one(self.check(), "onprem.xml", "no cipher that we accept")

    def test_ciphers_for_another_kind_of_key(self) -> None:
        """Ciphers for RSA keys, and a certificate with another kind of key."""
        self.cloud_options = {
            "socks_ssl_protocols": "TLSv1.2",
            "socks_ssl_ciphers": "ECDHE-RSA-AES128-GCM-SHA256",
        }
        self.assert_one(self.check(), "onprem.xml", "no cipher that we accept")

    def test_versions_differ(self) -> None:
        """One side's list excludes what the other's default has."""
        self.cloud_options = {"socks_ssl_ciphers": "TLS_AES_128_GCM_SHA256"}
        self.agent_options = {"socks_ssl_protocols": "TLSv1.2"}
        self.assert_one(self.check(), "onprem.xml", "TLS versions that are off here")

    def test_balancer_sends_to_a_name_without_certificate(self) -> None:
        """A member's own name is another host than the balancer's, and needs a certificate too."""
        self.cloud_rest = [
            f"<service><name>LB</name><accept>wss://{HOST}/b</accept><type>balancer</type>{VERIFY}</service>",
            proxy("wss://node1.example.com/b", name="B", rest="").replace(
                "<type>", f"<balance>wss://{HOST}/b</balance><type>"
            ),
        ]
        self.onprem_rest = [proxy("tcp://127.0.0.1:1", f"wss://{HOST}/b", name="B")]
        fitting = self.cloud(self.scene.server(HOST, "node1.example.com"))
        self.assertEqual(self.check(fitting), [])
        # The member is met; its certificate comes from a CA that the agent does not know.
        other = Authority.create("Other CA", now_s=NOW_S, days=30)
        node = other.issue(request("node1", hosts=("node1.example.com",), purposes=(SERVER_AUTH,)))
        found = self.check(self.cloud(self.server, node))
        self.assert_one(
            found,
            "onprem.xml",
            "service “B” of onprem.xml, sent to wss://node1.example.com:443/b by the balancer,",
            "leads to CN=Other CA",
        )

    def type(self, verb, *words):
        """As above; what was said last is kept."""
        status, self.last, err = super().type(verb, *words)
        return status, self.last, err


class MemberTests(StoresTestCase):
    """Members of one cluster."""

    def check(
        self,
        *securities: Security | None,
        found_by: str = "<accept>tcp://localhost:5941</accept><connect>udp://224.34.0.1:54327</connect>",
    ) -> str:
        """What is said about nodes with these stores."""
        files = []
        for number, security in enumerate(securities, 1):
            files.append(
                self.write(
                    f"cloud{number}.xml",
                    security_of(security) if security else "",
                    proxy(f"tcp://127.0.0.1:{number}"),
                    f"<cluster><name>c</name>{found_by}</cluster>",
                )
            )
        return self.type(check, *files)[1]

    def test_one_keystore_for_all(self) -> None:
        """The same keystore, without any truststore, is enough."""
        security = self.scene.security("cloud", self.scene.server(HOST))
        self.assertEqual(
            self.check(security, security), "2 files, 2 services, 2 TLS handshakes rehearsed: no problems\n"
        )

    def test_strangers(self) -> None:
        """Two certificates of a CA that neither trusts; each would refuse the other."""
        found = self.check(*(self.scene.security(name, self.scene.server(HOST)) for name in ("a", "b")))
        self.assertIn(
            "cloud1.xml would refuse cloud2.xml in cluster “c”: the cluster member's certificate", found
        )
        self.assertIn("cloud2.xml would refuse cloud1.xml in cluster “c”", found)
        self.assertIn("does not have this gateway's key either", found)

    def test_one_without_keystore(self) -> None:
        """One speaks TLS, the other does not."""
        found = self.check(self.scene.security("a", self.scene.server(HOST)), None)
        self.assertIn("cloud2.xml has no keystore, and other members of cluster “c” do", found)

    def test_members_without_links(self) -> None:
        """Members that know of each other by etcd alone show each other nothing."""
        securities = [self.scene.security("a", self.scene.server(HOST)), None]
        self.assertIn("no problems", self.check(*securities, found_by="<connect>etcd://etcd1</connect>"))

    def test_none_has_one(self) -> None:
        """On loopback nobody needs keys."""
        self.assertIn("no problems", self.check(None, None))

    def test_expired(self) -> None:
        """A member whose key has ended does not start; the other is not asked what it thinks of it."""
        old = self.scene.server(HOST, starts=-9, days=-1)
        found = self.check(
            *(
                self.scene.security(name, entry)
                for name, entry in (("a", old), ("b", self.scene.server(HOST)))
            )
        )
        self.assertIn(
            "error: cluster: keystore-a.jks: the certificate CN=server (alias server) expired", found
        )
        self.assertNotIn("would refuse", found)


class ExampleTests(StoresTestCase):
    """The examples in etc/, with a PKI as `kwic certs` makes it."""

    def test_nothing_is_found(self) -> None:
        """All scenarios fit, both sides and both nodes."""
        clients = {"onprem": "tenant101", "tenant101": "tenant101", "tenant201": "tenant201"}
        pki = make_demo_pki(self.folder / "x509", DemoPlan(clients=clients), now_s=NOW_S)
        scenarios = {
            "simple": ["simple/cloud", "simple/onprem"],
            "tls": ["tls/cloud", "tls/onprem"],
            "multi-tenant": ["multi-tenant/cloud", "multi-tenant/tenant101", "multi-tenant/tenant201"],
            "ha-lb": ["ha-lb/cloud", "ha-lb/onprem"],
            "forward-proxy": ["forward-proxy/cloud", "forward-proxy/onprem"],
        }
        files = {name: [f"{ETC}/{side}-config.xml" for side in sides] for name, sides in scenarios.items()}
        for name in ("ha", "ha-etcd"):
            cloud = f"{ETC}/{name}/cloud-config.xml,cloud-node-hostname=cloud"
            nodes = [f"{cloud}{number}.example.com" for number in (1, 2)]
            files[name] = [*nodes, f"{ETC}/{name}/onprem-config.xml"]
        for name, sides in files.items():
            stores = Path(pki.directory) / "stores"
            status, out, err = self.type(check, "--strict", "-D", f"stores={stores}", *sides)
            self.assertEqual((status, err), (0, ""), out)
            self.assertTrue(out.endswith(": no problems\n"), out)
            self.assertEqual("rehearsed" in out, name != "simple", out)
