"""Clients for whom there is no way: what the log says about them, and how often."""

from __future__ import annotations

from kwic.service.refusals import INTERVAL_S
from test.service.gateway_case import USER, GatewayCase, Talker

ADDRESS = "10.0.0.7"


def service(name: str, port: int, connect: str, options: str = "") -> str:
    """A proxy service on a port."""
    return (
        f"<service><name>{name}</name><accept>tcp://{{ip}}:{port}</accept><connect>{connect}</connect><type>proxy</type>"
        f"<connect-options>{options}</connect-options></service>"
    )


def tunnel(mode: str) -> str:
    """The options of a pipe in a tunnel; either side may dial it."""
    return (
        f"<pipe.transport>socks://cloud</pipe.transport><socks.mode>{mode}</socks.mode>"
        "<socks.transport>ws://cloud:80/kwic</socks.transport><socks.timeout>7 s</socks.timeout>"
    )


class HangsUp(Talker):
    """A server that resets its clients at once."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class UnservedTests(GatewayCase):
    """A line names the service and what is missing, and a crowd is not worth a line each."""

    def complaint(self, port: int, number: int = 1) -> str:
        """What the log says when so many clients come at the same time and none is served: one line."""
        clients = [self.connect(ADDRESS, port, b"hello") for _ in range(number)]
        self.wait(lambda: all(client.lost for client in clients))
        self.run_for(INTERVAL_S)
        (line,) = self.warnings("failed [")
        self.assertEqual(len(self.lines("failed [")), number)
        self.assertIn(f"failed [{USER}:", line)
        return line.partition(" failed [")[0] + line.partition("]")[2]

    def test_nobody_offers_it(self) -> None:
        """A reverse name that nobody offers: who ought to, and for how long it was waited for."""
        self.start("cloud", ADDRESS, service("A", 7000, "pipe://serviceA", tunnel("reverse")))
        self.assertEqual(
            self.complaint(7000, 5),
            "service “A”: connection to pipe://serviceA: nobody has offered serviceA for 7 s; "
            "is an instance of the other side connected?",
        )

    def test_no_tunnel(self) -> None:
        """A tunnel that we dial and that is not up."""
        self.host("cloud", "10.0.0.8")
        self.start("onprem", ADDRESS, service("B", 7000, "pipe://serviceB", tunnel("forward")))
        self.assertEqual(
            self.complaint(7000, 5),
            "service “B”: connection to pipe://serviceB: no tunnel there was up for 7 s; earlier lines say why",
        )

    def test_refused(self) -> None:
        """A server that refuses is told with its own words."""
        self.host("server", "10.0.1.9")
        self.start("gw", ADDRESS, service("C", 7000, "tcp://server:9"))
        self.assertEqual(
            self.complaint(7000, 5),
            "service “C”: connection to tcp://server:9: tcp://server:9: connection refused to tcp://server:9",
        )

    def test_no_tls_there(self) -> None:
        """A server that does not speak TLS is told to be that, and one that hangs up in the handshake likewise."""
        self.serve("server", "10.0.1.9", 9, lambda: Talker(b"220 ready\r\n"))
        self.start("gw", ADDRESS, service("C", 7000, "ssl://server:9"))
        where = "service “C”: connection to ssl://server:9: ssl://server:9:"
        self.assertEqual(
            self.complaint(7000), f"{where} the other end does not speak TLS; check scheme and port"
        )
        self.events.clear()
        self.serve("rude", "10.0.1.10", 9, HangsUp)
        self.start("gw2", "10.0.0.8", service("C", 7000, "ssl://rude:9"))
        client = self.connect("10.0.0.8", 7000)
        self.wait(lambda: client.lost)
        (line,) = self.warnings("failed [")
        self.assertTrue(line.endswith("ssl://rude:9: the connection was lost"), line)

    def test_again(self) -> None:
        """Whoever comes later is worth a line again, and so is a client of another service at once."""
        self.host("server", "10.0.1.9")
        self.start("gw", ADDRESS, service("C", 7000, "tcp://server:9") + service("D", 7001, "tcp://server:9"))
        for port in (7000, 7001, 7000):
            client = self.connect(ADDRESS, port)
            self.wait(lambda client=client: client.lost)
        self.assertEqual(len(self.warnings("failed [")), 2)
        self.run_for(INTERVAL_S)
        client = self.connect(ADDRESS, 7000)
        self.wait(lambda: client.lost)
        self.assertEqual(len(self.warnings("failed [")), 3)
