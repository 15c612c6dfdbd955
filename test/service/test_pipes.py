"""Pipes within one process, and rendezvous keys that are URIs."""

from __future__ import annotations

from test.service.gateway_case import Echoer, GatewayCase

ADDRESS, SERVER = "10.0.0.7", "10.0.1.9"


def service(name: str, accept: str, *connects: str, more: str = "") -> str:
    """A proxy service."""
    lines = "".join(f"<connect>{connect}</connect>" for connect in connects)
    return f"<service><name>{name}</name><accept>{accept}</accept>{lines}<type>proxy</type>{more}</service>"


IN = service("in", "tcp://{ip}:7000", "pipe://middle")


class PipeTests(GatewayCase):
    """A pipe without `pipe.transport` joins two services of one file."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server", SERVER, 9)

    def test_through(self) -> None:
        """A client of the one reaches the server of the other, with half-close; in whatever order they stand in the file."""
        middle = service("middle", "pipe://middle", "tcp://server:9")
        for number, text in enumerate((IN + middle, middle + IN)):
            address = f"10.0.0.{number + 20}"
            gateway = self.start(f"gw{number}", address, text)
            client = self.served(address, 7000)
            client.transport.loseWriteConnection()
            self.hears_end(client)
            self.run_for(1)
            self.assertEqual(len(gateway.context.relays), 0)

    def test_much(self) -> None:
        """More than all buffers goes through and back, in order, while the server reads slowly."""
        self.start("gw", ADDRESS, IN + service("middle", "pipe://middle", "tcp://server:9"))
        client = self.connect(ADDRESS, 7000)
        self.run_for(0.1)
        sent = b"".join(number.to_bytes(4, "big") for number in range(500_000))
        for start in range(0, len(sent), 50_000):
            client.say(sent[start : start + 50_000])
        self.server.last.transport.pauseProducing()
        self.run_for(2)
        self.server.last.transport.resumeProducing()
        self.wait(lambda: len(client.heard) == len(sent))
        self.assertTrue(client.heard == sent)

    def test_the_dial_decides(self) -> None:
        """When the server behind the pipe refuses, the client is reset at once, or taken to the next `<connect>`."""
        middle = service("middle", "pipe://middle", "tcp://server:10")
        self.start("gw", ADDRESS, IN + middle)
        self.is_reset(self.connect(ADDRESS, 7000, b"hello"), 1)
        self.start(
            "gw2",
            "10.0.0.8",
            IN.replace("</connect>", "</connect><connect>tcp://server:9</connect>") + middle,
        )
        self.served("10.0.0.8", 7000)

    def test_client_leaves_meanwhile(self) -> None:
        """A client that leaves while the far end is being dialled leaves nothing behind."""
        gateway = self.start("gw", ADDRESS, IN + service("middle", "pipe://middle", "tcp://10.9.9.9:9"))
        client = self.connect(ADDRESS, 7000, b"hello")
        self.run_for(0.5)
        client.transport.abortConnection()
        self.run_for(30)
        self.assertEqual((gateway.servers["in"].waiting, gateway.servers["middle"].waiting), (0, 0))

    def test_resets(self) -> None:
        """A reset of the server is one of the client, and the other way round."""
        self.start("gw", ADDRESS, IN + service("middle", "pipe://middle", "tcp://server:9"))
        client = self.served(ADDRESS, 7000)
        self.server.last.transport.abortConnection()
        self.is_reset(client)
        client = self.served(ADDRESS, 7000)
        client.transport.abortConnection()
        self.is_reset(self.server.last)

    def test_chain(self) -> None:
        """Pipes may lead to pipes."""
        self.start(
            "gw",
            ADDRESS,
            IN
            + service("middle", "pipe://middle", "pipe://last")
            + service("last", "pipe://last", "tcp://server:9"),
        )
        self.served(ADDRESS, 7000)


class ConnectOrderTests(GatewayCase):
    """Several `<connect>`s."""

    def test_in_order(self) -> None:
        """They are candidates in the order of the file: the next one is taken when one fails, and the first again when it works."""
        first, second = self.serve("one", "10.0.1.1", 9), self.serve("two", "10.0.1.2", 9)
        self.start("gw", ADDRESS, service("in", "tcp://{ip}:7000", "tcp://one:9", "tcp://two:9"))
        for _ in range(3):
            self.served(ADDRESS, 7000)
        self.assertEqual((len(first.talkers), len(second.talkers)), (3, 0))
        listening = dict(self.network.hosts["one"].ports)
        self.network.hosts["one"].ports.clear()
        for _ in range(3):
            self.served(ADDRESS, 7000)
        self.assertEqual((len(first.talkers), len(second.talkers)), (3, 3))
        self.network.hosts["one"].ports.update(listening)
        self.network.hosts["two"].ports.clear()
        self.served(ADDRESS, 7000)
        self.assertEqual(len(first.talkers), 4)

    def test_pipe_first(self) -> None:
        """A pipe keeps its place among them."""
        self.serve("server", SERVER, 9)
        spare = self.serve("spare", "10.0.1.2", 9)
        self.start(
            "gw",
            ADDRESS,
            service("in", "tcp://{ip}:7000", "pipe://middle", "tcp://spare:9")
            + service("middle", "pipe://middle", "tcp://server:9"),
        )
        for _ in range(3):
            self.served(ADDRESS, 7000)
        self.assertEqual(spare.talkers, [])


class LogicalUriTests(GatewayCase):
    """Any address may ride on socks; the whole URI is the rendezvous key then."""

    CLOUD, ONPREM = "10.0.0.7", "10.0.1.7"

    def test_tcp(self) -> None:
        """`tcp.transport socks://…` on both sides: the cloud listens at the very address that is the key."""
        self.serve("docker", SERVER, 2375)
        options = (
            "<tcp.transport>socks://cloud:2376</tcp.transport><socks.mode>reverse</socks.mode>"
            "<socks.transport>wsn://cloud:2376/kwic1</socks.transport>"
        )
        uri = "tcp://cloud:2375"
        self.start(
            "cloud",
            self.CLOUD,
            service("docker", uri, uri, more=f"<connect-options>{options}</connect-options>"),
        )
        self.start(
            "onprem",
            self.ONPREM,
            service("docker", uri, "tcp://docker:2375", more=f"<accept-options>{options}</accept-options>"),
        )
        self.wait(lambda: self.gateways["cloud"].names.holders(uri))
        self.assertNotIn((self.ONPREM, 2375), self.network.hosts["onprem"].ports)
        self.served(self.CLOUD, 2375)

    def test_tcp_over_plain_socks(self) -> None:
        """The same without a WebSocket, forward."""
        self.serve("docker", SERVER, 2375, Echoer)
        options = "<tcp.transport>socks://onprem:2376</tcp.transport>"
        uri = "tcp://cloud:2375"
        self.start(
            "cloud",
            self.CLOUD,
            service("docker", uri, uri, more=f"<connect-options>{options}</connect-options>"),
        )
        self.start(
            "onprem",
            self.ONPREM,
            service("docker", uri, "tcp://docker:2375", more=f"<accept-options>{options}</accept-options>"),
        )
        self.served(self.CLOUD, 2375)
