"""How soon silence is noticed: on tunnels, on both of their sides, and between members; 5 s, or 1.5 s with `kwic:liveness="fast"`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import kwic
from kwic.config.ends import connect_ends
from kwic.policy.attempts import ACKNOWLEDGE_S
from kwic.policy.liveness import FAST, NORMAL
from kwic.service.entrances import patience
from kwic.service.link import FAST_TIMING, TIMING
from test.service.gateway_case import GatewayCase

CLOUD1, CLOUD2, AGENT = "10.0.0.1", "10.0.0.2", "10.0.1.1"

CLUSTER = """
  <cluster xmlns:kwic="urn:kwic:gateway:1" kwic:insecure="true"><name>kzha</name><accept>tcp://{ip}:5941</accept>
    <connect>udp://224.34.0.1:54327</connect></cluster>"""


def service(name: str, rest: str, fast: bool) -> str:
    """A service."""
    liveness = ' xmlns:kwic="urn:kwic:gateway:1" kwic:liveness="fast"' if fast else ""
    return f"<service{liveness}><name>{name}</name>{rest}<type>proxy</type>"


def reverse_cloud(name: str, port: int, fast: bool) -> str:
    """Clients in the cloud, tunnels that are taken there."""
    return service(name, f"<accept>tcp://{{ip}}:{port}</accept><connect>pipe://{name}</connect>", fast) + (
        "<connect-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>reverse</socks.mode>"
        "<socks.transport>ws://{ip}:80/kwic</socks.transport></connect-options></service>"
    )


def reverse_agent(name: str, cloud: str, fast: bool) -> str:
    """The agent of such a service."""
    return service(
        f"{name} {cloud}", f"<accept>pipe://{name}</accept><connect>tcp://server:9</connect>", fast
    ) + (
        "<accept-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>reverse</socks.mode>"
        f"<socks.transport>ws://{cloud}:80/kwic</socks.transport></accept-options></service>"
    )


def forward_cloud(fast: bool) -> str:
    """A service of the cloud's for clients on-prem."""
    return (
        service("B", "<accept>ws://{ip}:80/serviceB</accept><connect>tcp://server:9</connect>", fast)
        + "</service>"
    )


def forward_agent(cloud: str, fast: bool) -> str:
    """What dials it."""
    return (
        service("B", f"<accept>tcp://{{ip}}:6661</accept><connect>ws://{cloud}:80/serviceB</connect>", fast)
        + "</service>"
    )


class PageTests(SynchronousTestCase):
    """What docs/availability.md says of it."""

    def test_times(self) -> None:
        """The times that are named are those that count."""
        page = (Path(kwic.__file__).parent.parent / "docs" / "availability.md").read_text(encoding="utf-8")
        rows = (
            (
                "new clients go elsewhere",
                [one.suspect_after_s for one in (NORMAL, FAST, TIMING, FAST_TIMING)],
            ),
            ("its streams end", [one.dead_after_s for one in (NORMAL, FAST, TIMING, FAST_TIMING)]),
        )
        self.assertIn(f"| a new client that is not answered | {ACKNOWLEDGE_S:g} s: ", page)
        for text, times in rows:
            row = "{} | {:g} s, *fast* {:g} s | {:g} s, *fast* {:g} s |".format(text, *times)
            self.assertIn(row, page)


class LivenessCase(GatewayCase):
    """One agent, and a cloud of two."""

    def sites(self, cloud: str, agent: str) -> None:
        """Start everything, and wait until it is joined."""
        self.start("cloud1", CLOUD1, cloud + CLUSTER)
        self.start("cloud2", CLOUD2, cloud + CLUSTER)
        self.start("agent", AGENT, agent)
        self.wait(lambda: self.guests("cloud1") and self.dialled() and self.members("cloud2"))
        self.run_for(2)

    def guests(self, cloud: str) -> list[Any]:
        """The tunnels that a cloud node has taken."""
        return [tunnel for inbound in self.gateways[cloud].entrances.tunnels for tunnel in inbound.tunnels]

    def dialled(self) -> list[Any]:
        """The tunnels that the agent has dialled to the first cloud node."""
        return [peer.tunnel for uplink in self.gateways["agent"].uplinks for peer in uplink.tunnels]

    def members(self, cloud: str) -> list[Any]:
        """The members that a cloud node sees."""
        return list(self.gateways[cloud].membership.members())

    def noticed_s(self, victim: str, condition: Callable[[], bool]) -> float:
        """The longest that a freeze, a pulled cable, or a firewall that drops what comes from there takes to be noticed, at any moment."""
        longest_s = 0.0
        for number in range(9):
            self.run_for(0.37)
            if number % 3 == 0:
                self.network.freeze(victim)
            elif number % 3 == 1:
                self.network.isolate(victim)
            else:
                for other in set(self.gateways) - {victim}:
                    self.network.cut(victim, other, both=False)
            longest_s = max(longest_s, self.wait(condition, 10))
            self.network.thaw(victim)
            self.network.heal()
            self.wait(lambda: self.guests("cloud1") and self.dialled() and self.members("cloud2"), 60)
        return longest_s


class DefaultTests(LivenessCase):
    """Nobody said how soon."""

    def setUp(self) -> None:
        super().setUp()
        self.sites(reverse_cloud("A", 5551, False), reverse_agent("A", CLOUD1, False))

    def test_agent(self) -> None:
        """A cloud node notices a silent agent within five seconds."""
        self.assertTrue(4 < self.noticed_s("agent", lambda: not self.guests("cloud1")) <= 5.01)

    def test_cloud_node(self) -> None:
        """An agent notices a silent cloud node within five seconds."""
        self.assertTrue(4 < self.noticed_s("cloud1", lambda: not self.dialled()) <= 5.01)

    def test_member(self) -> None:
        """A member that is silent is gone within five seconds."""
        took_s = self.noticed_s("cloud1", lambda: not self.members("cloud2"))
        self.assertTrue(TIMING.dead_after_s - 1 < took_s <= 5)


class FastTests(LivenessCase):
    """All services say `kwic:liveness="fast"`."""

    def setUp(self) -> None:
        super().setUp()
        self.sites(reverse_cloud("A", 5551, True), reverse_agent("A", CLOUD1, True))

    def test_agent(self) -> None:
        """A cloud node notices a silent agent within 1.5 seconds."""
        self.assertLessEqual(self.noticed_s("agent", lambda: not self.guests("cloud1")), 1.51)

    def test_cloud_node(self) -> None:
        """An agent notices a silent cloud node within 1.5 seconds."""
        self.assertLessEqual(self.noticed_s("cloud1", lambda: not self.dialled()), 1.51)

    def test_member(self) -> None:
        """A member that is silent is gone within 1.5 seconds."""
        self.assertLessEqual(self.noticed_s("cloud1", lambda: not self.members("cloud2")), 1.51)

    def test_nothing_is_noticed_when_nothing_happens(self) -> None:
        """Quiet tunnels and links are not suspected, let alone cut."""
        tunnels = [*self.guests("cloud1"), *self.dialled()]
        self.run_for(60)
        self.assertEqual(tunnels, [*self.guests("cloud1"), *self.dialled()])
        self.assertEqual(self.lines("suspect") + self.lines("has gone down"), [])


class ForwardTests(LivenessCase):
    """A service in the cloud that is reached through tunnels of its own says "fast", and so does the one that dials it."""

    def test_both_ways(self) -> None:
        """Each side notices the silence of the other within 1.5 seconds."""
        self.sites(forward_cloud(True), forward_agent(CLOUD1, True))
        self.assertEqual(self.gateways["cloud1"].config.warnings, ())
        self.assertLessEqual(self.noticed_s("agent", lambda: not self.guests("cloud1")), 1.51)
        self.assertLessEqual(self.noticed_s("cloud1", lambda: not self.dialled()), 1.51)


class SharedAddressTests(LivenessCase):
    """Two services take their tunnels at one address, and one of them says "fast"."""

    def test_either(self) -> None:
        """Whichever it is: the silence of an agent is noticed within 1.5 seconds, and so is that of a member."""
        for first in (True, False):
            self.sites(
                reverse_cloud("A", 5551, first) + reverse_cloud("C", 5552, not first),
                reverse_agent("A", CLOUD1, first) + reverse_agent("C", CLOUD1, not first),
            )
            self.assertLessEqual(self.noticed_s("agent", lambda: not self.guests("cloud1")), 1.51)
            self.assertLessEqual(self.noticed_s("cloud1", lambda: not self.members("cloud2")), 1.51)
            self.network.power_off("agent")

    def test_inactivity(self) -> None:
        """Of several `ws.inactivity.timeout` at one address the shortest counts, likewise."""
        written = "".join(
            reverse_cloud(name, port, False).replace("<socks.mode>", f"{timeout}<socks.mode>")
            for name, port, timeout in (
                ("A", 5551, "<ws.inactivity.timeout>60 s</ws.inactivity.timeout>"),
                ("C", 5552, "<ws.inactivity.timeout>3 s</ws.inactivity.timeout>"),
                ("D", 5553, ""),
            )
        )
        ends = [
            end for one in self.make("cloud", CLOUD1, written).config.services for end in connect_ends(one)
        ]
        self.assertEqual(len(ends), 3)
        for order in permutations(ends):
            self.assertEqual(patience(order), (NORMAL, 3.0))
        self.assertEqual(patience(ends[2:]), (NORMAL, None))
