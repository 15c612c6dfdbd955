"""Tests of entries in etcd that no member of ours has written, or that say what is not so."""

from __future__ import annotations

import random
from dataclasses import replace

from kwic.service.membership import OwnState
from kwic.wire.cluster_messages import Hello, State
from kwic.wire.etcd_messages import encode_entry
from test.service.cluster_case import uuid
from test.service.etcd_case import PREFIX, SERVER, EtcdCase


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
