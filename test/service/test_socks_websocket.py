"""Peers that cannot multiplex: one WebSocket for each client, on which `socks` was agreed (docs/protocol.md, section 6)."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory

from kwic.config.address import parse_address
from kwic.transport.connect_error import ConnectError
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, Refuse, UpgradeRequest, WebSocketSite
from test.service.gateway_case import USER, GatewayCase, Talker
from test.service.test_socks_tunnels import (
    BIND,
    CLOUD,
    CONNECT,
    GREETING,
    METHOD,
    NOWHERE,
    ONPREM,
    cloud,
    onprem,
    packed,
)

KWIC = "ws://cloud:80/kwic"


class Route:
    """A WebSocket service that is not ours, and accepts what it was told to."""

    def __init__(self, *speaks: str) -> None:
        self.speaks = speaks
        self.talkers: list[Talker] = []
        self.offered: list[tuple[str, ...]] = []

    def answer(self, request: UpgradeRequest) -> Accept | Refuse:
        self.offered.append(request.protocols)
        chosen = next((one for one in self.speaks if one in request.protocols), None)
        if chosen is None:
            return Refuse(status=400, reason="that is not spoken here")
        self.talkers.append(Talker())
        return Accept(protocol=self.talkers[-1], subprotocol=chosen)

    @property
    def last(self) -> Talker:
        return self.talkers[-1]


class WebSocketCase(GatewayCase):
    """A server on-prem, and WebSockets of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server-a", "10.0.1.9", 9)

    def websocket(self, uri: str, *protocols: str) -> Talker:
        """A WebSocket that is open."""
        endpoint = WebSocketEndpoint(self.network.hosts["user"], parse_address(uri), protocols=protocols)
        outcome: list[Any] = []
        endpoint.connect(Factory.forProtocol(Talker)).addBoth(outcome.append)  # type: ignore[arg-type]
        self.wait(lambda: outcome)
        if not isinstance(outcome[0], Talker):
            outcome[0].raiseException()
        talker: Talker = outcome[0]
        return talker

    def site(self, host: str, address: str, path: str, *speaks: str) -> Route:
        """A WebSocket server that is not ours."""
        route = Route(*speaks)
        site = WebSocketSite(self.host(host, address), secure=False)
        site.add(f"{host}:80", path, route)
        self.network.hosts[host].listenTCP(80, site, interface=address)
        return route


class StrangeAgentTests(WebSocketCase):
    """An agent that is not ours dials our cloud."""

    def setUp(self) -> None:
        super().setUp()
        self.start("cloud", CLOUD, cloud(transport=KWIC))

    def register(self) -> Talker:
        agent = self.websocket(KWIC, "socks")
        agent.say(GREETING)
        self.hears(agent, METHOD)
        agent.say(BIND)
        self.hears(agent, b"\x05\x00\x00" + packed(CLOUD, 80))
        return agent

    def test_two_replies(self) -> None:
        """As over TCP: registered, a client, its bytes; and its end is a Close."""
        agent = self.register()
        self.assertEqual(agent.transport.subprotocol, "socks")
        client = self.connect(CLOUD, 5551, b"hello")
        self.wait(lambda: client.transport)
        self.hears(agent, b"\x05\x00\x00")
        self.hears(agent, packed(USER, client.transport.getHost().port))
        self.hears(agent, b"hello")
        agent.say(b"welcome")
        self.hears(client, b"welcome")
        client.transport.loseConnection()
        self.wait(lambda: agent.lost, 20)
        self.assertEqual(agent.lost.value.code, 1000)

    def test_reset(self) -> None:
        """A client's reset is another end than Close 1000."""
        agent = self.register()
        client = self.connect(CLOUD, 5551, b"hello")
        self.wait(lambda: agent.heard.endswith(b"hello"))
        client.transport.abortConnection()
        self.wait(lambda: agent.lost)
        self.assertEqual(agent.lost.value.code, 1006)

    def test_tunnel_is_preferred(self) -> None:
        """Who offers a tunnel too gets a tunnel, in whatever order."""
        self.assertEqual(self.websocket(KWIC, "socks", "kwic.1").transport.subprotocol, "kwic.1")

    def test_neither(self) -> None:
        """Who offers neither is told what is spoken."""
        with self.assertRaises(ConnectError) as caught:
            self.websocket(KWIC, "mqtt")
        self.assertEqual(caught.exception.status, 400)

    def test_silent_agent(self) -> None:
        """A waiting WebSocket whose peer is gone without a word is noticed within five seconds; a live one stays."""
        agent = self.register()
        self.run_for(60)
        self.assertIs(agent.lost, None)
        self.network.cut("user", "cloud")
        self.wait(lambda: not self.gateways["cloud"].names.holders("serviceA"), 8)

    def test_through_our_agent_too(self) -> None:
        """Agents with tunnels and agents without serve the same name, and the tunnel goes on when the other leaves."""
        agent = self.register()
        self.start("onprem", ONPREM, onprem(transport=KWIC))
        self.wait(lambda: len(self.gateways["cloud"].names.holders("serviceA")) == 2)
        agent.transport.loseConnection()
        self.wait(lambda: len(self.gateways["cloud"].names.holders("serviceA")) == 1)
        self.served(CLOUD, 5551)


class StrangeCloudTests(WebSocketCase):
    """Our agent dials a cloud that speaks `socks` only."""

    def setUp(self) -> None:
        super().setUp()
        self.route = self.site("cloud", CLOUD, "/kwic", "socks")
        self.start("onprem", ONPREM, onprem(transport=KWIC))
        self.wait(lambda: self.route.talkers and self.route.last.heard)

    def agree(self) -> Talker:
        peer = self.route.last
        self.hears(peer, GREETING)
        peer.say(METHOD)
        self.hears(peer, BIND)
        peer.say(b"\x05\x00\x00" + NOWHERE)
        self.run_for(0.1)
        return peer

    def test_falls_back(self) -> None:
        """Both are offered first, in order of preference; then `socks` alone, and a client is served."""
        self.assertEqual(self.route.offered, [("kwic.1", "socks"), ("socks",)])
        peer = self.agree()
        peer.say(b"\x05\x00\x00" + packed(USER, 4711) + b"hello")
        self.hears(peer, b"hello")
        self.assertEqual(len(self.route.talkers), 3)
        self.assertEqual(len(self.lines("speaks no tunnels")), 1)

    def test_ours_again(self) -> None:
        """When it goes away and one with tunnels comes in its place, there are tunnels again."""
        self.agree()
        self.network.crash("cloud")
        self.run_for(5)
        self.start("cloud", CLOUD, cloud(transport=KWIC))
        self.wait(lambda: self.gateways["cloud"].entrances.tunnels, 40)
        self.wait(lambda: any(inbound.tunnels for inbound in self.gateways["cloud"].entrances.tunnels), 40)
        self.served(CLOUD, 5551)

    def test_stop(self) -> None:
        """Stopping ends all, and no timer is left."""
        self.agree()
        stopped = self.gateways["onprem"].stopService()
        self.wait(lambda: stopped.called)
        self.run_for(60)
        self.assertEqual(self.network.hosts["onprem"].getDelayedCalls(), [])

    def test_recovery(self) -> None:
        """While the server cannot be reached no connection waits for clients."""
        peer = self.agree()
        listening = dict(self.network.hosts["server-a"].ports)
        self.network.hosts["server-a"].ports.clear()
        peer.say(b"\x05\x00\x00" + packed(USER, 4711) + b"hello")
        self.wait(lambda: peer.lost)
        self.run_for(0.5)
        self.assertTrue(all(talker.lost for talker in self.route.talkers))
        count = len(self.route.talkers)
        self.network.hosts["server-a"].ports.update(listening)
        self.wait(lambda: len(self.route.talkers) > count, 10)


class ForwardTests(WebSocketCase):
    """The clients' side dials."""

    def test_strange_client_of_a_tunnel(self) -> None:
        """A client that cannot multiplex reaches a name with CONNECT."""
        uri = "ws://onprem:80/kwic"
        self.start("onprem", ONPREM, onprem("forward", uri))
        client = self.websocket(uri, "socks")
        client.say(GREETING + CONNECT + b"hello")
        self.hears(client, METHOD + b"\x05\x00\x00" + NOWHERE + b"hello")

    def test_strange_client_of_a_service(self) -> None:
        """It reaches a WebSocket service by its path, and is told when the back end refuses."""
        self.start(
            "onprem",
            ONPREM,
            "<service><name>B</name><accept>ws://onprem/serviceB</accept><connect>tcp://server-a:9</connect><type>proxy</type></service>",
        )
        connect = b"\x05\x01\x00\x03\x09/serviceB\x00\x00"
        client = self.websocket("ws://onprem/serviceB", "socks")
        client.say(GREETING + connect + b"hello")
        self.hears(client, METHOD + b"\x05\x00\x00" + NOWHERE + b"hello")
        self.network.hosts["server-a"].ports.clear()
        refused = self.websocket("ws://onprem/serviceB", "socks")
        refused.say(GREETING + connect)
        self.hears(refused, METHOD + b"\x05\x05\x00" + NOWHERE)

    def test_strange_server(self) -> None:
        """Our clients reach a name at a peer that speaks `socks` only."""
        route = self.site("onprem", ONPREM, "/kwic", "socks")
        self.start("cloud", CLOUD, cloud("forward", "ws://onprem:80/kwic"))
        self.wait(lambda: self.lines("speaks no tunnels"))
        client = self.connect(CLOUD, 5551, b"hello")
        self.wait(lambda: route.talkers and route.last.heard == GREETING)
        route.last.take(3)
        route.last.say(METHOD)
        self.hears(route.last, CONNECT)
        route.last.say(b"\x05\x00\x00" + NOWHERE + b"welcome")
        self.hears(route.last, b"hello")
        self.hears(client, b"welcome")

    def test_never_raw(self) -> None:
        """A peer that speaks neither is not sent a client without a name."""
        route = self.site("onprem", ONPREM, "/kwic", "mqtt")
        self.start(
            "cloud", CLOUD, cloud("forward", "ws://onprem:80/kwic", "<socks.timeout>3 s</socks.timeout>")
        )
        self.is_reset(self.connect(CLOUD, 5551, b"hello"))
        self.assertEqual(route.talkers, [])

    def test_ours_over_a_tunnel(self) -> None:
        """Where both speak `kwic.1` nothing of this is used."""
        self.start("onprem", ONPREM, onprem("forward", "ws://onprem:80/kwic"))
        self.start("cloud", CLOUD, cloud("forward", "ws://onprem:80/kwic"))
        self.served(CLOUD, 5551)
        self.assertEqual(len(list(self.gateways["onprem"].entrances.tunnels)), 1)
        self.assertEqual(self.lines("speaks no tunnels"), [])
