"""Peers that carry a client on each connection, with SOCKS 5 (RFC 1928): ours on both sides, and hand-written ones opposite them."""

from __future__ import annotations

from test.service.gateway_case import USER, Echoer, GatewayCase, Talker

CLOUD, ONPREM = "10.0.0.7", "10.0.1.7"

GREETING, METHOD = b"\x05\x01\x00", b"\x05\x00"
NAME = b"serviceA"
BIND = b"\x05\x02\x00\x03\x08" + NAME + b"\x00\x00"
CONNECT = b"\x05\x01\x00\x03\x08" + NAME + b"\x00\x00"


def packed(address: str, port: int) -> bytes:
    """BND.ADDR and BND.PORT of an IPv4 address."""
    return b"\x01" + bytes(map(int, address.split("."))) + port.to_bytes(2, "big")


NOWHERE = packed("0.0.0.0", 0)


def cloud(mode: str = "reverse", transport: str = "tcp://cloud:1080", more: str = "") -> str:
    """The side of the clients."""
    socks = f"<socks.transport>{transport}</socks.transport>" if transport else ""
    return f"""
      <service><name>A</name><accept>tcp://@eth0:5551</accept><connect>pipe://serviceA</connect><type>proxy</type>
        <connect-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>{mode}</socks.mode>{socks}{more}</connect-options>
      </service>"""


def onprem(mode: str = "reverse", transport: str = "tcp://cloud:1080", properties: str = "") -> str:
    """The side of the servers."""
    socks = f"<socks.transport>{transport}</socks.transport>" if transport else ""
    return f"""
      <service><name>A</name><accept>pipe://serviceA</accept><connect>tcp://server-a:9</connect><type>proxy</type>
        <properties>{properties}</properties>
        <accept-options><pipe.transport>socks://cloud</pipe.transport><socks.mode>{mode}</socks.mode>{socks}</accept-options>
      </service>"""


class ReverseTests(GatewayCase):
    """The servers' side dials."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server-a", "10.0.1.9", 9)

    def waiting(self) -> int:
        """How many connections wait for a client in the cloud."""
        return len(self.gateways["cloud"].names.holders("serviceA"))

    def run_both(self, transport: str = "tcp://cloud:1080", properties: str = "") -> None:
        self.start("cloud", CLOUD, cloud(transport=transport))
        self.start("onprem", ONPREM, onprem(transport=transport, properties=properties))
        self.wait(self.waiting)

    def test_both_ours(self) -> None:
        """A client in the cloud reaches the server, its end of stream too, and the answer comes back."""
        self.run_both()
        client = self.served(CLOUD, 5551)
        client.transport.loseWriteConnection()
        self.hears_end(client)
        self.assertTrue(self.server.last.heard, b"hello")

    def test_absent_transport(self) -> None:
        """Without `socks.transport` the socks address itself is listened on and dialled."""
        self.run_both(transport="")
        self.served(CLOUD, 5551)
        self.assertIn(("onprem", (CLOUD, 1080)), self.network.dialled)

    def test_replaced_at_once(self) -> None:
        """A connection that was taken is replaced at once, so that the next client does not wait."""
        self.run_both()
        for _ in range(5):
            self.served(CLOUD, 5551)
            self.assertLess(self.wait(self.waiting), 0.1)
        self.assertEqual(len(self.server.talkers), 5)

    def test_prepared(self) -> None:
        """As many connections wait as `prepared.connection.count` says; a burst of clients takes them."""
        count = "<prepared.connection.count>3</prepared.connection.count>"
        self.run_both(properties=count)
        self.run_for(1)
        self.assertEqual(self.waiting(), 3)
        clients = [self.connect(CLOUD, 5551, b"x") for _ in range(8)]
        for client in clients:
            self.hears(client, b"x")
        self.run_for(1)
        self.assertEqual(self.waiting(), 3)

    def test_client_waits_for_an_agent(self) -> None:
        """A client that comes before any agent is served when one comes, and reset when none does in time."""
        self.start("cloud", CLOUD, cloud(more="<socks.timeout>3 s</socks.timeout>"))
        early = self.connect(CLOUD, 5551, b"early")
        self.is_reset(early)
        client = self.connect(CLOUD, 5551, b"hello")
        self.run_for(1)
        self.start("onprem", ONPREM, onprem())
        self.hears(client, b"hello")

    def test_agent_comes_back(self) -> None:
        """An agent that was killed is noticed at once, and one that starts again is used."""
        self.run_both()
        self.network.crash("onprem")
        self.wait(lambda: not self.waiting(), 1)
        self.start("onprem", ONPREM, onprem())
        self.wait(self.waiting, 5)
        self.served(CLOUD, 5551)

    def test_cloud_comes_back(self) -> None:
        """A cloud node that starts again has its agents back within the back-off."""
        self.run_both()
        self.network.crash("cloud")
        self.run_for(20)
        self.start("cloud", CLOUD, cloud())
        self.wait(self.waiting, 30)
        self.served(CLOUD, 5551)
        self.assertEqual(len(self.lines("connection refused to tcp://cloud:1080; dialling again")), 1)

    def test_every_address(self) -> None:
        """Connections wait at every address of the name, also at one that it has only later."""
        other = "10.0.0.8"
        self.run_both()
        self.start("cloud2", other, cloud(transport=f"tcp://{other}:1080").replace("@eth0", other))
        self.network.names["cloud"] = (CLOUD, other)
        self.wait(lambda: self.gateways["cloud2"].names.holders("serviceA"), 15)
        self.served(other, 5551)
        self.served(CLOUD, 5551)

    def test_server_down(self) -> None:
        """A client whose server cannot be reached is reset."""
        self.run_both()
        self.network.hosts["server-a"].ports.clear()
        client = self.connect(CLOUD, 5551, b"hello")
        self.is_reset(client)

    def test_drain(self) -> None:
        """A cloud node that stops lets the waiting connections go and keeps the client that is joined."""
        self.run_both()
        client = self.served(CLOUD, 5551)
        self.wait(self.waiting)
        stopped = self.gateways["cloud"].stopService()
        self.wait(lambda: not self.waiting())
        client.say(b"more")
        self.hears(client, b"more")
        client.transport.loseConnection()
        self.wait(lambda: stopped.called)

    def test_agent_stops(self) -> None:
        """An agent that stops takes its waiting connections back; no timer of it is left."""
        self.run_both()
        stopped = self.gateways["onprem"].stopService()
        self.wait(lambda: stopped.called and not self.waiting())
        self.run_for(60)
        self.assertEqual(self.network.hosts["onprem"].getDelayedCalls(), [])


class StrangeAgentTests(GatewayCase):
    """A hand-written agent dials our cloud."""

    def setUp(self) -> None:
        super().setUp()
        self.start("cloud", CLOUD, cloud())
        self.host("agent", "10.0.2.2")

    def register(self) -> Talker:
        """An agent that waits for a client."""
        agent = self.connect(CLOUD, 1080, GREETING, by="agent")
        self.hears(agent, METHOD)
        agent.say(BIND)
        self.hears(agent, b"\x05\x00\x00" + packed(CLOUD, 1080))
        return agent

    def test_two_replies(self) -> None:
        """The first reply names the address that listens, the second the client; then bytes flow both ways."""
        agent = self.register()
        client = self.connect(CLOUD, 5551, b"hello")
        self.wait(lambda: client.transport)
        self.hears(agent, b"\x05\x00\x00")
        came_from = client.transport.getHost()
        self.hears(agent, packed(USER, came_from.port))
        self.hears(agent, b"hello")
        agent.say(b"welcome")
        self.hears(client, b"welcome")

    def test_one_client_each(self) -> None:
        """A connection is for one client: the next one waits for the next connection."""
        first = self.register()
        self.connect(CLOUD, 5551, b"one")
        self.hears(first, b"\x05\x00\x00\x01" + bytes(map(int, USER.split("."))))
        self.connect(CLOUD, 5551, b"two")
        self.run_for(1)
        self.assertNotIn(b"two", first.heard)
        second = self.register()
        self.wait(lambda: second.heard.endswith(b"two"))

    def test_byte_by_byte(self) -> None:
        """A request may come in any pieces, greeting and all."""
        agent = self.connect(CLOUD, 1080, by="agent")
        self.run_for(0.1)
        for byte in GREETING + BIND:
            agent.say(bytes((byte,)))
            self.run_for(0.1)
        self.hears(agent, METHOD + b"\x05\x00\x00" + packed(CLOUD, 1080))

    def test_reset_of_the_agent(self) -> None:
        """The agent's reset is the client's, and its end the client's end."""
        for end, felt in (("abortConnection", self.is_reset), ("loseConnection", self.hears_end)):
            agent = self.register()
            client = self.connect(CLOUD, 5551)
            self.hears(agent, b"\x05\x00\x00\x01")
            self.run_for(0.1)
            getattr(agent.transport, end)()
            felt(client)

    def test_leaves_again(self) -> None:
        """An agent that leaves while it waits is not given a client."""
        agent = self.register()
        agent.transport.loseConnection()
        self.wait(lambda: not self.gateways["cloud"].names.holders("serviceA"))
        second = self.register()
        client = self.connect(CLOUD, 5551, b"hello")
        self.wait(lambda: second.heard.endswith(b"hello"))
        self.assertIs(client.lost, None)

    def test_speaks_too_early(self) -> None:
        """An agent that sends bytes while nobody is there for whom they could be is dropped."""
        agent = self.register()
        agent.say(b"anybody there?")
        self.is_reset(agent)
        hasty = self.connect(CLOUD, 1080, GREETING + BIND + b"x", by="agent")
        self.is_reset(hasty)

    def test_refusals(self) -> None:
        """What is not served is refused with the reply that the RFC has for it, and closed."""
        cases = {
            b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x35": b"\x05\x07\x00",  # UDP ASSOCIATE
            b"\x05\x02\x00\x09": b"",
            b"\x05\x02\x00\x09\x00": b"\x05\x08\x00",  # an address type that does not exist
            CONNECT: b"\x05\x04\x00",  # nothing to connect to here
        }
        for asked, answer in cases.items():
            agent = self.connect(CLOUD, 1080, GREETING + asked, by="agent")
            self.hears(agent, METHOD + answer)
            if answer:
                self.hears(agent, NOWHERE)
                self.hears_end(agent, 11)

    def test_no_method(self) -> None:
        """A peer that wants to authenticate by SOCKS is told that no method is acceptable; other versions are dropped."""
        agent = self.connect(CLOUD, 1080, b"\x05\x01\x02", by="agent")
        self.hears(agent, b"\x05\xff")
        self.hears_end(agent, 11)
        old = self.connect(CLOUD, 1080, b"\x04\x01", by="agent")
        self.hears_end(old, 11)

    def test_silence(self) -> None:
        """A peer that does not ask for anything is dropped after five seconds, one that waits for a client is not."""
        silent = self.connect(CLOUD, 1080, GREETING, by="agent")
        agent = self.register()
        self.run_for(4.8)
        self.assertIs(silent.lost, None)
        self.run_for(0.3)
        self.is_reset(silent, 0.1)
        self.run_for(600)
        self.assertIs(agent.lost, None)

    def test_unknown_name(self) -> None:
        """A name that no service connects to is taken, and harms nobody."""
        agent = self.connect(CLOUD, 1080, GREETING + BIND.replace(NAME, b"serviceX"), by="agent")
        self.hears(agent, METHOD + b"\x05\x00\x00")
        self.assertEqual(len(self.lines("which no service here connects to")), 1)


class StrangeCloudTests(GatewayCase):
    """Our agent dials a hand-written cloud."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server-a", "10.0.1.9", 9)
        self.cloud = self.serve("cloud", CLOUD, 1080, Talker)
        self.start("onprem", ONPREM, onprem())
        self.wait(lambda: self.cloud.talkers)

    def agree(self) -> Talker:
        """Our agent has been registered."""
        peer = self.cloud.last
        self.hears(peer, GREETING)
        self.run_for(0.5)
        self.assertEqual(peer.heard, b"", "the request waits for the method")
        peer.say(METHOD)
        self.hears(peer, BIND)
        peer.say(b"\x05\x00\x00" + NOWHERE)
        self.run_for(0.1)
        return peer

    def test_step_by_step(self) -> None:
        """The greeting, then the request, then a client; and another connection that waits."""
        peer = self.agree()
        self.assertEqual(self.server.talkers, [])
        peer.say(b"\x05\x00\x00" + packed(USER, 4711) + b"hello")
        self.hears(peer, b"hello")
        self.assertEqual(len(self.cloud.talkers), 2)

    def test_everything_in_one_read(self) -> None:
        """Both replies and the first bytes may come in one read."""
        peer = self.cloud.last
        self.hears(peer, GREETING)
        peer.say(METHOD)
        self.hears(peer, BIND)
        peer.say((b"\x05\x00\x00" + NOWHERE) * 2 + b"hello")
        self.hears(peer, b"hello")

    def test_refused(self) -> None:
        """A name that is refused is offered again, with back-off, and the operator is told once."""
        for _ in range(3):
            peer = self.cloud.last
            count = len(self.cloud.talkers)
            self.hears(peer, GREETING)
            peer.say(METHOD)
            self.hears(peer, BIND)
            peer.say(b"\x05\x02\x00" + NOWHERE)
            self.wait(lambda count=count: len(self.cloud.talkers) > count)
        self.assertEqual(len(self.lines("refuses the name serviceA: not allowed")), 1)

    def test_nonsense(self) -> None:
        """A peer that speaks something else, or nothing, is left and dialled again."""
        self.cloud.last.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.is_reset(self.cloud.last)
        self.wait(lambda: len(self.cloud.talkers) == 2)
        self.is_reset(self.cloud.last, 6)
        self.wait(lambda: len(self.cloud.talkers) == 3)

    def test_reply_without_a_request(self) -> None:
        """A reply before the request is not taken for one."""
        self.cloud.last.say(METHOD + b"\x05\x00\x00" + NOWHERE)
        self.is_reset(self.cloud.last)

    def test_server_down(self) -> None:
        """When the server cannot be reached the connection is reset: RFC 1928 has no other way to say so."""
        self.network.hosts["server-a"].ports.clear()
        peer = self.agree()
        peer.say(b"\x05\x00\x00" + packed(USER, 4711))
        self.is_reset(peer)


class Fickle(Talker):
    """A cloud that registers the name, and resets the connection after a while."""

    keeps_s = 0.1

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.heard == GREETING:
            self.say(METHOD)
        elif self.heard == GREETING + BIND:
            self.say(b"\x05\x00\x00" + NOWHERE)
            self.registered()

    def registered(self) -> None:
        self.transport.reactor.callLater(self.keeps_s, self.transport.abortConnection)


class Generous(Fickle):
    """A cloud that has a client at once, and closes the connection once that was answered."""

    def registered(self) -> None:
        self.say(b"\x05\x00\x00" + packed(USER, 4711) + b"hello")

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.heard.endswith(b"hello"):
            self.transport.abortConnection()


class FickleCloudTests(GatewayCase):
    """Our agent dials a cloud that does not keep it. Each wait is as long as the back-off allows."""

    def run_agent(self) -> None:
        self.serve("server-a", "10.0.1.9", 9)
        self.cloud = self.serve("cloud", CLOUD, 1080, Fickle)
        self.start("onprem", ONPREM, onprem(), random=lambda: 1.0)

    def dials(self, seconds: float) -> int:
        """How often the agent dials in a time."""
        before = len(self.cloud.talkers)
        self.run_for(seconds)
        return len(self.cloud.talkers) - before

    def test_dropped_at_once(self) -> None:
        """To be registered and dropped is no success: 0.5, 1, 2 … s go by between two attempts, and the operator is told once."""
        self.run_agent()
        self.assertEqual(self.dials(60), 7)
        line = "tcp://cloud:1080 takes the name serviceA and does not keep it: "
        self.assertEqual(len(self.warnings(line)), 1, self.lines("serviceA"))

    def test_kept_for_a_while(self) -> None:
        """A connection that has been up for a second starts the back-off anew."""
        self.run_agent()
        self.run_for(40)
        self.patch(Fickle, "keeps_s", 1.5)
        self.run_for(30)
        self.assertIn(self.dials(60), range(28, 31))
        self.assertEqual(len(self.lines("tcp://cloud:1080 takes the name serviceA again")), 1)

    def test_client_served(self) -> None:
        """So does a client that was served, however soon it came."""
        self.run_agent()
        self.run_for(40)
        self.cloud._kind = Generous
        self.wait(lambda: len(self.cloud.talkers) > 20, 40)
        self.cloud._kind = Fickle
        self.assertEqual(self.dials(7), 4)


class ForwardTests(GatewayCase):
    """The clients' side dials."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("server-a", "10.0.1.9", 9)

    def test_both_ours(self) -> None:
        """A client is taken to the server with CONNECT; half-close is carried."""
        self.start("onprem", ONPREM, onprem("forward", f"tcp://{ONPREM}:1080"))
        self.start("cloud", CLOUD, cloud("forward", f"tcp://{ONPREM}:1080"))
        client = self.served(CLOUD, 5551)
        client.transport.loseWriteConnection()
        self.hears_end(client)

    def test_default_mode(self) -> None:
        """Without `socks.mode` it is forward, and without `socks.transport` the socks address is dialled."""
        plain = "<socks.mode>forward</socks.mode>"
        self.start(
            "onprem",
            ONPREM,
            onprem("forward", "").replace(plain, "").replace("socks://cloud", "socks://onprem:1234"),
        )
        self.start(
            "cloud",
            CLOUD,
            cloud("forward", "").replace(plain, "").replace("socks://cloud", "socks://onprem:1234"),
        )
        self.served(CLOUD, 5551)
        self.assertIn(("cloud", (ONPREM, 1234)), self.network.dialled)

    def test_strange_client(self) -> None:
        """A hand-written client is connected, and told when it cannot be."""
        self.start("onprem", ONPREM, onprem("forward", f"tcp://{ONPREM}:1080"))
        client = self.connect(ONPREM, 1080, GREETING + CONNECT + b"hello")
        self.hears(client, METHOD + b"\x05\x00\x00" + NOWHERE + b"hello")
        unknown = self.connect(ONPREM, 1080, GREETING + CONNECT.replace(NAME, b"serviceX"))
        self.hears(unknown, METHOD + b"\x05\x04\x00" + NOWHERE)
        bind = self.connect(ONPREM, 1080, GREETING + BIND)
        self.hears(bind, METHOD + b"\x05\x07\x00" + NOWHERE)
        self.network.hosts["server-a"].ports.clear()
        refused = self.connect(ONPREM, 1080, GREETING + CONNECT)
        self.hears(refused, METHOD + b"\x05\x05\x00" + NOWHERE)
        self.hears_end(refused, 11)

    def strange_server(self) -> Talker:
        """A hand-written server that our cloud has dialled for a client."""
        self.peer = self.serve("onprem", ONPREM, 1080, Talker)
        self.start("cloud", CLOUD, cloud("forward", f"tcp://{ONPREM}:1080"))
        self.client = self.connect(CLOUD, 5551, b"hello")
        self.wait(lambda: self.peer.talkers)
        self.hears(self.peer.last, GREETING)
        self.run_for(0.1)
        self.assertEqual(self.peer.last.heard, b"")
        self.peer.last.say(METHOD)
        self.hears(self.peer.last, CONNECT)
        return self.peer.last

    def test_strange_server(self) -> None:
        """A hand-written server hears the client's bytes only after its reply."""
        server = self.strange_server()
        self.run_for(1)
        self.assertEqual(server.heard, b"")
        server.say(b"\x05\x00\x00" + NOWHERE + b"welcome")
        self.hears(server, b"hello")
        self.hears(self.client, b"welcome")

    def test_strange_server_refuses(self) -> None:
        """Its refusal is the client's reset, at once, and the log says why."""
        self.strange_server().say(b"\x05\x05\x00" + NOWHERE)
        self.is_reset(self.client, 1)
        self.assertEqual(len(self.lines("connection refused")), 1)

    def test_next_address(self) -> None:
        """A peer that does not choose a method in time is passed over for the next address of its name."""
        silent = self.serve("onprem", ONPREM, 1080, Talker)
        self.start("onprem2", "10.0.1.8", onprem("forward", "tcp://10.0.1.8:1080"))
        self.network.names["onprem"] = (ONPREM, "10.0.1.8")
        self.start("cloud", CLOUD, cloud("forward", "tcp://onprem:1080"))
        self.run_for(1)
        clients = 0
        # Which of two that are alike comes first is drawn.
        while not silent.talkers and clients < 100:
            self.hears(self.connect(CLOUD, 5551, b"hello"), b"hello", 3)
            clients += 1
        for _ in range(6):
            self.hears(self.connect(CLOUD, 5551, b"hello"), b"hello", 3)
        self.assertEqual(len(silent.talkers), 1, "it was tried once, and is then the last choice")

    def test_nobody_there(self) -> None:
        """A client is reset when there is nobody to dial."""
        self.start("cloud", CLOUD, cloud("forward", f"tcp://{ONPREM}:1080"))
        self.host("onprem", ONPREM)
        client = self.connect(CLOUD, 5551, b"hello")
        self.is_reset(client, 12)


class EchoerTests(GatewayCase):
    """The case itself."""

    def test_echo(self) -> None:
        """A server that echoes does."""
        self.serve("server", "10.0.1.9", 9, Echoer)
        self.served("10.0.1.9", 9)
