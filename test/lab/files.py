"""The configuration files of a scenario: those of ``etc/``, as an operator has them, with keys made for this run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kwic.transport.demo_pki import make_demo_pki
from test.lab.machine import ROOT
from test.lab.scenario import CLOUD, ETCD, Scenario

DISCOVERY = re.compile(r"<connect>udp://[^<]*</connect>")
STORE = f"<connect>etcd://{ETCD}:2379</connect>"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What one instance is started with.

    :param config: its configuration file.
    :param defines: its properties.
    """

    config: Path
    defines: Mapping[str, str]


def prepare(scenario: Scenario, folder: Path) -> dict[str, Setup]:
    """Make the keys, and take the example's files.

    :param scenario: which.
    :param folder: where what is made goes.
    :returns: instance → what it is started with.
    """
    folder.mkdir(parents=True)
    pki = make_demo_pki(folder / "x509", now_s=time.time())
    stores = str(pki.keystore("cloud").parent)
    example = ROOT / "etc" / scenario.example
    cloud, onprem = example / "cloud-config.xml", example / "onprem-config.xml"
    if ETCD in scenario.extra:
        cloud = through_etcd(cloud, folder)
    return {
        name: Setup(
            config=cloud if name in CLOUD else onprem,
            defines={
                "stores": stores,
                **({"cloud-node-hostname": f"{name}.example.com"} if name in CLOUD else {}),
            },
        )
        for name in scenario.instances
    }


def through_etcd(config: Path, folder: Path) -> Path:
    """The same configuration with etcd in place of multicast.

    :param config: the example.
    :param folder: where the new file goes.
    :raises ValueError: the example has no multicast discovery.
    """
    text, count = DISCOVERY.subn(STORE, config.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{config} has {count} multicast <connect>, not one")
    changed = folder / config.name
    changed.write_text(text, encoding="utf-8")
    return changed
