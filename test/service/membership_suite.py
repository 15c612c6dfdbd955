"""
What every membership must do, whatever is behind it.

A test case mixes `MembershipSuite` in and says how a member is made (`make`); hosts, time and faults are those of `test.sim.network`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol

from kwic.errors import MisuseError
from kwic.service.membership import Member, Membership, OwnState
from kwic.transport.leg import Leg
from kwic.wire.socks5 import Rep
from test.sim.network import SimNetwork

ADDRESSES = {"cloud1": "10.0.0.1", "cloud2": "10.0.0.2", "cloud3": "10.0.0.3", "cloud4": "10.0.0.4"}
INSTANCES = {name: f"{number}0000000-0000-4000-8000-000000000000" for number, name in enumerate(ADDRESSES, 1)}


class Echoing(Protocol):
    """Sends back what it gets."""

    def connectionMade(self) -> None:
        self.transport.resumeProducing()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Hearing(Protocol):
    """Remembers what it gets."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


class Attempt:
    """Waits for what comes of a dial."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.leg: Leg | None = None

    def acknowledged(self) -> None:
        self.events.append("acknowledged")

    def connected(self, leg: Leg) -> None:
        self.leg = leg
        self.events.append("connected")

    def refused(self, rep: Rep, why: str) -> None:
        self.events.append(rep)

    def lost(self, why: str) -> None:
        self.events.append("lost")


class MembershipSuite:
    """The behaviour that services rely on."""

    network: SimNetwork
    memberships: dict[str, Membership]
    #: The slowest that silence may be noticed, in seconds.
    dead_s = 5.0

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.memberships = {}
        self.requests: list[tuple[str, str, Member]] = []
        self.prepare()

    def prepare(self) -> None:
        """Whatever the implementation needs besides its members."""

    def make(self, name: str, address: str, instance: str) -> Membership:
        """
        Make a member on a host of the network.

        :param instance: the identity of this start.
        """
        raise NotImplementedError

    def on_request(self, name: str) -> Any:
        """What a member does with the clients that others send it: it serves `echo`, and nothing else."""

        def request(acceptor: Any, asked: str, member: Member) -> None:
            self.requests.append((name, asked, member))
            if asked == "echo":
                acceptor.accept_with(Echoing())
            else:
                acceptor.refuse(Rep.CONNECTION_REFUSED)

        return request

    # -- steps
    def start(self, *names: str, address: str = "", instance: str = "") -> None:
        """Start members."""
        for name in names:
            membership = self.make(name, address or ADDRESSES[name], instance or INSTANCES[name])
            self.memberships[name] = membership
            membership.startService()  # type: ignore[no-untyped-call]

    def seen(self, name: str) -> dict[str, Member]:
        """The members that one sees, by node."""
        return {member.node: member for member in self.memberships[name].members()}

    def everyone_sees(self, *names: str) -> bool:
        """Whether all of these see exactly each other, trusted."""
        return all(
            set(self.seen(name)) == set(names) - {name}
            and all(member.counts for member in self.seen(name).values())
            for name in names
        )

    def meet(self, *names: str) -> None:
        """Start members and wait until all see each other."""
        self.start(*names)
        self.network.run_until(lambda: self.everyone_sees(*names), 10)

    # -- who is there
    def test_meet(self) -> None:
        """Members that start find each other within two seconds, and count each other and themselves."""
        self.start("cloud1", "cloud2", "cloud3")
        took_s = self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2", "cloud3"), 10)
        self.assertLess(took_s, 2.0)
        for membership in self.memberships.values():
            self.assertEqual(membership.count, 3)

    def test_doors(self) -> None:
        """Members learn which of them take tunnels at an address."""
        door, own = "wss://example.com:443/kwic", "wss://cloud1.example.com:443/kwic"
        self.meet("cloud1", "cloud2", "cloud3")
        self.memberships["cloud1"].publish(OwnState(tunnels=(door, own)))
        self.memberships["cloud2"].publish(OwnState(tunnels=(door,)))
        asked = self.memberships["cloud2"]
        self.network.run_until(lambda: asked.nodes(frozenset({own})).count == 2, 5)
        self.assertEqual(asked.nodes(frozenset({door})).count, 2)

    def test_alone(self) -> None:
        """A member that finds nobody counts itself."""
        self.start("cloud1")
        self.network.run(10)
        self.assertEqual(self.memberships["cloud1"].count, 1)
        self.assertEqual(self.seen("cloud1"), {})

    def test_late(self) -> None:
        """A member may start long after the others."""
        self.meet("cloud2", "cloud3")
        self.network.run(100)
        self.start("cloud1")
        self.assertLess(
            self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2", "cloud3"), 10), 3.0
        )

    def test_version(self) -> None:
        """The version grows when members come and go, and not when they only say something."""
        self.meet("cloud1", "cloud2")
        first = self.memberships["cloud1"].version
        self.memberships["cloud2"].publish(OwnState(names={"a": 1}))
        self.network.run(2)
        self.assertEqual(self.memberships["cloud1"].version, first)
        self.start("cloud3")
        self.network.run(5)
        self.assertGreater(self.memberships["cloud1"].version, first)

    def test_identity(self) -> None:
        """A member is known by the instance and the node that it said."""
        self.meet("cloud1", "cloud2")
        member = self.seen("cloud1")["cloud2"]
        self.assertEqual((member.instance, member.node), (INSTANCES["cloud2"], "cloud2"))

    # -- what they say
    def test_state(self) -> None:
        """What a member publishes is seen by the others within half a second."""
        self.meet("cloud1", "cloud2")
        state = OwnState(balances={"wss://b:443/": ("wss://c:443/",)}, names={"a": 2, "b": 0}, load=7)
        self.memberships["cloud2"].publish(state)
        self.network.run(0.5)
        seen = self.seen("cloud1")["cloud2"]
        self.assertEqual((seen.balances, seen.names, seen.load), (state.balances, state.names, state.load))

    def test_state_before_meeting(self) -> None:
        """What was published before anybody was there is told to whoever comes."""
        self.start("cloud2")
        self.memberships["cloud2"].publish(OwnState(names={"a": 1}))
        self.network.run(20)
        self.start("cloud1")
        self.network.run_until(
            lambda: "cloud2" in self.seen("cloud1") and self.seen("cloud1")["cloud2"].names
        )
        self.assertEqual(self.seen("cloud1")["cloud2"].names, {"a": 1})

    def test_last_word_counts(self) -> None:
        """Of many states in a short time the last one is what the others see in the end."""
        self.meet("cloud1", "cloud2")
        changes = []
        self.memberships["cloud1"].watch(lambda: changes.append(self.seen("cloud1")["cloud2"].names))
        for number in range(1, 101):
            self.memberships["cloud2"].publish(OwnState(names={"a": number}))
            self.network.run(0.01)
        self.network.run(0.5)
        self.assertEqual(self.seen("cloud1")["cloud2"].names, {"a": 100})
        self.assertLess(len(changes), 10)

    def test_load_alone_calls_nobody(self) -> None:
        """Whoever watches is not called for a load that changed."""
        self.meet("cloud1", "cloud2")
        self.memberships["cloud2"].publish(OwnState(names={"a": 1}, load=1))
        self.network.run(1)
        calls: list[int] = []
        stop = self.memberships["cloud1"].watch(lambda: calls.append(1))
        self.memberships["cloud2"].publish(OwnState(names={"a": 1}, load=2))
        self.network.run(1)
        self.assertEqual(calls, [])
        self.assertEqual(self.seen("cloud1")["cloud2"].load, 2)
        self.memberships["cloud2"].publish(OwnState(names={"a": 2}, load=2))
        self.network.run(1)
        self.assertEqual(len(calls), 1)
        stop()
        self.memberships["cloud2"].publish(OwnState(names={"a": 3}, load=2))
        self.network.run(1)
        self.assertEqual(len(calls), 1)

    def test_large_state(self) -> None:
        """Ten thousand names are told."""
        self.meet("cloud1", "cloud2")
        names = {f"pipe-{number:04}.tenant.example.com": 1 for number in range(10_000)}
        self.memberships["cloud2"].publish(OwnState(names=names))
        self.network.run(2)
        self.assertEqual(len(self.seen("cloud1")["cloud2"].names), 10_000)

    # -- leaving
    def test_leave(self) -> None:
        """A member that leaves is seen as leaving at once, by itself too, and does not count any more."""
        self.meet("cloud1", "cloud2")
        self.memberships["cloud2"].publish(OwnState(names={"a": 1}))
        self.network.run(0.1)
        version = self.memberships["cloud1"].version
        self.memberships["cloud2"].leave()
        self.network.run(0.1)
        self.assertTrue(self.seen("cloud1")["cloud2"].leaving)
        self.assertEqual(self.memberships["cloud1"].count, 1)
        self.assertEqual(self.memberships["cloud2"].count, 1)
        self.assertGreater(self.memberships["cloud1"].version, version)
        self.network.run(20)
        self.assertTrue(self.seen("cloud1")["cloud2"].leaving)

    def test_stop(self) -> None:
        """A member that stops is gone at once, and nothing of it is left in its reactor."""
        self.meet("cloud1", "cloud2")
        done: list[Any] = []
        self.memberships["cloud2"].stopService().addCallback(done.append)  # type: ignore[no-untyped-call]
        self.network.run(2)
        self.assertEqual(len(done), 1)
        self.assertEqual(self.seen("cloud1"), {})
        self.assert_nothing_left("cloud2")

    def test_stop_when_others_are_silent(self) -> None:
        """Stopping does not wait for members that do not answer."""
        self.meet("cloud1", "cloud2")
        self.network.freeze("cloud1")
        done: list[Any] = []
        self.memberships["cloud2"].stopService().addCallback(done.append)  # type: ignore[no-untyped-call]
        self.network.run(3)
        self.assertEqual(len(done), 1)
        self.assert_nothing_left("cloud2")

    def assert_nothing_left(self, name: str) -> None:
        """No timer, no connection, no socket."""
        reactor = self.network.hosts[name]
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.assertEqual(reactor.transports, set())
        self.assertEqual(reactor.ports, {})
        self.assertEqual(reactor.multicast_ports, [])

    # -- faults
    def test_crash(self) -> None:
        """A member that is killed is gone at once."""
        self.meet("cloud1", "cloud2", "cloud3")
        self.network.crash("cloud2")
        took_s = self.network.run_until(lambda: "cloud2" not in self.seen("cloud1"), 10)
        self.assertLess(took_s, 0.2)
        self.assertEqual(set(self.seen("cloud1")), {"cloud3"})

    def test_silence(self) -> None:
        """A member that is silent is suspected within two seconds, then gone within five; it comes back by itself when it speaks again."""
        self.meet("cloud1", "cloud2")
        self.memberships["cloud2"].publish(OwnState(names={"a": 1}))
        self.network.run(1)
        for fault, remedy in (
            (lambda: self.network.freeze("cloud2"), lambda: self.network.thaw("cloud2")),
            (lambda: self.network.isolate("cloud2"), self.network.heal),
        ):
            fault()
            suspected_s = self.network.run_until(lambda: self.seen("cloud1")["cloud2"].suspect, 10)
            self.assertLess(suspected_s, 2.0)
            self.assertEqual(self.memberships["cloud1"].count, 1)
            gone_s = suspected_s + self.network.run_until(lambda: not self.seen("cloud1"), 10)
            self.assertLessEqual(gone_s, self.dead_s)
            self.network.run(30)
            remedy()
            back_s = self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2"), 10)
            self.assertLess(back_s, 6.0)
            self.network.run(1)
            self.assertEqual(self.seen("cloud1")["cloud2"].names, {"a": 1})

    def test_hiccup(self) -> None:
        """A member that is silent for a moment is suspected, and trusted again as soon as it speaks."""
        self.meet("cloud1", "cloud2")
        self.network.cut("cloud1", "cloud2")
        self.network.run_until(lambda: self.seen("cloud1")["cloud2"].suspect, 5)
        self.network.heal()
        self.assertLess(
            self.network.run_until(lambda: not self.seen("cloud1")["cloud2"].suspect, 5),
            1.0,
        )

    def test_slow_network(self) -> None:
        """Members far away from each other are not suspected."""
        self.network.latency("cloud1", "cloud2", 0.2)
        self.meet("cloud1", "cloud2")
        suspicions: list[int] = []
        self.memberships["cloud1"].watch(
            lambda: suspicions.append(1) if self.memberships["cloud1"].count != 2 else None
        )
        self.network.run(60)
        self.assertEqual(suspicions, [])

    def test_split(self) -> None:
        """Each half of a split goes on with what it can see; when the split is over, all see all."""
        names = ("cloud1", "cloud2", "cloud3", "cloud4")
        self.meet(*names)
        for one in names[:2]:
            for other in names[2:]:
                self.network.cut(one, other)
        self.network.run(8)
        self.assertTrue(self.everyone_sees("cloud1", "cloud2"))
        self.assertTrue(self.everyone_sees("cloud3", "cloud4"))
        self.network.run(300)
        self.assertTrue(self.everyone_sees("cloud1", "cloud2"))
        self.network.heal()
        self.assertLess(self.network.run_until(lambda: self.everyone_sees(*names), 20), 6.0)

    def test_restart(self) -> None:
        """A node that starts anew is one member, whatever became of its earlier start."""
        later = "99999999-0000-4000-8000-000000000000"
        for fault in (self.network.crash, self.network.power_off):
            self.meet("cloud1", "cloud2")
            fault("cloud2")
            self.network.run(0.3)
            self.start("cloud2", instance=later)
            self.network.run_until(
                lambda: (
                    [member.instance for member in self.memberships["cloud1"].members() if member.counts]
                    == [later]
                ),
                5,
            )
            self.network.run(10)
            self.assertEqual([one.instance for one in self.memberships["cloud1"].members()], [later])
            self.assertTrue(self.everyone_sees("cloud1", "cloud2"))
            self.setUp()

    def test_new_address(self) -> None:
        """A node may come back with another address."""
        self.meet("cloud1", "cloud2")
        self.network.power_off("cloud2")
        self.network.run(30)
        self.readdress("cloud2", "10.0.0.99")
        self.start("cloud2", address="10.0.0.99", instance="99999999-0000-4000-8000-000000000000")
        self.assertLess(self.network.run_until(lambda: self.everyone_sees("cloud1", "cloud2"), 20), 8.0)

    def readdress(self, name: str, address: str) -> None:
        """The name servers learn of it."""
        self.network.names[f"{name}.example.com"] = (address,)

    def test_rolling_restart(self) -> None:
        """Members that are restarted one by one are all there in the end."""
        names = ("cloud1", "cloud2", "cloud3")
        self.meet(*names)
        for number, name in enumerate(names, 1):
            self.memberships[name].stopService()  # type: ignore[no-untyped-call]
            self.network.run(1)
            self.start(name, instance=f"{number}9999999-0000-4000-8000-000000000000")
            self.network.run(3)
            self.assertTrue(self.everyone_sees(*names), name)

    # -- paths
    def path(self, here: str, there: str, name: str = "echo") -> Any:
        """The way from one member through another."""
        return self.memberships[here].path(self.seen(here)[there], name)

    def test_path(self) -> None:
        """A client reaches a name through a member that holds it, and bytes go both ways."""
        self.meet("cloud1", "cloud2")
        self.memberships["cloud2"].publish(OwnState(names={"echo": 1}))
        self.network.run(0.5)
        path = self.path("cloud1", "cloud2")
        self.assertFalse(path.facts.local)
        self.assertTrue(path.facts.healthy)
        self.assertIn("cloud2", path.label)
        attempt = Attempt()
        path.dial(attempt)
        self.network.run(0.1)
        self.assertEqual(attempt.events, ["acknowledged", "connected"])
        self.assertEqual(
            [(who, asked, member.node) for who, asked, member in self.requests],
            [("cloud2", "echo", "cloud1")],
        )
        client = Hearing()
        stream: Any = attempt.leg.transport  # type: ignore[union-attr]
        stream.hand_over(client)
        stream.resumeProducing()
        stream.write(b"x" * 1_000_000)
        self.network.run(1)
        self.assertEqual(len(client.heard), 1_000_000)

    def test_path_refused(self) -> None:
        """A member that cannot reach a name says so."""
        self.meet("cloud1", "cloud2")
        attempt = Attempt()
        self.path("cloud1", "cloud2", "nothing").dial(attempt)
        self.network.run(0.1)
        self.assertEqual(attempt.events, ["acknowledged", Rep.CONNECTION_REFUSED])

    def test_path_facts(self) -> None:
        """A path is as good as the link and the tunnels behind it."""
        self.meet("cloud1", "cloud2")
        self.memberships["cloud2"].publish(OwnState(names={"echo": 0}))
        self.network.run(0.5)
        self.assertFalse(self.path("cloud1", "cloud2").facts.healthy)
        self.memberships["cloud2"].publish(OwnState(names={"echo": 1}))
        self.network.run(0.5)
        self.assertTrue(self.path("cloud1", "cloud2").facts.healthy)
        self.path("cloud1", "cloud2").suspect()
        self.assertFalse(self.path("cloud1", "cloud2").facts.healthy)
        self.network.run(0.5)
        self.assertTrue(self.path("cloud1", "cloud2").facts.healthy)
        self.memberships["cloud2"].leave()
        self.network.run(0.1)
        self.assertTrue(self.path("cloud1", "cloud2").facts.leaving)

    def test_path_is_not_there(self) -> None:
        """There is no way through a member that is gone or was never there."""
        self.meet("cloud1", "cloud2")
        member = self.seen("cloud1")["cloud2"]
        self.network.crash("cloud2")
        self.network.run(1)
        self.assertIsNone(self.memberships["cloud1"].path(member, "echo"))
        self.assertIsNone(self.memberships["cloud1"].path(Member(instance="x", node="x"), "echo"))

    def test_path_dies_with_the_member(self) -> None:
        """A client that goes through a member is told when that is gone, and a later dial on the old path fails at once."""
        self.meet("cloud1", "cloud2")
        path = self.path("cloud1", "cloud2")
        attempt = Attempt()
        path.dial(attempt)
        self.network.run(0.1)
        client = Hearing()
        stream: Any = attempt.leg.transport  # type: ignore[union-attr]
        stream.hand_over(client)
        stream.resumeProducing()
        self.network.crash("cloud2")
        self.network.run(0.1)
        self.assertTrue(client.lost)
        late = Attempt()
        path.dial(late)
        self.assertEqual(late.events, ["lost"])


__all__ = ["ADDRESSES", "INSTANCES", "Attempt", "Hearing", "MembershipSuite", "MisuseError"]
