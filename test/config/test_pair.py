"""Both sides together: what does not fit is found, and nothing else."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import GatewayConfig
from kwic.config.pair import check_pair
from test.config.test_corpus import expected, read_file
from test.config.test_etc import load
from test.config.text import KEYSTORE, options, proxy, read, reverse

PAIRS = sorted(path for path in (Path(__file__).parent / "pairs").iterdir() if path.is_dir())

CLOUDS = {"cloud_node_hostname": "cloud1.example.com"}, {"cloud_node_hostname": "cloud2.example.com"}


def said(*configs: GatewayConfig) -> list[str]:
    """What is said about instances together."""
    return [f"{problem.severity.value}: {problem.message}" for problem in check_pair(configs)]


class PairTests(SynchronousTestCase):
    """The corpus of pairs."""

    maxDiff = None

    def test_every_mismatch_is_found(self) -> None:
        """Each folder gives the problems that its files name at their ends, and no others."""
        mismatched = [folder for folder in PAIRS if not folder.name.startswith("valid-")]
        self.assertGreaterEqual(len(mismatched), 25)
        for folder in mismatched:
            files = sorted(folder.glob("*.xml"))
            self.assertGreaterEqual(len(files), 2)
            problems = check_pair([read_file(path) for path in files])
            for path in files:
                mine = [each for each in problems if each.place is not None and each.place.file == path.name]
                lines = [problem.render().removeprefix(f"{path.name}:") for problem in mine]
                self.assertEqual(lines, expected(path), f"{folder.name}/{path.name}")
            self.assertNotEqual(problems, (), folder.name)

    def test_valid_pairs_are_left_alone(self) -> None:
        """Nothing is said about sides that fit."""
        fitting = [folder for folder in PAIRS if folder.name.startswith("valid-")]
        self.assertGreaterEqual(len(fitting), 8)
        for folder in fitting:
            self.assertEqual(
                said(*(read_file(path) for path in sorted(folder.glob("*.xml")))), [], folder.name
            )

    def test_scenarios_are_left_alone(self) -> None:
        """Nothing is said about the examples, all instances together or one cloud node missing."""
        for scenario in ("simple", "tls", "ha", "ha-etcd", "ha-lb", "forward-proxy"):
            self.assertEqual(
                said(load(f"{scenario}/cloud-config.xml"), load(f"{scenario}/onprem-config.xml")), []
            )
        tenants = [load(f"multi-tenant/{side}-config.xml") for side in ("cloud", "tenant101", "tenant201")]
        self.assertEqual(said(*tenants), [])
        for scenario in ("ha", "ha-etcd"):
            nodes = [load(f"{scenario}/cloud-config.xml", **names) for names in CLOUDS]
            onprem = load(f"{scenario}/onprem-config.xml")
            self.assertEqual(said(*nodes, onprem, onprem), [])

    def test_a_missing_tenant_is_worth_a_warning(self) -> None:
        """A name that nobody in the files serves costs a warning: its tenant may be in another file."""
        found = said(load("multi-tenant/cloud-config.xml"), load("multi-tenant/tenant101-config.xml"))
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith("warning: service “proxy service C”"))

    def test_wrong_partner(self) -> None:
        """Sides of different scenarios do not fit."""
        self.assertNotEqual(said(load("simple/cloud-config.xml"), load("tls/onprem-config.xml")), [])
        self.assertNotEqual(said(load("ha/cloud-config.xml"), load("ha-lb/onprem-config.xml")), [])


class OneFileTests(SynchronousTestCase):
    """Cases that need no file."""

    def test_one_file_alone(self) -> None:
        """A file by itself has nobody to fit."""
        for file in ("simple/cloud-config.xml", "simple/onprem-config.xml"):
            self.assertEqual(said(load(file)), [])
        self.assertEqual(said(), [])

    def test_both_ends_in_one_file(self) -> None:
        """A gateway may hold both ends of a tunnel."""
        config = read(
            proxy(connect="pipe://a", connect_options=reverse("ws://cloud/kwic")),
            proxy("pipe://a", name="B", accept_options=reverse("ws://cloud/kwic")),
        )
        self.assertEqual(said(config, load("tls/onprem-config.xml")), [])

    def test_certificates_need_tls_on_both_ends(self) -> None:
        """Nobody shows a certificate on a connection whose TLS is left to something in between."""
        cloud = read(KEYSTORE, proxy("wss://cloud/b", accept_options=options(ssl_verify__client="required")))
        onprem = read(proxy(connect="wss://cloud/b", connect_options=options(ssl_encryption="disabled")))
        (found,) = said(cloud, onprem)
        self.assertIn("leaves it to something in between", found)

    def test_members_without_a_balancer(self) -> None:
        """Who takes tunnels for one name in clusters of one name should find each other; others need not."""
        cluster = "<cluster><name>{}</name><accept>tcp://127.0.0.1:{}</accept><connect>udp://224.0.0.{}:1</connect></cluster>"
        tunnel = reverse("ws://cloud/kwic")
        nodes = [
            read(proxy(connect="pipe://a", connect_options=tunnel), cluster.format(name, number, number))
            for name, number in (("c", 1), ("c", 2), ("other", 3))
        ]
        agent = read(proxy("pipe://a", accept_options=tunnel), cluster.format("c", 4, 4))
        self.assertEqual(said(nodes[0], nodes[2], agent), [])
        (found,) = said(nodes[0], nodes[1], agent)
        self.assertIn("look for members in different groups", found)

    def test_client_at_a_tunnel(self) -> None:
        """A plain WebSocket client does not meet a tunnel, though it dials the same address."""
        tunnel = reverse("wss://cloud/kwic", socks_ssl_verify__client="required")
        cloud = read(KEYSTORE, proxy(connect="pipe://a", connect_options=tunnel))
        onprem = read(proxy(connect="wss://cloud/kwic"))
        (found,) = said(cloud, onprem)
        self.assertIn("nobody in these files dials in for it", found)

    def test_certificate_for_a_shared_listener(self) -> None:
        """What one service of a listener requires holds for whoever dials another on it."""
        cloud = read(
            KEYSTORE,
            proxy("wss://cloud/a", accept_options=options(ssl_verify__client="required")),
            proxy("wss://cloud/b", name="B"),
        )
        onprem = read(proxy(connect="wss://cloud/b"))
        self.assertEqual(len(said(cloud, onprem)), 1)
        self.assertIn("requires a certificate", said(cloud, onprem)[0])

    def test_plain_port_of_another_machine(self) -> None:
        """Who dials a port of some machine need not mean the instance that has it open on an interface."""
        cloud = read(
            KEYSTORE, proxy("ssl://@eth0:7443", accept_options=options(ssl_verify__client="required"))
        )
        self.assertEqual(said(cloud, read(proxy(connect="ssl://server:7443"))), [])
        named = read(
            KEYSTORE, proxy("ssl://cloud:7443", accept_options=options(ssl_verify__client="required"))
        )
        self.assertEqual(len(said(named, read(proxy(connect="ssl://cloud:7443")))), 1)
