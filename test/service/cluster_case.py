"""Members of an embedded cluster on a network in memory, each as the test wants it."""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.address import parse_address
from kwic.config.model import Cluster as ClusterConfig
from kwic.config.model import bracketed
from kwic.config.problem import Place
from kwic.service.cluster import Cluster
from kwic.service.context import Context
from kwic.service.membership import Member
from test.sim.network import SimNetwork

GROUP = "udp://224.34.0.1:54327"
PORT = 5941
PLACE = Place(file="x.xml", line=1, column=1, path="/gateway-config/cluster")


def uuid(number: int) -> str:
    """An instance; a larger number is a larger instance."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def cluster_config(
    *connects: str, accepts: tuple[str, ...], name: str = "kzha", insecure: bool = True
) -> ClusterConfig:
    """What a `<cluster>` asks for."""
    return ClusterConfig(
        name=name,
        accepts=tuple(parse_address(accept) for accept in accepts),
        connects=tuple(parse_address(connect) for connect in connects),
        insecure=insecure,
        place=PLACE,
    )


class ClusterCase(SynchronousTestCase):
    """Members, and what they logged."""

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.clusters: dict[str, Cluster] = {}
        self.requests: list[str] = []
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def make(
        self,
        name: str,
        address: str,
        *connects: str,
        accepts: tuple[str, ...] | None = None,
        cluster: str = "kzha",
        insecure: bool = True,
        addresses: tuple[str, ...] = (),
        **context: Any,
    ) -> Cluster:
        """A member on a host of its own, not started."""
        config = cluster_config(
            *connects,
            accepts=(f"tcp://{bracketed(address)}:{PORT}",) if accepts is None else accepts,
            name=cluster,
            insecure=insecure,
        )
        context.setdefault("instance", uuid(len(self.clusters) + 1))
        context.setdefault("node", name)
        reactor = self.network.host(name, *(addresses or (address,)))
        member = Cluster(Context(reactor=reactor, **context), config, self._requested)
        self.clusters[name] = member
        return member

    def start(self, name: str, address: str, *connects: str, **how: Any) -> Cluster:
        """A member on a host of its own, started."""
        member = self.make(name, address, *connects, **how)
        member.startService()
        return member

    def _requested(self, acceptor: Any, name: str, member: Member) -> None:
        self.requests.append(name)

    def run(self, *result: Any) -> Any:
        """Trial's."""
        return super().run(*result)

    def pass_time(self, seconds: float) -> None:
        self.network.run(seconds)

    def nodes(self, name: str) -> list[str]:
        """The nodes that a member counts."""
        return sorted(member.node for member in self.clusters[name].members() if member.counts)

    def links(self, name: str) -> list[Any]:
        """The links of a member to others."""
        return [
            link for neighbour in self.clusters[name]._mesh.neighbours.values() for link in neighbour.links
        ]

    def dials(self, name: str, address: str = "", port: int = PORT) -> int:
        """How often a host has dialled an address, or any."""
        return sum(
            who == name and (not address or place == (address, port)) for who, place in self.network.dialled
        )

    def lines(self, part: str) -> list[str]:
        """The log lines that contain a text."""
        return [line for line in map(formatEvent, self.events) if line is not None and part in line]
