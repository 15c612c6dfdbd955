"""Tests of members whose etcd is gone, silent, mistaken, or has forgotten what it knew."""

from __future__ import annotations

from kwic.service.etcd_session import COMPARE_S
from kwic.service.membership import OwnState
from test.service.etcd_case import SERVER, SERVERS, EtcdCase


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
