"""`tcp.maximum.outbound.rate`: how fast each client is sent what is for it."""

from __future__ import annotations

from test.service.gateway_case import Echoer, GatewayCase, Talker

ADDRESS, SERVER = "10.0.0.7", "10.0.1.9"
RATE = "<accept-options><tcp.maximum.outbound.rate>10kB/s</tcp.maximum.outbound.rate></accept-options>"


class RateTests(GatewayCase):
    """Ten thousand bytes per second and client."""

    def how_long(self, client: Talker, count: int) -> float:
        """Seconds until a client has heard so many bytes more."""
        count += len(client.heard)
        return self.wait(lambda: len(client.heard) >= count, 120)

    def start_proxy(self) -> None:
        self.server = self.serve("server", SERVER, 9, Talker)
        self.start(
            "gw",
            ADDRESS,
            f"<service><name>s</name><accept>tcp://{{ip}}:7000</accept><connect>tcp://server:9</connect><type>proxy</type>{RATE}</service>",
        )

    def test_proxy(self) -> None:
        """What the server says reaches the client at the rate, each client by itself; the other direction is not slowed."""
        self.start_proxy()
        clients = [self.connect(ADDRESS, 7000, b"x" * 200_000) for _ in range(2)]
        self.wait(lambda: len(self.server.talkers) == 2)
        self.assertLess(self.wait(lambda: all(len(one.heard) == 200_000 for one in self.server.talkers)), 1)
        for server in self.server.talkers:
            server.say(b"y" * 50_000)
        took_s = self.how_long(clients[0], 50_000)
        self.assertTrue(4.5 < took_s < 5.5, took_s)
        self.assertLess(self.how_long(clients[1], 50_000 - len(clients[1].heard)), 0.5)

    def test_server_waits(self) -> None:
        """A server that says more than may wait is not read until the client has been sent it."""
        self.start_proxy()
        client = self.connect(ADDRESS, 7000, b"x")
        self.wait(lambda: self.server.talkers)
        self.server.last.say(b"y" * 2_000_000)
        self.run_for(1)
        gateway = self.network.hosts["gw"]
        waiting = sum(len(piece) for one in gateway.transports for piece in one._out)
        self.assertLess(waiting, 1_000_000)
        self.assertLess(len(client.heard), 15_000)

    def test_end(self) -> None:
        """An end of stream comes behind the last byte."""
        self.start_proxy()
        client = self.connect(ADDRESS, 7000, b"x")
        self.wait(lambda: self.server.talkers and self.server.last.heard)
        self.server.last.say(b"y" * 1_000_000)
        self.server.last.transport.loseConnection()
        self.hears_end(client, 120)
        self.assertEqual(len(client.heard), 1_000_000)
        client.transport.loseConnection()
        self.run_for(1)
        self.assertEqual(len(self.gateways["gw"].context.relays), 0)

    def test_echo(self) -> None:
        """An echo service keeps to it, too."""
        self.start(
            "gw",
            ADDRESS,
            f"<service><name>s</name><accept>tcp://{{ip}}:7000</accept><type>echo</type>{RATE}</service>",
        )
        client = self.connect(ADDRESS, 7000, b"x" * 50_000)
        took_s = self.how_long(client, 50_000)
        self.assertTrue(4.5 < took_s < 5.5, took_s)
        client.transport.loseConnection()
        self.run_for(1)

    def test_tunnelled_clients(self) -> None:
        """Clients of a WebSocket service that come in a tunnel are clients of it like others; those of a pipe are not."""
        self.server = self.serve("server", SERVER, 9, Echoer)
        self.start(
            "cloud",
            ADDRESS,
            f"<service><name>B</name><accept>ws://cloud/b</accept><connect>tcp://server:9</connect><type>proxy</type>{RATE}</service>",
        )
        self.start(
            "onprem",
            "10.0.0.8",
            "<service><name>B</name><accept>tcp://{ip}:7000</accept><connect>ws://cloud/b</connect><type>proxy</type></service>",
        )
        client = self.connect("10.0.0.8", 7000, b"x" * 50_000)
        took_s = self.how_long(client, 50_000)
        self.assertTrue(4.5 < took_s < 5.5, took_s)
