"""Tunnels through a TCP load balancer, to cloud nodes that know nothing of each other: spread again when a node is back, and no client is cut for it."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.protocols.portforward import ProxyFactory, ProxyServer

from test.service.gateway_case import GatewayCase, Talker

BALANCER, ONPREM = "10.0.0.1", "10.0.1.7"
CLOUDS = {"cloud1": "10.0.0.7", "cloud2": "10.0.0.5"}
PREPARED = 4
SPREAD_S = 15.0
"""Tunnels are spread again within this after a node's return; half of all scouts meet it."""

CLOUD = """
  <service><name>A</name><accept>tcp://{ip}:5551</accept><connect>pipe://serviceA</connect><type>proxy</type>
    <connect-options><pipe.transport>socks://example.com</pipe.transport><socks.mode>reverse</socks.mode>
      <socks.transport>ws://example.com:80/kwic</socks.transport><tcp.bind>80</tcp.bind></connect-options></service>"""
AGENT = f"""
  <service><name>A</name><accept>pipe://serviceA</accept><connect>tcp://server-a:9</connect><type>proxy</type>
    <properties><prepared.connection.count>{PREPARED}</prepared.connection.count></properties>
    <accept-options><pipe.transport>socks://example.com</pipe.transport><socks.mode>reverse</socks.mode>
      <socks.transport>ws://example.com:80/kwic</socks.transport></accept-options></service>"""


class Balancer(ProxyFactory):
    """Each connection goes to the next node that lives.

    :param reactor: of its machine.
    """

    noisy = False

    def __init__(self, reactor: Any) -> None:
        ProxyFactory.__init__(self, "", 80)
        self._reactor = reactor
        self._turns = count()
        self.living = list(CLOUDS.values())

    def buildProtocol(self, addr: Any) -> ProxyServer:
        self.host = self.living[next(self._turns) % len(self.living)]
        server = ProxyServer()
        server.factory, server.reactor = self, self._reactor
        return server


class SpreadTests(GatewayCase):
    """Two cloud nodes, an agent with four tunnels, and a balancer that takes turns."""

    def setUp(self) -> None:
        super().setUp()
        self.serve("server-a", "10.0.1.9", 9)
        machine = self.host("balancer", BALANCER)
        self.balancer = Balancer(machine)
        machine.listenTCP(80, self.balancer, interface=BALANCER)
        self.network.names["example.com"] = (BALANCER,)
        for name in CLOUDS:
            self.start_node(name)
        self.start("onprem", ONPREM, AGENT)
        self.wait(lambda: self.spread() == [2, 2])

    def start_node(self, name: str) -> None:
        self.start(name, CLOUDS[name], CLOUD)

    def tunnels(self, name: str) -> list[Any]:
        """Every tunnel that is up, as a cloud node sees it."""
        return [tunnel for inbound in self.gateways[name].entrances.tunnels for tunnel in inbound.tunnels]

    def spread(self) -> list[int]:
        """How many tunnels the agent keeps to each cloud node, beside a scout that looks who is there."""
        nodes = [peer.node for peer in self.gateways["onprem"].uplinks[0].peers if peer.tunnel is not None]
        return [nodes.count(name) for name in CLOUDS]

    def crash(self, name: str) -> None:
        self.network.crash(name)
        self.gateways.pop(name)
        self.balancer.living.remove(CLOUDS[name])

    def restart(self, name: str) -> None:
        self.start_node(name)
        self.balancer.living.append(CLOUDS[name])

    def dials(self) -> int:
        """How often the agent has dialled the balancer."""
        return self.network.dialled.count(("onprem", (BALANCER, 80)))

    def test_spread_again(self) -> None:
        """When a node is back that was down, it soon has its share of the tunnels again, and keeps it."""
        self.crash("cloud2")
        self.wait(lambda: self.spread() == [PREPARED, 0])
        self.run_for(60)
        self.restart("cloud2")
        self.wait(lambda: self.spread() == [2, 2], SPREAD_S)
        dials = self.dials()
        for _ in range(10):
            self.run_for(30)
            self.assertEqual(self.spread(), [2, 2])
        self.assertLess(self.dials() - dials, 60, "looking for nodes that nobody knows of is rare")

    def test_clients_stay(self) -> None:
        """Clients in a tunnel that is given up are not cut: they go on for as long as they like, and only then does it end."""
        self.crash("cloud2")
        self.wait(lambda: self.spread() == [PREPARED, 0])
        self.wait(lambda: len(self.tunnels("cloud1")) == PREPARED)
        clients = [self.served(CLOUDS["cloud1"], 5551) for _ in range(PREPARED)]
        self.assertEqual([one.clients for one in self.tunnels("cloud1") if one.clients], [1] * PREPARED)
        self.restart("cloud2")
        self.wait(lambda: self.spread() == [2, 2], SPREAD_S)
        self.check_served(clients)
        new = [self.served(address, 5551) for address in CLOUDS.values() for _ in range(3)]
        self.run_for(300)
        self.check_served(clients + new)
        self.assertEqual(self.spread(), [2, 2])
        self.assertGreaterEqual(len(self.tunnels("cloud1")), PREPARED, "two of them only for their clients")
        for client in clients:
            client.transport.loseConnection()
        self.wait(lambda: [len(self.tunnels(name)) for name in CLOUDS] == [2, 2], 5)
        self.check_served(new)

    def check_served(self, clients: list[Talker]) -> None:
        for client in clients:
            client.say(b"still here")
            self.hears(client, b"still here")
