"""The examples in etc/: the scenarios of KWIC 5, as they are."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import kwic
from kwic.config.ends import accept_ends, connect_ends, ends
from kwic.config.listen import listeners
from kwic.config.model import GatewayConfig, Service, StoreKind, VerifyClient
from kwic.config.reader import read_config

ETC = Path(kwic.__file__).parent.parent / "etc"
DEFINES = {
    "cloud-node-hostname": "cloud1.example.com",
    "service-hostname": "server-a",
    "service-port": "5551",
}
FILES = {
    "echo/server-config.xml",
    "forward-proxy/cloud-config.xml",
    "forward-proxy/onprem-config.xml",
    "ha-etcd/cloud-config.xml",
    "ha-etcd/onprem-config.xml",
    "ha-lb/cloud-config.xml",
    "ha-lb/onprem-config.xml",
    "ha/cloud-config.xml",
    "ha/onprem-config.xml",
    "multi-tenant/cloud-config.xml",
    "multi-tenant/tenant101-config.xml",
    "multi-tenant/tenant201-config.xml",
    "simple/cloud-config.xml",
    "simple/onprem-config.xml",
    "tls/cloud-config.xml",
    "tls/onprem-config.xml",
}


def load(name: str, **defines: str) -> GatewayConfig:
    """One example, as an operator would start it."""
    more = {key.replace("_", "-"): value for key, value in defines.items()}
    return read_config(ETC / name, defines={**DEFINES, **more}, environ={}, hostname="gateway")


def paths(service: Service) -> tuple[list[str], list[str]]:
    """The accepts and connects of a service, as text."""
    return [str(address) for address in service.accepts], [str(address) for address in service.connects]


def sockets(config: GatewayConfig) -> dict[str, list[str]]:
    """What is listened on, and the addresses served there."""
    return {
        str(listener.socket): [str(end.address) for end in listener.ends] for listener in listeners(config)
    }


class ExampleTests(SynchronousTestCase):
    """All of them."""

    def test_every_file_starts_without_a_word(self) -> None:
        """Each example is read without an error or a warning."""
        found = {str(path.relative_to(ETC)) for path in ETC.rglob("*.xml")}
        self.assertEqual(found, FILES)
        for name in sorted(found):
            self.assertEqual(load(name).warnings, (), name)
            self.assertNotEqual(load(name).services, (), name)

    def test_stores_are_where_kwic_5_had_them(self) -> None:
        """Stores are JCEKS files in /x509/stores, or in another folder given with -D stores."""
        names = {"cloud": "cloud", "onprem": "onprem", "tenant101": "tenant101", "tenant201": "tenant201"}
        for file in sorted(FILES):
            scenario, side = file.removesuffix("-config.xml").split("/")
            if scenario in {"echo", "simple"}:
                self.assertIsNone(load(file).security.keystore, file)
                continue
            security = load(file, stores="/tmp/stores").security
            for kind, store in (("keystore", security.keystore), ("truststore", security.truststore)):
                assert store is not None
                self.assertEqual(store.kind, StoreKind.JCEKS)
                self.assertEqual(store.file, Path(f"/tmp/stores/{kind}-{names[side]}.jceks"))
                self.assertEqual(store.password_file, Path(f"/tmp/stores/{kind}-{names[side]}.pw"))
            standard = load(file).security.keystore
            assert standard is not None
            self.assertEqual(standard.file, Path(f"/x509/stores/keystore-{names[side]}.jceks"))


class SimpleTests(SynchronousTestCase):
    """etc/simple."""

    def test_cloud_listens_for_clients_and_for_everything_on_port_80(self) -> None:
        """Two tunnels and two forward services share port 80; A and C have a port of their own."""
        self.assertEqual(
            sockets(load("simple/cloud-config.xml")),
            {
                "@eth0:5551": ["tcp://@eth0:5551"],
                "example.com:80": [
                    "ws://example.com:80/kwic",
                    "ws://example.com:80/serviceB",
                    "ws://example.com:80/kwic",
                    "ws://example.com:80/serviceD",
                ],
                "@eth0:7771": ["tcp://@eth0:7771"],
            },
        )

    def test_onprem_dials(self) -> None:
        """On-prem takes the pipes A and C to servers, and ports 6661 and 8881 to the cloud."""
        config = load("simple/onprem-config.xml")
        self.assertEqual(
            [paths(service) for service in config.services],
            [
                (["pipe://serviceA"], ["tcp://server-a:5551"]),
                (["tcp://@eth0:6661"], ["ws://example.com:80/serviceB"]),
                (["pipe://serviceC"], ["tcp://server-c:7771"]),
                (["tcp://@eth0:8881"], ["ws://example.com:80/serviceD"]),
            ],
        )
        self.assertEqual(
            [service.is_reverse_agent for service in config.services], [True, False, True, False]
        )

    def test_every_websocket_is_kept_alive(self) -> None:
        """All WebSockets have an inactivity timeout of 55 s."""
        for file in ("simple/cloud-config.xml", "simple/onprem-config.xml"):
            for service in load(file).services:
                for end in ends(service):
                    if end.address.is_websocket:
                        self.assertEqual(end.options.ws_inactivity_timeout_s, 55.0)


class TlsTests(SynchronousTestCase):
    """etc/tls and etc/multi-tenant."""

    def test_everything_on_443_asks_for_a_certificate(self) -> None:
        """The one TLS listener verifies its clients, tunnels and forward services alike."""
        for file in (
            "tls/cloud-config.xml",
            "multi-tenant/cloud-config.xml",
            "forward-proxy/cloud-config.xml",
        ):
            (shared,) = [listener for listener in listeners(load(file)) if listener.secure]
            self.assertEqual(str(shared.socket), "example.com:443")
            self.assertEqual(shared.tls.verify_client, VerifyClient.REQUIRED)
            self.assertEqual(shared.hosts, ("example.com",))

    def test_tenants_have_their_own_services(self) -> None:
        """A and B are tenant101's, C and D tenant201's."""
        tenant101, tenant201 = (load(f"multi-tenant/tenant{tenant}-config.xml") for tenant in (101, 201))
        self.assertEqual(
            [paths(service) for service in tenant101.services],
            [
                (["pipe://serviceA"], ["tcp://server-a:5551"]),
                (["tcp://@eth0:6661"], ["wss://example.com:443/serviceB"]),
            ],
        )
        self.assertEqual(
            [paths(service) for service in tenant201.services],
            [
                (["pipe://serviceC"], ["tcp://server-c:5551"]),
                (["tcp://@eth0:6661"], ["wss://example.com:443/serviceD"]),
            ],
        )


class HighAvailabilityTests(SynchronousTestCase):
    """etc/ha, etc/ha-etcd and etc/ha-lb."""

    def test_cloud_node_goes_by_its_own_name_and_the_common_one(self) -> None:
        """A cloud node listens everywhere on 443, for its own name and for the balancer's."""
        config = load("ha/cloud-config.xml", cloud_node_hostname="cloud2.example.com")
        self.assertEqual(
            sockets(config)["443"],
            [
                "wss://cloud2.example.com:443/kwic",
                "wss://example.com:443/serviceB",
                "wss://cloud2.example.com:443/serviceB",
            ],
        )
        (balanced,) = [service for service in config.services if service.balances]
        self.assertEqual([str(address) for address in balanced.balances], ["wss://example.com:443/serviceB"])
        self.assertEqual(balanced.maximum_recovery_interval_s, 5.0)
        assert config.cluster is not None
        self.assertEqual(config.cluster.name, "kzha")
        self.assertEqual([str(accept) for accept in config.cluster.accepts], ["tcp://@eth0:5941"])
        self.assertEqual([str(connect) for connect in config.cluster.connects], ["udp://224.34.0.1:54327"])

    def test_cloud_nodes_find_each_other_in_etcd(self) -> None:
        """With etcd in place of multicast, nothing else is different; which etcd can be said with -D etcd."""
        plain, kept = load("ha/cloud-config.xml"), load("ha-etcd/cloud-config.xml")
        self.assertEqual([paths(one) for one in kept.services], [paths(one) for one in plain.services])
        assert kept.cluster is not None
        self.assertEqual(
            [str(connect) for connect in kept.cluster.connects],
            [f"etcd+ssl://etcd{number}.example.com:2379" for number in (1, 2, 3)],
        )
        other = load("ha-etcd/cloud-config.xml", etcd="etcd://127.0.0.1,127.0.0.2:2479").cluster
        assert other is not None
        self.assertEqual(
            [str(connect) for connect in other.connects], ["etcd://127.0.0.1:2379", "etcd://127.0.0.2:2479"]
        )

    def test_cloud_node_needs_its_name(self) -> None:
        """The pipe of a cloud node carries the node's name."""
        config = load("ha/cloud-config.xml")
        self.assertEqual(connect_ends(config.services[0])[0].keys, ("serviceA-cloud1.example.com",))

    def test_onprem_knows_every_cloud_node(self) -> None:
        """There is one reverse service per cloud node, and B follows the balancer's redirects."""
        config = load("ha/onprem-config.xml")
        dialled = [
            (end.keys, str(end.address)) for service in config.services[:2] for end in accept_ends(service)
        ]
        self.assertEqual(
            dialled,
            [
                (("serviceA-cloud1.example.com",), "wss://cloud1.example.com:443/kwic"),
                (("serviceA-cloud2.example.com",), "wss://cloud2.example.com:443/kwic"),
            ],
        )
        self.assertEqual(config.services[2].connect_options.http_maximum_redirects, 3)

    def test_ports_can_be_moved(self) -> None:
        """-D tls-port, tls-bind and the others move what an unprivileged run cannot have."""
        config = load("ha/cloud-config.xml", tls_port="8443", tls_bind="127.0.0.2:8443", cluster_port="9941")
        self.assertEqual(list(sockets(config)), ["@eth0:5551", "cloud1.example.com:8443", "127.0.0.2:8443"])
        self.assertEqual(
            list(sockets(load("ha-lb/cloud-config.xml", tls_port="8443"))), ["@eth0:5551", "8443"]
        )
        assert config.cluster is not None
        self.assertEqual([str(accept) for accept in config.cluster.accepts], ["tcp://@eth0:9941"])

    def test_behind_a_load_balancer_four_tunnels_are_kept(self) -> None:
        """On-prem keeps four tunnels; the cloud has no cluster, and moves its socket in the connect-options."""
        cloud, onprem = load("ha-lb/cloud-config.xml"), load("ha-lb/onprem-config.xml")
        self.assertEqual(onprem.services[0].prepared_connection_count, 4)
        self.assertIsNone(cloud.cluster)
        (tunnel,) = connect_ends(cloud.services[0])
        self.assertEqual((str(tunnel.address), str(tunnel.socket)), ("wss://example.com:443/kwic", "443"))


class ForwardProxyTests(SynchronousTestCase):
    """etc/forward-proxy."""

    def test_host_is_a_property(self) -> None:
        """gateway.host is overridden with -D, as the tutorial does, and TLS 1.2 is asked for on-prem."""
        config = read_config(
            ETC / "forward-proxy/onprem-config.xml",
            defines={"gateway.host": "cloud.example.com", "http.proxyHost": "squid"},
            environ={},
            hostname="gateway",
        )
        dialled = [end for service in config.services for end in ends(service) if end.address.is_websocket]
        self.assertEqual(
            [(str(end.address), end.tls.protocols) for end in dialled],
            [
                ("wss://cloud.example.com:443/kwic", ("TLSv1.2",)),
                ("wss://cloud.example.com:443/serviceB", ("TLSv1.2",)),
            ],
        )
        self.assertEqual(config.properties["http.proxyHost"], "squid")


class EchoTests(SynchronousTestCase):
    """etc/echo."""

    def test_host_and_port_come_from_the_command_line(self) -> None:
        """The test server listens where -D says."""
        config = load("echo/server-config.xml", service_hostname="127.0.0.5", service_port="7771")
        self.assertEqual(list(sockets(config)), ["127.0.0.5:7771"])
        self.assertEqual(config.services[0].repeat, 1)
