"""Tests of the cluster port against those who are no members, and of links that are not what they should be."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet.protocol import ClientFactory, Protocol
from twisted.logger import formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory

from kwic.config.model import TlsOptions
from kwic.errors import SetupError
from kwic.service.link import HELLO_S, TIMING
from kwic.service.membership import OwnState
from kwic.service.mesh import STRANGERS_MAXIMUM
from kwic.transport.negotiation import Opener
from kwic.transport.tunnel import Tunnel
from kwic.wire.cluster_messages import Announce, Heartbeat, Hello, Known, Leaving, State, encode
from kwic.wire.socks5 import Command, Rep
from test.service.cluster_case import PORT, ClusterCase, uuid
from test.transport.tls_ends import Scene

TLS_OPTIONS = TlsOptions()


class Visitor(Protocol):
    """Connects, says something, and remembers what it gets."""

    def __init__(self, words: bytes = b"") -> None:
        self.words = words
        self.heard = b""
        self.lost: Any = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.words)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class Impostor:
    """Speaks the session, and on its first stream whatever the test wants."""

    def __init__(self, clock: Any, *words: bytes) -> None:
        self.tunnel = Tunnel(self, clock, dialer=True)
        self.words = words
        self.control = Visitor()
        self.replies: list[Any] = []
        self.down = False
        self.opened = 0

    def tunnel_up(self, tunnel: Tunnel) -> None:
        tunnel.open(self.control)
        for word in self.words:
            self.say(word)

    def say(self, word: bytes) -> None:
        assert self.control.transport is not None
        self.control.transport.write(word)

    def ask(self, command: Command, name: str) -> None:
        self.tunnel.open(
            Opener(
                command,
                name,
                on_reply=lambda opener, rep: self.replies.append(rep),
                on_lost=lambda opener: self.replies.append("lost"),
            )
        )

    def stream_opened(self, tunnel: Tunnel, stream: Any) -> None:
        self.opened += 1
        stream.attach(Visitor())

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        pass

    def tunnel_down(self, tunnel: Tunnel, reason: Any) -> None:
        self.down = True


def hello(**how: Any) -> bytes:
    facts: dict[str, Any] = {"cluster": "kzha", "instance": uuid(66), "node": "x", "incarnation": 1}
    return encode(Hello(**{**facts, **how}))


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


class StrangerCase(ClusterCase):
    """A member, and somebody who dials it."""

    def setUp(self) -> None:
        super().setUp()
        self.member = self.start("a", "10.0.0.1")
        self.stranger = self.network.host("stranger", "10.0.0.66")

    def visit(self, protocol: Any) -> Any:
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign,assignment]
        self.stranger.connectTCP("10.0.0.1", PORT, factory)
        self.pass_time(0.01)
        return protocol

    def impostor(self, *words: bytes) -> Impostor:
        impostor = Impostor(self.stranger, *words)
        self.visit(impostor.tunnel)
        return impostor

    def worth_reading(self, part: str) -> list[str]:
        """The lines that contain a text and are above debug."""
        found = [event for event in self.events if event["log_level"].name != "debug"]
        return [line for line in map(formatEvent, found) if line is not None and part in line]

    def assert_unharmed(self) -> None:
        """Whoever is a member gets in, and nothing was logged as a failure."""
        self.start("z", "10.0.0.26", "tcp://10.0.0.1:5941", instance=uuid(99))
        self.pass_time(3)
        self.assertIn("z", self.nodes("a"))
        self.assertEqual([event for event in self.events if "log_failure" in event], [])


class StrangerTests(StrangerCase):
    """Those who are no members."""

    def test_silent(self) -> None:
        """Whoever says nothing is let go after five seconds, having been told nothing but a ping."""
        visitor = self.visit(Visitor())
        self.assertIsNone(visitor.lost)
        self.pass_time(HELLO_S + 0.1)
        self.assertIsNotNone(visitor.lost)
        self.assertNotIn(b"kzha", visitor.heard)
        self.assertLess(len(visitor.heard), 500)
        self.assertEqual(self.worth_reading(" is suspect"), [])
        self.assertEqual(self.network.hosts["a"].transports, set())
        self.assert_unharmed()

    def test_probe(self) -> None:
        """Whoever connects and leaves is not worth a line."""
        before = len(self.events)
        for _ in range(10):
            visitor = self.visit(Visitor())
            visitor.transport.loseConnection()
            self.pass_time(0.1)
            visitor = self.visit(Visitor())
            visitor.transport.abortConnection()
            self.pass_time(0.1)
        self.assertEqual([event for event in self.events[before:] if event["log_level"].name != "debug"], [])
        self.assert_unharmed()

    def test_garbage(self) -> None:
        """Garbage ends the connection, whatever it is."""
        dice = random.Random(7)
        words = [dice.randbytes(dice.randrange(1, 5000)) for _ in range(50)]
        words += [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600,
        ]
        for word in words:
            visitor = self.visit(Visitor(word))
            self.pass_time(6)
            self.assertIsNotNone(visitor.lost, word)
            self.assertNotIn(b"kzha", visitor.heard)
        for line in self.worth_reading("10.0.0.66"):
            self.assertIn("cluster: the link with 10.0.0.66:", line)
        self.assert_unharmed()

    def test_garbage_again_and_again(self) -> None:
        """Whoever speaks something else than members do is worth one line, not one for each time he comes."""
        for _ in range(20):
            self.visit(Visitor(b"GET / HTTP/1.1\r\n\r\n"))
            self.pass_time(1)
        (line,) = self.worth_reading("10.0.0.66")
        self.assertIn("cluster: the link with 10.0.0.66:", line)
        self.assertIn("is closed: version 71 ", line)

    def test_many(self) -> None:
        """A crowd of silent strangers is bounded, and locks out no member."""
        visitors = [self.visit(Visitor()) for _ in range(5 * STRANGERS_MAXIMUM)]
        held = sum(visitor.lost is None for visitor in visitors)
        self.assertLessEqual(held, STRANGERS_MAXIMUM + 1)
        self.assertIsNone(visitors[-1].lost)
        self.assert_unharmed()

    def test_no_hello(self) -> None:
        """Whoever speaks the session and begins with anything but a hello is let go, and hears no hello."""
        for word in (
            encode(State(incarnation=1, counter=1)),
            encode(Heartbeat(counter=1)),
            encode(Leaving(incarnation=1)),
            encode(Known(accepts=("tcp://10.0.0.5:5941",))),
            encode(Announce(cluster="kzha", instance="x", accept="")),
            b"\xff" * 100,
            framed(b"hello"),
            framed(b'{"type":"hello","cluster":"kzha","instance":"x","node":"x","incarnation":"1"}'),
            framed(b'{"type":"hello"}'),
        ):
            impostor = self.impostor(word)
            self.pass_time(HELLO_S + 1)
            self.assertTrue(impostor.down, word)
            self.assertEqual(impostor.control.heard, b"")
        self.assertEqual(self.nodes("a"), [])
        self.assert_unharmed()

    def test_long_hello(self) -> None:
        """A hello that does not end is not waited for."""
        impostor = self.impostor(
            (900_000).to_bytes(4, "big") + b'{"type":"hello","cluster":"' + b"x" * 20_000
        )
        self.pass_time(0.1)
        self.assertTrue(impostor.down)
        self.assertEqual(len(self.lines("it says much and no hello")), 1)
        self.assert_unharmed()

    def test_nothing_is_served_before_hello(self) -> None:
        """Before the hello no stream is served, and after the hello of another cluster none either."""
        for words in ((), (hello(cluster="other"),)):
            impostor = self.impostor(*words)
            if impostor.down:
                continue
            impostor.ask(Command.CONNECT, "echo")
            self.pass_time(1)
            self.assertEqual(impostor.replies, ["lost"])
        self.assertEqual(self.requests, [])
        self.assert_unharmed()

    def test_one_line_for_many_attempts(self) -> None:
        """A stranger that comes again and again is complained of once a minute."""
        for _ in range(20):
            self.impostor(b"\xff" * 100)
            self.pass_time(1)
        self.assertEqual(len(self.lines("the link with 10.0.0.66")), 1)


class MemberTests(StrangerCase):
    """Those who are members, and do not behave."""

    def welcome(self, *words: bytes) -> Impostor:
        impostor = self.impostor(hello(), *words)
        self.pass_time(0.1)
        return impostor

    def test_welcome(self) -> None:
        """Whoever says the right hello is a member, and is told who we are and what we have."""
        self.member.publish(OwnState(names={"here": 1}))
        impostor = self.welcome()
        self.assertEqual(self.nodes("a"), ["x"])
        self.assertIn(b'"instance":"00000001', impostor.control.heard)
        self.assertIn(b'"names":{"here":1}', impostor.control.heard)

    def test_later_messages(self) -> None:
        """Unknown messages, heartbeats and another hello are passed over."""
        impostor = self.welcome(
            b'\x00\x00\x00\x0e{"type":"new"}', encode(Heartbeat(counter=3)), hello(node="y")
        )
        impostor.say(encode(State(incarnation=1, counter=1, names={"n": 1})))
        self.pass_time(0.1)
        self.assertEqual([dict(member.names) for member in self.member.members()], [{"n": 1}])

    def test_stale_state(self) -> None:
        """A state that is older than the last one, or of another incarnation, is dropped."""
        impostor = self.welcome(encode(State(incarnation=1, counter=5, load=5)))
        for incarnation, counter in ((1, 5), (1, 4), (2, 9), (0, 9)):
            impostor.say(encode(State(incarnation=incarnation, counter=counter, load=99)))
        self.pass_time(0.1)
        self.assertEqual(self.member.members()[0].load, 5)
        impostor.say(encode(State(incarnation=1, counter=6, load=6)))
        self.pass_time(0.1)
        self.assertEqual(self.member.members()[0].load, 6)

    def test_garbage_later(self) -> None:
        """A member that breaks a rule is a member no longer."""
        impostor = self.welcome(b"\x7f" * 8)
        self.pass_time(1)
        self.assertTrue(impostor.down)
        self.assertEqual(self.nodes("a"), [])

    def test_end_of_control_stream(self) -> None:
        """A link without its control stream is closed."""
        impostor = self.welcome()
        impostor.control.transport.loseConnection()  # type: ignore[union-attr]
        self.pass_time(2)
        self.assertTrue(impostor.down)
        self.assertEqual(self.nodes("a"), [])

    def test_requests(self) -> None:
        """A member may ask for names, and offer none."""
        impostor = self.welcome()
        impostor.ask(Command.BIND, "name")
        self.pass_time(0.1)
        self.assertEqual(impostor.replies, [Rep.COMMAND_NOT_SUPPORTED])
        impostor.ask(Command.CONNECT, "name")
        self.pass_time(0.1)
        self.assertEqual(self.requests, ["name"])

    def test_says_leaving_and_stays(self) -> None:
        """A member that has said goodbye is leaving for as long as it stays."""
        impostor = self.welcome(encode(Leaving(incarnation=1)))
        impostor.say(encode(State(incarnation=1, counter=1, names={"n": 1})))
        self.pass_time(5)
        self.assertEqual(self.nodes("a"), [])
        self.assertTrue(self.member.members()[0].leaving)

    def test_many_links(self) -> None:
        """A member that opens link after link has a bounded number of them."""
        impostors = [self.welcome() for _ in range(10)]
        self.pass_time(1)
        self.assertEqual(self.nodes("a"), ["x"])
        self.assertLessEqual(sum(not impostor.down for impostor in impostors), 4)

    def test_earlier_start_is_turned_away(self) -> None:
        """An earlier start of a node does not take the place of the later one at the same address."""
        accept = "tcp://10.0.0.66:5941"
        self.impostor(hello(instance=uuid(71), incarnation=9, accept=accept))
        earlier = self.impostor(hello(instance=uuid(70), incarnation=8, accept=accept))
        self.pass_time(2)
        self.assertTrue(earlier.down)
        self.assertEqual([member.instance for member in self.member.members()], [uuid(71)])

    def test_told_of_nonsense(self) -> None:
        """What a member says of others is a hint: what is no address is passed over, the rest is dialled for a while."""
        self.welcome(
            encode(
                Known(
                    accepts=(
                        "",
                        "x",
                        "tcp://0.0.0.0:1",
                        "tcp://h.example.com:1",
                        "wss://10.0.0.9:1/",
                        "tcp://10.0.0.1:5941",
                        *(f"tcp://10.3.{n // 250}.{n % 250}:5941" for n in range(1000)),
                    )
                )
            )
        )
        self.pass_time(1)
        self.assertLessEqual(len(self.member._mesh.diallings), 130)
        self.assertEqual(self.dials("a", "10.0.0.1"), 0)
        self.pass_time(120)
        dialled = len(self.network.dialled)
        self.pass_time(60)
        self.assertLessEqual(len(self.network.dialled) - dialled, 60)

    def test_slow_reader(self) -> None:
        """News for a member that does not read wait once, not once for each change; it hears the last."""
        impostor = self.welcome()
        impostor.control.transport.pauseProducing()  # type: ignore[union-attr]
        names = {f"pipe-{number:05}": 1 for number in range(8000)}
        for number in range(60):
            self.member.publish(OwnState(names=names, load=number))
            self.pass_time(0.5)
        (link,) = self.links("a")
        self.assertLess(link._control.transport.queued_bytes, 500_000)
        impostor.control.heard = b""
        impostor.control.transport.resumeProducing()  # type: ignore[union-attr]
        self.pass_time(1)
        self.assertIn(b'"load":59', impostor.control.heard)
        self.assertLess(impostor.control.heard.count(b'"type":"state"'), 6)

    def test_too_much_to_tell(self) -> None:
        """Names that one message has no room for are left out, with a line in the log."""
        impostor = self.welcome()
        self.member.publish(OwnState(names={f"{number:05}{'x' * 240}": 1 for number in range(6000)}, load=3))
        self.pass_time(2)
        self.assertEqual(len(self.lines("only 3000 are told to the other members")), 1)
        self.assertIn(b'"load":3', impostor.control.heard)

    def test_balancer_map(self) -> None:
        """Who answers for which balancer is logged whenever that changes, here or there."""
        self.member.publish(OwnState(balances={"wss://b:443/": ("wss://a:443/",)}))
        balances = {"wss://b:443/": ("wss://x:443/",), "wss://c:443/": ("wss://x:444/",)}
        impostor = self.welcome(encode(State(incarnation=1, counter=1, balances=balances)))
        self.assertEqual(len(self.lines("Current shared balancer map:")), 2)
        self.assertEqual(
            [line.split(":", 1)[1] for line in self.lines("balance URI")],
            [
                " wss://b:443/    target list: wss://a:443/",
                " wss://b:443/    target list: wss://a:443/, wss://x:443/",
                " wss://c:443/    target list: wss://x:444/",
            ],
        )
        impostor.say(encode(State(incarnation=1, counter=2, balances=balances, load=5)))
        self.pass_time(1)
        self.assertEqual(len(self.lines("Current shared balancer map:")), 2)

    def test_silent_member(self) -> None:
        """A member that is silent is suspected after a second and cut after four."""
        self.welcome()
        self.network.cut("a", "stranger")
        suspected_s = self.network.run_until(lambda: self.nodes("a") == [])
        self.assertLess(abs(suspected_s - TIMING.suspect_after_s), 0.6)
        self.network.run_until(lambda: not self.member.members(), TIMING.dead_after_s)


class SecurityTests(ClusterCase):
    """How links are secured."""

    def setUp(self) -> None:
        super().setUp()
        self.scene = Scene(Path(self.mktemp()))

    def keys(self, name: str, **how: Any) -> Any:
        """A member's credentials: its own key, trusting the CA that signed it."""
        entry = self.scene.server(f"{name}.example.com", name=name, **how)
        return self.scene.credentials(name, entry, trusted=[self.scene.server_ca.certificate])

    def test_no_keystore(self) -> None:
        """Without a keystore the port opens on nothing but loopback."""
        for accept, addresses in (
            ("tcp://10.0.0.1:5941", ()),
            ("tcp://0.0.0.0:5941", ()),
            ("tcp://[::]:5941", ()),
        ):
            member = self.make("a", "10.0.0.1", accepts=(accept,), insecure=False, addresses=addresses)
            error = str(self.assertRaises(SetupError, member.check))
            self.assertIn("there is no keystore", error)
            self.assertIn('kwic:insecure="true"', error)
            self.assertNotIn("\n", error)
            self.assertRaises(SetupError, member.privilegedStartService)
            self.assertEqual(self.network.hosts["a"].ports, {})

    def test_loopback(self) -> None:
        """On loopback no keystore is needed, and nobody beyond it is dialled."""
        self.network.latency_s = 0
        self.start("a", "127.0.0.7", "tcp://127.0.0.8:5941", "tcp://10.0.0.1:5941", insecure=False)
        self.start("b", "127.0.0.8", insecure=False)
        self.start("c", "10.0.0.1")
        self.pass_time(30)
        self.assertEqual(self.nodes("a"), ["b"])
        self.assertEqual(self.dials("a", "10.0.0.1"), 0)
        self.assertEqual(len(self.lines("10.0.0.1 is not dialled, as there is no keystore")), 1)

    def test_no_key_to_show(self) -> None:
        """A truststore alone does not tell members apart."""
        trusting = self.scene.credentials("t", trusted=[self.scene.server_ca.certificate])
        member = self.make("a", "10.0.0.1", insecure=False, credentials=trusting)
        self.assertIn("there is no keystore", str(self.assertRaises(SetupError, member.check)))

    def test_expired(self) -> None:
        """A key that is not valid any more is an error of the start."""
        member = self.make("a", "10.0.0.1", insecure=False, credentials=self.keys("a", days=-0.5, starts=-9))
        self.assertIn("expired", str(self.assertRaises(SetupError, member.check)))

    def test_members_with_keys(self) -> None:
        """Members whose certificates verify against each other's truststore meet, and all they say is encrypted."""
        for number in (1, 2, 3):
            self.start(
                f"n{number}",
                f"10.0.0.{number}",
                "tcp://10.0.0.1:5941",
                "tcp://10.0.0.2:5941",
                insecure=False,
                credentials=self.keys(f"n{number}"),
            )
        self.pass_time(5)
        for name in ("n1", "n2", "n3"):
            self.assertEqual(len(self.nodes(name)), 2)
        self.clusters["n1"].publish(OwnState(names={"a": 1}))
        self.pass_time(1)
        self.assertEqual(
            [dict(one.names) for one in self.clusters["n2"].members() if one.node == "n1"], [{"a": 1}]
        )
        self.network.crash("n1")
        self.pass_time(0.2)
        self.assertEqual(self.nodes("n2"), ["n3"])
        self.network.freeze("n3")
        self.pass_time(5)
        self.assertEqual(self.nodes("n2"), [])
        self.clusters["n2"].stopService()
        self.pass_time(3)
        self.assertEqual(self.network.hosts["n2"].getDelayedCalls(), [])
        self.assertEqual(self.network.hosts["n2"].transports, set())

    def test_shared_key(self) -> None:
        """Members that share one key trust each other without any truststore."""
        entry = self.scene.server("*.example.com")
        for number in (1, 2):
            credentials = self.scene.credentials(f"shared{number}", entry)
            self.start(
                f"n{number}",
                f"10.0.0.{number}",
                "tcp://10.0.0.1:5941",
                insecure=False,
                credentials=credentials,
            )
        self.pass_time(3)
        self.assertEqual((self.nodes("n1"), self.nodes("n2")), (["n2"], ["n1"]))

    def test_strange_key(self) -> None:
        """Somebody with a certificate of another CA is turned away with one line on each side that says why."""
        self.start("a", "10.0.0.1", insecure=False, credentials=self.keys("a"))
        other = Scene(Path(self.mktemp()))
        entry = other.server("b.example.com", name="b")
        strange = other.credentials("b", entry, trusted=[self.scene.server_ca.certificate])
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", insecure=False, credentials=strange)
        self.pass_time(50)
        self.assertEqual((self.nodes("a"), self.nodes("b")), ([], []))
        self.assertEqual(len(self.lines("the link with 10.0.0.2")), 1)
        self.assertEqual(len(self.lines("no link to 10.0.0.1:5941")), 1)
        self.assertEqual([event for event in self.events if "log_failure" in event], [])

    def test_agent(self) -> None:
        """An agent of a tenant, whose client certificate the truststore vouches for, is no member."""
        trusted = [self.scene.server_ca.certificate, self.scene.client_ca.certificate]
        entry = self.scene.server("a.example.com", name="a")
        credentials = self.scene.credentials("a", entry, trusted=trusted)
        self.start("a", "10.0.0.1", insecure=False, credentials=credentials)
        agent = self.scene.credentials("agent", self.scene.client("tenant101"), trusted=trusted)
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", insecure=False, credentials=agent)
        self.pass_time(20)
        self.assertEqual((self.nodes("a"), self.nodes("b")), ([], []))
        self.assertEqual(len(self.lines("the link with 10.0.0.2")), 1)

    def test_strangers_without_tls(self) -> None:
        """Whoever speaks no TLS, shows no certificate, or breaks off, gets nothing and harms nobody."""
        self.start("a", "10.0.0.1", insecure=False, credentials=self.keys("a"))
        stranger = self.network.host("stranger", "10.0.0.66")
        nobody = self.scene.credentials("nobody", trusted=[self.scene.server_ca.certificate])
        dice = random.Random(2)
        for words in (
            b"",
            b"GET / HTTP/1.0\r\n\r\n",
            hello(),
            dice.randbytes(3000),
            b"\x16\x03\x01\x40\x00" + b"x" * 500,
        ):
            for tls in (False, True):
                visitor = Visitor(words)
                factory: Any = ClientFactory()
                factory.noisy = False
                factory.buildProtocol = lambda addr, visitor=visitor: visitor
                if tls:
                    options = nobody.client_options("a.example.com", TLS_OPTIONS)
                    factory = TLSMemoryBIOFactory(options, True, factory, stranger)
                stranger.connectTCP("10.0.0.1", PORT, factory)
                self.pass_time(6)
                self.assertIsNotNone(visitor.lost, (words, tls))
                self.assertEqual(visitor.heard, b"")
        self.assertEqual([event for event in self.events if "log_failure" in event], [])
        self.start("z", "10.0.0.26", "tcp://10.0.0.1:5941", insecure=False, credentials=self.keys("z"))
        self.pass_time(3)
        self.assertEqual(self.nodes("a"), ["z"])

    def test_clear_against_tls(self) -> None:
        """A member without a keystore does not get through to one with, and both say why."""
        self.start("a", "10.0.0.1", insecure=False, credentials=self.keys("a"))
        self.start("b", "10.0.0.2", "tcp://10.0.0.1:5941", insecure=True)
        self.pass_time(20)
        self.assertEqual((self.nodes("a"), self.nodes("b")), ([], []))
        self.assertEqual(len(self.lines("the link with 10.0.0.2")), 1)
        self.assertEqual(len(self.lines("no link to 10.0.0.1:5941")), 1)
