"""A service with several names to connect to: the second one serves where the first cannot, also when one agent offers both."""

from __future__ import annotations

from test.service.gateway_case import GatewayCase

CLOUD, ONPREM = "10.0.0.7", "10.0.1.7"
PIPE = (
    "<pipe.transport>socks://cloud</pipe.transport><socks.mode>reverse</socks.mode>"
    "<socks.transport>ws://cloud:80/kwic</socks.transport>"
)


def agent(name: str, server: str) -> str:
    """A service that an agent offers."""
    return (
        f"<service><name>{name}</name><accept>pipe://{name}</accept><connect>tcp://{server}:9</connect><type>proxy</type>"
        f"<accept-options>{PIPE}</accept-options></service>"
    )


class SeveralTests(GatewayCase):
    """One agent, one tunnel, two names."""

    def setUp(self) -> None:
        super().setUp()
        connects = "<connect>pipe://first</connect><connect>pipe://second</connect>"
        self.start(
            "cloud",
            CLOUD,
            f"<service><name>A</name><accept>tcp://{{ip}}:5551</accept>{connects}<type>proxy</type>"
            f"<connect-options>{PIPE}</connect-options></service>",
        )
        self.second = self.serve("server-2", "10.0.1.9", 9)

    def agent(self) -> None:
        """An agent that offers both, known to the cloud."""
        self.start("onprem", ONPREM, agent("first", "server-1") + agent("second", "server-2"))
        self.wait(lambda: len(self.lines("offers")) == 2)

    def test_in_order(self) -> None:
        """The first is taken while it serves."""
        first = self.serve("server-1", "10.0.1.8", 9)
        self.agent()
        self.served(CLOUD, 5551)
        self.assertEqual((len(first.talkers), len(self.second.talkers)), (1, 0))

    def test_the_first_refuses(self) -> None:
        """The second is tried for the same client."""
        self.host("server-1", "10.0.1.8")
        self.agent()
        self.served(CLOUD, 5551)

    def test_the_second_refuses(self) -> None:
        """That does not matter to a client of the first."""
        self.second = self.serve("server-1", "10.0.1.8", 9)
        self.network.names["server-2"] = ("10.0.1.99",)
        self.agent()
        self.served(CLOUD, 5551)
