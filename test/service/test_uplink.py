"""Tests of an uplink: tunnels to every node behind an address, whoever stands in between."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import count

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Address
from kwic.service.context import Context
from kwic.service.uplink import FRUITLESS, Uplink, UplinkOptions
from kwic.transport.connect_error import Why
from kwic.transport.tunnel import Tunnel
from kwic.transport.tunnel_endpoint import NoTunnelError
from kwic.wire.kwic_headers import Nodes
from test.transport.links import Link
from test.transport.test_tunnel import User

NAME = Address(text="ws://example.com/kwic", scheme="ws", host="example.com", port=80, path="/kwic")
OTHER_NAME = Address(text="ws://cloud1/kwic", scheme="ws", host="cloud1", port=80, path="/kwic")


class Node:
    """A node of the far side: takes tunnels while it is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instance = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        self.up = True
        self.tunnels: list[Tunnel] = []
        self.links: list[Link] = []

    def crash(self) -> None:
        self.up = False
        for link in self.links:
            link.b.abortConnection()
        self.links.clear()

    def restart(self) -> None:
        self.up = True
        self.instance = str(uuid.uuid4())


class World:
    """The nodes, and the doors that lead to them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.nodes: dict[str, Node] = {}
        #: Picks the node behind an address; None is the name itself.
        self.door: Callable[[str | None, list[str]], Node | None] = lambda address, met: None
        self.announces = True
        #: Why a node that is down cannot be dialled, in turn.
        self.refusals: tuple[Exception, ...] = (ConnectionRefusedError(),)
        self.plain = False
        self.dials = 0
        self.addresses: tuple[str, ...] = ()
        #: The address of each node, where nothing stands in between.
        self.places: dict[str, str] = {}

    def connect(self, factory, address: str | None, met: list[str]) -> Deferred:
        self.dials += 1
        if self.plain:
            return fail(NoTunnelError("a server that speaks no tunnels", Why.HTTP))
        node = self.door(address, met)
        if node is None or not node.up:
            return fail(self.refusals[self.dials % len(self.refusals)])
        near = factory.buildProtocol(None)
        far = Tunnel(User(), self.clock, dialer=False, peer="agent")
        link = Link()
        link.a.uri = str(NAME)
        link.a.response_headers = {"kwic-instance": f"{node.instance} {node.name}"}
        leads_to = self.places.get(node.name)
        if leads_to is not None:
            link.a.getPeer = lambda: IPv4Address("TCP", leads_to, 80)
        if self.announces:
            live = sum(each.up for each in self.nodes.values())
            link.a.response_headers["kwic-nodes"] = f"1 {live}"
        node.links.append(link)
        link.connect(near, far)
        return succeed(near)

    def pump(self) -> None:
        for node in self.nodes.values():
            for link in node.links:
                link.pump()


class WorldUplink(Uplink):
    """An uplink whose dials end in the world."""

    world: World

    def endpoint(self, peer):
        world, met = self.world, [other.instance for other in self._up() if other is not peer]

        class Door:
            def connect(self, factory) -> Deferred:
                return world.connect(factory, peer.dial_address, met)

        return Door()


class Names:
    """A resolver that knows one name."""

    def __init__(self, world: World) -> None:
        self._world = world

    def resolveHostName(self, receiver, host, *rest) -> None:
        class Found:
            def __init__(self, host: str) -> None:
                self.host = host

        receiver.resolutionBegan(self)
        for address in self._world.addresses:
            receiver.addressResolved(Found(address))
        receiver.resolutionComplete()


class UplinkCase(SynchronousTestCase):
    """One uplink in a world of nodes."""

    prepared = 1

    def setUp(self) -> None:
        self.clock = Clock()
        self.world = World(self.clock)
        self.clock.nameResolver = Names(self.world)
        context = Context(reactor=self.clock, node="agent", random=lambda: 0.5)
        self.uplink = WorldUplink(context, NAME, UplinkOptions(prepared=self.prepared))
        self.uplink.world = self.world

    def add(self, *names: str) -> None:
        for name in names:
            self.world.nodes[name] = Node(name)

    def run_for(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            self.world.pump()

    def start(self) -> None:
        self.uplink.startService()
        self.run_for(0.3)
        self.addCleanup(self.end)

    def end(self) -> None:
        self.uplink.stopService()
        for _ in range(30):
            self.world.pump()
            self.clock.advance(0.1)
        self.assertEqual(self.clock.getDelayedCalls(), [], "nothing of an uplink outlives it")

    def reached(self) -> list[str]:
        """The nodes that tunnels lead to, in order."""
        return sorted(peer.node for peer in self.uplink.tunnels)


class OneAddressTests(UplinkCase):
    """A name that is one node."""

    def setUp(self) -> None:
        super().setUp()
        self.add("cloud1")
        self.world.door = lambda address, met: self.world.nodes["cloud1"]

    def test_up_and_again(self) -> None:
        """A tunnel is up at once, and again soon after the node came back."""
        self.start()
        self.assertEqual(self.reached(), ["cloud1"])
        self.world.nodes["cloud1"].crash()
        self.run_for(1)
        self.assertEqual(self.reached(), [])
        self.world.nodes["cloud1"].restart()
        self.run_for(2)
        self.assertEqual(self.reached(), ["cloud1"])

    def test_back_under_another_name(self) -> None:
        """A node that is back and was met under one name is dialled at once under the others, whatever their back-off says."""
        other = WorldUplink(self.uplink.context, OTHER_NAME, UplinkOptions())
        other.world = self.world
        self.start()
        self.world.nodes["cloud1"].crash()
        self.run_for(60)
        self.world.nodes["cloud1"].restart()
        other.startService()
        self.run_for(0.3)
        self.assertEqual(self.reached(), ["cloud1"])
        other.stopService()

    def test_reasons_that_alternate(self) -> None:
        """Each reason why a node cannot be dialled is said once, however they alternate, and again when it was up in between."""
        lines: list[str] = []
        globalLogPublisher.addObserver(keep := lambda event: lines.append(formatEvent(event)))
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        node = self.world.nodes["cloud1"]
        node.up = False
        self.world.refusals = (ConnectionRefusedError(), TimeoutError())
        self.start()
        self.run_for(120)
        self.assertEqual(len([line for line in lines if "until it answers" in line]), 2)
        self.assertGreater(self.world.dials, 5)
        node.up = True
        self.run_for(60)
        self.assertEqual(self.reached(), ["cloud1"])
        node.crash()
        self.run_for(60)
        self.assertEqual(len([line for line in lines if "until it answers" in line]), 4)

    def test_node_that_drops_tunnels(self) -> None:
        """A node that takes tunnels and drops them is not dialled at once for each that was up for a moment."""
        other = WorldUplink(self.uplink.context, OTHER_NAME, UplinkOptions())
        other.world = self.world
        self.start()
        other.startService()
        for _ in range(60):
            self.run_for(0.5)
            self.world.nodes["cloud1"].crash()
            self.world.nodes["cloud1"].up = True
        other.stopService()
        self.assertLess(self.world.dials, 30)

    def test_no_needless_dials(self) -> None:
        """A tunnel that is up is left alone."""
        self.start()
        self.run_for(60)
        self.assertEqual(self.world.dials, 1)

    def test_watchers_are_told(self) -> None:
        """Whoever waits for a path hears of tunnels that come and go."""
        calls: list[int] = []
        self.uplink.watch(lambda: calls.append(len(self.uplink.tunnels)))
        self.start()
        self.world.nodes["cloud1"].crash()
        self.assertEqual(calls, [1, 0])

    def test_draining_node(self) -> None:
        """A node that says it leaves takes no new streams, and its place is dialled anew at once."""
        self.start()
        dials = self.world.dials
        node = self.world.nodes["cloud1"]
        node.links[0].b.protocol.drain()
        self.run_for(0.3)
        self.assertGreater(self.world.dials, dials)
        self.assertEqual(self.reached(), ["cloud1"])


class SeveralAddressesTests(UplinkCase):
    """A name with an address for each node."""

    def setUp(self) -> None:
        super().setUp()
        self.add("cloud1", "cloud2")
        self.world.addresses = ("10.0.0.1", "10.0.0.2")
        self.world.door = lambda address, met: self.world.nodes[
            "cloud2" if address == "10.0.0.2" else "cloud1"
        ]

    def test_every_address(self) -> None:
        """Each address gets a tunnel of its own."""
        self.start()
        self.run_for(1)
        self.assertEqual(self.reached(), ["cloud1", "cloud2"])

    def test_news_without_end(self) -> None:
        """A node that announces another view of the nodes all the time does not have those hammered that are down."""
        self.world.nodes["cloud2"].up = False
        self.start()
        self.run_for(60)
        (up,) = self.uplink.tunnels
        before = self.world.dials
        for version in range(100, 300):
            self.uplink.nodes_announced(up, Nodes(version=version, count=2))
            self.run_for(0.1)
        # Each second one on account of the news, and two by a back-off that has begun anew.
        self.assertLessEqual(self.world.dials - before, 3 * 20)

    def test_news_while_it_is_hurrying(self) -> None:
        """News that comes just after a hurried dial is not lost: the next dial is a second after that one at the latest."""
        self.world.nodes["cloud2"].up = False
        self.start()
        self.run_for(60)
        (up,) = self.uplink.tunnels
        self.uplink.nodes_announced(up, Nodes(version=100, count=2))
        self.run_for(0.3)
        self.world.nodes["cloud2"].restart()
        self.uplink.nodes_announced(up, Nodes(version=101, count=2))
        self.run_for(1)
        self.assertEqual(self.reached(), ["cloud1", "cloud2"])

    def test_names_that_come_late(self) -> None:
        """Nodes that were met by the name alone keep their places when its addresses are known, and the others are dialled."""
        addresses = {f"cloud{number}": f"10.0.0.{number}" for number in (1, 2, 3)}
        self.add("cloud3")
        self.world.places = addresses
        self.world.addresses = ()
        by_name = ["cloud3", "cloud1"]
        nodes = {address: node for node, address in addresses.items()}
        self.world.door = lambda address, met: self.world.nodes[
            nodes[address] if address else by_name[bool(met)]
        ]
        self.start()
        self.run_for(5)
        self.assertEqual(self.reached(), ["cloud1", "cloud3"])
        self.world.addresses = tuple(nodes)
        self.run_for(12)
        self.assertEqual(self.reached(), ["cloud1", "cloud2", "cloud3"])

    def test_one_node_twice(self) -> None:
        """Of two tunnels that lead to one address the second holds the place of no other: that is dialled, and the surplus given up."""
        self.world.places = {"cloud1": "10.0.0.1", "cloud2": "10.0.0.2"}
        self.start()
        self.run_for(1)
        dials = self.world.dials
        twice = self.uplink.peers[1]
        twice.dial_address = None
        twice.tunnel.transport.getPeer = lambda: IPv4Address("TCP", "10.0.0.1", 80)
        self.run_for(12)
        self.assertEqual(self.world.dials, dials + 1)
        self.assertEqual(self.reached(), ["cloud1", "cloud2"])

    def test_an_address_is_added(self) -> None:
        """A node that is added to the name is reached without a restart."""
        self.world.addresses = ("10.0.0.1",)
        self.world.announces = False
        self.start()
        self.assertEqual(self.reached(), ["cloud1"])
        self.world.addresses = ("10.0.0.1", "10.0.0.2")
        self.run_for(12)
        self.assertEqual(self.reached(), ["cloud1", "cloud2"])


class BalancerTests(UplinkCase):
    """One address that leads to any node; the other side says how many there are."""

    def setUp(self) -> None:
        super().setUp()
        self.add("cloud1", "cloud2")
        self.turn = 0
        self.world.door = self.balanced

    def balanced(self, address, met):
        live = [node for node in self.world.nodes.values() if node.up]
        fresh = [node for node in live if node.instance not in met] or live
        self.turn += 1
        return fresh[self.turn % len(fresh)] if fresh else None

    def test_every_node_is_met(self) -> None:
        """Dialling goes on until there is a tunnel to every node that was announced."""
        self.start()
        self.run_for(4)
        self.assertEqual(self.reached(), ["cloud1", "cloud2"])

    def test_a_node_returns(self) -> None:
        """A node that was gone is met again as soon as the other side tells of it."""
        self.start()
        self.run_for(4)
        self.world.nodes["cloud2"].crash()
        self.run_for(30)
        self.assertEqual(set(self.reached()), {"cloud1"})
        self.world.nodes["cloud2"].restart()
        self.uplink.nodes_announced(self.uplink.tunnels[0], Nodes(version=3, count=2))
        self.run_for(3)
        self.assertEqual(sorted(set(self.reached())), ["cloud1", "cloud2"])

    def test_no_client_goes_with_a_scout(self) -> None:
        """The tunnel of a scout that met a known node is about to end: it is never one for clients."""
        self.world.door = lambda address, met: self.world.nodes["cloud1"]
        self.start()
        dials = self.world.dials
        for _ in range(100):
            self.clock.advance(0.1)
            self.assertEqual(self.reached(), ["cloud1"])
            self.world.pump()
        self.assertGreater(self.world.dials, dials)

    def test_a_door_to_one_node_only(self) -> None:
        """Where the other nodes cannot be met, looking for them becomes rare."""
        self.world.door = lambda address, met: self.world.nodes["cloud1"]
        self.start()
        self.run_for(60)
        many = self.world.dials
        self.assertLessEqual(many, 3 * FRUITLESS + 4)
        self.run_for(120)
        self.assertLess(self.world.dials - many, 20)
        self.assertEqual(self.reached(), ["cloud1"])


class LoadBalancerTests(UplinkCase):
    """One address in front of nodes that know nothing of each other, and four tunnels asked for."""

    prepared = 4

    def setUp(self) -> None:
        super().setUp()
        self.add("cloud1", "cloud2")
        self.world.announces = False
        self.world.door = self.least_connections

    def least_connections(self, address, met):
        live = [node for node in self.world.nodes.values() if node.up]
        return min(live, key=lambda node: sum(link.a.connected for link in node.links), default=None)

    def test_spread(self) -> None:
        """The tunnels are where the balancer puts them, on both nodes."""
        self.start()
        self.assertEqual(set(self.reached()), {"cloud1", "cloud2"})

    def test_a_restarted_node_is_covered_again(self) -> None:
        """Tunnels that all went to the other node come back within five seconds of the restart, and are even in ten."""
        self.start()
        self.world.nodes["cloud1"].crash()
        self.run_for(4)
        self.assertEqual(self.reached(), ["cloud2"] * 4)
        self.world.nodes["cloud1"].restart()
        self.run_for(5)
        self.assertIn("cloud1", self.reached())
        self.run_for(5)
        self.assertEqual(self.kept(), ["cloud1"] * 2 + ["cloud2"] * 2)
        self.run_for(300)
        self.assertEqual(self.kept(), ["cloud1"] * 2 + ["cloud2"] * 2)

    def kept(self) -> list[str]:
        """The nodes that tunnels lead to, without a scout."""
        return sorted(peer.node for peer in self.uplink.peers if peer in self.uplink.tunnels)

    def test_a_balancer_that_takes_turns(self) -> None:
        """A scout that meets the node that has enough is sent again: where every second one meets the other, too, tunnels spread in ten seconds."""
        turns = count()
        self.world.door = lambda address, met: self.alive()[next(turns) % len(self.alive())]
        self.start()
        self.world.nodes["cloud1"].crash()
        self.run_for(4)
        self.world.nodes["cloud1"].restart()
        self.run_for(10)
        self.assertEqual(self.kept(), ["cloud1"] * 2 + ["cloud2"] * 2)

    def alive(self) -> list[Node]:
        return [node for node in self.world.nodes.values() if node.up]

    def test_a_balancer_that_does_not_spread(self) -> None:
        """Where tunnels cannot be spread, nobody loses one, and looking for a way becomes rare."""
        self.start()
        self.world.nodes["cloud1"].crash()
        self.run_for(4)
        self.world.nodes["cloud1"].restart()
        self.wait_until_met("cloud1")
        self.world.door = lambda address, met: self.world.nodes["cloud2"]
        self.run_for(30)
        self.assertEqual(self.kept(), ["cloud1"] + ["cloud2"] * 3)
        many = self.world.dials
        self.run_for(600)
        self.assertEqual(self.kept(), ["cloud1"] + ["cloud2"] * 3)
        self.assertLess(self.world.dials - many, 50)

    def wait_until_met(self, name: str) -> None:
        for _ in range(100):
            if name in self.kept():
                return
            self.run_for(0.1)
        self.fail(f"{name} was not met")


class PlainTests(UplinkCase):
    """A far end that is an ordinary WebSocket server."""

    def test_no_tunnels(self) -> None:
        """It is asked once, and then left alone until a client's WebSocket fails."""
        self.world.plain = True
        self.start()
        self.assertTrue(self.uplink.plain)
        self.run_for(40)
        self.assertEqual(self.world.dials, 1)
        self.add("cloud1")
        self.world.plain = False
        self.world.door = lambda address, met: self.world.nodes["cloud1"]
        self.uplink.try_tunnels_again()
        self.run_for(1)
        self.assertEqual((self.uplink.plain, self.reached()), (False, ["cloud1"]))
