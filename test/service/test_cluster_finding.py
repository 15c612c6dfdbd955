"""Tests of how members of a cluster find each other, and how many links they keep."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any

import ifaddr
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from kwic.errors import SetupError
from kwic.service.dialling import OURSELVES_S
from kwic.service.mesh import COMPLAIN_S, LEARNT_MAXIMUM
from kwic.transport.remembered_names import RememberingResolver
from kwic.transport.resolver import FixedNames
from kwic.wire.cluster_messages import Announce, encode_body
from test.service.cluster_case import GROUP, PORT, ClusterCase, uuid


class UnicastTests(ClusterCase):
    """Members that are listed."""

    def test_one_link_for_a_pair(self) -> None:
        """When both dial at the same moment one link stays, the one that the smaller instance dialled, and nobody dials again."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.2:5941", instance=uuid(1))
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", instance=uuid(2))
        self.pass_time(5)
        (ours,), (theirs,) = self.links("a"), self.links("b")
        self.assertTrue(ours.dialled)
        self.assertFalse(theirs.dialled)
        dialled = len(self.network.dialled)
        self.pass_time(300)
        self.assertEqual(len(self.network.dialled), dialled)
        self.assertEqual((self.links("a"), self.links("b")), ([ours], [theirs]))
        self.assertEqual(len(self.lines("is now online")), 2)
        self.assertEqual(self.lines("has gone down"), [])

    def test_one_side_dials(self) -> None:
        """It is enough that one of two knows the other, whichever has the smaller instance."""
        self.start("a", "10.0.0.1", instance=uuid(1))
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", instance=uuid(2))
        self.start("c", "10.0.0.3", instance=uuid(3))
        self.start("d", "10.0.0.4", "tcp://10.0.0.3:5941", "tcp://10.0.0.1:5941", instance=uuid(0))
        self.pass_time(5)
        for name in "abcd":
            self.assertEqual(self.nodes(name), sorted({*"abcd"} - {name}))
            self.assertEqual(len(self.links(name)), 3)

    def test_two_addresses_of_one_member(self) -> None:
        """A member that is reached at two addresses is one member with one link."""
        self.start(
            "a",
            "10.0.0.1",
            accepts=("tcp://10.0.0.1:5941", "tcp://[fd00::1]:5941"),
            addresses=("10.0.0.1", "fd00::1"),
        )
        self.start(
            "b",
            "10.0.0.2",
            "tcp://10.0.0.1:5941",
            "tcp://[fd00::1]:5941",
            addresses=("10.0.0.2", "fd00::2"),
            instance=uuid(0),
        )
        self.pass_time(5)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))
        self.assertEqual((len(self.links("a")), len(self.links("b"))), (1, 1))
        dialled = len(self.network.dialled)
        self.pass_time(100)
        self.assertEqual(len(self.network.dialled), dialled)

    def test_unreachable(self) -> None:
        """A member that is not there is complained of once, and dialled at least every two seconds until it is."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.2:5941")
        self.network.host("b", "10.0.0.2")
        self.pass_time(30)
        self.assertEqual(len(self.lines("connection refused to 10.0.0.2:5941")), 1)
        self.assertGreaterEqual(self.dials("a"), 15)
        self.start("b", "10.0.0.2")
        self.pass_time(3)
        self.assertEqual(self.nodes("a"), ["b"])

    def test_no_such_name(self) -> None:
        """A name that does not resolve is complained of once, and found when it does."""
        self.start("a", "10.0.0.1", "tcp://b.example.com:5941")
        self.start("b", "10.0.0.2")
        self.pass_time(60)
        self.assertEqual(len(self.lines("b.example.com:5941 cannot be resolved")), 1)
        self.network.names["b.example.com"] = ("10.0.0.2",)
        self.pass_time(7)
        self.assertEqual(self.nodes("a"), ["b"])

    def test_silent_name_servers(self) -> None:
        """Name servers that do not answer are waited for, and harm nobody who is known already."""
        self.network.names["b.example.com"] = ("10.0.0.2",)
        self.network.resolve_s = None
        self.start("a", "10.0.0.1", "tcp://b.example.com:5941", "tcp://10.0.0.3:5941")
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941")
        self.start("c", "10.0.0.3")
        self.pass_time(60)
        self.assertEqual(self.nodes("a"), ["b", "c"])
        self.assertEqual(len(self.lines("cannot be resolved")), 1)

    def test_stop_while_a_name_is_asked_for(self) -> None:
        """A member that stops waits no longer for name servers that are slow, and leaves nothing behind."""
        self.network.names["b.example.com"] = ("10.0.0.2",)
        member = self.make("a", "10.0.0.1", "tcp://b.example.com:5941")
        reactor = self.network.hosts["a"]
        reactor.installNameResolver(RememberingResolver(reactor, reactor.nameResolver))
        member.startService()
        self.pass_time(4)
        self.network.resolve_s = None
        self.network.run_until(lambda: any("_late" in str(call.func) for call in reactor.calls))
        self.successResultOf(member.stopService())
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_addresses_that_go(self) -> None:
        """A name whose addresses change is followed; members that are linked stay."""
        self.network.names["all.example.com"] = ("10.0.0.2",)
        self.start("a", "10.0.0.1", "tcp://all.example.com:5941")
        self.start("b", "10.0.0.2")
        self.start("c", "10.0.0.3")
        self.pass_time(5)
        self.network.names["all.example.com"] = ("10.0.0.3",)
        self.pass_time(10)
        self.assertEqual(self.nodes("a"), ["b", "c"])

    def test_ourselves(self) -> None:
        """A name that stands for all members stands for ourselves too: that address is not dialled."""
        self.network.names["all.example.com"] = ("10.0.0.1", "10.0.0.2")
        for name, address in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
            self.start(name, address, "tcp://all.example.com:5941")
        self.pass_time(60)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))
        self.assertEqual(self.dials("a", "10.0.0.1"), 0)

    def test_ourselves_behind_a_wildcard(self) -> None:
        """An address that turns out to be our own is left quietly, and looked at again once in a while."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.1:5941", accepts=("tcp://0.0.0.0:5941",))
        self.pass_time(4 * OURSELVES_S)
        self.assertEqual(self.nodes("a"), [])
        self.assertLessEqual(self.dials("a"), 5)
        self.assertEqual(self.lines("no link to"), [])
        self.assertEqual(self.network.hosts["a"].transports, set())

    def test_wildcard(self) -> None:
        """A member that listens on every address is reached at the one that others see of it."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.2:5941", accepts=("tcp://0.0.0.0:5941",))
        self.start("b", "10.0.0.2", accepts=("tcp://0.0.0.0:5941",))
        self.pass_time(2)
        self.assertEqual(self.clusters["b"].members()[0].accept, "tcp://10.0.0.1:5941")
        self.assertEqual(self.clusters["a"].members()[0].accept, "tcp://10.0.0.2:5941")

    def test_interface(self) -> None:
        """The addresses of an interface are listened on, the first is told to the others; one that has none yet is waited for."""
        names = FixedNames(interfaces={"eth0": ("10.0.0.1", "fd00::1")})
        later: dict[str, tuple[str, ...]] = {"eth0": ()}
        self.start(
            "a",
            "10.0.0.1",
            "tcp://10.0.0.2:5941",
            accepts=("tcp://@eth0:5941",),
            addresses=("10.0.0.1", "fd00::1"),
            names=names,
        )
        self.start("b", "10.0.0.2", accepts=("tcp://@eth0:5941",), names=FixedNames(interfaces=later))
        self.assertEqual(set(self.network.hosts["a"].ports), {("10.0.0.1", PORT), ("fd00::1", PORT)})
        self.pass_time(10)
        self.assertEqual(self.nodes("a"), [])
        later["eth0"] = ("10.0.0.2",)
        self.pass_time(5)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))
        self.assertEqual(self.clusters["b"].members()[0].accept, "tcp://10.0.0.1:5941")

    def test_interface_that_cannot_be_used_later(self) -> None:
        """An address that appears and cannot be listened on is complained of, and tried again."""
        later: dict[str, tuple[str, ...]] = {"eth0": ()}
        self.start("a", "10.0.0.1", accepts=("tcp://@eth0:5941",), names=FixedNames(interfaces=later))
        later["eth0"] = ("10.9.9.9",)
        self.pass_time(3)
        self.assertEqual(len(self.lines("10.9.9.9:5941 is not an address of this machine")), 1)
        later["eth0"] = ("10.0.0.1",)
        self.pass_time(3)
        self.assertEqual(set(self.network.hosts["a"].ports), {("10.0.0.1", PORT)})

    def test_port_in_use(self) -> None:
        """A port that is taken is an error of the start, and nothing stays open."""
        member = self.make(
            "a",
            "10.0.0.1",
            accepts=("tcp://10.0.0.1:5941", "tcp://10.0.0.2:5941"),
            addresses=("10.0.0.1", "10.0.0.2"),
        )
        from twisted.internet.protocol import Factory

        self.network.hosts["a"].listenTCP(PORT, Factory(), interface="10.0.0.2")
        error = self.assertRaises(SetupError, member.privilegedStartService)
        self.assertIn("10.0.0.2:5941 is in use", str(error))
        self.assertEqual(set(self.network.hosts["a"].ports), {("10.0.0.2", PORT)})

    def test_name_of_several_machines(self) -> None:
        """An accept whose name has addresses of other machines listens on its own; with none of its own it is an error of the start."""
        names = FixedNames(hosts={"all.example.com": ("10.0.0.1", "10.0.0.2")})
        accepts = ("tcp://all.example.com:5941",)
        self.start("a", "10.0.0.1", accepts=accepts, names=names)
        self.assertEqual(set(self.network.hosts["a"].ports), {("10.0.0.1", PORT)})
        member = self.make("c", "10.0.0.3", accepts=accepts, names=names)
        error = self.assertRaises(SetupError, member.privilegedStartService)
        self.assertIn("is not an address of this machine", str(error))

    def test_sixteen(self) -> None:
        """Sixteen members that start at the same moment have one link for each pair within three seconds, and keep it."""
        self.network.names["all.example.com"] = tuple(f"10.0.0.{number}" for number in range(1, 17))
        names = [f"n{number:02}" for number in range(1, 17)]
        for number, name in enumerate(names, 1):
            self.start(name, f"10.0.0.{number}", "tcp://all.example.com:5941", GROUP)
        self.pass_time(3)
        for name in names:
            self.assertEqual(self.nodes(name), [other for other in names if other != name])
            self.assertEqual(len(self.links(name)), 15)
        dialled = len(self.network.dialled)
        self.pass_time(20)
        self.assertEqual(len(self.network.dialled), dialled)
        self.network.crash("n05")
        self.pass_time(1)
        self.assertEqual({len(self.nodes(name)) for name in names if name != "n05"}, {14})

    def test_only_dials(self) -> None:
        """A member may take no links at all."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.2:5941", accepts=())
        self.start("b", "10.0.0.2")
        self.pass_time(3)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))
        self.assertEqual(self.clusters["b"].members()[0].accept, "")
        self.network.crash("b")
        self.pass_time(3)
        self.start("b", "10.0.0.2")
        self.pass_time(3)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))

    def test_other_cluster(self) -> None:
        """A member of another cluster is turned away with a line a minute, on both sides."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.2:5941")
        self.start("b", "10.0.0.2", cluster="other")
        self.pass_time(COMPLAIN_S - 5)
        self.assertEqual((self.nodes("a"), self.nodes("b")), ([], []))
        self.assertEqual(len(self.lines("it belongs to another cluster, kzha")), 1)
        self.assertEqual(len(self.lines("it belongs to another cluster, other")), 1)
        self.assertEqual(self.requests, [])


class ReturnTests(ClusterCase):
    """Nodes that start anew."""

    def test_later_start_replaces_earlier(self) -> None:
        """A node that comes back after a power cut takes the place of its earlier start at once, though nobody has missed that yet."""
        self.start("a", "10.0.0.1")
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", instance=uuid(7))
        self.pass_time(3)
        self.network.power_off("b")
        self.pass_time(0.1)
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", instance=uuid(8))
        self.pass_time(0.1)
        self.assertEqual([member.instance for member in self.clusters["a"].members()], [uuid(8)])
        self.pass_time(20)
        self.assertEqual([member.instance for member in self.clusters["a"].members()], [uuid(8)])
        self.assertEqual(len(self.lines("b [10.0.0.2:5941] has gone down: the node has started anew")), 1)

    def test_same_node_elsewhere_is_doubted(self) -> None:
        """A node that comes back with another address has its earlier start suspected at once."""
        self.start("a", "10.0.0.1")
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", instance=uuid(7))
        self.pass_time(3)
        self.network.power_off("b")
        self.pass_time(0.1)
        self.start("b", "10.0.0.3", "tcp://10.0.0.1:5941", instance=uuid(8))
        self.pass_time(0.1)
        members = {member.instance: member.suspect for member in self.clusters["a"].members()}
        self.assertEqual(members, {uuid(7): True, uuid(8): False})
        self.pass_time(5)
        self.assertEqual([member.instance for member in self.clusters["a"].members()], [uuid(8)])

    def test_two_processes_of_one_machine(self) -> None:
        """Two members may have the same name of a node: both stay."""
        self.start("a", "10.0.0.1", node="same")
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", node="same")
        self.start("c", "10.0.0.3", "tcp://10.0.0.1:5941", node="same")
        self.pass_time(10)
        for name in "abc":
            self.assertEqual(self.nodes(name), ["same", "same"])

    def test_two_at_one_address(self) -> None:
        """Of two members that claim the same address the later start stays, and the other is complained of."""
        self.start("a", "10.0.0.1")
        self.pass_time(1)
        names = FixedNames(interfaces={"eth0": ("10.0.0.9",)})
        for name, address in (("b", "10.0.0.2"), ("c", "10.0.0.3")):
            self.start(
                name,
                address,
                "tcp://10.0.0.1:5941",
                accepts=("tcp://@eth0:5941",),
                addresses=(address, "10.0.0.9"),
                names=names,
            )
            self.pass_time(1)
        self.pass_time(30)
        self.assertEqual(self.nodes("a"), ["c"])
        self.assertEqual(len(self.lines("a later start of the same node is here already")), 1)

    def test_loopback_is_not_told_to_others(self) -> None:
        """A loopback address means something to those who are on loopback too."""
        self.start("a", "127.0.0.7")
        self.start("b", "127.0.0.8", "tcp://127.0.0.7:5941")
        self.start("c", "127.0.0.9", "tcp://127.0.0.7:5941")
        self.pass_time(3)
        self.assertEqual(self.nodes("b"), ["a", "c"])
        self.start("d", "10.0.0.4")
        self.start(
            "e",
            "10.0.0.5",
            "tcp://10.0.0.4:5941",
            accepts=("tcp://127.0.0.5:5941",),
            addresses=("10.0.0.5", "127.0.0.5"),
        )
        self.pass_time(3)
        self.assertEqual([member.accept for member in self.clusters["d"].members()], [""])

    def test_link_local(self) -> None:
        """A link-local address is told without its scope: others use the one that they see."""
        self.start(
            "a", "fe80::1", accepts=("tcp://@eth0:5941",), names=FixedNames(interfaces={"eth0": ("fe80::1",)})
        )
        self.start("b", "fe80::2", "tcp://[fe80::1]:5941", insecure=True)
        self.pass_time(2)
        self.assertEqual([member.accept for member in self.clusters["b"].members()], ["tcp://[fe80::1]:5941"])
        self.assertEqual([member.accept for member in self.clusters["a"].members()], ["tcp://[fe80::2]:5941"])

    def test_leaving_is_not_dialled(self) -> None:
        """A member that has left is not dialled any more, unless the configuration names it."""
        self.start("a", "10.0.0.1", "tcp://10.0.0.3:5941")
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941")
        self.start("c", "10.0.0.3")
        self.pass_time(3)
        for name in "bc":
            self.clusters[name].stopService()
        self.pass_time(1)
        before = self.dials("a", "10.0.0.2"), self.dials("a", "10.0.0.3")
        self.pass_time(30)
        self.assertEqual(self.dials("a", "10.0.0.2"), before[0])
        self.assertGreater(self.dials("a", "10.0.0.3"), before[1] + 10)
        self.assertEqual(len(self.lines("has gone down: it has left")), 2)

    def test_gone_member_is_dialled(self) -> None:
        """A member that was lost is dialled at its last address by those whom it had dialled itself."""
        self.start("a", "10.0.0.1")
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941")
        self.pass_time(3)
        self.network.power_off("b")
        self.pass_time(60)
        self.start("b", "10.0.0.2", instance=uuid(9))
        self.pass_time(4)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))

    def test_stop_and_start_again(self) -> None:
        """A membership may be started again after it was stopped."""
        member = self.start("a", "10.0.0.1", "tcp://10.0.0.2:5941", GROUP)
        self.start("b", "10.0.0.2")
        self.pass_time(3)
        member.stopService()
        self.pass_time(3)
        self.assertEqual(self.nodes("b"), [])
        member.startService()
        self.pass_time(3)
        self.assertEqual((self.nodes("a"), self.nodes("b")), (["b"], ["a"]))


class Voice(DatagramProtocol):
    """Says anything in the group, and listens."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append(datagram)


class MulticastTests(ClusterCase):
    """Members that announce themselves."""

    def voice(self, address: str = "10.0.0.66") -> Voice:
        """Somebody else in the group."""
        reactor = self.network.host("stranger", address)
        voice = Voice()
        voice.port = reactor.listenMulticast(54327, voice, listenMultiple=True)  # type: ignore[attr-defined]
        voice.port.joinGroup("224.34.0.1")  # type: ignore[attr-defined]
        voice.port.setOutgoingInterface(address)  # type: ignore[attr-defined]
        return voice

    def say(self, voice: Voice, datagram: bytes) -> None:
        voice.port.write(datagram, ("224.34.0.1", 54327))  # type: ignore[attr-defined]

    def announce(self, accept: str, instance: str = "x", cluster: str = "kzha") -> bytes:
        return encode_body(Announce(cluster=cluster, instance=instance, accept=accept))

    def test_rhythm(self) -> None:
        """A member announces itself every second at first, then every two, and no more when it leaves."""
        voice = self.voice()
        member = self.start("a", "10.0.0.1", GROUP)
        self.pass_time(5.5)
        self.assertEqual(len(voice.heard), 6)
        self.assertEqual(
            json.loads(voice.heard[0]),
            {"type": "announce", "cluster": "kzha", "instance": uuid(1), "accept": "tcp://10.0.0.1:5941"},
        )
        self.pass_time(20)
        self.assertEqual(len(voice.heard), 16)
        member.leave()
        self.pass_time(20)
        self.assertEqual(len(voice.heard), 16)

    def test_two_clusters_in_one_group(self) -> None:
        """Clusters of different names share a group and never dial each other."""
        for name, address, cluster in (
            ("a1", "10.0.0.1", "a"),
            ("a2", "10.0.0.2", "a"),
            ("b1", "10.0.0.3", "b"),
            ("b2", "10.0.0.4", "b"),
        ):
            self.start(name, address, GROUP, cluster=cluster)
        self.pass_time(10)
        self.assertEqual(
            [self.nodes(name) for name in ("a1", "a2", "b1", "b2")], [["a2"], ["a1"], ["b2"], ["b1"]]
        )
        self.assertEqual(self.dials("a1", "10.0.0.3") + self.dials("b1", "10.0.0.1"), 0)

    def test_garbage(self) -> None:
        """Datagrams that are no announcements are ignored without a word."""
        voice = self.voice()
        self.start("a", "10.0.0.1", GROUP)
        self.pass_time(1)
        dice = random.Random(4)
        words = [dice.randbytes(dice.randrange(0, 3000)) for _ in range(100)]
        words += [
            b"",
            b"{}",
            b"[]",
            b"null",
            b'{"type":"announce"}',
            b'{"type":"announce","cluster":5}',
            b'{"type":"hello","cluster":"kzha"}',
            b"\xff" * 1500,
            b'{"type":"announce","cluster":"kzha","instance":"x","accept":"' + b"x" * 2000,
            self.announce("http://10.0.0.66:80"),
            self.announce("tcp://evil.example.com:5941"),
            self.announce("tcp://10.0.0.66"),
            self.announce("nonsense"),
            self.announce(""),
            self.announce("tcp://10.0.0.66:5941", instance=uuid(1)),
            self.announce("tcp://10.0.0.66:5941", cluster="kzha2"),
            self.announce("tcp://10.0.0.1:5941"),
        ]
        before = len(self.events)
        for word in words:
            self.say(voice, word)
        self.pass_time(10)
        self.assertEqual(self.network.dialled, [])
        self.assertEqual([event for event in self.events[before:] if event["log_level"].name != "debug"], [])

    def test_flood(self) -> None:
        """A flood of announcements makes a member dial a few addresses, remember a bounded number, and forget them."""
        voice = self.voice()
        member = self.start("a", "10.0.0.1", GROUP)
        self.pass_time(1)
        for number in range(2000):
            self.say(voice, self.announce(f"tcp://10.1.{number // 250}.{number % 250}:5941", f"x{number}"))
            self.pass_time(0.001)
        self.assertLess(len(self.network.dialled), 60)
        for _ in range(60):
            for number in range(100):
                self.say(
                    voice, self.announce(f"tcp://10.2.{random.randrange(250)}.{number}:5941", f"y{number}")
                )
            self.pass_time(1)
        self.assertLessEqual(len(member._mesh.diallings), LEARNT_MAXIMUM)
        self.start("b", "10.0.0.2", GROUP)
        self.pass_time(60)
        self.assertEqual(self.nodes("a"), ["b"])
        self.pass_time(60)
        self.assertEqual(
            list(member._mesh.diallings), [("10.0.0.2", PORT)] if self.links("a")[0].dialled else []
        )

    def test_joining_later(self) -> None:
        """An interface that cannot join the group yet is complained of once, and joins when it can."""
        member = self.make("a", "10.0.0.1", GROUP)
        self.start("b", "10.0.0.2", GROUP)
        reactor = self.network.hosts["a"]
        addresses, listen = reactor.addresses, reactor.listenMulticast
        member.privilegedStartService()
        reactor.addresses = ("10.0.0.9",)
        member.startService()
        self.pass_time(10)
        self.assertEqual(self.nodes("a"), [])
        self.assertEqual(len(self.lines("cannot join udp://224.34.0.1:54327")), 1)
        reactor.addresses = addresses
        self.pass_time(3)
        self.assertEqual(self.nodes("a"), ["b"])
        self.assertEqual(listen, reactor.listenMulticast)

    def test_several_interfaces(self) -> None:
        """A member announces on every interface that it listens on the address that is reached there."""
        voice = self.voice()
        self.start(
            "a",
            "10.0.0.1",
            GROUP,
            accepts=("tcp://10.0.0.1:5941", "tcp://10.7.0.1:5942", "tcp://[fd00::1]:5941"),
            addresses=("10.0.0.1", "10.7.0.1", "fd00::1"),
        )
        self.pass_time(0.5)
        self.assertEqual(
            sorted(json.loads(word)["accept"] for word in voice.heard),
            ["tcp://10.0.0.1:5941", "tcp://10.7.0.1:5942"],
        )

    def adapters(self, *addresses: str) -> None:
        """Interfaces of this machine, an address each."""
        found = [
            SimpleNamespace(ips=[SimpleNamespace(ip=(one, 0, 0) if ":" in one else one)]) for one in addresses
        ]
        self.patch(ifaddr, "get_adapters", lambda: found)

    def test_wildcard(self) -> None:
        """A member that listens on every address announces itself on every interface, and loopback is none while there are others."""
        voice = self.voice()
        self.adapters("127.0.0.1", "10.0.0.1", "fd00::1", "10.7.0.1")
        self.start(
            "a", "10.0.0.1", GROUP, accepts=("tcp://0.0.0.0:5941",), addresses=("10.0.0.1", "10.7.0.1")
        )
        self.start("b", "10.0.0.2", GROUP)
        self.pass_time(2)
        self.assertEqual(self.nodes("b"), ["a"])
        self.assertIn(self.clusters["b"].members()[0].accept, ("tcp://10.0.0.1:5941", "tcp://10.7.0.1:5941"))
        words = {json.loads(word)["accept"] for word in voice.heard}
        self.assertEqual(words, {"tcp://0.0.0.0:5941", "tcp://10.0.0.2:5941"})

    def test_only_loopback(self) -> None:
        """A machine that has nothing but loopback announces there."""
        self.adapters("127.0.0.1")
        for name, port in (("a", 5941), ("b", 5942)):
            self.start(
                name,
                f"127.0.0.{port - 5940}",
                GROUP,
                accepts=(f"tcp://0.0.0.0:{port}",),
                addresses=("127.0.0.1",),
            )
        self.pass_time(1)
        self.assertEqual(self.network.hosts["a"].multicast_ports[0].outgoing, "127.0.0.1")

    def test_group_of_another_family(self) -> None:
        """A group of the family that the accept is not of is joined on every interface, and the accept is announced there."""
        self.adapters("10.0.0.1", "fd00::1")
        self.start(
            "a", "fd00::1", GROUP, accepts=("tcp://[fd00::1]:5941",), addresses=("fd00::1", "10.0.0.1")
        )
        voice = self.voice()
        self.pass_time(2)
        self.assertEqual({json.loads(word)["accept"] for word in voice.heard}, {"tcp://[fd00::1]:5941"})

    def test_no_way_to_send(self) -> None:
        """A group that cannot be sent to is complained of once, and tried again."""
        deliver = self.network.multicast

        def unreachable(*args: Any) -> None:
            raise OSError(101, "Network is unreachable")

        self.network.multicast = unreachable  # type: ignore[method-assign]
        self.start("a", "10.0.0.1", GROUP)
        self.start("b", "10.0.0.2", GROUP)
        self.pass_time(20)
        self.assertEqual(len(self.lines("cannot send to udp://224.34.0.1:54327: Network is unreachable")), 2)
        self.network.multicast = deliver  # type: ignore[method-assign]
        self.pass_time(3)
        self.assertEqual(self.nodes("a"), ["b"])

    def test_port_in_use(self) -> None:
        """A UDP port that somebody has for himself is complained of once, and tried again."""
        member = self.make("a", "10.0.0.1", GROUP)
        taken = self.network.hosts["a"].listenMulticast(54327, Voice(), listenMultiple=True)
        self.patch(type(self.network.hosts["a"]), "listenMulticast", self.in_use)
        member.startService()
        self.pass_time(10)
        self.assertEqual(len(self.lines("cannot listen on udp://224.34.0.1:54327")), 1)
        self.successResultOf(taken.stopListening())

    def in_use(self, *args: Any, **how: Any) -> None:
        raise CannotListenError("", 54327, OSError(98, "in use"))

    def test_multicast_and_unicast(self) -> None:
        """A member may be found both ways and is one."""
        self.start("a", "10.0.0.1", GROUP, "tcp://10.0.0.2:5941")
        self.start("b", "10.0.0.2", GROUP, "tcp://10.0.0.1:5941")
        self.pass_time(5)
        self.assertEqual((len(self.links("a")), len(self.links("b"))), (1, 1))
        dialled = len(self.network.dialled)
        self.pass_time(60)
        self.assertEqual(len(self.network.dialled), dialled)
