"""What the log says of tunnels and WebSockets that ended: why, in words, on both sides."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory

from kwic.config.address import parse_address
from kwic.config.model import TlsOptions
from kwic.service.status import status
from kwic.transport.tls import Credentials
from kwic.transport.websocket_client import WebSocketEndpoint
from test.integration.certificates import demo_pki
from test.service.gateway_case import Talker
from test.service.tls_case import HOST, TlsCase, security

CLOUD, ONPREM = "10.0.0.7", "10.0.1.7"
KWIC = f"wss://{HOST}:8443/kwic"


def service(accept: str, connect: str, side: str) -> str:
    """One service, with a tunnel on one side of it."""
    return (
        f"<service><name>A</name><accept>{accept}</accept><connect>{connect}</connect><type>proxy</type>"
        f"<{side}-options><pipe.transport>socks+ssl://{HOST}</pipe.transport><socks.mode>reverse</socks.mode>"
        f"<socks.transport>{KWIC}</socks.transport></{side}-options></service>"
    )


class EndingTests(TlsCase):
    """A cloud node and an agent with a tunnel over TLS between them."""

    def setUp(self) -> None:
        super().setUp()
        self.network.names[HOST] = (CLOUD,)
        self.cloud = self.start(
            "cloud",
            CLOUD,
            security("cloud") + service("tcp://{ip}:5551", "pipe://a", "connect"),
            log_clients=True,
        )

    def start_agent(self) -> None:
        """The agent, with its tunnel."""
        agent = security("tenant101") + service("pipe://a", "tcp://server:9", "accept")
        self.start("onprem", ONPREM, agent)
        self.wait(lambda: len(self.lines(" is up")) == 2)

    def assert_ended(self, *whys: str) -> None:
        """These are the reasons that the lines about the end of the tunnel give, whichever side wrote them."""
        closed = [line.rpartition("): ")[2] if "): " in line else line for line in self.lines("CLOSED: ")]
        gone = [line.partition(" is gone: ")[2] for line in self.lines(" is gone: ")]
        self.assertTrue(closed)
        self.assertTrue(gone)
        for found in (closed, gone):
            self.assertEqual(set(found), set(whys), "\n".join(self.lines("")))

    def test_silence(self) -> None:
        """A peer that is silent for too long: both sides say so, on every line."""
        self.start_agent()
        self.network.cut("cloud", "onprem")
        self.wait(lambda: len(self.lines(" is gone: ")) == 2, 20)
        self.assert_ended("nothing was received for 5.0 s")

    def test_last_line(self) -> None:
        """That a gateway has stopped is said after the last line about its connections, whichever side dialled them."""
        self.serve("server", "10.0.1.9", 9)
        for name, role in (("onprem", "client"), ("cloud", "server")):
            self.start_agent()
            self.served(CLOUD, 5551).transport.loseConnection()
            self.run_for(20)
            self.events.clear()
            stopped = self.gateways[name].stopService()
            self.wait(lambda stopped=stopped: stopped.called)
            self.run_for(1)
            lines = [line for line in self.lines("") if f", {role}, " in line or "Stopped server" in line]
            self.assertEqual(lines[-1], "Stopped server successfully")
            self.assertEqual(len([line for line in lines if "CLOSED: " in line]), 3, lines)

    def test_killed(self) -> None:
        """A peer whose process was killed: the connection was lost."""
        self.start_agent()
        self.network.crash("onprem")
        self.wait(lambda: self.lines(" is gone: "))
        self.assert_ended("the connection was lost (1006)")

    def stranger(self) -> Any:
        """Who opens a tunnel at the cloud node, and does not speak what is spoken there."""
        endpoint = WebSocketEndpoint(
            self.network.hosts["user"],
            parse_address(KWIC),
            credentials=Credentials.from_security(demo_pki().security("tenant101")),
            tls=TlsOptions(),
            protocols=("kwic.1",),
        )
        opened: list[Any] = []
        endpoint.connect(Factory.forProtocol(Talker)).addBoth(opened.append)  # type: ignore[arg-type]
        self.wait(lambda: opened)
        return opened[0]

    def test_broken_rule(self) -> None:
        """A peer that breaks a rule of the session is told which, and so is the log."""
        stranger = self.stranger()
        stranger.say(b"GET / HTTP/1.1\r\n\r\n")
        self.wait(lambda: stranger.lost and self.lines(" is gone: "))
        self.assertEqual(stranger.lost.value.code, 1002)
        (line,) = self.lines(": closed, ")
        rule = line.partition(": closed, ")[2]
        self.assertIn(rule, str(stranger.lost.value))
        (gone,) = self.lines(" is gone: ")
        self.assertTrue(gone.endswith(f" is gone: {rule}"), gone)
        for closed in (line for line in self.lines("CLOSED: ") if ", server, " in line):
            self.assertTrue(closed.endswith(f": the WebSocket closed (1002: {rule})"), closed)

    def test_broken_rule_and_no_goodbye(self) -> None:
        """A peer that breaks a rule and does not answer the Close is dropped after a second, for the same reason."""
        stranger = self.stranger()
        stranger.say(b"GET / HTTP/1.1\r\n\r\n")
        self.network.freeze("user")
        self.wait(lambda: self.lines(" is gone: "), 1.5)
        (line,) = self.lines(": closed, ")
        self.assert_ended(line.partition(": closed, ")[2])

    def test_paths(self) -> None:
        """The status counts the paths that a client may take: none through an agent that leaves, though its tunnel is still there."""

        def paths() -> int:
            return int(status(self.cloud)["services"][0]["paths"])

        self.assertEqual(paths(), 0)
        self.start_agent()
        self.wait(lambda: paths() == 1)
        (tunnel,) = self.cloud.context.far_instances._instances
        tunnel.draining = True
        self.assertEqual((paths(), tunnel.up), (0, True))
