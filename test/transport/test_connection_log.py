"""The lines about connections, and why connects fail."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.connect_error import ConnectError, Why, explain
from kwic.transport.connection_log import ConnectionLog, Layer, Role, address_text, websocket_layer
from kwic.transport.websocket_client import WebSocketEndpoint
from test.transport.memory_network import Recorder
from test.transport.websocket_case import HOST, WebSocketCase, ws

TRIO = (
    Layer(name="tcp", ours="/10.0.0.1:38192", theirs="/10.0.0.2:443"),
    Layer(name="ssl", ours="ssl://10.0.0.1:38192", theirs="ssl://cloud1.example.com:443"),
    Layer(name="wsn", ours="ws://cloud1.example.com:443/kwic", theirs="wss://cloud1.example.com/kwic"),
)


class LogCase(WebSocketCase):
    """Reads the log."""

    def lines(self, level: LogLevel = LogLevel.info) -> list[str]:
        return [
            str(formatEvent(event))
            for event in self.events
            if event["log_level"] is level and str(event.get("log_namespace")).endswith(".ConnectionLog")
        ]


class ConnectionLogTests(LogCase):
    """The lines themselves."""

    def test_a_client(self) -> None:
        """One line per layer, numbered through, our end first, and the same on closing in the opposite order."""
        entry = ConnectionLog().opened(Role.CLIENT, "10.0.0.1:38192", TRIO)
        self.assertEqual(
            self.lines(),
            [
                "[tcp#1 10.0.0.1:38192] OPENED: (#00000001: kwic tcp, client, /10.0.0.1:38192 => /10.0.0.2:443)",
                (
                    "[ssl#2 10.0.0.1:38192] OPENED: (#00000002: kwic ssl, client, ssl://10.0.0.1:38192 => "
                    "ssl://cloud1.example.com:443)"
                ),
                (
                    "[wsn#3 10.0.0.1:38192] OPENED: (#00000003: kwic wsn, client, ws://cloud1.example.com:443/kwic => "
                    "wss://cloud1.example.com/kwic)"
                ),
            ],
        )
        self.assertEqual(entry.label, "wsn#3 10.0.0.1:38192")
        self.events.clear()
        entry.closed("the WebSocket closed (1000)")
        entry.closed("said once")
        self.assertEqual([line[:5] for line in self.lines()], ["[wsn#", "[ssl#", "[tcp#"])
        self.assertEqual(
            self.lines()[0],
            "[wsn#3 10.0.0.1:38192] CLOSED: (#00000003: kwic wsn, client, ws://cloud1.example.com:443/kwic => "
            "wss://cloud1.example.com/kwic): the WebSocket closed (1000)",
        )

    def test_a_server(self) -> None:
        """At the server's the far end comes first; numbers go on."""
        log = ConnectionLog()
        log.opened(Role.CLIENT, "x", TRIO)
        log.opened(Role.SERVER, "10.0.0.2:443", TRIO[:1])
        self.assertEqual(
            self.lines()[-1],
            "[tcp#4 10.0.0.2:443] OPENED: (#00000004: kwic tcp, server, /10.0.0.2:443 => /10.0.0.1:38192)",
        )

    def test_switched_off(self) -> None:
        """Lines that nobody has asked for are of level debug."""
        ConnectionLog(enabled=False).opened(Role.CLIENT, "x", TRIO[:1])
        self.assertEqual(self.lines(), [])
        self.assertEqual(len(self.lines(LogLevel.debug)), 1)

    def test_default_ports(self) -> None:
        """What was asked for is told without the port of its scheme; every other port is told, and what is spoken always has one."""
        for uri, below, asked in (
            ("wss://cloud1:443/kwic", "ws://cloud1:443/kwic", "wss://cloud1/kwic"),
            ("wss://cloud1:8443/kwic", "ws://cloud1:8443/kwic", "wss://cloud1:8443/kwic"),
            ("wss://cloud1:80/", "ws://cloud1:80/", "wss://cloud1:80/"),
            ("ws://[::1]:80/a/b?c=d", "ws://[::1]:80/a/b", "ws://[::1]/a/b?c=d"),
            ("ws://cloud1:443/kwic", "ws://cloud1:443/kwic", "ws://cloud1:443/kwic"),
        ):
            self.assertEqual(
                websocket_layer(Role.CLIENT, uri), Layer(name="wsn", ours=below, theirs=asked), uri
            )
            self.assertEqual(
                websocket_layer(Role.SERVER, uri), Layer(name="wsn", ours=asked, theirs=below), uri
            )

    def test_addresses(self) -> None:
        """IPv6 is in brackets; what is no address with a port speaks for itself."""
        self.assertEqual(address_text(IPv4Address("TCP", "10.0.0.1", 80)), "10.0.0.1:80")
        self.assertEqual(address_text(IPv6Address("TCP", "::1", 80)), "[::1]:80")
        self.assertIn("/run/x", address_text(UNIXAddress(b"/run/x")))


class WhenTests(LogCase):
    """When they are written."""

    def setUp(self) -> None:
        super().setUp()
        self.site.connection_log = ConnectionLog()

    def test_an_accepted_websocket(self) -> None:
        """An accepted WebSocket is logged when it is open and when it is gone, with the reason."""
        client, _ = self.open()
        peer = f"10.9.9.9:{client.transport.getHost().port}"
        opened = self.lines()
        self.assertEqual([line.partition(" ")[0] for line in opened], ["[tcp#1", "[wsn#2"])
        self.assertIn(f"{peer}] OPENED", opened[0])
        self.assertIn(f"/{peer} => /10.0.0.1:80", opened[0])
        self.assertIn("server, ws://10.0.0.1:80/kwic => ws://10.0.0.1/kwic)", opened[1])
        client.transport.loseConnection()
        self.network.settle()
        self.assertIn("CLOSED", self.lines()[2])
        self.assertTrue(self.lines()[2].endswith(": the connection was closed without a Close (1006)"))

    def test_probes_and_refusals(self) -> None:
        """Whoever is refused, or leaves before, is not logged."""
        self.dial(b"GET / HTTP/1.1\r\n\r\n")
        self.dial().transport.loseConnection()
        self.network.settle()
        self.assertEqual(self.lines(), [])

    def test_a_dialled_websocket(self) -> None:
        """A dialled WebSocket is logged when it is open and when it is gone."""
        self.site.connection_log = ConnectionLog(enabled=False)
        endpoint = WebSocketEndpoint(self.network, ws(), connection_log=ConnectionLog())
        opened = endpoint.connect(Factory.forProtocol(Recorder))
        self.network.settle()
        protocol: Any = self.successResultOf(opened)
        self.assertIn("client, ws://10.0.0.1:80/kwic => ws://10.0.0.1/kwic)", self.lines()[1])
        protocol.transport.loseConnection()
        self.network.settle()
        self.assertIn(f"=> ws://{HOST}/kwic): the WebSocket closed (1000)", self.lines()[2])


class ExplainTests(SynchronousTestCase):
    """Failures in one line."""

    def test_kinds(self) -> None:
        """Each failure has its kind and its words."""
        for problem, why, words in (
            (error.ConnectionRefusedError(), Why.REFUSED, "connection refused to x:1"),
            (error.DNSLookupError("no"), Why.NO_NAME, "no address is known for x:1"),
            (error.NoRouteError(), Why.UNREACHABLE, "no route to x:1"),
            (error.TCPTimedOutError(), Why.TIMEOUT, "no answer from x:1 in time"),
            (error.TimeoutError(), Why.TIMEOUT, "no answer from x:1 in time"),
            (error.ConnectError(osError=99, string="odd"), Why.UNREACHABLE, "x:1 cannot be reached: "),
            (error.ConnectionDone(), Why.LOST, "x:1 closed the connection before it was usable"),
            (error.ConnectionLost(), Why.LOST, "x:1 dropped the connection before it was usable"),
            (CancelledError(), Why.CANCELLED, "given up"),
            (SSL.Error([("SSL routines", "", "wrong version number")]), Why.TLS, "TLS with x:1 failed: "),
            (ValueError("two\nlines"), Why.UNREACHABLE, "x:1 cannot be reached: two lines"),
            (OSError(), Why.UNREACHABLE, "x:1 cannot be reached: OSError"),
        ):
            explained = explain(Failure(problem), "x:1")
            self.assertIs(explained.why, why, problem)
            self.assertIn(words, str(explained))
            self.assertNotIn("\n", str(explained))

    def test_what_is_explained_already(self) -> None:
        """An explanation is not explained again."""
        problem = ConnectError("a", Why.PROXY)
        self.assertIs(explain(Failure(problem), "x:1"), problem)
