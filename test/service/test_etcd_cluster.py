"""Tests of the cluster whose members find each other in etcd."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.service.context import Context
from kwic.service.etcd_cluster import EtcdCluster
from kwic.service.membership import Membership
from test.service.membership_suite import MembershipSuite
from test.service.test_cluster import cluster_config
from test.sim.etcd import EtcdStore

SERVER = "10.0.0.200"


class EtcdTests(MembershipSuite, SynchronousTestCase):
    """Members that know one etcd and nothing of each other."""

    def prepare(self) -> None:
        self.store = EtcdStore(self.network)
        self.store.serve("etcd", SERVER)

    def make(self, name: str, address: str, instance: str) -> Membership:
        context = Context(reactor=self.network.host(name, address), node=name, instance=instance)
        config = cluster_config(f"etcd://{SERVER}:2379", accept=f"tcp://{address}:5941")
        return EtcdCluster(context, config, self.on_request(name))
