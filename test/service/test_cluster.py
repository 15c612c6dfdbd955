"""Tests of the embedded cluster."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.address import parse_address
from kwic.config.model import Cluster as ClusterConfig
from kwic.config.model import Liveness
from kwic.config.problem import Place
from kwic.service.cluster import Cluster
from kwic.service.context import Context
from kwic.service.link import FAST_TIMING
from kwic.service.membership import Membership
from test.service.membership_suite import ADDRESSES, MembershipSuite

GROUP = "udp://224.34.0.1:54327"
PLACE = Place(file="x.xml", line=1, column=1, path="/gateway-config/cluster")


def cluster_config(*connects: str, accept: str, name: str = "kzha", insecure: bool = True) -> ClusterConfig:
    return ClusterConfig(
        name=name,
        accepts=(parse_address(accept),) if accept else (),
        connects=tuple(parse_address(connect) for connect in connects),
        insecure=insecure,
        place=PLACE,
    )


class ClusterSuite(MembershipSuite):
    """The suite over embedded clusters."""

    connects: tuple[str, ...] = ()
    liveness = Liveness.NORMAL

    def make(self, name: str, address: str, instance: str) -> Membership:
        context = Context(reactor=self.network.host(name, address), node=name, instance=instance)
        config = cluster_config(*self.connects, accept=f"tcp://{address}:5941")
        return Cluster(context, config, self.on_request(name), self.liveness)


class MulticastTests(ClusterSuite, SynchronousTestCase):
    """Members that find each other by multicast."""

    connects = (GROUP,)


class FastTests(MulticastTests):
    """The same, where a service says `kwic:liveness="fast"`."""

    liveness = Liveness.FAST
    dead_s = FAST_TIMING.dead_after_s


class UnicastTests(ClusterSuite, SynchronousTestCase):
    """Members that are listed by name, each in the files of all."""

    connects = tuple(f"tcp://{name}.example.com:5941" for name in ADDRESSES)

    def prepare(self) -> None:
        self.network.names = {f"{name}.example.com": (address,) for name, address in ADDRESSES.items()}


class OneNameTests(ClusterSuite, SynchronousTestCase):
    """Members behind one name that has the addresses of all."""

    connects = ("tcp://members.example.com:5941",)

    def prepare(self) -> None:
        self.network.names = {"members.example.com": tuple(ADDRESSES.values())}

    def readdress(self, name: str, address: str) -> None:
        addresses = {**ADDRESSES, name: address}
        self.network.names = {"members.example.com": tuple(addresses.values())}


class OneSeedTests(ClusterSuite, SynchronousTestCase):
    """Members that are told of one member only."""

    connects = (f"tcp://{ADDRESSES['cloud1']}:5941",)

    def test_late(self) -> None:
        """A member that may start last is not the one whom all know."""
        self.meet("cloud1", "cloud2")
        self.network.run(100)
        self.start("cloud3")
        self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2", "cloud3"), 3)

    def test_the_one_may_go(self) -> None:
        """Those who found each other through a member keep each other when it is gone."""
        self.meet("cloud1", "cloud2", "cloud3")
        self.network.power_off("cloud1")
        self.network.run(60)
        self.assertTrue(self.everyone_sees("cloud2", "cloud3"))
        self.network.crash("cloud3")
        self.network.run(10)
        self.start("cloud3")
        self.network.run_until(lambda: self.everyone_sees("cloud2", "cloud3"), 5)
