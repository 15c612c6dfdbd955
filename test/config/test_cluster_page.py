"""The page about the cluster: its examples are read, and its numbers and messages are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import kwic
from kwic.config.reader import read_text
from kwic.service import dialling, etcd_cluster, etcd_entries, etcd_register, etcd_session, link, seeds
from kwic.transport import etcd_client

ROOT = Path(kwic.__file__).parent.parent
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
PLAIN = " ".join(PAGE.split())
FILE = """<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">
  <security><keystore><type>JCEKS</type><file>k.jceks</file></keystore></security>{cluster}
</gateway-config>"""


class ClusterPageTests(SynchronousTestCase):
    """docs/cluster.md."""

    def test_examples_are_read(self) -> None:
        """Every cluster that is shown can be had, without a warning."""
        examples = re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL)
        self.assertEqual(len(examples), 2)
        for example in examples:
            config = read_text(FILE.format(cluster=example).encode(), "page.xml")
            self.assertEqual(config.warnings, ())
            assert config.cluster is not None
            self.assertEqual(config.cluster.name, "kzha")

    def test_connects_are_read(self) -> None:
        """Every way of finding members that is named can be had."""
        for connect in re.findall(r"^\| `((?:udp|tcp|etcd)://[^`]*)`", PAGE, re.MULTILINE):
            cluster = (
                f"<cluster><name>c</name><accept>tcp://@eth0:1</accept><connect>{connect}</connect></cluster>"
            )
            self.assertEqual(read_text(FILE.format(cluster=cluster).encode(), "page.xml").warnings, ())

    def test_numbers(self) -> None:
        """The times and limits that are named are those that count."""
        for text, number in (
            ("with a lease of {} s", etcd_session.TTL_S),
            ("are given {} s to come back", etcd_session.TTL_S),
            ("the list of keys every {} s", etcd_session.COMPARE_S),
            ("written too, at most every {} s", etcd_cluster.LOAD_S),
            ("each call has to be answered within {} s", etcd_client.CALL_S),
            ("can link with for {} s", etcd_cluster.LINK_S),
            ("More than {} entries", etcd_entries.ENTRIES_MAXIMUM),
            ("tries all servers, with pauses of at most {} s", etcd_register.MAXIMUM_S),
            ("is dialled again, with pauses of at most {} s", dialling.MAXIMUM_S),
            ("not chosen any more after {} s", link.TIMING.suspect_after_s),
            ("and gone after {} s", link.TIMING.dead_after_s),
            ("({} s when a service of the same file says `kwic:liveness", link.FAST_TIMING.dead_after_s),
            ("it is resolved again every {} s", seeds.RESOLVE_S),
        ):
            self.assertIn(text.format(f"{number:g}"), PLAIN)

    def test_messages(self) -> None:
        """The messages that are explained are those that are logged."""
        code = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "kwic").rglob("*.py"))
        for part in (
            "etcd cannot be used:",
            "keeps the register of the members",
            "etcd knows of member",
            "in etcd is not looked at:",
            "is not dialled, as there is no keystore",
            "does not answer in time",
        ):
            self.assertIn(part, PAGE)
            self.assertIn(part, code)
