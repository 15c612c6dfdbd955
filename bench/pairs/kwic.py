"""Our pair: two gateways, joined by one tunnel that the on-prem side opens."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, NamedTuple

from OpenSSL import SSL

import kwic
from bench.certificates import HOST
from bench.daemon import Daemon
from bench.gateway_files import Rendezvous, cloud_config, onprem_config
from bench.lab import Lab
from bench.pair import Pair
from bench.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]
"""The source tree that this bench stands in."""

TWISTD = "from twisted.scripts.twistd import run; run()"
"""What the `twistd` command runs, for whichever interpreter runs the bench."""

LEFT_OUT = ("GATEWAY_OPTS", "PYTHONPATH", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""Environment variables, in capitals, that would change what a gateway does."""


class Site(NamedTuple):
    """Where a gateway runs.

    :param prefix: what goes before its command line.
    :param rendezvous: the address at which it finds the cloud side.
    """

    prefix: tuple[str, ...] = ()
    rendezvous: str = LOOPBACK


class Kwic(Pair):
    """Two `twistd kwic` processes from files as an operator would write them.

    :param lab: what all pairs share.
    :param root: the source tree to run.
    :param names: how many reverse names; each has a front port of its own, counted up from `front_port`.
    """

    key: ClassVar[str] = "kwic"
    title: ClassVar[str] = "KWIC"

    def __init__(self, lab: Lab, *, root: Path = ROOT, names: int = 1) -> None:
        super().__init__(lab)
        self.root = root
        self.names = names
        if names > 1:
            self.front_port = lab.ports.row(names)
        self.admin_ports = (lab.ports.one(), lab.ports.one())
        self.server_port = lab.sink_port
        #: Of the cloud side and of the on-prem side.
        self.sites = (Site(), Site())

    @classmethod
    def missing(cls) -> str | None:
        """Only in a tree in which the gateway is not written yet."""
        return missing_from(ROOT)

    @classmethod
    def version(cls) -> str:
        """Of ours, and of what it runs on."""
        openssl = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode().split(" ")[1]
        parts = ", ".join(f"{name} {version(name)}" for name in ("Twisted", "autobahn", "pyOpenSSL"))
        return f"{kwic.__version__} (Python {sys.version.split()[0]}, {parts}, OpenSSL {openssl})"

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The cloud side that listens, then the on-prem side that dials it."""
        names = self._names()
        rendezvous = Rendezvous(host=HOST, port=self.middle_port, certificates=self.lab.certificates)
        return (
            self._gateway("cloud", cloud_config(rendezvous, names, self.front_port), 0),
            self._gateway("onprem", onprem_config(rendezvous, names, self.server_port), 1),
        )

    def twistd_options(self, side: str) -> tuple[str, ...]:
        """More options of twistd itself.

        :param side: of which gateway.
        """
        return ()

    def _names(self) -> list[str]:
        return ["bench"] if self.names == 1 else [f"bench-{number}" for number in range(self.names)]

    def _gateway(self, side: str, config: str, number: int, *options: str) -> Daemon:
        path = self.folder / f"{side}-config.xml"
        path.write_text(config, encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if name.upper() not in LEFT_OUT}
        site = self.sites[number]
        command = [
            *(*site.prefix, sys.executable, "-c", TWISTD, "-n", "--pidfile="),
            *self.twistd_options(side),
            *("kwic", "--config", str(path), *options),
        ]
        admin = f"127.0.0.1:{self.admin_ports[number]}"
        return Daemon(
            f"{self.title} ({side})",
            [*command, "--resolve", f"{HOST}={site.rendezvous}", "--admin", admin],
            log=self.folder / f"{side}.log",
            environ={**environ, "PYTHONPATH": str(self.root), "PYTHONUNBUFFERED": "1"},
            folder=self.root,
        )


def missing_from(root: Path) -> str | None:
    """Why a source tree's gateway cannot be run; None when it can.

    :param root: the tree.
    """
    wanted = root / "kwic" / "tap.py"
    return None if wanted.exists() else f"{wanted} is not there"
