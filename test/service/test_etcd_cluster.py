"""Tests of the cluster whose members find each other in etcd."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Liveness
from kwic.service.context import Context
from kwic.service.etcd_cluster import LOAD_S, EtcdCluster
from kwic.service.etcd_session import PUT_S, TTL_S
from kwic.service.link import FAST_TIMING
from kwic.service.membership import Membership, OwnState
from test.service.cluster_case import GROUP, uuid
from test.service.etcd_case import PREFIX, SERVER, EtcdCase
from test.service.membership_suite import MembershipSuite
from test.service.test_cluster import cluster_config
from test.sim.etcd import EtcdStore


class EtcdTests(MembershipSuite, SynchronousTestCase):
    """Members that know one etcd and nothing of each other."""

    liveness = Liveness.NORMAL

    def prepare(self) -> None:
        self.store = EtcdStore(self.network)
        self.store.serve("etcd", SERVER)

    def make(self, name: str, address: str, instance: str) -> Membership:
        context = Context(reactor=self.network.host(name, address), node=name, instance=instance)
        config = cluster_config(f"etcd://{SERVER}:2379", accept=f"tcp://{address}:5941")
        return EtcdCluster(context, config, self.on_request(name), self.liveness)

    def test_fast_silence(self) -> None:
        """Where a service says `kwic:liveness="fast"`, silence is noticed as soon as in the embedded cluster."""
        self.liveness = Liveness.FAST
        self.dead_s = FAST_TIMING.dead_after_s
        self.test_silence()


class GoneTests(EtcdTests):
    """The same while etcd is gone, once members have met."""

    def meet(self, *names: str) -> None:
        super().meet(*names)
        self.network.crash("etcd")

    def test_late(self) -> None:
        """A member that starts while etcd is gone is found when etcd is back."""
        self.meet("cloud2", "cloud3")
        self.network.run(100)
        self.start("cloud1")
        self.network.run(20)
        self.assertEqual(self.seen("cloud1"), {})
        self.store.serve("etcd", SERVER)
        self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2", "cloud3"), 5)

    def test_version(self) -> None:
        """Nobody new is found while etcd is gone."""

    def test_new_address(self) -> None:
        """A new address is found when etcd is back."""
        super().meet("cloud1", "cloud2")
        self.network.power_off("cloud2")
        self.network.crash("etcd")
        self.network.run(30)
        self.start("cloud2", address="10.0.0.99", instance="99999999-0000-4000-8000-000000000000")
        self.network.run(10)
        self.assertEqual(self.seen("cloud1"), {})
        self.store.serve("etcd", SERVER)
        self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2"), 5)


class EntryTests(EtcdCase):
    """What stands in etcd."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(SERVER)

    def test_entry(self) -> None:
        """An entry says who the member is, where it takes links, and what it offers; it goes when the member stops."""
        self.start(1)
        self.members["cloud1"].publish(OwnState(names={"a": 1}, balances={"b": ("c",)}, tunnels=("t",)))
        self.network.run(1)
        hello, state = self.entry(1)
        self.assertEqual(
            (hello.cluster, hello.instance, hello.node, hello.accept),
            ("kzha", uuid(1), "cloud1", "tcp://10.0.0.1:5941"),
        )
        self.assertEqual((state.names, state.balances, state.tunnels), ({"a": 1}, {"b": ("c",)}, ("t",)))
        self.members["cloud1"].leave()
        self.network.run(0.1)
        self.assertTrue(self.entry(1)[1].leaving)
        self.stop(1)
        self.assertEqual(self.store.keys, {})
        self.assertEqual(self.store.leases, {})

    def test_death(self) -> None:
        """The entry of a member that is killed is gone within the time of its lease."""
        self.start(1)
        self.network.run(3)
        self.network.crash("cloud1")
        self.assertLessEqual(self.network.run_until(lambda: not self.store.keys, 20), TTL_S)

    def test_lease_is_lost(self) -> None:
        """A member that was frozen for longer than its lease enters itself again."""
        self.start(1, 2)
        self.wait(1, 2)
        self.network.freeze("cloud1")
        self.network.run(30)
        self.assertEqual(len(self.store.keys), 1)
        self.network.thaw("cloud1")
        self.network.run_until(lambda: len(self.store.keys) == 2, 5)
        self.network.run(20)
        self.assertEqual(len(self.store.keys), 2)

    def test_entry_is_removed(self) -> None:
        """A member whose entry or lease somebody removes enters itself again, and does not fight."""
        self.start(1)
        self.network.run(3)
        key = PREFIX + uuid(1).encode()
        self.store.delete(key)
        self.network.run(1)
        self.assertIn(key, self.store.keys)
        self.store.revoke(self.store.keys[key][2])
        self.network.run(2.5)
        self.assertIn(key, self.store.keys)
        puts = self.store.puts
        for _ in range(1000):
            self.store.keys.pop(key, None)
            self.store.put(key, b"")
            self.store.delete(key)
            self.network.run(0.01)
        self.assertLess(self.store.puts - puts - 1000, 60)
        self.network.run(3)
        self.assertIn(key, self.store.keys)

    def test_writes_are_few(self) -> None:
        """Nothing is written while nothing changes, and not for a load that links tell."""
        self.start(1, 2)
        self.network.run(1)
        puts = self.store.puts
        for load in range(60):
            self.members["cloud1"].publish(OwnState(load=load))
            self.network.run(1)
        self.assertEqual(self.store.puts, puts)
        for number in range(100):
            self.members["cloud1"].publish(OwnState(names={"a": number}))
            self.network.run(0.01)
        self.network.run(1)
        self.assertLess(self.store.puts - puts, 8)
        self.assertEqual(self.entry(1)[1].names, {"a": 99})

    def test_haste_without_need(self) -> None:
        """What was to be written at once and stood there already does not make the next change skip its turn."""
        member = self.start(1)
        self.network.run(2)
        member.publish(OwnState(tunnels=("first",)))
        self.network.run(0.02)
        self.assertEqual(self.entry(1)[1].tunnels, ("first",))
        member._register.renew(at_once=True)
        self.network.run(0.02)
        member.publish(OwnState(tunnels=("second",)))
        self.network.run(0.1)
        self.assertEqual(self.entry(1)[1].tunnels, ("first",))
        self.network.run(PUT_S)
        self.assertEqual(self.entry(1)[1].tunnels, ("second",))

    def test_far_away(self) -> None:
        """Far from etcd, too, an entry is written once."""
        self.network.latency("cloud1", "etcd0", 0.4)
        self.start(1)
        self.network.run(30)
        self.assertEqual(self.store.puts, 1)
        self.assertEqual(self.lines("etcd cannot be used"), [])

    def test_load_without_links(self) -> None:
        """The load is written now and then where there are no links to tell it."""
        self.start(1, 2, accepts=())
        self.wait(1, 2)
        puts = self.store.puts
        for load in range(60):
            self.members["cloud1"].publish(OwnState(load=load))
            self.network.run(1)
        self.assertLessEqual(self.store.puts - puts, 60 / LOAD_S + 1)
        self.network.run(LOAD_S)
        self.assertEqual(self.seen(2)["cloud1"].load, 59)

    def test_address_that_comes_late(self) -> None:
        """A member whose interface gets its address later is entered with it then."""
        from kwic.transport.resolver import FixedNames

        interfaces: dict[str, tuple[str, ...]] = {"eth0": ()}
        self.start(1, accepts=("tcp://@eth0:5941",), names=FixedNames(interfaces=interfaces))
        self.start(2)
        self.network.run(3)
        self.assertEqual(self.entry(1)[0].accept, "")
        interfaces["eth0"] = ("10.0.0.1",)
        self.network.run(5)
        self.assertEqual(self.entry(1)[0].accept, "tcp://10.0.0.1:5941")
        self.assertTrue(self.see(1, 2))

    def test_wildcard(self) -> None:
        """A member that listens everywhere is entered with the address by which it reaches etcd."""
        self.start(1, accepts=("tcp://0.0.0.0:5941",))
        self.start(2, accepts=("tcp://0.0.0.0:5941",))
        self.wait(1, 2)
        self.assertEqual(self.entry(1)[0].accept, "tcp://10.0.0.1:5941")

    def test_several_clusters(self) -> None:
        """Clusters of different names share an etcd and never meet."""
        self.start(1, 2)
        self.start(3, 4, config={"name": "kzha/members"})
        self.wait(1, 2)
        self.wait(3, 4)
        self.network.run(20)
        self.assertTrue(self.see(1, 2))
        self.assertTrue(self.see(3, 4))

    def test_with_multicast(self) -> None:
        """Members may be found in etcd and by multicast, and are one."""
        self.make(1, GROUP).startService()
        self.start(2)
        self.make(3, GROUP, servers=("10.0.0.250",)).startService()
        self.wait(1, 2, 3)
        self.network.run(3)
        links = [link for one in self.members["cloud1"]._mesh.neighbours.values() for link in one.links]
        self.assertEqual(len(links), 2)


class NoLinkTests(EtcdCase):
    """Members that take no links."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(SERVER)

    def test_meet(self) -> None:
        """They know each other by their entries, share what they offer, and no client goes through them."""
        calls: list[int] = []
        self.start(1, 2, 3, accepts=())
        self.wait(1, 2, 3)
        self.assertEqual(self.network.hosts["cloud1"].ports, {})
        self.members["cloud1"].watch(lambda: calls.append(1))
        self.members["cloud2"].publish(OwnState(balances={"wss://b:443/": ("wss://c:443/",)}, tunnels=("t",)))
        self.network.run(1)
        self.assertEqual(self.seen(1)["cloud2"].balances, {"wss://b:443/": ("wss://c:443/",)})
        self.assertEqual(self.members["cloud1"].nodes(frozenset({"t"})).count, 2)
        self.assertEqual(len(calls), 1)
        self.assertIsNone(self.members["cloud1"].path(self.seen(1)["cloud2"], "a"))
        self.assertEqual(len(self.lines("balance URI: wss://b:443/    target list: wss://c:443/")), 3)

    def test_leave_and_stop(self) -> None:
        """One that leaves is seen as leaving, and is gone at once when it stops."""
        self.start(1, 2, accepts=())
        self.wait(1, 2)
        version = self.members["cloud1"].version
        self.members["cloud2"].leave()
        self.network.run(0.1)
        self.assertTrue(self.seen(1)["cloud2"].leaving)
        self.assertGreater(self.members["cloud1"].version, version)
        self.members["cloud2"].stopService()
        self.network.run(0.1)
        self.assertEqual(self.seen(1), {})
        self.assertEqual(len(self.lines("Cluster member cloud2 has gone down: it has left")), 1)

    def test_death(self) -> None:
        """One that dies is gone within the time of its lease."""
        self.start(1, 2, accepts=())
        self.wait(1, 2)
        self.network.crash("cloud2")
        self.assertLessEqual(self.network.run_until(lambda: not self.seen(1), 20), TTL_S + 0.1)
        self.assertEqual(len(self.lines("Cluster member cloud2 has gone down: its entry in etcd is gone")), 1)

    def test_death_while_etcd_is_gone(self) -> None:
        """One that dies while etcd is gone stays, as nobody can tell, until etcd is back and its lease is over."""
        self.start(1, 2, accepts=())
        self.wait(1, 2)
        self.network.crash("etcd0")
        self.network.crash("cloud2")
        self.network.run(60)
        self.assertTrue(self.seen(1)["cloud2"].counts)
        self.serve(SERVER)
        self.assertLess(self.network.run_until(lambda: not self.seen(1), 20), 2 * TTL_S + 1)

    def test_one_takes_links(self) -> None:
        """One that takes no links dials those that do."""
        self.start(1)
        self.start(2, accepts=())
        self.wait(1, 2)
        self.assertIsNotNone(self.members["cloud1"].path(self.seen(1)["cloud2"], "a"))
        self.network.crash("cloud2")
        self.assertLess(self.network.run_until(lambda: not self.seen(1), 20), 0.2)
