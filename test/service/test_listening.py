"""Which sockets a gateway has: wildcards, interfaces that get their addresses late, and what a reload makes of it all."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.listen import listeners
from kwic.config.problem import ConfigError
from kwic.config.reader import read_text
from kwic.errors import SetupError
from kwic.service.sockets import sockets
from kwic.transport.resolver import FixedNames
from test.service.gateway_case import GatewayCase
from test.service.test_clients import proxy

ADDRESS, LATER, IPV6 = "10.0.0.7", "10.0.0.99", "fd00::7"


class ListeningCase(GatewayCase):
    """One gateway, whose interfaces are the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.serve("server", "10.0.1.9", 9)
        self.interfaces: dict[str, tuple[str, ...]] = {"eth0": (ADDRESS,), "eth1": ()}

    def start_with(self, *accepts: str, ipv6: bool = True, more: str = "") -> Any:
        services = "".join(proxy(f"s{number}", accept) for number, accept in enumerate(accepts)) + more
        names = FixedNames(hosts=self.network.names, interfaces=self.interfaces, ipv6=ipv6)
        return self.start("gw", ADDRESS, services, names=names)

    def give(self, *addresses: str, interface: str = "eth1") -> None:
        """An interface has these addresses from now on."""
        self.interfaces[interface] = addresses
        reactor = self.network.hosts["gw"]
        reactor.addresses = tuple(
            dict.fromkeys((ADDRESS, *self.interfaces["eth0"], *self.interfaces["eth1"]))
        )

    def where(self) -> list[str]:
        """What the gateway listens at."""
        return sorted(str(listener) for listener, _ in self.gateways["gw"].listening.listeners)


class LateInterfaceTests(ListeningCase):
    """An interface that has no address when the gateway starts."""

    def test_waited_for(self) -> None:
        """Everything else is served meanwhile, the operator is told, and clients are served soon after the address is there."""
        self.start_with("tcp://@eth0:7000", "tcp://@eth1:7001")
        self.assertEqual(self.where(), [f"{ADDRESS}:7000"])
        self.assertEqual(
            self.warnings("no address"),
            ["tcp://@eth1:7001: the interface eth1 has no address yet, and is waited for"],
        )
        self.served(ADDRESS, 7000)
        self.run_for(100)
        self.give(LATER)
        self.wait(lambda: self.lines(f"now at {LATER}:7001"), 10.1)
        self.served(LATER, 7001)
        self.assertEqual(self.where(), [f"{ADDRESS}:7000", f"{LATER}:7001"])

    def test_soon_at_first(self) -> None:
        """At boot addresses come within seconds: the first looks are half a second, one and two seconds apart."""
        self.start_with("tcp://@eth1:7001")
        self.run_for(1.4)
        self.give(LATER)
        self.assertLess(self.wait(lambda: self.where()), 0.2)

    def test_address_not_usable_yet(self) -> None:
        """An address that is there and cannot be bound yet, as IPv6 ones at first, is tried again."""
        self.interfaces["eth1"] = (IPV6,)
        self.start_with("tcp://@eth0:7000", "tcp://@eth1:7001")
        self.assertEqual(self.where(), [f"{ADDRESS}:7000"])
        self.run_for(1)
        self.give(IPV6)
        self.wait(lambda: f"[{IPV6}]:7001" in self.where(), 3)
        self.assertEqual(self.lines("is not an address of this machine"), [])

    def test_wide_open_meanwhile(self) -> None:
        """No timer is left when all is there, nor when the gateway stops while it waits."""
        gateway = self.start_with("tcp://@eth1:7001")
        self.run_for(5)
        stopped = gateway.stopService()
        self.wait(lambda: stopped.called)
        self.run_for(60)
        self.assertEqual(self.network.hosts["gw"].getDelayedCalls(), [])

    def test_unknown_interface(self) -> None:
        """An interface that does not exist is an error that lists those there are."""
        with self.assertRaises(SetupError) as caught:
            self.make("gw", ADDRESS, proxy("s", "tcp://@nope7:7000"))
        self.assertIn("no network interface nope7", str(caught.exception))
        self.assertIn("eth0", str(caught.exception))
        self.assertIn("lo", str(caught.exception))


class ReloadTests(ListeningCase):
    """SIGHUP."""

    def reload(self) -> None:
        done = self.gateways["gw"].reload()
        self.wait(lambda: done.called, 5)
        self.successResultOf(done)

    def test_address_added(self) -> None:
        """A new address is listened on; the listeners there are stay as they are, and their clients."""
        self.start_with("tcp://@eth0:7000")
        client = self.served(ADDRESS, 7000)
        before = self.gateways["gw"].listening.listeners[0][0]
        self.give(ADDRESS, LATER, IPV6, interface="eth0")
        self.reload()
        self.assertEqual(self.where(), [f"{ADDRESS}:7000", f"{LATER}:7000", f"[{IPV6}]:7000"])
        self.assertIs(self.gateways["gw"].listening.listeners[0][0], before)
        self.served(LATER, 7000)
        client.say(b"still here")
        self.hears(client, b"still here")

    def test_nothing_changed(self) -> None:
        """A reload with nothing new touches nothing."""
        self.start_with("tcp://@eth0:7000", "tcp://gw:7001")
        before = list(self.gateways["gw"].listening.listeners)
        for _ in range(3):
            self.reload()
        self.assertEqual(self.gateways["gw"].listening.listeners, before)
        self.assertEqual(self.lines("now at") + self.lines("no longer at"), [])

    def test_address_gone(self) -> None:
        """An address that is gone is listened on no more; its clients stay, and it is waited for."""
        self.interfaces["eth1"] = (LATER,)
        self.network.hosts.get("gw")
        self.start_late()
        client = self.served(LATER, 7001)
        self.interfaces["eth1"] = ()
        self.reload()
        self.assertEqual(self.where(), [f"{ADDRESS}:7000"])
        client.say(b"still here")
        self.hears(client, b"still here")
        self.interfaces["eth1"] = (LATER,)
        self.wait(lambda: f"{LATER}:7001" in self.where(), 11)
        self.served(LATER, 7001)

    def start_late(self) -> None:
        """A gateway with both interfaces, the second of which came a little later."""
        self.start_with("tcp://@eth0:7000", "tcp://@eth1:7001")
        self.give(LATER)
        self.wait(lambda: f"{LATER}:7001" in self.where(), 11)

    def test_name_moves(self) -> None:
        """A host name that has other addresses now is listened on there."""
        self.start_with("tcp://gw:7000")
        self.give(LATER)
        self.network.names["gw"] = (LATER,)
        self.reload()
        self.assertEqual(self.where(), [f"{LATER}:7000"])
        self.served(LATER, 7000)

    def test_name_of_others_too(self) -> None:
        """Addresses of other machines under the same name are left to them."""
        self.start_with("tcp://gw:7000")
        self.network.names["gw"] = (ADDRESS, "10.0.0.8")
        self.reload()
        self.assertEqual(self.where(), [f"{ADDRESS}:7000"])
        self.assertEqual(self.lines("is not an address of this machine"), [])

    def test_name_unknown(self) -> None:
        """When a name cannot be resolved any more everything stays, and the log says why."""
        self.start_with("tcp://gw:7000", "tcp://@eth0:7001")
        del self.network.names["gw"]
        self.reload()
        self.assertEqual(len(self.lines("error: tcp://gw:7000: the host name gw")), 1)
        self.served(ADDRESS, 7000)

    def test_two_names_meet(self) -> None:
        """Names that come to share an address are served there together, or stay apart when they cannot be told apart."""
        self.network.names["other"] = (LATER,)
        self.give_before(LATER)
        self.start_with("ws://gw:80/a", "ws://other:80/b")
        self.assertEqual(self.where(), [f"{ADDRESS}:80", f"{LATER}:80"])
        self.network.names["other"] = (ADDRESS,)
        self.reload()
        self.assertEqual(self.where(), [f"{ADDRESS}:80"])
        self.assertEqual(len(self.gateways["gw"].listening.listeners[0][1].ends), 2)
        for host, path in (("gw", "/a"), ("other", "/b")):
            client = self.connect(ADDRESS, 80, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.wait(lambda client=client: client.ended or client.lost)
            self.assertTrue(client.heard.startswith(b"HTTP/1.1 426 "), client.heard)

    def give_before(self, address: str) -> None:
        """The gateway's machine has another address from the start."""
        plain = self.network.host

        def host(name: str, *addresses: str) -> Any:
            return plain(name, *addresses, *([address] if name == "gw" else []))

        self.network.host = host  # type: ignore[method-assign]

    def test_port_taken(self) -> None:
        """A new address on which somebody else has the port is an error in the log; the others are listened on."""
        self.start_with("tcp://@eth0:7000")
        self.give(ADDRESS, LATER, "10.0.0.100", interface="eth0")
        self.network.hosts["gw"].listenTCP(7000, Factory.forProtocol(Protocol), interface=LATER)
        self.reload()
        self.assertEqual(len(self.lines(f"{LATER}:7000 is in use")), 1)
        self.assertEqual(self.where(), ["10.0.0.100:7000", f"{ADDRESS}:7000"])


class WildcardTests(ListeningCase):
    """Every address."""

    def setUp(self) -> None:
        super().setUp()
        self.network.hosts["user"].addresses = ("10.1.1.1", "fd00::1")
        self.interfaces["eth0"] = (ADDRESS, IPV6)

    def start_on(self, accept: str, ipv6: bool = True, more: str = "") -> None:
        self.start_with(accept, ipv6=ipv6, more=more)
        self.give(interface="eth1")

    def test_ipv4(self) -> None:
        """`0.0.0.0` is every IPv4 address, one that comes later included, and no IPv6 address."""
        self.start_on("tcp://0.0.0.0:7000")
        self.give(LATER)
        self.assertEqual(self.where(), ["0.0.0.0:7000"])
        self.served(ADDRESS, 7000)
        self.served(LATER, 7000)
        self.wait(lambda: self.connect(IPV6, 7000).lost is None, 1)

    def test_ipv6(self) -> None:
        """`[::]` is every IPv6 address."""
        self.start_on("tcp://[::]:7000")
        self.assertEqual(self.where(), ["[::]:7000"])
        self.served(IPV6, 7000)

    def test_both(self) -> None:
        """A bare port is both, where there is IPv6."""
        self.start_with(
            more="<service><name>x</name><accept>tcp://gw:1</accept><type>echo</type><accept-options><tcp.bind>7000</tcp.bind></accept-options></service>"
        )
        self.give(interface="eth1")
        self.assertEqual(self.where(), ["0.0.0.0:7000", "[::]:7000"])
        self.served(ADDRESS, 7000)
        self.served(IPV6, 7000)

    def test_no_ipv6(self) -> None:
        """Where there is none it is IPv4."""
        bare = "<service><name>x</name><accept>tcp://gw:1</accept><type>echo</type><accept-options><tcp.bind>7000</tcp.bind></accept-options></service>"
        self.start_with(ipv6=False, more=bare)
        self.assertEqual(self.where(), ["0.0.0.0:7000"])

    def test_any_host(self) -> None:
        """A WebSocket at a wildcard is served under every name."""
        self.start_on("ws://0.0.0.0:8080/a")
        for host in ("gw:8080", f"{ADDRESS}:8080", "some.other.name:8080"):
            client = self.connect(ADDRESS, 8080, f"GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.wait(lambda client=client: client.ended or client.lost)
            self.assertTrue(client.heard.startswith(b"HTTP/1.1 426 "), client.heard)


class SocketsTests(SynchronousTestCase):
    """From what is wanted to sockets."""

    def resolve(self, *services: str, **names: Any) -> list[str]:
        """Every socket, and the services on it."""
        text = f'<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">{"".join(services)}</gateway-config>'
        config = read_text(text.encode(), "x.xml")
        found = sockets(listeners(config), FixedNames(**names))
        return [
            f"{socket.host}:{socket.port} " + "+".join(end.service.name for end in socket.ends)
            for socket in found
        ]

    def test_families_apart(self) -> None:
        """A wildcard takes in what it covers: addresses of its own family, and those that names turn out to have."""
        hosts = {"a": ("10.0.0.1",), "b": ("fd00::1",), "c": ("10.0.0.1", "fd00::1")}
        self.assertEqual(
            self.resolve(
                proxy("w", "ws://0.0.0.0:80/w"),
                proxy("a", "ws://a:80/a"),
                proxy("b", "ws://b:80/b"),
                proxy("c", "ws://c:80/c"),
                hosts=hosts,
            ),
            ["0.0.0.0:80 w+a+c", "fd00::1:80 b+c"],
        )

    def test_conflict_found_late(self) -> None:
        """Names that turn out to be one address must be told apart there, and both services are named."""
        with self.assertRaises(ConfigError) as caught:
            self.resolve(
                proxy("one", "tcp://a:7000"),
                proxy("two", "tcp://b:7000"),
                hosts={"a": ("10.0.0.1",), "b": ("10.0.0.1",)},
            )
        self.assertIn("one", str(caught.exception))
        self.assertIn("two", str(caught.exception))

    def test_unknown_names(self) -> None:
        """Host names and interfaces that are not there are all told in one run, with their places, and names with what to do."""
        names = {"interfaces": {"eth0": ("10.0.0.1",)}}
        with self.assertRaises(ConfigError) as caught:
            self.resolve(
                proxy("a", "tcp://nowhere.invalid:7000"),
                proxy("b", "tcp://@none0:7001"),
                proxy("c", "tcp://@eth0:1"),
                **names,
            )
        name, interface = caught.exception.problems
        self.assertTrue(
            name.message.startswith(
                "tcp://nowhere.invalid:7000: the host name nowhere.invalid cannot be resolved: "
            )
        )
        for word in ("DNS", "--resolve", "tcp.bind"):
            self.assertIn(word, name.hint)
        self.assertTrue(
            interface.message.startswith(
                "tcp://@none0:7001: there is no network interface none0; there are: "
            )
        )
        self.assertEqual(interface.hint, "")
        for problem in (name, interface):
            assert problem.place is not None
            self.assertEqual((problem.place.file, problem.place.line), ("x.xml", 1))

    def test_interface(self) -> None:
        """Every address of an interface has a socket, IPv4 first as the interface gives them; link-local ones keep their scope."""
        found = self.resolve(
            proxy("s", "tcp://[@eth 0]:7000"),
            interfaces={"eth 0": ("10.0.0.1", "fd00::1", "fe80::1%3")},
        )
        self.assertEqual(found, ["10.0.0.1:7000 s", "fd00::1:7000 s", "fe80::1%3:7000 s"])
