"""`http.transport` and `ssl.transport`: the socket is elsewhere, Host, certificate and path stay; and TLS that somebody else has taken off."""

from __future__ import annotations

from twisted.internet.protocol import Factory

from kwic.config.address import parse_address
from kwic.transport.tls import Credentials
from kwic.transport.websocket_client import WebSocketEndpoint
from test.integration.certificates import demo_pki
from test.service.gateway_case import Talker
from test.service.test_clients import proxy
from test.service.tls_case import HOST, TlsCase, security

CLOUD, ONPREM, DOOR = "10.0.0.7", "10.0.1.7", "10.0.0.80"


def options(side: str, text: str) -> str:
    """A block of options."""
    return f"<{side}-options>{text}</{side}-options>"


class TransportTests(TlsCase):
    """A cloud and its clients."""

    def setUp(self) -> None:
        super().setUp()
        self.serve("server", "10.0.1.9", 9)
        self.network.names[HOST] = (CLOUD,)

    def test_listens_elsewhere(self) -> None:
        """Under wss `http.transport tcp://@eth0:port` moves the socket: clients name the host and port of the accept."""
        moved = options("accept", "<http.transport>tcp://@eth0:8443</http.transport>")
        self.start("cloud", CLOUD, security("cloud") + proxy("B", f"wss://{HOST}:443/b", more=moved))
        self.assertEqual(list(self.network.hosts["cloud"].ports), [(CLOUD, 8443)])
        endpoint = WebSocketEndpoint(
            self.network.hosts["user"],
            parse_address(f"wss://{HOST}:443/b"),
            credentials=Credentials.from_security(demo_pki().security("onprem")),
            dial_address=CLOUD,
            dial_port=8443,
        )
        outcome: list[object] = []
        endpoint.connect(Factory.forProtocol(lambda: Talker(b"hello"))).addBoth(outcome.append)  # type: ignore[arg-type]
        self.wait(lambda: outcome)
        assert isinstance(outcome[0], Talker), outcome
        self.hears(outcome[0], b"hello")

    def test_dials_elsewhere(self) -> None:
        """On the connect side another host is dialled – a port forward, say – and the certificate is still that of the connect."""
        moved = options("accept", "<tcp.bind>8443</tcp.bind>")
        self.start("cloud", CLOUD, security("cloud") + proxy("B", f"wss://{HOST}:443/b", more=moved))
        self.network.names["door"] = (CLOUD,)
        self.network.names[HOST] = ("10.66.66.66",)
        through = options("connect", "<http.transport>tcp://door:8443</http.transport>")
        self.start(
            "onprem", ONPREM, security("onprem") + proxy("B", "tcp://{ip}:7000", f"wss://{HOST}/b", through)
        )
        self.run_for(1)
        self.served(ONPREM, 7000)
        self.assertEqual({place for who, place in self.network.dialled if who == "onprem"}, {(CLOUD, 8443)})

    def test_tunnel_dials_elsewhere(self) -> None:
        """So do tunnels, to every address that the other host has."""
        socks = (
            f"<pipe.transport>socks://{HOST}</pipe.transport><socks.mode>reverse</socks.mode>"
            f"<socks.transport>wss://{HOST}/kwic</socks.transport>"
        )
        for number in (1, 2):
            cloud = options("connect", socks + "<tcp.bind>{ip}:8443</tcp.bind>")
            services = proxy("A", "tcp://{ip}:5551", "pipe://a", cloud)
            self.start(f"cloud{number}", f"10.0.0.{number}", security("cloud") + services)
        self.network.names["door"] = ("10.0.0.1", "10.0.0.2")
        self.network.names[HOST] = ("10.66.66.66",)
        agent = options("accept", socks + "<http.transport>tcp://door:8443</http.transport>")
        self.start("onprem", ONPREM, security("onprem") + proxy("A", "pipe://a", more=agent))
        for number in (1, 2):
            self.wait(lambda number=number: self.gateways[f"cloud{number}"].names.holders("a"), 15)
            self.served(f"10.0.0.{number}", 5551)

    def test_tls_dials_elsewhere(self) -> None:
        """`ssl.transport` does the same for raw TLS."""
        self.start("cloud", CLOUD, security("cloud") + proxy("B", f"ssl://{HOST}:7443"))
        self.network.names["door"] = (CLOUD,)
        self.network.names[HOST] = ("10.66.66.66",)
        through = options("connect", "<ssl.transport>tcp://door:7443</ssl.transport>")
        self.start(
            "onprem",
            ONPREM,
            security("onprem") + proxy("B", "tcp://{ip}:7000", f"ssl://{HOST}:443", through),
        )
        self.served(ONPREM, 7000)

    def test_wrong_host_behind_the_door(self) -> None:
        """Who is found there must have the certificate of the connect."""
        self.start("cloud", CLOUD, security("cloud") + proxy("B", f"ssl://{HOST}:7443"))
        self.network.names["door"] = (CLOUD,)
        through = options("connect", "<ssl.transport>tcp://door:7443</ssl.transport>")
        services = proxy("B", "tcp://{ip}:7000", "ssl://other.example.net:443", through)
        self.start("onprem", ONPREM, security("onprem") + services)
        self.is_reset(self.connect(ONPREM, 7000, b"hello"))

    def test_tls_taken_off(self) -> None:
        """With `ssl.encryption disabled` wss is spoken in clear: something in front has the TLS."""
        clear = "<ssl.encryption>disabled</ssl.encryption>"
        self.start(
            "cloud",
            CLOUD,
            proxy("B", f"wss://{HOST}:443/b", more=options("accept", clear + "<tcp.bind>8080</tcp.bind>")),
        )
        door = options("connect", clear + f"<http.transport>tcp://{CLOUD}:8080</http.transport>")
        self.start("onprem", ONPREM, proxy("B", "tcp://{ip}:7000", f"wss://{HOST}/b", door))
        self.run_for(1)
        self.served(ONPREM, 7000)
