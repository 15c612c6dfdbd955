"""What a gateway holds in memory while nobody uses it: nothing that its configuration does not ask for."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest import skipUnless

from test.integration.test_tls import TlsTestCase

SIDES = ("example.com", "onprem")
FILLED_MAXIMUM_KIB = 40 * 1024
"""Measured: 38.9 MiB with CPython 3.11. With up to 21 MiB of program files, of which more or less is mapped as the kernel likes, that makes 60."""
NOT_ASKED_FOR = frozenset(
    {
        "autobahn.asyncio", "autobahn.rawsocket", "autobahn.twisted", "kwic.cli.main", "kwic.service.cluster",
        "kwic.service.etcd_cluster", "kwic.service.siblings", "kwic.service.workers", "kwic.transport.etcd_client",
        "kwic.transport.pkcs12", "kwic.transport.pki", "multiprocessing", "numpy", "sqlite3", "twisted.conch.ssh", "twisted.internet.endpoints",
        "twisted.names.client", "twisted.trial.unittest", "twisted.web", "xml.dom", "xml.etree",
    }
)  # fmt: skip
_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)


class AtRestTests(TlsTestCase):
    """Both sides of the scenario `tls`, which has neither a cluster nor workers."""

    def run_both(self) -> None:
        """Both sides, joined."""
        self.echo_server("server-a", 5551)
        self.run_side("onprem", "tls", "onprem-config.xml")
        self.run_side("example.com", "tls", "cloud-config.xml")
        self.wait_answering(*SIDES)
        self.wait_joined("example.com", agents=1)

    def imported(self, host: str) -> list[str]:
        """The modules that a gateway has imported so far, in this order."""
        return _IMPORTED.findall(self.processes[host].log_text())

    @skipUnless(sys.platform == "linux", "it is read from /proc")
    @skipUnless(sys.version_info[:2] == (3, 11), "measured with Python 3.11; each version has another size")
    def test_memory(self) -> None:
        """Each side has filled as little memory as the performance page says."""
        self.run_both()
        for host in SIDES:
            rollup = Path(f"/proc/{self.processes[host].pid}/smaps_rollup").read_text()
            found = re.search(r"^Anonymous: +(\d+) kB$", rollup, re.MULTILINE)
            assert found is not None
            self.assertLess(int(found[1]), FILLED_MAXIMUM_KIB, host)

    def test_modules(self) -> None:
        """
        No module is imported that only other configurations need, and none as late as when the first client comes: the reactor would stand still for it.
        """
        self.environs = {host: {"PYTHONPROFILEIMPORTTIME": "1"} for host in SIDES}
        self.run_both()
        before = {host: self.imported(host) for host in SIDES}
        self.check_echo("example.com", 5551)
        for host, modules in before.items():
            self.assertIn("kwic.service.gateway", modules)
            self.assertEqual(NOT_ASKED_FOR & set(modules), set(), host)
            self.assertEqual(self.imported(host), modules, host)
