"""The scenarios: which machines there are, what they are called, and what runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CLIENT, NAMES, BALANCER, ETCD = "client", "names", "balancer", "etcd"
CLOUD = ("cloud1", "cloud2")
ONPREM = ("onprem1", "onprem2")
BACK_ENDS = MappingProxyType({"server-a": 5551, "server-b": 6661})
CLOUD_PORT, ONPREM_PORT = 5551, 6661  # where clients connect
ADDRESSES = MappingProxyType(
    {
        "onprem2": "172.34.0.2",
        "onprem1": "172.34.0.3",
        "cloud2": "172.34.0.5",
        "cloud1": "172.34.0.7",
        "server-a": "172.34.0.8",
        "server-b": "172.34.0.9",
        CLIENT: "172.34.0.10",
        NAMES: "172.34.0.11",
        BALANCER: "172.34.0.12",
        ETCD: "172.34.0.13",
    }
)
NAME_OF = MappingProxyType({address: name for name, address in ADDRESSES.items()})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One arrangement of the instances.

    :param name: as given to ``--scenario``.
    :param title: for the report.
    :param example: the folder under ``etc/`` with its configuration files.
    :param extra: machines beside the instances, back ends, clients and name server.
    :param balanced: whether ``example.com`` is a load balancer.
    :param needs: commands that must be installed.
    """

    name: str
    title: str
    example: str
    extra: tuple[str, ...] = ()
    balanced: bool = False
    needs: tuple[str, ...] = ()

    @property
    def instances(self) -> tuple[str, ...]:
        """The gateways."""
        return (*CLOUD, *ONPREM)

    @property
    def machines(self) -> tuple[str, ...]:
        """Every machine."""
        return (*self.instances, *BACK_ENDS, CLIENT, NAMES, *self.extra)

    def hosts(self) -> Mapping[str, list[str]]:
        """Name → addresses, as everybody knows them."""
        cloud = [ADDRESSES[name] for name in CLOUD]
        return {
            "example.com": [ADDRESSES[BALANCER]] if self.balanced else cloud,
            **{f"{name}.example.com": [ADDRESSES[name]] for name in CLOUD},
            **{f"{name}.example.org": [ADDRESSES[name]] for name in ONPREM},
            **{name: [ADDRESSES[name]] for name in (*BACK_ENDS, *self.extra)},
        }


SCENARIOS = MappingProxyType(
    {
        "ha": Scenario(name="ha", title="two in the cloud (a cluster), two on-prem", example="ha"),
        "ha-lb": Scenario(
            name="ha-lb",
            title="two in the cloud behind a TCP load balancer, two on-prem",
            example="ha-lb",
            extra=(BALANCER,),
            balanced=True,
        ),
        "etcd": Scenario(
            name="etcd",
            title="two in the cloud that find each other through etcd, two on-prem",
            example="ha",
            extra=(ETCD,),
            needs=("etcd",),
        ),
    }
)
