"""Whole gateways that serve each other's clients: through the member that holds the name, and never further than that."""

from __future__ import annotations

from random import Random
from typing import Any

from kwic.service.membership import OwnState
from kwic.service.own_offers import OwnOffers
from test.service.gateway_case import GatewayCase

CLOUDS = {"cloud1": "10.0.0.1", "cloud2": "10.0.0.2", "cloud3": "10.0.0.3"}
AGENTS = {"agent1": "10.0.1.1", "agent2": "10.0.1.2"}
PORT = 5551

CLOUD = """
  <service><name>A</name><accept>tcp://{ip}:5551</accept><connect>pipe://serviceA</connect><type>proxy</type>
    <connect-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>reverse</socks.mode>
      <socks.transport>ws://{ip}:80/kwic</socks.transport></connect-options></service>
  <cluster xmlns:kwic="urn:kwic:gateway:1" kwic:insecure="true"><name>kzha</name><accept>tcp://{ip}:5941</accept>
    <connect>udp://224.34.0.1:54327</connect></cluster>"""


def agent(cloud: str) -> str:
    """An agent that reaches one cloud node."""
    return f"""
  <service><name>A</name><accept>pipe://serviceA</accept><connect>tcp://server-a:9</connect><type>proxy</type>
    <accept-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>reverse</socks.mode>
      <socks.transport>ws://{CLOUDS[cloud]}:80/kwic</socks.transport></accept-options></service>"""


class NeighbourlyCase(GatewayCase):
    """Three cloud nodes that know each other."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server-a", "10.0.1.9", 9)
        for name, address in CLOUDS.items():
            self.start(name, address, CLOUD, random=Random(address).random)
        self.wait(lambda: all(len(self.gateways[cloud].membership.members()) == 2 for cloud in CLOUDS))

    def relays(self) -> dict[str, int]:
        """How many clients are joined at each gateway that has one."""
        counts = {name: len(gateway.context.relays) for name, gateway in self.gateways.items()}
        return {name: count for name, count in counts.items() if count}

    def believes(self, cloud: str, other: str) -> bool:
        """Whether one cloud node knows that another holds the name."""
        return any(
            member.node == other and "serviceA" in member.names
            for member in self.gateways[cloud].membership.members()
        )

    def links(self) -> list[Any]:
        """Every tunnel between two members, seen from both sides."""
        return [
            link.tunnel
            for cloud in set(CLOUDS) & set(self.gateways)
            for neighbour in self.gateways[cloud].membership._mesh.neighbours.values()
            for link in neighbour.links
        ]

    def nothing_is_left(self) -> None:
        """No client waits or is joined anywhere, and no stream of one is open between members."""
        self.run_for(1)
        self.assertEqual(self.relays(), {})
        self.assertEqual([tunnel.clients for tunnel in self.links()], [0] * len(self.links()))
        for name, gateway in self.gateways.items():
            self.assertEqual(gateway.context.relays.clients, 0, name)


class OneHopTests(NeighbourlyCase):
    """Two agents that reach the first cloud node only."""

    def setUp(self) -> None:
        super().setUp()
        for name, address in AGENTS.items():
            self.start(name, address, agent("cloud1"))
        self.wait(lambda: len(self.gateways["cloud1"].names.holders("serviceA")) == 2)
        self.wait(lambda: all(self.believes(cloud, "cloud1") for cloud in ("cloud2", "cloud3")))

    def test_served_through_a_member(self) -> None:
        """A client of the second node is served through the first, both ways, with its end of stream; the third has no part in it."""
        client = self.served(CLOUDS["cloud2"], PORT)
        where = self.relays()
        self.assertEqual(len([name for name in where if name.startswith("agent")]), 1)
        self.assertEqual(
            {name: where.get(name, 0) for name in CLOUDS}, {"cloud1": 1, "cloud2": 1, "cloud3": 0}
        )
        sent = b"".join(number.to_bytes(4, "big") for number in range(500_000))
        client.say(sent)
        client.transport.loseWriteConnection()
        self.wait(lambda: client.ended or client.lost)
        self.assertTrue(client.heard == sent)
        self.hears_end(client)
        self.nothing_is_left()

    def test_own_tunnels_first(self) -> None:
        """A client of the node that holds the name goes through no other."""
        self.served(CLOUDS["cloud1"], PORT)
        self.assertEqual(
            {name: self.relays().get(name, 0) for name in ("cloud2", "cloud3")}, {"cloud2": 0, "cloud3": 0}
        )

    def test_member_retries(self) -> None:
        """When one of its agents freezes, the member tries the other for the client that was sent to it."""
        self.network.freeze("agent1")
        for _ in range(2):
            client = self.connect(CLOUDS["cloud2"], PORT, b"hello")
            self.assertLess(self.wait(lambda client=client: client.heard), 1.6)

    def test_refused_by_the_server(self) -> None:
        """A server that refuses is the answer, at once, and nothing is left of the client."""
        self.network.hosts["server-a"].ports.clear()
        self.is_reset(self.connect(CLOUDS["cloud2"], PORT, b"hello"), 1)
        self.nothing_is_left()

    def test_client_leaves_meanwhile(self) -> None:
        """A client that leaves while the member is still dialling takes its streams along."""
        for name in AGENTS:
            self.network.freeze(name)
        client = self.connect(CLOUDS["cloud2"], PORT, b"hello")
        self.run_for(0.5)
        self.assertEqual(sum(tunnel.clients for tunnel in self.links()), 2)
        client.transport.abortConnection()
        self.nothing_is_left()

    def test_member_dies(self) -> None:
        """A client whose bytes go through a member is reset when that is killed."""
        client = self.served(CLOUDS["cloud2"], PORT)
        self.network.crash("cloud1")
        del self.gateways["cloud1"]
        self.is_reset(client, 1)
        self.nothing_is_left()


class WrongBeliefTests(NeighbourlyCase):
    """Members that say they hold the name while they do not."""

    def claim(self, *clouds: str) -> None:
        """Members say so from now on, whatever is so."""
        for cloud in clouds:
            gateway = self.gateways[cloud]
            (offers,) = (service for service in gateway if isinstance(service, OwnOffers))
            offers.stopService()
            gateway.membership.publish(OwnState(names={"serviceA": 1}))
        self.run_for(1)

    def hops(self) -> list[tuple[str, str]]:
        """Who asks whom for the name on behalf of a client, from now on."""
        hops: list[tuple[str, str]] = []
        for cloud in CLOUDS:
            membership = self.gateways[cloud].membership
            request = membership._on_request

            def ask(
                acceptor: Any, name: str, member: Any, cloud: str = cloud, request: Any = request
            ) -> None:
                hops.append((member.node, cloud))
                request(acceptor, name, member)

            membership._on_request = ask
        return hops

    def test_two_believe_in_each_other(self) -> None:
        """A client goes to the other member once, is refused there, and is reset; it never comes back."""
        self.claim("cloud1", "cloud2")
        self.assertTrue(self.believes("cloud1", "cloud2") and self.believes("cloud2", "cloud1"))
        hops = self.hops()
        self.is_reset(self.connect(CLOUDS["cloud2"], PORT, b"hello"), 1)
        self.assertEqual(hops, [("cloud2", "cloud1")])
        self.is_reset(self.connect(CLOUDS["cloud1"], PORT, b"hello"), 1)
        self.assertEqual(hops, [("cloud2", "cloud1"), ("cloud1", "cloud2")])
        self.nothing_is_left()

    def test_three_believe_in_each_other(self) -> None:
        """With three, each of the two others is asked once."""
        self.claim(*CLOUDS)
        hops = self.hops()
        self.is_reset(self.connect(CLOUDS["cloud1"], PORT, b"hello"), 1)
        self.assertEqual(sorted(hops), [("cloud1", "cloud2"), ("cloud1", "cloud3")])
        self.nothing_is_left()

    def test_not_a_second_hop(self) -> None:
        """A member without tunnels sends no client on to a third that has some: who sent it there may know that one himself."""
        self.start("agent1", AGENTS["agent1"], agent("cloud3"))
        self.network.cut("cloud2", "cloud3")
        self.wait(lambda: self.believes("cloud1", "cloud3") and not self.believes("cloud2", "cloud3"))
        self.claim("cloud1")
        hops = self.hops()
        self.is_reset(self.connect(CLOUDS["cloud2"], PORT, b"hello"), 1)
        self.assertEqual(hops, [("cloud2", "cloud1")])
        self.served(CLOUDS["cloud1"], PORT)
        self.assertEqual(hops, [("cloud2", "cloud1"), ("cloud1", "cloud3")])

    def test_one_of_them_is_right(self) -> None:
        """A wrong belief costs a retry: the client is served through the member that does hold the name, after one that does not."""
        self.start("agent1", AGENTS["agent1"], agent("cloud3"))
        self.wait(lambda: self.believes("cloud2", "cloud3"))
        self.claim("cloud1")
        hops = self.hops()
        for _ in range(20):
            client = self.served(CLOUDS["cloud2"], PORT)
            client.transport.loseConnection()
            self.run_for(0.1)
        self.assertEqual(set(hops), {("cloud2", "cloud1"), ("cloud2", "cloud3")})
        self.nothing_is_left()
