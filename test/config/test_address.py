"""Addresses, and what ``*.bind`` moves sockets to."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.address import REFUSED, parse_address, parse_bind, parse_etcd
from kwic.config.model import Bind
from kwic.config.problem import BadValueError

SCHEMES_OF_KWIC_5 = {
    "ws+ssl": "use wss or wsn+ssl",
    "wss+ssl": "use wss or wsn+ssl",
    "tcp+ssl": "use ssl",
    "http+ssl": "use https",
    "wse": "use ws",
    "wse+ssl": "use wss",
    "wsx": "use ws",
    "wsx+ssl": "use wss",
    "wsr": "use ws",
    "wsr+ssl": "use wss",
    "ws-draft-75": "use ws",
    "ws-draft-75+ssl": "use wss",
    "sse": "use ws",
    "sse+ssl": "use wss",
    "httpx": "use ws",
    "httpx+ssl": "use wss",
    "httpxe": "use ws",
    "httpxe+ssl": "use wss",
    "httpx-draft": "use ws",
    "httpx-draft+ssl": "use wss",
    "mcp": "use tcp",
    "rtmp": "use tcp with port 1935",
    "aws": "use tcp, udp or etcd",
}
"""Those that are not spoken here, and the words that say what to write instead."""


class AddressTests(SynchronousTestCase):
    """The schemes and their parts."""

    def assert_refused(self, text: str, message: str, hint: str = "") -> None:
        """An address is no address, for this reason."""
        error = self.assertRaises(BadValueError, parse_address, text)
        self.assertIn(message, error.message)
        self.assertIn(hint, error.hint)

    def test_default_ports(self) -> None:
        """Schemes with a default port get it, the others must name theirs."""
        for text, port in {
            "ws://h/x": 80,
            "wsn://h/x": 80,
            "wss://h/x": 443,
            "wsn+ssl://h/x": 443,
            "http://h/": 80,
            "https://h/": 443,
            "socks://h": 1080,
            "socks+ssl://h": 1443,
            "etcd://h": 2379,
            "ws://h:8080/x": 8080,
        }.items():
            self.assertEqual(parse_address(text).port, port, text)
        for scheme in ("tcp", "ssl", "tls", "udp"):
            self.assert_refused(f"{scheme}://h", "has no port")

    def test_aliases(self) -> None:
        """The aliases: tls is ssl, wsn is ws and wsn+ssl is wss; schemes are written in any case."""
        for text, canonical in {
            "tls://h:1": "ssl://h:1",
            "wsn://h/x": "ws://h:80/x",
            "wsn+ssl://h/x": "wss://h:443/x",
            "WSN+SSL://H/X": "wss://h:443/X",
        }.items():
            self.assertEqual(str(parse_address(text)), canonical)
        self.assertEqual(parse_address("wsn://h/x"), parse_address("ws://H:80/x"))

    def test_secure_schemes(self) -> None:
        """ssl, wss, https, socks+ssl and etcd+ssl speak TLS, the others do not."""
        secure = {"ssl", "wss", "https", "socks+ssl", "etcd+ssl"}
        for scheme in (
            "tcp",
            "ssl",
            "ws",
            "wss",
            "http",
            "https",
            "socks",
            "socks+ssl",
            "udp",
            "etcd",
            "etcd+ssl",
        ):
            self.assertEqual(parse_address(f"{scheme}://h:1").secure, scheme in secure, scheme)

    def test_websocket_schemes(self) -> None:
        """Only ws and wss are WebSockets, only socks and socks+ssl are SOCKS."""
        self.assertTrue(parse_address("wss://h/").is_websocket)
        self.assertFalse(parse_address("https://h/").is_websocket)
        self.assertTrue(parse_address("socks+ssl://h").is_socks)
        self.assertFalse(parse_address("ssl://h:1").is_socks)

    def test_foreign_schemes_name_their_replacement(self) -> None:
        """Every refused scheme says what to use, ws+ssl above all."""
        for scheme, hint in SCHEMES_OF_KWIC_5.items():
            self.assert_refused(f"{scheme}://h:1/x", "is not supported", hint)
            self.assert_refused(f"{scheme.upper()}://h:1/x", "is not supported", hint)
        self.assertLessEqual(set(REFUSED), set(SCHEMES_OF_KWIC_5))

    def test_unknown_schemes(self) -> None:
        """A scheme that is close to one gets a suggestion, another a list."""
        self.assert_refused("wnss://h/x", "is not a scheme", "did you mean")
        self.assert_refused("gopher://h/x", "is not a scheme", "use tcp")
        self.assert_refused("h:80", "is not an address", "scheme://")

    def test_paths(self) -> None:
        """WebSocket addresses have a path, / by default; a query is kept apart; tcp and its like have none."""
        self.assertEqual(parse_address("ws://h").path, "/")
        address = parse_address("ws://h/a/b?x=1&y=2")
        self.assertEqual((address.path, address.query, address.target), ("/a/b", "x=1&y=2", "/a/b?x=1&y=2"))
        self.assertEqual(parse_address("ws://h?x").target, "/?x")
        for scheme in ("tcp", "ssl", "udp", "socks", "etcd"):
            self.assert_refused(f"{scheme}://h:1/x", "has no path")
            self.assert_refused(f"{scheme}://h:1/", "has no path")
        self.assert_refused("ws://h/a#b", "fragment")
        self.assert_refused("ws://h/a b", "is not a path")
        self.assert_refused("ws://h/ü", "is not a path")

    def test_pipes_are_names(self) -> None:
        """The name of a pipe is its whole authority, dots, dashes and case included; it has no port and no path."""
        pipe = parse_address("pipe://serviceA-cloud1.example.com")
        self.assertEqual((pipe.name, pipe.port), ("serviceA-cloud1.example.com", None))
        self.assertEqual(str(pipe), "pipe://serviceA-cloud1.example.com")
        self.assertNotEqual(pipe, parse_address("pipe://servicea-cloud1.example.com"))
        self.assert_refused("pipe://a:80", "a pipe has no port", "use pipe://a")
        self.assert_refused("pipe://a/b", "a pipe has no path", "use pipe://a")
        self.assert_refused("pipe://a/", "a pipe has no path", "use pipe://a")
        self.assert_refused("pipe://", "needs a name")
        self.assert_refused("pipe://a b", "is not a pipe's name")
        self.assert_refused("pipe://a:b", "is not a pipe's name")
        self.assert_refused("pipe://" + "a" * 256, "at most 255")

    def test_interfaces(self) -> None:
        """@ names an interface, in brackets when its name has blanks."""
        for text, interface in {
            "tcp://@eth0:5551": "eth0",
            "tcp://[@eth 0]:5551": "eth 0",
            "tcp://@br-x:5551": "br-x",
            "tcp://@eth0:1:5551": "eth0:1",
            "ssl://@Ethernet:5551": "Ethernet",
        }.items():
            address = parse_address(text)
            self.assertEqual((address.interface, address.port), (interface, 5551))
            self.assertEqual(parse_address(str(address)), address)
        self.assertEqual(parse_address("tcp://@eth0:5551").authority, "@eth0:5551")
        self.assertEqual(parse_address("tcp://[@eth 0]:5551").authority, "[@eth 0]:5551")
        self.assert_refused("ws://@eth0:80/x", "cannot stand in a ws address", "tcp.bind @eth0:port")
        self.assert_refused("tcp://@:80", "is not an interface")
        self.assert_refused("tcp://@eth0", "has no port")

    def test_hosts(self) -> None:
        """Names and addresses are hosts, lower-cased; wildcards are addresses like any other."""
        for text, host in {
            "tcp://Example.COM:1": "example.com",
            "tcp://server_a:1": "server_a",
            "tcp://example.com.:1": "example.com.",
            "tcp://127.0.0.1:1": "127.0.0.1",
            "tcp://0.0.0.0:1": "0.0.0.0",
            "tcp://[::]:1": "::",
            "tcp://[2001:DB8:0::1]:1": "2001:db8::1",
            "tcp://[fe80::1%eth0]:1": "fe80::1%eth0",
            "tcp://[fe80::1%25eth0]:1": "fe80::1%eth0",
        }.items():
            self.assertEqual(parse_address(text).host, host, text)
        self.assertEqual(str(parse_address("ws://[::1]/x")), "ws://[::1]:80/x")

    def test_what_is_no_host(self) -> None:
        """Each way to get a host wrong has its own message."""
        self.assert_refused("tcp://:1", "the host is missing")
        self.assert_refused("tcp://::1:80", "is not host:port", "brackets")
        self.assert_refused("tcp://[::g]:80", "is not an IPv6 address")
        self.assert_refused("tcp://[127.0.0.1]:80", "is not an IPv6 address")
        self.assert_refused("tcp://[::1", "is not [address]:port")
        self.assert_refused("tcp://[::1]80", "is not [address]:port")
        self.assert_refused("tcp://1.2.3:80", "is not an IPv4 address")
        self.assert_refused("tcp://me@h:80", "has a user name")
        self.assert_refused("tcp://*:80", "is not a host", "0.0.0.0")
        for host in ("a..b", "-a", "a-", "a b", "ü", "a" * 64, ".".join(["a" * 60] * 5)):
            self.assert_refused(f"tcp://{host}:80", "is not a host name")

    def test_ports(self) -> None:
        """A port is a number from 1 to 65535."""
        self.assertEqual(parse_address("tcp://h:65535").port, 65535)
        for port in ("0", "65536", "99999999", "http", "-1", "+1", " 1", "٣"):
            self.assert_refused(f"tcp://h:{port}", "is not a port")
        self.assert_refused("tcp://h:", "no port after the colon")

    def test_text_is_kept(self) -> None:
        """An address remembers how it was written, and that does not make it another address."""
        self.assertEqual(parse_address("wsn://H/x").text, "wsn://H/x")
        self.assert_refused("ws://h/" + "x" * 2048, "longer than 2048")

    def test_etcd_lists(self) -> None:
        """An etcd address may name several servers; each becomes an address."""
        found = parse_etcd("etcd+ssl://a:1,[::1]:2,c")
        self.assertEqual([str(address) for address in found], [
            "etcd+ssl://a:1",
            "etcd+ssl://[::1]:2",
            "etcd+ssl://c:2379",
        ])  # fmt: skip
        self.assertRaises(BadValueError, parse_etcd, "etcd://a,")

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
    @given(
        st.sampled_from(("tcp", "ssl", "ws", "wss", "socks", "udp")),
        st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,10}){0,3}", fullmatch=True)
        | st.ip_addresses(v=4).map(str)
        | st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
        st.integers(1, 65535),
    )
    def test_round_trip(self, scheme: str, host: str, port: int) -> None:
        """The canonical text of an address gives the same address."""
        address = parse_address(f"{scheme}://{host}:{port}")
        self.assertEqual(parse_address(str(address)), address)


class BindTests(SynchronousTestCase):
    """Where a socket is moved to."""

    def test_forms(self) -> None:
        """Port, host:port, ip:port, [v6]:port, @if:port and [@if name]:port."""
        for text, bind in {
            "443": Bind(port=443),
            "Host:443": Bind(host="host", port=443),
            "127.0.0.1:443": Bind(host="127.0.0.1", port=443),
            "[::1]:443": Bind(host="::1", port=443),
            "@eth0:443": Bind(interface="eth0", port=443),
            "[@eth 0]:443": Bind(interface="eth 0", port=443),
        }.items():
            self.assertEqual(parse_bind(text), bind, text)
            self.assertEqual(parse_bind(str(bind)), bind, text)

    def test_nonsense_is_refused(self) -> None:
        """A scheme, a missing port and a wrong port are errors."""
        for text, message in {
            "tcp://h:1": "is not host:port",
            "h": "has no port",
            "h:": "no port after the colon",
            "0": "is not a port",
            "70000": "is not a port",
            "": "the host is missing",
        }.items():
            self.assertIn(message, self.assertRaises(BadValueError, parse_bind, text).message)
