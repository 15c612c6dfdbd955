"""Which proxy an outgoing connection goes through."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Address
from kwic.errors import SetupError
from kwic.policy.forward_proxy import Proxy, proxy_for, unusable_proxies
from test.config.text import proxy, read, reverse


def wss(host: str = "cloud.example.com", port: int = 443) -> Address:
    return Address(text="", scheme="wss", host=host, port=port, path="/kwic")


def ws(host: str = "cloud.example.com", port: int = 80) -> Address:
    return Address(text="", scheme="ws", host=host, port=port, path="/kwic")


SQUID = Proxy(host="squid", port=3128)
PROPERTIES = {"http.proxyHost": "squid", "http.proxyPort": "3128"}


class PropertyTests(SynchronousTestCase):
    """Java's properties."""

    def test_one_pair_for_both(self) -> None:
        """http.proxyHost serves ws and wss."""
        self.assertEqual(proxy_for(ws(), PROPERTIES, {}), SQUID)
        self.assertEqual(proxy_for(wss(), PROPERTIES, {}), SQUID)

    def test_a_pair_for_wss(self) -> None:
        """https.proxyHost serves wss only, and wins there."""
        properties = {**PROPERTIES, "https.proxyHost": "other"}
        self.assertEqual(proxy_for(wss(), properties, {}), Proxy(host="other", port=443))
        self.assertEqual(proxy_for(ws(), properties, {}), SQUID)

    def test_default_port(self) -> None:
        """Without a port it is Java's default."""
        self.assertEqual(proxy_for(ws(), {"http.proxyHost": "[::1]"}, {}), Proxy(host="::1", port=80))

    def test_only_websockets(self) -> None:
        """A TCP connection is direct."""
        address = Address(text="", scheme="tcp", host="a", port=1)
        self.assertIsNone(proxy_for(address, PROPERTIES, {}))

    def test_credentials(self) -> None:
        """User and password may be given; neither is shown."""
        proxy = proxy_for(wss(), {**PROPERTIES, "http.proxyUser": "u", "http.proxyPassword": "p:w"}, {})
        assert proxy is not None
        self.assertEqual((proxy.user, proxy.password), ("u", "p:w"))
        self.assertNotIn("p:w", repr(proxy))
        self.assertEqual(str(proxy), "squid:3128")

    def test_an_empty_host_means_none(self) -> None:
        """An empty host switches the environment's proxy off too."""
        self.assertIsNone(proxy_for(wss(), {"http.proxyHost": ""}, {"HTTPS_PROXY": "http://x:1"}))

    def test_properties_win(self) -> None:
        """Properties win over the environment."""
        self.assertEqual(proxy_for(wss(), PROPERTIES, {"HTTPS_PROXY": "http://x:1"}), SQUID)

    def test_direct_hosts(self) -> None:
        """The list nonProxyHosts has names with a star at either end."""
        properties = {**PROPERTIES, "http.nonProxyHosts": "*.foo.com|localhost|10.1.*|*x*|[fe80::1]"}
        for host in ("a.foo.com", "A.FOO.COM".lower(), "localhost", "10.1.2.3", "axb", "fe80::1"):
            self.assertIsNone(proxy_for(wss(host), properties, {}), host)
        for host in ("foo.com", "a.foo.com.org", "10.11.2.3", "localhost.b"):
            self.assertEqual(proxy_for(wss(host), properties, {}), SQUID, host)

    def test_direct_hosts_of_https(self) -> None:
        """https.nonProxyHosts goes with https.proxyHost; http.nonProxyHosts stands in for it."""
        base = {"https.proxyHost": "squid", "https.proxyPort": "3128"}
        self.assertIsNone(proxy_for(wss("a"), {**base, "https.nonProxyHosts": "a"}, {}))
        self.assertIsNone(proxy_for(wss("a"), {**base, "http.nonProxyHosts": "a"}, {}))

    def test_this_machine(self) -> None:
        """This machine is reached directly, unless a list says otherwise; a lone star is everybody."""
        for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"):
            self.assertIsNone(proxy_for(wss(host), PROPERTIES, {}), host)
            self.assertEqual(proxy_for(wss(host), {**PROPERTIES, "http.nonProxyHosts": ""}, {}), SQUID)
        self.assertIsNone(proxy_for(wss(), {**PROPERTIES, "http.nonProxyHosts": "*"}, {}))

    def test_a_bad_port(self) -> None:
        """A port that is none is an error that names the property."""
        for port in ("x", "0", "65536", "-1"):
            error = self.assertRaises(SetupError, proxy_for, ws(), {**PROPERTIES, "http.proxyPort": port}, {})
            self.assertIn("http.proxyPort", str(error))


class EnvironmentTests(SynchronousTestCase):
    """HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""

    def choose(self, address: Address, no_proxy: str = "") -> Proxy | None:
        return proxy_for(
            address,
            {},
            {"HTTPS_PROXY": "http://secure:1", "HTTP_PROXY": "http://clear:2", "NO_PROXY": no_proxy},
        )

    def test_by_scheme(self) -> None:
        """HTTPS_PROXY is for wss, HTTP_PROXY for ws."""
        self.assertEqual(self.choose(wss()), Proxy(host="secure", port=1))
        self.assertEqual(self.choose(ws()), Proxy(host="clear", port=2))

    def test_none(self) -> None:
        """Without variables, connections are direct."""
        self.assertIsNone(proxy_for(wss(), {}, {}))
        self.assertIsNone(proxy_for(wss(), {}, {"HTTPS_PROXY": "  "}))

    def test_lower_case_wins(self) -> None:
        """The lower-case variable wins."""
        environ = {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}
        self.assertEqual(proxy_for(wss(), {}, environ), Proxy(host="low", port=1))

    def test_forms(self) -> None:
        """With or without scheme, port and credentials."""
        for text, expected in (
            ("squid:3128", SQUID),
            ("http://squid", Proxy(host="squid", port=80)),
            ("https://squid", Proxy(host="squid", port=443, secure=True)),
            ("http://u:p%40w@squid:3128/", Proxy(host="squid", port=3128, user="u", password="p@w")),
            ("http://[::1]:3128", Proxy(host="::1", port=3128)),
        ):
            self.assertEqual(proxy_for(wss(), {}, {"HTTPS_PROXY": text}), expected, text)

    def test_what_cannot_be_used(self) -> None:
        """Another kind of proxy, or no host, is an error that names the variable."""
        for text in ("socks5://x:1", "http://", "http://x:99999", "http://[::1"):
            error = self.assertRaises(SetupError, proxy_for, wss(), {}, {"HTTPS_PROXY": text})
            self.assertIn("HTTPS_PROXY", str(error))

    def test_no_proxy(self) -> None:
        """Names cover subdomains, with or without dot; addresses, networks and ports count; a star is everybody."""
        for pattern, host in (
            ("example.com", "cloud.example.com"),
            (".example.com", "cloud.example.com"),
            ("*.example.com", "cloud.example.com"),
            ("EXAMPLE.com", "example.com"),
            ("other, example.com", "example.com"),
            ("10.0.0.0/8", "10.2.3.4"),
            ("10.2.3.4", "10.2.3.4"),
            ("fd00::/8", "fd00::1"),
            ("[fd00::1]:443", "fd00::1"),
            ("fd00::1", "fd00::1"),
            ("fe80::/10", "fe80::1%eth0"),
            ("example.com:443", "example.com"),
            ("*", "anything"),
        ):
            self.assertIsNone(self.choose(wss(host), pattern), (pattern, host))

    def test_not_in_no_proxy(self) -> None:
        """What only looks alike goes through the proxy."""
        for pattern, host in (
            ("example.com", "notexample.com"),
            ("example.com", "example.com.org"),
            ("example.com:80", "example.com"),
            ("10.0.0.0/8", "11.2.3.4"),
            ("10.0.0.0/8", "10.example.com"),
            ("10.0.0.0/8", "fd00::1"),
            ("", "example.com"),
        ):
            self.assertIsNotNone(self.choose(wss(host), pattern), (pattern, host))

    def test_this_machine(self) -> None:
        """This machine is always reached directly."""
        for host in ("localhost", "127.0.0.1", "::1"):
            self.assertIsNone(self.choose(wss(host)), host)


class UnusableTests(SynchronousTestCase):
    """Proxies of the environment that cannot be used, told before anybody dials."""

    def said(self, *parts: str, **environ: str) -> list[str]:
        """What is said about a configuration in an environment."""
        return [problem.render() for problem in unusable_proxies(read(*parts), environ)]

    def test_told_once(self) -> None:
        """Each is told at the first address that is dialled through it."""
        parts = (
            proxy(connect="ws://one/a", name="A"),
            proxy("tcp://127.0.0.1:2", "ws://two/a", name="B"),
            proxy("tcp://127.0.0.1:3", "wss://three/a", name="C"),
            proxy("pipe://a", accept_options=reverse("wss://four/kwic"), name="D"),
        )
        first, second = self.said(*parts, HTTP_PROXY="socks5://squid:1080", https_proxy="http://squid:x")
        self.assertIn(
            "2:70: warning: ws://one:80/a cannot be dialled: HTTP_PROXY names a socks5 proxy", first
        )
        self.assertIn(
            "4:67: warning: wss://three:443/a cannot be dialled: HTTPS_PROXY is not the address", second
        )

    def test_not_needed(self) -> None:
        """Nothing is said where nobody goes through it: what is listened at, other schemes, properties, this machine, exceptions."""
        properties = (
            "<properties><property><name>http.proxyHost</name><value>squid</value></property></properties>"
        )
        dialled = proxy(connect="ws://one/a")
        for parts, environ in (
            ((dialled,), {}),
            ((dialled,), {"HTTP_PROXY": "http://squid"}),
            ((dialled,), {"HTTPS_PROXY": "socks5://squid"}),
            ((dialled,), {"HTTP_PROXY": "socks5://squid", "NO_PROXY": "one"}),
            ((properties, dialled), {"HTTP_PROXY": "socks5://squid"}),
            ((proxy("ws://one/a"),), {"HTTP_PROXY": "socks5://squid"}),
            ((proxy(connect="ws://localhost/a"),), {"HTTP_PROXY": "socks5://squid"}),
        ):
            self.assertEqual(self.said(*parts, **environ), [], parts)
