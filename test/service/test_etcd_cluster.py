"""Tests of the cluster whose members find each other in etcd."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Liveness
from kwic.errors import SetupError
from kwic.service.context import Context
from kwic.service.etcd_cluster import LOAD_S, EtcdCluster
from kwic.service.etcd_session import COMPARE_S, PUT_S, TTL_S
from kwic.service.link import FAST_TIMING
from kwic.service.membership import Member, Membership, OwnState
from kwic.wire.cluster_messages import Hello, State
from kwic.wire.etcd_messages import decode_entry, encode_entry
from test.service.cluster_case import GROUP, uuid
from test.service.membership_suite import MembershipSuite
from test.service.test_cluster import cluster_config
from test.sim.etcd import EtcdStore
from test.sim.network import SimNetwork

SERVER = "10.0.0.200"
SERVERS = ("10.0.0.200", "10.0.0.201", "10.0.0.202")
PREFIX = b"/kwic/kzha/members/"


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


class EtcdCase(SynchronousTestCase):
    """Members as the test wants them, and what they logged."""

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.store = EtcdStore(self.network)
        self.members: dict[str, EtcdCluster] = {}
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def serve(self, *addresses: str) -> None:
        """Servers of one etcd."""
        for number, address in enumerate(addresses):
            self.store.serve(f"etcd{number}", address)

    def make(
        self,
        number: int,
        *connects: str,
        accepts: tuple[str, ...] | None = None,
        servers: tuple[str, ...] = (SERVER,),
        config: dict[str, Any] | None = None,
        **context: Any,
    ) -> EtcdCluster:
        """A member, not started."""
        address = f"10.0.0.{number}"
        asked = cluster_config(
            *(f"etcd://{server}:2379" for server in servers), *connects, accept=f"tcp://{address}:5941"
        )
        if accepts is not None:
            from kwic.config.address import parse_address

            asked = replace(asked, accepts=tuple(map(parse_address, accepts)))
        reactor = self.network.host(f"cloud{number}", address)
        context.setdefault("instance", uuid(number))
        member = EtcdCluster(
            Context(reactor=reactor, node=f"cloud{number}", **context),
            replace(asked, **(config or {})),
            lambda acceptor, name, member: None,
        )
        self.members[f"cloud{number}"] = member
        return member

    def start(self, *numbers: int, **how: Any) -> EtcdCluster:
        """Members, started."""
        for number in numbers:
            member = self.make(number, **how)
            member.startService()
        return member

    def seen(self, number: int) -> dict[str, Member]:
        return {member.node: member for member in self.members[f"cloud{number}"].members()}

    def see(self, *numbers: int) -> bool:
        """Whether all see exactly each other, trusted."""
        names = {f"cloud{number}" for number in numbers}
        return all(
            set(self.seen(number)) == names - {f"cloud{number}"}
            and all(member.counts for member in self.seen(number).values())
            for number in numbers
        )

    def wait(self, *numbers: int, within_s: float = 5.0) -> float:
        return self.network.run_until(lambda: self.see(*numbers), within_s)

    def entry(self, number: int) -> tuple[Hello, State]:
        return decode_entry(self.store.keys[PREFIX + uuid(number).encode()][0])

    def lines(self, part: str) -> list[str]:
        """The log lines that contain a text."""
        return [line for line in map(formatEvent, self.events) if line is not None and part in line]

    def stop(self, number: int) -> None:
        done: list[Any] = []
        self.members[f"cloud{number}"].stopService().addCallback(done.append)
        self.network.run(2)
        self.assertEqual(len(done), 1)
        reactor = self.network.hosts[f"cloud{number}"]
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.assertEqual(reactor.transports, set())


class OutageTests(EtcdCase):
    """What happens when etcd is not there."""

    def test_down_at_the_start(self) -> None:
        """Members start without etcd, say so once, and meet as soon as it is there."""
        self.network.host("etcd0", SERVER)
        self.start(1, 2)
        self.network.run(60)
        self.assertEqual(self.members["cloud1"].count, 1)
        self.assertEqual(len(self.lines("etcd cannot be used: connection refused to 10.0.0.200:2379")), 2)
        self.serve(SERVER)
        self.assertLess(self.wait(1, 2), 3.0)
        self.network.run(5)
        self.assertEqual(len(self.lines("etcd at 10.0.0.200:2379 keeps the register")), 2)
        self.assertEqual(len(self.lines("etcd cannot be used")), 2)

    def test_goes_and_comes_back(self) -> None:
        """Members stay through an outage, in which they tell each other what is new; one line when it begins and one when it is over."""
        self.serve(SERVER)
        self.start(1, 2)
        self.wait(1, 2)
        self.network.run(5)
        versions = [member.version for member in self.members.values()]
        self.network.crash("etcd0")
        self.network.run(60)
        self.assertTrue(self.see(1, 2))
        self.members["cloud2"].publish(OwnState(names={"a": 1}))
        self.network.run(0.5)
        self.assertEqual(self.seen(1)["cloud2"].names, {"a": 1})
        self.serve(SERVER)
        self.network.run(30)
        self.assertEqual([member.version for member in self.members.values()], versions)
        self.assertEqual(self.entry(2)[1].names, {"a": 1})
        self.assertEqual(len(self.lines("etcd cannot be used")), 2)
        self.assertEqual(len(self.lines("keeps the register")), 4)

    def test_silent(self) -> None:
        """An etcd that does not answer any more is noticed, and used again when it does."""
        self.serve(SERVER)
        self.start(1, 2)
        self.wait(1, 2)
        self.network.run(5)
        self.network.freeze("etcd0")
        self.network.run_until(
            lambda: len(self.lines("etcd cannot be used: 10.0.0.200:2379 does not answer in time")) == 2, 10
        )
        self.network.run(60)
        self.assertTrue(self.see(1, 2))
        self.network.thaw("etcd0")
        self.network.run(5)
        self.assertEqual(len(self.lines("keeps the register")), 4)
        self.assertTrue(self.see(1, 2))
        self.assertEqual(len(self.store.keys), 2)

    def test_mistake(self) -> None:
        """A mistake of ours is logged, and the register is kept all the same."""
        self.serve(SERVER)
        member = self.make(1)
        fit = member._fit
        member._fit = lambda *args: 1 / 0
        member.startService()
        self.network.run(3)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)
        self.assertEqual(len(self.lines("etcd cannot be used: 10.0.0.200:2379: ZeroDivisionError")), 1)
        member._fit = fit
        self.start(2)
        self.wait(1, 2)
        self.network.run(1)
        self.assertEqual(len(self.store.keys), 2)

    def test_one_member_is_cut_off(self) -> None:
        """A member that is cut off from etcd only stays, as its links do, and enters itself again when it can."""
        self.serve(SERVER)
        self.start(1, 2)
        self.wait(1, 2)
        self.network.run(5)
        self.network.cut("cloud2", "etcd0")
        self.network.run(30)
        self.assertEqual(len(self.store.keys), 1)
        self.assertTrue(self.see(1, 2))
        self.assertIsNotNone(self.members["cloud1"].path(self.seen(1)["cloud2"], "a"))
        self.network.heal()
        self.network.run(10)
        self.assertEqual(len(self.store.keys), 2)

    def test_lost_its_data(self) -> None:
        """When etcd comes back empty, all enter themselves again, and nobody was gone meanwhile."""
        self.serve(SERVER)
        self.start(1, 2, accepts=())
        self.wait(1, 2)
        version = self.members["cloud1"].version
        self.network.crash("etcd0")
        self.store.lose_everything()
        self.network.run(20)
        self.serve(SERVER)
        self.network.run(20)
        self.assertEqual(len(self.store.keys), 2)
        self.assertEqual(self.members["cloud1"].version, version)

    def test_other_server(self) -> None:
        """When a server dies or falls silent, another of the same etcd is used within the time of a lease; nobody is told of an outage."""
        self.serve(*SERVERS)
        self.start(1, 2, servers=SERVERS, accepts=())
        self.wait(1, 2)
        self.network.run(2)
        version, leases = self.members["cloud1"].version, set(self.store.leases)
        self.network.crash("etcd0")
        self.network.run(3)
        self.network.freeze("etcd1")
        self.network.run(20)
        self.assertEqual((self.members["cloud1"].version, set(self.store.leases)), (version, leases))
        self.assertEqual(self.lines("etcd cannot be used"), [])
        self.assertEqual(len(self.lines("etcd at 10.0.0.202:2379 keeps")), 2)

    def test_rounds_are_spaced(self) -> None:
        """While no server can be used, all are tried about once a second."""
        for number, address in enumerate(SERVERS):
            self.network.host(f"etcd{number}", address)
        self.start(1, servers=SERVERS)
        self.network.run(100)
        dialled = [place for who, place in self.network.dialled if place[1] == 2379]
        self.assertEqual({place[0] for place in dialled}, set(SERVERS))
        self.assertLess(len(dialled), 100 * 3 * 1.6)
        self.assertGreater(len(dialled), 100)

    def test_ends_each_session(self) -> None:
        """A server that begins every session and ends it at once is not asked in a tight loop."""
        self.serve(SERVER)
        self.store.compacted = 10**9
        self.start(1)
        self.network.run(60)
        self.assertLess(self.store.calls.count("/v3/watch"), 100)
        self.assertEqual(
            len(self.lines("ended the watch: its history before revision 1000000000 is gone")), 1
        )
        self.store.compacted = 0
        self.start(2)
        self.wait(1, 2)

    def test_compaction(self) -> None:
        """A history that was compacted away is not missed."""
        self.serve(SERVER)
        self.start(1, 2)
        self.wait(1, 2)
        self.network.crash("etcd0")
        self.network.run(5)
        self.store.revision += 100
        self.store.compact()
        self.serve(SERVER)
        self.start(3)
        self.wait(1, 2, 3)
        self.assertEqual(len(self.store.watches), 3)

    def test_watch_that_was_forgotten(self) -> None:
        """A watch that tells nothing any more is noticed and replaced."""
        self.serve(SERVER)
        self.start(1, accepts=())
        self.network.run(3)
        self.store.watches[0].is_mute = True
        self.start(2, accepts=())
        took_s = self.wait(1, 2, within_s=COMPARE_S + 10)
        self.assertGreater(took_s, 10)
        self.assertEqual(self.lines("etcd cannot be used"), [])

    def test_watch_is_not_replaced_without_need(self) -> None:
        """While members come, change and go, the watch that tells of them stays."""
        self.serve(SERVER)
        self.start(1, accepts=())
        for number in range(2, 60):
            self.start(number, accepts=())
            self.network.run(1.3)
            self.members[f"cloud{number - 1}"].publish(OwnState(tunnels=("x",)))
            self.network.run(1.3)
            if number % 3 == 0:
                self.stop(number)
        self.assertEqual(self.store.calls.count("/v3/watch"), 59)

    def test_stop_while_it_is_silent(self) -> None:
        """Stopping does not wait for an etcd that does not answer, whatever is being asked there."""
        for after_s in (0.0, 0.0015, 0.002, 0.1, 3.0, 10.0):
            self.setUp()
            self.serve(SERVER)
            self.start(1)
            self.network.run(after_s)
            self.network.freeze("etcd0")
            self.network.run(after_s)
            self.stop(1)

    def test_start_again(self) -> None:
        """A member may be started again after it was stopped."""
        self.serve(SERVER)
        self.start(1, 2)
        self.wait(1, 2)
        self.stop(1)
        self.assertEqual(len(self.store.keys), 1)
        self.members["cloud1"].startService()
        self.wait(1, 2)


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


class StrangeEntryTests(EtcdCase):
    """What others may write below the prefix."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(SERVER)

    def write(self, name: bytes, hello: Hello, state: State | None = None) -> None:
        self.store.put(PREFIX + name, encode_entry(hello, state or State(incarnation=1, counter=1)))

    def hello(self, name: str, accept: str = "") -> Hello:
        return Hello(cluster="kzha", instance=name, node=f"node {name}", incarnation=1, accept=accept)

    def test_garbage(self) -> None:
        """What is no member's entry is passed over, and told of once."""
        dice = random.Random(7)
        for number in range(20):
            self.store.put(PREFIX + b"x%d" % number, dice.randbytes(100))
        self.store.put(PREFIX + b"\xff\n", b"x")
        self.store.put(PREFIX + b"empty", b"")
        self.store.put(PREFIX, b"")
        self.write(b"other", self.hello("another"))
        self.write(b"foreign", replace(self.hello("foreign"), cluster="kzhb"))
        self.start(1, 2)
        self.wait(1, 2)
        for number in range(20):
            self.store.put(PREFIX + b"x%d" % number, dice.randbytes(100))
        self.network.run(20)
        self.assertTrue(self.see(1, 2))
        self.assertEqual(len(self.lines("the entry x7 in etcd is not looked at")), 2)
        self.assertEqual(len(self.lines("it is the entry of somebody else")), 4)

    def test_entry_breaks(self) -> None:
        """A member whose entry is overwritten by garbage is gone with it, if the entry is all there is."""
        self.start(1, accepts=())
        self.write(b"x", self.hello("x"))
        self.network.run(1)
        self.assertEqual(set(self.seen(1)), {"node x"})
        self.store.put(PREFIX + b"x", b"?")
        self.network.run(1)
        self.assertEqual(self.seen(1), {})

    def test_flood(self) -> None:
        """A flood of entries is bounded, told of once, and members still find each other by their links."""
        for number in range(1000):
            name = f"{number:04}"
            self.write(
                name.encode(), self.hello(name, accept=f"tcp://10.9.{number // 250}.{number % 250}:5941")
            )
        self.start(1)
        self.network.run(3)
        for number in range(1000, 2000):
            self.write(f"{number}".encode(), self.hello(f"{number}"))
        puts = self.store.puts
        self.network.run(60)
        self.assertEqual(self.store.puts, puts)
        self.assertEqual(self.seen(1), {})
        self.assertLessEqual(len(self.members["cloud1"]._known), 256)
        self.assertLessEqual(len(self.members["cloud1"]._mesh.diallings), 128)
        self.assertEqual(len(self.lines("more than 256 entries below /kwic/kzha/members/")), 1)

    def test_accepts_that_are_none(self) -> None:
        """An entry with an accept that cannot be dialled harms nobody."""
        accepts = (
            "http://x:80/",
            "tcp://evil.example.com:5941",
            "tcp://0.0.0.0:5941",
            "tcp://127.0.0.1:1",
            "tcp://[::]:1",
            "x",
        )
        self.start(1)
        for number, accept in enumerate((*accepts, "tcp://10.0.0.1:5941")):
            self.write(b"%d" % number, self.hello(str(number), accept=accept))
        self.network.run(60)
        self.assertEqual(self.seen(1), {})
        self.assertEqual({place[0] for who, place in self.network.dialled}, {SERVER})

    def test_no_link(self) -> None:
        """A member that etcd knows and nobody reaches does not count, and is told of once, until there was a link."""
        self.start(1)
        self.network.cut("cloud1", "cloud2")
        self.start(2)
        self.network.cut("cloud1", "cloud2")
        self.network.run(60)
        self.assertEqual((self.members["cloud1"].count, self.members["cloud2"].count), (1, 1))
        line = "etcd knows of member cloud2, and there is no link with it at tcp://10.0.0.2:5941; until there is, it is not counted"
        self.assertEqual(len(self.lines(line)), 1)
        self.network.heal()
        self.wait(1, 2)
        self.network.run(10)
        self.network.cut("cloud1", "cloud2")
        self.network.run(60)
        self.assertEqual(len(self.lines(line)), 2)

    def test_who_is_to_dial_does_not(self) -> None:
        """The same for one that takes no links and does not dial."""
        self.start(1)
        self.write(b"x", self.hello("x"))
        self.network.run(30)
        self.assertEqual(self.seen(1), {})
        self.assertEqual(
            len(self.lines("member node x, and there is no link with it, which is to dial us")), 1
        )

    def test_says_less_than_a_link(self) -> None:
        """What a member says on its link outranks what somebody wrote in its name."""
        self.start(1, 2)
        self.wait(1, 2)
        self.members["cloud2"].publish(OwnState(names={"a": 1}))
        self.network.run(1)
        forged = State(incarnation=10**9, counter=10**9, names={"evil": 9}, balances={"b": ("evil",)})
        self.write(uuid(2).encode(), replace(self.hello(uuid(2)), node="evil"), forged)
        self.network.run(0.1)
        self.assertEqual(self.seen(1)["cloud2"].names, {"a": 1})


class AccountTests(EtcdCase):
    """An etcd that asks who we are."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(SERVER)
        self.store.account = ("gw", "sécret")
        self.file = Path(self.mktemp())
        self.file.write_text("sécret\nmore\n", encoding="utf-8")
        self.config = {"etcd_user": "gw", "etcd_password_file": self.file}

    def test_password(self) -> None:
        """With the right password members meet."""
        self.start(1, 2, config=self.config)
        self.wait(1, 2)
        self.assertEqual(self.store.calls.count("/v3/auth/authenticate"), 2)

    def test_token_is_forgotten(self) -> None:
        """When a token does not count any more, another is got without a word."""
        self.start(1, 2, accepts=(), config=self.config)
        self.wait(1, 2)
        self.network.run(3)
        version = self.members["cloud1"].version
        self.store.tokens.clear()
        self.network.run(10)
        self.assertEqual(self.members["cloud1"].version, version)
        self.assertEqual(self.store.calls.count("/v3/auth/authenticate"), 4)
        self.assertEqual(self.lines("etcd cannot be used"), [])
        self.assertEqual(len(self.lines("keeps the register")), 2)

    def test_wrong_password(self) -> None:
        """A wrong password is told of once; when it is put right in the file, members meet."""
        self.file.write_text("wrong\n")
        self.start(1, 2, config=self.config)
        self.network.run(60)
        told = self.lines(
            "etcd cannot be used: 10.0.0.200:2379: authentication failed, invalid user ID or password"
        )
        self.assertEqual(len(told), 2)
        self.file.write_text("sécret", encoding="utf-8")
        self.wait(1, 2)

    def test_password_file_goes(self) -> None:
        """A password file that is gone later is told of, and read when it is back."""
        self.start(1, config=self.config)
        self.network.run(3)
        self.file.unlink()
        self.store.tokens.clear()
        self.network.run(10)
        self.assertEqual(len(self.lines("there is no such file")), 1)
        self.file.write_text("sécret", encoding="utf-8")
        self.network.run(5)
        self.assertEqual(len(self.lines("keeps the register")), 2)

    def test_no_account(self) -> None:
        """Without a user, etcd's refusal is told of once, and again when it is another kind of trouble."""
        self.start(1)
        self.network.run(30)
        self.assertEqual(len(self.lines("etcd cannot be used: 10.0.0.200:2379: user name is empty")), 1)
        self.network.crash("etcd0")
        self.network.run(30)
        self.assertEqual(len(self.lines("etcd cannot be used")), 2)

    def test_nothing_is_asked(self) -> None:
        """A user for an etcd that knows none is told of."""
        self.store.account = None
        self.start(1, config=self.config)
        self.network.run(5)
        self.assertEqual(len(self.lines("authentication is not enabled")), 1)

    def test_denied(self) -> None:
        """A user that may do nothing here is told of."""
        self.store.denies = True
        self.start(1, config=self.config)
        self.network.run(30)
        self.assertEqual(len(self.lines("etcd cannot be used: 10.0.0.200:2379: permission denied")), 1)

    def test_check(self) -> None:
        """A password file that is missing, and TLS that nothing can be verified with, are found before the start."""
        self.make(1, config=self.config).check()
        self.file.write_bytes(b"\xff\xfe\n")
        self.assertRaises(SetupError, self.make(1, config=self.config).check)
        self.file.unlink()
        self.assertRaises(SetupError, self.make(1, config=self.config).check)
        with self.assertRaises(SetupError) as caught:
            self.make(1, "etcd+ssl://10.0.0.201:2379").check()
        self.assertIn("etcd+ssl://10.0.0.201:2379 needs TLS", str(caught.exception))
