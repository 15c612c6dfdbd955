"""How clients are let in: on raw TLS listeners, in the connection log, and while the back end is gone."""

from __future__ import annotations

import re
from typing import Any

from kwic.service.refusals import INTERVAL_S
from test.service.gateway_case import USER, GatewayCase
from test.service.tls_case import HOST, TlsCase, security

CLOUD, SERVER = "10.0.0.7", "10.0.1.9"


def proxy(
    name: str, accept: str, connect: str = "tcp://server:9", more: str = "", properties: str = ""
) -> str:
    """A proxy service."""
    return (
        f"<service><name>{name}</name><accept>{accept}</accept><connect>{connect}</connect><type>proxy</type>"
        f"<properties>{properties}</properties>{more}</service>"
    )


class RawTlsTests(TlsCase):
    """Clients of an `ssl://` accept."""

    verify = ""

    def setUp(self) -> None:
        super().setUp()
        self.serve("server", SERVER, 9)
        self.network.names[HOST] = (CLOUD,)

    def start_tls(self, verify: str = "none", **context: Any) -> None:
        options = f"<accept-options><ssl.verify-client>{verify}</ssl.verify-client></accept-options>"
        self.start(
            "cloud", CLOUD, security("cloud") + proxy("A", f"ssl://{HOST}:7443", more=options), **context
        )

    def test_served(self) -> None:
        """A client is served, with what it said at once; and one that says nothing stays as long as it likes."""
        self.start_tls()
        client = self.tls(CLOUD, 7443, b"hello")
        self.hears(client, b"hello")
        quiet = self.tls(CLOUD, 7443)
        self.run_for(300)
        quiet.say(b"at last")
        self.hears(quiet, b"at last")

    def test_echo_service(self) -> None:
        """An echo service is let in by the same door."""
        self.start(
            "cloud",
            CLOUD,
            security("cloud")
            + f"<service><name>E</name><accept>ssl://{HOST}:7443</accept><type>echo</type></service>",
        )
        client = self.tls(CLOUD, 7443, b"hello")
        self.hears(client, b"hello")

    def test_silent(self) -> None:
        """A client that does not shake hands within five seconds is dropped."""
        self.start_tls()
        silent = self.connect(CLOUD, 7443, b"\x16")
        self.run_for(4.9)
        self.assertIs(silent.lost, None)
        self.is_reset(silent, 0.2)
        self.assertEqual(self.lines("is refused"), [])

    def test_too_many(self) -> None:
        """When too many shake hands, the oldest is dropped, and who speaks TLS is served."""
        self.start_tls()
        listener, _ = self.gateways["cloud"].listening.listeners[0]
        listener._factory.wrappedFactory.handshakes._maximum = 10  # type: ignore[attr-defined]
        silent = [self.connect(CLOUD, 7443) for _ in range(10)]
        self.run_for(0.1)
        client = self.tls(CLOUD, 7443, b"hello")
        self.hears(client, b"hello")
        self.assertEqual([one.how_it_ended for one in silent], ["ConnectionLost"] + [""] * 9)

    def test_stopped_listener(self) -> None:
        """A listener that closes lets those go that are not through."""
        self.start_tls()
        silent = self.connect(CLOUD, 7443)
        self.run_for(0.1)
        stopped = self.gateways["cloud"].stopService()
        self.is_reset(silent, 0.1)
        self.wait(lambda: stopped.called)
        self.run_for(60)
        self.assertEqual(self.network.hosts["cloud"].getDelayedCalls(), [])

    def test_certificates(self) -> None:
        """Where a certificate is required, clients without one are turned away, and so are those with another's, with a line in the log."""
        self.start_tls("required")
        for certificate, words in ((None, "the client sent no certificate"), ("cloud", "CN=")):
            for _ in range(3):
                client = self.tls(CLOUD, 7443, b"hello", tenant=certificate)
                self.wait(lambda client=client: client.lost)
                self.assertEqual(client.heard, b"")
            self.assertIn(words, self.warnings("is refused")[-1])
            self.run_for(INTERVAL_S)
        self.assertEqual(len(self.warnings("is refused")), 2)
        client = self.tls(CLOUD, 7443, b"hello", tenant="tenant101")
        self.hears(client, b"hello")

    def test_garbage(self) -> None:
        """What is not TLS is dropped at once."""
        self.start_tls()
        client = self.connect(CLOUD, 7443, b"GET / HTTP/1.1\r\n\r\n")
        self.wait(lambda: client.lost or client.ended, 1)


class ConnectionLogTests(TlsCase):
    """The OPENED and CLOSED lines of clients."""

    def setUp(self) -> None:
        super().setUp()
        self.serve("server", SERVER, 9)
        self.network.names[HOST] = (CLOUD,)

    def start_all(self, **context: Any) -> None:
        self.start(
            "cloud",
            CLOUD,
            security("cloud") + proxy("A", "tcp://{ip}:7000") + proxy("B", f"ssl://{HOST}:7443"),
            **context,
        )

    def talk(self) -> None:
        """A client of each kind comes and goes."""
        for client in (self.connect(CLOUD, 7000, b"hello"), self.tls(CLOUD, 7443, b"hello")):
            self.hears(client, b"hello")
            client.transport.loseConnection()
            self.run_for(15)

    def test_on(self) -> None:
        """With `com.kaazing.kwic.logging` on, each layer of a client opens and closes with a line, each with a number of its own."""
        self.start_all(log_clients=True)
        self.talk()
        lines = [*self.lines("OPENED"), *self.lines("CLOSED")]
        shape = re.compile(
            rf"\[(tcp|ssl)#(\d+) {re.escape(USER)}:\d+\] (OPENED|CLOSED): \(#\d{{8}}: kwic (tcp|ssl), server, "
        )
        found = [shape.match(line) for line in lines]
        self.assertEqual(
            [(one[1], one[3]) for one in found if one],
            [
                ("tcp", "OPENED"),
                ("tcp", "OPENED"),
                ("ssl", "OPENED"),
                ("tcp", "CLOSED"),
                ("ssl", "CLOSED"),
                ("tcp", "CLOSED"),
            ],
        )
        self.assertEqual(len({one[2] for one in found if one}), 3)

    def test_off(self) -> None:
        """Without it there is no line, and a plain client is joined to its service without anybody in between."""
        self.start_all()
        self.talk()
        self.assertEqual(self.lines("OPENED"), [])

    def test_half_close_is_the_same(self) -> None:
        """A client that is logged may end its stream and still hear the answer."""
        self.start_all(log_clients=True)
        client = self.connect(CLOUD, 7000, b"hello")
        self.run_for(0.1)
        client.transport.loseWriteConnection()
        self.hears(client, b"hello")
        self.hears_end(client)


class QuiescedTests(GatewayCase):
    """`maximum.recovery.interval`: a back end that cannot be reached."""

    PROBED = "<maximum.recovery.interval>4</maximum.recovery.interval>"

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server", SERVER, 9)

    def take_away(self) -> None:
        """The back end is gone."""
        self.listening = dict(self.network.hosts["server"].ports)
        self.network.hosts["server"].ports.clear()

    def bring_back(self) -> None:
        """It is there again."""
        self.network.hosts["server"].ports.update(self.listening)

    def dials(self, name: str = "gw") -> int:
        return sum(who == name for who, _ in self.network.dialled)

    def test_tcp(self) -> None:
        """Clients of a quiesced service are reset at once, without a dial, until a probe has connected."""
        self.start("gw", CLOUD, proxy("A", "tcp://{ip}:7000", properties=self.PROBED))
        self.served(CLOUD, 7000)
        self.take_away()
        self.is_reset(self.connect(CLOUD, 7000, b"hello"))
        self.assertEqual(len(self.lines("Quiescing service with connect uri 'tcp://server:9'.")), 1)
        dials = self.dials()
        self.is_reset(self.connect(CLOUD, 7000, b"hello"), 0.1)
        self.assertEqual(self.dials(), dials)
        self.run_for(20)
        self.bring_back()
        self.wait(lambda: self.lines("Starting service with"), 5)
        self.served(CLOUD, 7000)

    def test_probes(self) -> None:
        """Probes come after 1, 2 and 4 seconds, and then every 4."""
        self.start("gw", CLOUD, proxy("A", "tcp://{ip}:7000", properties=self.PROBED))
        self.take_away()
        self.is_reset(self.connect(CLOUD, 7000, b"hello"))
        dials = self.dials()
        self.run_for(15.5)
        self.assertEqual(self.dials() - dials, 5)

    def test_not_asked_for(self) -> None:
        """Without the property, or with 0, every client is dialled for."""
        off = "<maximum.recovery.interval>0</maximum.recovery.interval>"
        for number, properties in enumerate(("", off)):
            address = f"10.0.0.{20 + number}"
            self.start(f"gw{number}", address, proxy("A", "tcp://{ip}:7000", properties=properties))
        self.take_away()
        for number in range(2):
            address = f"10.0.0.{20 + number}"
            self.is_reset(self.connect(address, 7000, b"hello"))
        self.bring_back()
        for number in range(2):
            self.served(f"10.0.0.{20 + number}", 7000)
        self.assertEqual(self.lines("Quiescing"), [])

    def test_websocket(self) -> None:
        """WebSocket clients are answered 503 with Retry-After; tunnels are still taken, and their clients sent elsewhere."""
        self.start("gw", CLOUD, proxy("A", "ws://gw/a", properties=self.PROBED))
        self.start("other", "10.0.0.8", proxy("A", "tcp://{ip}:7000", "ws://gw/a"))
        self.served("10.0.0.8", 7000)
        self.take_away()
        self.is_reset(self.connect("10.0.0.8", 7000, b"hello"))
        self.assertEqual(len(self.lines("Quiescing")), 1)
        dials = self.dials()
        self.is_reset(self.connect("10.0.0.8", 7000, b"hello"), 0.1)
        request = b"GET /a HTTP/1.1\r\nHost: gw\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        client = self.connect(CLOUD, 80, request)
        self.wait(lambda: client.ended or client.lost, 5)
        self.assertTrue(client.heard.startswith(b"HTTP/1.1 503 "), client.heard)
        self.assertIn(b"\r\nRetry-After: 1\r\n", client.heard)
        self.assertEqual(self.dials(), dials)
        self.bring_back()
        self.wait(lambda: self.lines("Starting service with"), 5)
        self.served("10.0.0.8", 7000)

    def test_through_a_tunnel(self) -> None:
        """What lies behind a tunnel is probed the way that a client goes."""
        self.start("gw", CLOUD, proxy("A", "ws://gw/a"))
        self.start("other", "10.0.0.8", proxy("A", "tcp://{ip}:7000", "ws://gw/a", properties=self.PROBED))
        self.run_for(1)
        self.take_away()
        self.is_reset(self.connect("10.0.0.8", 7000, b"hello"))
        self.is_reset(self.connect("10.0.0.8", 7000, b"hello"), 0.1)
        self.assertEqual(len(self.lines("Quiescing service with connect uri 'ws://gw:80/a'.")), 1)
        self.run_for(10)
        self.bring_back()
        self.wait(lambda: self.lines("Starting service with"), 5)
        self.served("10.0.0.8", 7000)
        self.run_for(1)
        self.assertEqual(sum(one.lost is None for one in self.server.talkers), 1, "probes leave nothing open")

    def test_stop(self) -> None:
        """A gateway that stops does not probe on."""
        gateway = self.start("gw", CLOUD, proxy("A", "tcp://{ip}:7000", properties=self.PROBED))
        self.take_away()
        self.is_reset(self.connect(CLOUD, 7000, b"hello"))
        stopped = gateway.stopService()
        self.wait(lambda: stopped.called)
        self.run_for(60)
        self.assertEqual(self.network.hosts["gw"].getDelayedCalls(), [])
