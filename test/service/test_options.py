"""Options of the file that are worked out far from where they are read: each from the file to what it does."""

from __future__ import annotations

import re
import shutil

from twisted.internet import ssl
from twisted.protocols.tls import TLSMemoryBIOFactory

from kwic.service.gateway import CHANGED_S
from kwic.transport.websocket_server import Accept, Redirect, UpgradeRequest, WebSocketSite
from test.service.gateway_case import GatewayCase, One, Talker
from test.service.test_clients import proxy
from test.service.test_reload import StoreCase
from test.service.test_socks_tunnels import BIND, CLOUD, GREETING, METHOD, NOWHERE, ONPREM, cloud, onprem
from test.service.test_socks_websocket import KWIC, Route, WebSocketCase
from test.service.test_transports import options
from test.service.tls_case import HOST, TlsCase, security

FAR = "10.0.3.3"
SERVER = "tcp://server-a:9"
SILENCE = "<ws.inactivity.timeout>{}</ws.inactivity.timeout>"


class Plain:
    """A WebSocket service that is not ours, and speaks no subprotocol."""

    def __init__(self) -> None:
        self.talkers: list[Talker] = []

    def answer(self, request: UpgradeRequest) -> Accept:
        self.talkers.append(Talker())
        return Accept(protocol=self.talkers[-1])

    @property
    def last(self) -> Talker:
        return self.talkers[-1]


class Elsewhere:
    """One that sends everybody to another host."""

    def __init__(self, host: str) -> None:
        self._host = host

    def answer(self, request: UpgradeRequest) -> Redirect:
        return Redirect(location=f"http://{self._host}:80/b")


class OptionCase(WebSocketCase):
    """A server on-prem, and WebSocket services that are not ours."""

    def far(self, route: object, host: str = "far", address: str = FAR) -> None:
        """A WebSocket service at ws://far/b."""
        site = WebSocketSite(self.host(host, address), secure=False)
        site.add(f"{host}:80", "/b", route)  # type: ignore[arg-type]
        self.network.hosts[host].listenTCP(80, site, interface=address)

    def start_far_client(self, option: str) -> tuple[Talker, Talker]:
        """A client that is joined with the far service, and its end there."""
        route = Plain()
        self.far(route)
        service = proxy("B", "tcp://{ip}:7000", "ws://far/b", options("connect", option))
        self.start("onprem", ONPREM, service)
        self.run_for(1)
        client = self.connect(ONPREM, 7000, b"hello")
        self.wait(lambda: route.talkers and route.last.heard == b"hello")
        return client, route.last


class MessageSizeTests(OptionCase):
    """`ws.maximum.message.size`: what is longer is answered by Close 1009."""

    option = "<ws.maximum.message.size>1k</ws.maximum.message.size>"

    def test_accept(self) -> None:
        """Of a client."""
        self.start("cloud", CLOUD, proxy("B", "ws://cloud/b", SERVER, options("accept", self.option)))
        client = self.websocket("ws://cloud/b")
        client.say(b"x" * 1024)
        self.hears(client, b"x" * 1024)
        client.say(b"x" * 1025)
        self.wait(lambda: client.lost)
        self.assertEqual(client.lost.value.code, 1009)

    def test_connect(self) -> None:
        """Of a service that we connect to."""
        client, far = self.start_far_client(self.option)
        far.say(b"x" * 1024)
        self.hears(client, b"x" * 1024)
        far.say(b"x" * 1025)
        self.wait(lambda: far.lost)
        self.assertEqual(far.lost.value.code, 1009)


class InactivityTests(OptionCase):
    """`ws.inactivity.timeout`: a live one stays however silent it is, one that is gone without a word is noticed after that time."""

    CLOSE_S = 5.0  # for the answer to our Close

    def is_noticed(self, name: str, *between: str) -> None:
        """The only client of a gateway is taken for dead."""
        relays = self.gateways[name].context.relays
        self.run_for(30)
        self.assertEqual(len(relays), 1)
        self.network.cut(*between)
        took_s = self.wait(lambda: not len(relays), 60)
        self.assertTrue(2.0 < took_s < 4.2 + self.CLOSE_S, took_s)

    def test_accept(self) -> None:
        """A client of ours."""
        option = options("accept", SILENCE.format("4 s"))
        self.start("cloud", CLOUD, proxy("B", "ws://cloud/b", SERVER, option))
        client = self.websocket("ws://cloud/b")
        client.say(b"hello")
        self.hears(client, b"hello")
        self.is_noticed("cloud", "user", "cloud")

    def test_connect(self) -> None:
        """A service that we connect to."""
        self.start_far_client(SILENCE.format("4 s"))
        self.is_noticed("onprem", "onprem", "far")

    def test_agents_without_tunnels(self) -> None:
        """Agents that wait on a WebSocket: borne as long as the option says, not as long as a tunnel is."""
        self.start("cloud", CLOUD, cloud(transport=KWIC, more=SILENCE.format("60 s")))
        agent = self.websocket(KWIC, "socks")
        agent.say(GREETING + BIND)
        names = self.gateways["cloud"].names
        self.wait(lambda: names.holders("serviceA"))
        self.network.cut("user", "cloud")
        took_s = self.wait(lambda: not names.holders("serviceA"), 90)
        self.assertTrue(30 < took_s < 60.2 + self.CLOSE_S, took_s)

    def test_cloud_without_tunnels(self) -> None:
        """So is a cloud where our own agent waits on one."""
        route = self.site("cloud", CLOUD, "/kwic", "socks")
        services = onprem(transport=KWIC).replace(
            "</accept-options>", f"{SILENCE.format('60 s')}</accept-options>"
        )
        gateway = self.start("onprem", ONPREM, services)
        self.wait(lambda: route.talkers and route.last.heard == GREETING)
        route.last.say(METHOD)
        self.hears(route.last, GREETING + BIND)
        route.last.say(b"\x05\x00\x00" + NOWHERE)
        (uplink,) = gateway.uplinks
        self.wait(lambda: uplink.socks.waiting == {"serviceA": 1})
        self.network.cut("onprem", "cloud")
        took_s = self.wait(lambda: not uplink.socks.waiting["serviceA"], 90)
        self.assertTrue(30 < took_s < 60.2 + self.CLOSE_S, took_s)


class RedirectTests(OptionCase):
    """`http.maximum.redirects`: so often a client is sent elsewhere on its way."""

    def test_how_often(self) -> None:
        """None, one, and three where nothing is said; one more, and the client is not served."""
        self.far(Plain(), "r4", "10.0.4.4")
        for number in range(4):
            self.far(Elsewhere(f"r{number + 1}"), f"r{number}", f"10.0.4.{number}")
        cases = {
            ("0", 0): True,
            ("0", 1): False,
            ("1", 1): True,
            ("1", 2): False,
            ("", 3): True,
            ("", 4): False,
        }
        for number, ((limit, redirects), is_served) in enumerate(cases.items()):
            option = f"<http.maximum.redirects>{limit}</http.maximum.redirects>" if limit else ""
            start = f"ws://r{4 - redirects}/b"
            service = proxy("B", "tcp://{ip}:7000", start, options("connect", option))
            gateway = self.start(f"gw{number}", f"10.0.5.{number}", service)
            self.run_for(1)
            client = self.connect(f"10.0.5.{number}", 7000, b"hello")
            if is_served:
                self.wait(lambda gateway=gateway: len(gateway.context.relays))
            else:
                self.is_reset(client)


class SocksTimeoutTests(OptionCase):
    """`socks.timeout`: so long a client waits for a path, not ten seconds."""

    option = "<socks.timeout>3 s</socks.timeout>"

    def waits(self, services: str) -> None:
        """A client is turned away in three seconds."""
        self.start("cloud", CLOUD, services)
        client = self.connect(CLOUD, 5551, b"hello")
        took_s = self.wait(lambda: client.lost)
        self.assertTrue(2.9 < took_s < 3.2, took_s)

    def test_reverse(self) -> None:
        """For an agent."""
        self.waits(cloud(more=self.option))

    def test_forward(self) -> None:
        """For a tunnel that we dial ourselves."""
        self.waits(cloud("forward", "ws://onprem:80/kwic", self.option))

    def test_forward_without_tunnels(self) -> None:
        """For a peer that is dialled for each client."""
        self.host("onprem", ONPREM)
        self.network.cut("cloud", "onprem")
        self.waits(cloud("forward", f"tcp://{ONPREM}:1080", self.option))


class Refusing(Talker):
    """A cloud that takes no names."""

    def dataReceived(self, data: bytes) -> None:
        self.say(METHOD if data == GREETING else b"\x05\x02\x00" + NOWHERE)


class RefusingRoute(Route):
    """The same on a WebSocket."""

    def answer(self, request: UpgradeRequest) -> Accept:
        accept = super().answer(request)
        assert isinstance(accept, Accept), accept
        self.talkers[-1] = Refusing()
        return Accept(protocol=self.talkers[-1], subprotocol="socks")


class RetryIntervalTests(OptionCase):
    """`socks.retry.maximum.interval`: no longer are the waits between two attempts; here each is as long as it may be."""

    def dials(self, transport: str) -> int:
        """How often an agent dials in a minute."""
        option = "<socks.retry.maximum.interval>2 s</socks.retry.maximum.interval></accept-options>"
        services = onprem(transport=transport).replace("</accept-options>", option)
        self.host("cloud", CLOUD)
        self.start("onprem", ONPREM, services, random=lambda: 1.0)
        self.run_for(60)
        return sum(who == "onprem" and place[0] == CLOUD for who, place in self.network.dialled)

    def test_tunnels(self) -> None:
        """For tunnels."""
        self.assertIn(self.dials(KWIC), range(30, 33))

    def test_raw_socks(self) -> None:
        """For connections that wait."""
        self.assertIn(self.dials("tcp://cloud:1080"), range(30, 33))

    def test_socks_on_websockets(self) -> None:
        """For WebSockets that wait."""
        site = WebSocketSite(self.host("cloud", CLOUD), secure=False)
        site.add("cloud:80", "/kwic", RefusingRoute("socks"))
        self.network.hosts["cloud"].listenTCP(80, site, interface=CLOUD)
        self.assertIn(self.dials(KWIC), range(29, 34))


class OriginTests(GatewayCase):
    """Which pages may open a WebSocket."""

    def answers(self, *origins: str) -> list[bytes]:
        """The status that a page of each origin gets."""
        found = []
        for origin in origins:
            client = self.connect(
                CLOUD,
                80,
                b"GET /b HTTP/1.1\r\nHost: cloud\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://%b\r\n\r\n" % origin.encode(),
            )
            self.wait(lambda client=client: b"\r\n" in client.heard)
            found.append(client.heard.split()[1])
        return found

    def test_cross_site_constraint(self) -> None:
        """Pages that `allow-origin` names, and our own; no others."""
        self.serve("server", "10.0.1.9", 9)
        constraint = (
            "<cross-site-constraint><allow-origin>http://page.test</allow-origin></cross-site-constraint>"
        )
        self.start("cloud", CLOUD, proxy("B", "ws://cloud/b", more=constraint))
        self.assertEqual(self.answers("page.test", "cloud", "other.test"), [b"101", b"101", b"403"])

    def test_balancer(self) -> None:
        """Pages of the balancer that sends clients here, too; no others."""
        self.serve("server", "10.0.1.9", 9)
        member = (
            "<service><name>B</name><accept>ws://cloud/b</accept><connect>tcp://server:9</connect>"
            "<balance>ws://lb.test/b</balance><type>proxy</type></service>"
        )
        self.start("cloud", CLOUD, member)
        self.assertEqual(self.answers("lb.test", "cloud", "other.test"), [b"101", b"101", b"403"])


class ServiceTests(WebSocketCase):
    """What services do."""

    def test_repeat(self) -> None:
        """An echo service says everything as often as `repeat` says."""
        echo = "<service><name>E</name><accept>tcp://{ip}:7000</accept><type>echo</type><properties><repeat>3</repeat></properties></service>"
        self.start("gw", CLOUD, echo)
        client = self.connect(CLOUD, 7000, b"hello")
        self.hears(client, b"hello" * 3)

    def test_bad_gateway(self) -> None:
        """A client on a WebSocket whose server cannot be reached is told so by Close 1014."""
        self.start("cloud", CLOUD, proxy("B", "ws://cloud/b", SERVER))
        self.network.hosts["server-a"].ports.clear()
        client = self.websocket("ws://cloud/b")
        self.wait(lambda: client.lost, 15)
        self.assertEqual(client.lost.value.code, 1014)

    def test_warnings_of_the_file(self) -> None:
        """What is odd in the file stands in the log of the start, each thing with its place."""
        strategy = "<connect.strategy>immediate</connect.strategy>"
        self.start("gw", CLOUD, proxy("A", "tcp://{ip}:7000", SERVER, properties=strategy))
        (line,) = self.warnings("connect.strategy")
        self.assertTrue(line.startswith("gw.xml:1:"), line)


class ProxyTests(GatewayCase):
    """An HTTP proxy that the environment of the process names."""

    def test_environment(self) -> None:
        """What HTTP_PROXY is for goes through it, but for the hosts in NO_PROXY."""
        door = self.serve("proxy", "10.0.6.6", 3128, Talker)
        for host, address in (("far", FAR), ("near", "10.0.3.4")):
            self.host(host, address)
        self.start(
            "gw",
            ONPREM,
            proxy("A", "tcp://{ip}:7000", "ws://far/b") + proxy("B", "tcp://{ip}:7001", "ws://near/b"),
            environ={"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "near"},
        )
        self.run_for(1)
        places = {place for who, place in self.network.dialled if who == "gw"}
        self.assertEqual(places, {("10.0.6.6", 3128), ("10.0.3.4", 80)})
        self.assertTrue(door.last.heard.startswith(b"CONNECT far:80 "), door.last.heard)


class ChangedStoreTests(StoreCase):
    """Stores whose files are replaced while the gateway runs."""

    def test_read_again(self) -> None:
        """Without any signal, what has changed is read again within ten seconds, and clients see the new certificate."""
        self.serve("server", "10.0.1.9", 9)
        self.network.names[HOST] = (CLOUD,)
        used, renewed = self.stores("cloud"), self.stores("cloud")
        self.start("cloud", CLOUD, used + proxy("A", f"ssl://{HOST}:7443"))
        before = self.certificate()
        self.run_for(CHANGED_S + 1)
        self.assertEqual(self.certificate(), before)
        self.assertEqual(self.lines("read again"), [])
        for old, new in zip(
            *(re.findall("<file>(.*?)</file>", stores) for stores in (used, renewed)), strict=True
        ):
            shutil.copyfile(new, old)
        self.run_for(CHANGED_S + 1)
        self.assertEqual(len(self.lines("the stores were read again")), 1)
        self.assertNotEqual(self.certificate(), before)

    def certificate(self) -> bytes:
        """The certificate that a client is shown now."""
        client, reactor = Talker(b"hello"), self.network.hosts["user"]
        factory = TLSMemoryBIOFactory(ssl.CertificateOptions(), True, One(client), reactor)  # type: ignore[arg-type]
        reactor.connectTCP(CLOUD, 7443, factory)
        self.hears(client, b"hello")
        digest: bytes = client.transport.getPeerCertificate().digest("sha256")
        client.transport.abortConnection()
        return digest


class VerifyClientTests(TlsCase):
    """Services that share a listener."""

    def test_second_service(self) -> None:
        """What the second one says about certificates of clients holds for the first, which says nothing."""
        self.serve("server", "10.0.1.9", 9)
        self.network.names[HOST] = (CLOUD,)
        required = options("accept", "<ssl.verify-client>required</ssl.verify-client>")
        services = proxy("A", f"wss://{HOST}:443/a") + proxy("B", f"wss://{HOST}:443/b", more=required)
        self.start("cloud", CLOUD, security("cloud") + services)
        request = f"GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        known = self.tls(CLOUD, 443, request, tenant="tenant101")
        self.hears(known, b"HTTP/1.1 426")
        unknown = self.tls(CLOUD, 443, request)
        self.wait(lambda: unknown.lost)
        self.assertEqual(unknown.heard, b"")
