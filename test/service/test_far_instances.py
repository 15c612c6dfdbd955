"""Instances that have several tunnels with us: silent in one of them, they are doubted in all, and taken back in each that answers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from kwic.service.far_instances import FarInstances
from kwic.transport.tunnel import Tunnel
from test.service.gateway_case import GatewayCase

CLOUDS = {"cloud1": "10.0.0.1", "cloud2": "10.0.0.2"}
AGENTS = {"agent1": "10.0.1.1", "agent2": "10.0.1.2"}
PREPARED = 4

CLOUD = """
  <service><name>A</name><accept>tcp://@eth0:5551</accept><connect>pipe://serviceA</connect><type>proxy</type>
    <connect-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>reverse</socks.mode>
      <socks.transport>ws://{ip}:80/kwic</socks.transport></connect-options></service>
  <service><name>B</name><accept>ws://{ip}:80/serviceB</accept><connect>tcp://server-b:9</connect><type>proxy</type></service>"""

PROPERTIES = f"<properties><prepared.connection.count>{PREPARED}</prepared.connection.count></properties>"
AGENT = (
    "".join(
        f"""
  <service><name>A {cloud}</name><accept>pipe://serviceA</accept><connect>tcp://server-a:9</connect><type>proxy</type>
    {PROPERTIES}
    <accept-options><pipe.transport>socks://{cloud}</pipe.transport><socks.mode>reverse</socks.mode>
      <socks.transport>ws://{address}:80/kwic</socks.transport></accept-options></service>"""
        for cloud, address in CLOUDS.items()
    )
    + f"""
  <service><name>B</name><accept>tcp://@eth0:6661</accept>
    {"".join(f"<connect>ws://{address}:80/serviceB</connect>" for address in CLOUDS.values())}<type>proxy</type>
    {PROPERTIES}</service>"""
)


class Recorded:
    """A tunnel that counts how often it was suspected."""

    def __init__(self) -> None:
        self.suspected = 0

    def suspect_now(self) -> None:
        self.suspected += 1


class FarInstancesTests(SynchronousTestCase):
    """Which tunnels lead to the same instance."""

    def setUp(self) -> None:
        self.far = FarInstances()
        self.tunnels: list[Any] = [Recorded() for _ in range(5)]
        for tunnel, instance in zip(self.tunnels, ("a", "a", "b", "", ""), strict=True):
            self.far.came(tunnel, instance)

    def suspected(self) -> list[int]:
        return [tunnel.suspected for tunnel in self.tunnels]

    def test_all_tunnels_of_one(self) -> None:
        """An instance is doubted in all of its tunnels, and no other is; but those that are gone are left alone."""
        self.far.doubt(self.tunnels[0])
        self.assertEqual(self.suspected(), [1, 1, 0, 0, 0])
        self.far.went(self.tunnels[0])
        self.far.doubt(self.tunnels[1])
        self.assertEqual(self.suspected(), [1, 2, 0, 0, 0])

    def test_who_it_is(self) -> None:
        """A tunnel is known by its instance for as long as it is up."""
        self.assertEqual([self.far.of(tunnel) for tunnel in self.tunnels], ["a", "a", "b", None, None])
        self.far.went(self.tunnels[2])
        self.far.went(self.tunnels[2])
        self.assertIsNone(self.far.of(self.tunnels[2]))

    def test_nobody_said_who_it_is(self) -> None:
        """A tunnel whose other end has not said who it is stands for itself."""
        self.far.doubt(self.tunnels[3])
        self.assertEqual(self.suspected(), [0, 0, 0, 1, 0])
        self.far.went(self.tunnels[3])


class SeveralTunnelsTests(GatewayCase):
    """Two cloud nodes, two agents, and several tunnels between each two of them."""

    def setUp(self) -> None:
        super().setUp()
        self.serve("server-a", "10.0.1.9", 9)
        self.serve("server-b", "10.0.0.9", 9)
        for sites, text in ((CLOUDS, CLOUD), (AGENTS, AGENT)):
            for name, address in sites.items():
                # Among equals the first that came: the worst that dice can do to the first client.
                self.start(name, address, text, random=lambda: 0.5)
        self.wait(lambda: all(len(self.holders(cloud)) == 2 * PREPARED for cloud in CLOUDS))
        self.wait(lambda: all(len(self.forward(agent)) == 2 * PREPARED for agent in AGENTS))
        self.run_for(1)

    def holders(self, cloud: str) -> tuple[Any, ...]:
        """The tunnels through which a cloud node reaches agents."""
        return self.gateways[cloud].names.holders("serviceA")

    def forward(self, agent: str) -> list[Tunnel]:
        """The tunnels through which an agent reaches cloud nodes for its own clients."""
        return [
            peer.tunnel
            for uplink in self.gateways[agent].uplinks
            for peer in uplink.tunnels
            if uplink.address.path == "/serviceB"
        ]

    def stall_s(self, address: str, port: int) -> float:
        """How long a client waits for its echo."""
        client = self.connect(address, port, b"hello")
        return self.wait(lambda: client.heard)

    def test_frozen_agent(self) -> None:
        """When an agent freezes, not even the first client in the cloud tries it twice: the other serves it after 1.5 s, and the next one at once."""
        self.network.freeze("agent1")
        self.assertEqual(round(self.stall_s(CLOUDS["cloud1"], 5551), 1), 1.5)
        self.assertLess(self.stall_s(CLOUDS["cloud1"], 5551), 0.1)

    def test_frozen_cloud_node(self) -> None:
        """Likewise for clients on-prem when a cloud node freezes."""
        self.network.freeze("cloud1")
        self.assertEqual(round(self.stall_s(AGENTS["agent1"], 6661), 1), 1.5)
        self.assertLess(self.stall_s(AGENTS["agent1"], 6661), 0.1)

    def test_doubted_and_taken_back(self) -> None:
        """One open that is left unanswered casts doubt on every tunnel to that agent, and each is trusted again when it answers."""
        self.network.freeze("agent1")
        self.connect(CLOUDS["cloud1"], 5551, b"hello")
        self.run_for(1.4)
        self.assertEqual([tunnel.suspect for tunnel in self.holders("cloud1")], [False] * 2 * PREPARED)
        self.run_for(0.2)
        suspects = [tunnel for tunnel in self.holders("cloud1") if tunnel.suspect]
        self.assertEqual(len(suspects), PREPARED)
        self.assertTrue(all("agent1" in tunnel.peer for tunnel in suspects))
        self.network.thaw("agent1")
        self.run_for(0.1)
        self.assertEqual([tunnel.suspect for tunnel in self.holders("cloud1")], [False] * 2 * PREPARED)

    def test_nothing_is_kept_of_those_that_are_gone(self) -> None:
        """An agent that dies and one that stops are forgotten, on both sides."""
        self.network.crash("agent1")
        stopped = self.gateways["agent2"].stopService()
        self.run_for(5)
        self.successResultOf(stopped)
        for name in ("cloud1", "cloud2", "agent2"):
            self.assertEqual(vars(self.gateways[name].context.far_instances), vars(FarInstances()), name)
