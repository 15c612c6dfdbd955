"""Where services listen and dial, and who shares a socket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.ends import Side, accept_ends, connect_ends, ends, local_pipes
from kwic.config.listen import Speech, listeners
from kwic.config.model import Bind, VerifyClient
from test.config.text import KEYSTORE, complaints, echo, options, proxy, read, read_one, reverse


class ReverseTests(SynchronousTestCase):
    """socks.mode, seen from both sides."""

    def test_reverse_cloud_side_listens(self) -> None:
        """The side whose connect is the pipe listens at socks.transport, by the pipe's name."""
        service = read_one(proxy(connect="pipe://a.b-c", connect_options=reverse("ws://cloud/kwic")))
        (tunnel,) = connect_ends(service)
        self.assertTrue(tunnel.listens)
        self.assertEqual((tunnel.keys, str(tunnel.address)), (("a.b-c",), "ws://cloud:80/kwic"))
        self.assertEqual(str(tunnel.socks), "socks://cloud:1080")
        self.assertTrue(service.is_reverse_acceptor)
        self.assertFalse(service.is_reverse_agent)

    def test_reverse_onprem_side_dials(self) -> None:
        """The side whose accept is the pipe dials socks.transport."""
        service = read_one(proxy("pipe://a", accept_options=reverse("wsn://cloud/kwic")))
        (tunnel,) = accept_ends(service)
        self.assertFalse(tunnel.listens)
        self.assertEqual((tunnel.keys, str(tunnel.address)), (("a",), "ws://cloud:80/kwic"))
        self.assertTrue(service.is_reverse_agent)
        self.assertFalse(service.is_reverse_acceptor)

    def test_forward_is_the_mirror_image(self) -> None:
        """Without a mode, or with forward, the side with the clients dials and the other listens."""
        for mode in ("", "<socks.mode>forward</socks.mode>"):
            carried = options(pipe_transport="socks://onprem", socks_transport="ws://onprem/kwic") + mode
            dialler = read_one(proxy(connect="pipe://a", connect_options=carried))
            listener = read_one(proxy("pipe://a", accept_options=carried))
            self.assertFalse(connect_ends(dialler)[0].listens)
            self.assertTrue(accept_ends(listener)[0].listens)
            self.assertTrue(dialler.is_forward_dialler)
            self.assertTrue(listener.is_forward_listener)
            self.assertFalse(dialler.is_reverse_acceptor or dialler.is_forward_listener)
            self.assertFalse(listener.is_reverse_agent or listener.is_forward_dialler)

    def test_transports(self) -> None:
        """socks.transport may be tcp, ssl, ws, wss or absent: then it is TCP, or TLS, to the socks address."""
        for socks, transport, expected in (
            ("socks://cloud", "tcp://cloud:1", "tcp://cloud:1"),
            ("socks://cloud", "tls://cloud:1", "ssl://cloud:1"),
            ("socks://cloud", "ws://cloud/kwic", "ws://cloud:80/kwic"),
            ("socks://cloud", "wsn+ssl://cloud/kwic", "wss://cloud:443/kwic"),
            ("socks://cloud", "", "tcp://cloud:1080"),
            ("socks://cloud:99", "", "tcp://cloud:99"),
            ("socks+ssl://cloud", "", "ssl://cloud:1443"),
            ("socks+ssl://cloud", "wss://cloud/kwic", "wss://cloud:443/kwic"),
        ):
            service = read_one(proxy("pipe://a", accept_options=reverse(transport, socks)))
            self.assertEqual(str(accept_ends(service)[0].address), expected)

    def test_logical_addresses(self) -> None:
        """With tcp.transport or http.transport the whole URI is the rendezvous key, however it is spelt."""
        carried = options(
            tcp_transport="socks://cloud:2376", socks_mode="reverse", socks_transport="wsn://cloud:2376/k"
        )
        cloud = read_one(proxy("tcp://cloud:2375", "tcp://cloud:2375", connect_options=carried))
        onprem = read_one(proxy("tcp://cloud:2375", "tcp://docker:2375", accept_options=carried))
        self.assertEqual(connect_ends(cloud)[0].keys, ("tcp://cloud:2375",))
        self.assertEqual(accept_ends(onprem)[0].keys, ("tcp://cloud:2375",))
        self.assertEqual([str(end.address) for end in accept_ends(cloud)], ["tcp://cloud:2375"])
        carried = options(
            http_transport="socks://backplane:1080", socks_mode="reverse", socks_transport="wss://b/shield"
        )
        cloud = read_one(
            KEYSTORE, proxy("tcp://h:1", "wsn+ssl://gw.example.com/app1", connect_options=carried)
        )
        onprem = read_one(proxy("wss://GW.example.com:443/app1", "tcp://app:1", accept_options=carried))
        self.assertEqual(connect_ends(cloud)[0].keys, ("wss://gw.example.com:443/app1",))
        self.assertEqual(accept_ends(onprem)[0].keys, connect_ends(cloud)[0].keys)

    def test_keys_fit_into_a_socks_name(self) -> None:
        """A rendezvous key may be 255 characters long, and not one more."""
        carried = options(
            http_transport="socks://cloud", socks_mode="reverse", socks_transport="ws://cloud/kwic"
        )
        path = "x" * (255 - len("ws://h:80/"))
        self.assertEqual(complaints(proxy(f"ws://h/{path}", accept_options=carried)), [])
        self.assertIn(
            "too long for a tunnel", complaints(proxy(f"ws://h/{path}x", accept_options=carried))[0]
        )

    def test_names_share_a_tunnel(self) -> None:
        """Several pipes of one service travel in one tunnel, which stands where the first of them does."""
        connects = "pipe://a</connect><connect>tcp://h:1</connect><connect>pipe://b"
        service = read_one(proxy(connect=connects, connect_options=reverse("ws://cloud/kwic")))
        self.assertEqual(
            [(end.keys, end.is_tunnel) for end in connect_ends(service)], [(("a", "b"), True), ((), False)]
        )
        self.assertEqual(len(ends(service)), 3)

    def test_verify_client_of_a_tunnel(self) -> None:
        """socks.ssl.* counts for a tunnel before ssl.*, option by option."""
        both = reverse(
            "wss://cloud/kwic", ssl_verify__client="none", socks_ssl_verify__client="required", ssl_protocols="TLSv1.3",
            ssl_ciphers="HIGH", socks_ssl_ciphers="AES128-SHA", ssl_encryption="disabled",
        )  # fmt: skip
        (tunnel,) = connect_ends(read_one(KEYSTORE, proxy(connect="pipe://a", connect_options=both)))
        self.assertEqual(tunnel.tls.verify_client, VerifyClient.REQUIRED)
        self.assertEqual(tunnel.tls.protocols, ("TLSv1.3",))
        self.assertEqual(tunnel.tls.ciphers, ("AES128-SHA",))
        self.assertFalse(tunnel.secure)

    def test_pipes_without_transport_stay_inside(self) -> None:
        """A pipe without a transport is no end of the network; both its ends are in the file."""
        config = read(proxy(connect="pipe://inside"), proxy("pipe://inside", name="B"))
        first, second = config.services
        self.assertEqual(connect_ends(first), ())
        self.assertEqual([pipe.name for pipe in local_pipes(first, Side.CONNECT)], ["inside"])
        self.assertEqual([pipe.name for pipe in local_pipes(second, Side.ACCEPT)], ["inside"])
        self.assertEqual(local_pipes(first, Side.ACCEPT), ())


class SocketTests(SynchronousTestCase):
    """Where the sockets are."""

    def socket(self, accept: str, **written: str) -> str:
        """Where a proxy with this accept and these options listens."""
        (end,) = accept_ends(read_one(KEYSTORE, proxy(accept, accept_options=options(**written))))
        return str(end.socket)

    def test_address_itself(self) -> None:
        """Without options the socket is where the address is."""
        self.assertEqual(self.socket("tcp://@eth0:5551"), "@eth0:5551")
        self.assertEqual(self.socket("ws://example.com/b"), "example.com:80")
        self.assertEqual(self.socket("tcp://[::1]:5551"), "[::1]:5551")

    def test_binds_move_the_socket_only(self) -> None:
        """*.bind moves accepts of its scheme, and tcp.bind any; the address stays what it is."""
        self.assertEqual(self.socket("wss://example.com/b", wss_bind="8443"), "8443")
        self.assertEqual(self.socket("wss://example.com/b", tcp_bind="@eth0:8443"), "@eth0:8443")
        self.assertEqual(self.socket("wss://example.com/b", tcp_bind="1", wss_bind="2"), "2")
        self.assertEqual(
            self.socket("wss://example.com/b", ws_bind="1", ssl_bind="2", https_bind="3"), "example.com:443"
        )
        self.assertEqual(self.socket("ws://example.com/b", ws_bind="[@eth 0]:80"), "[@eth 0]:80")
        self.assertEqual(self.socket("ssl://example.com:443", ssl_bind="[::1]:443"), "[::1]:443")
        (end,) = accept_ends(read_one(proxy("ws://example.com/b", accept_options=options(ws_bind="8080"))))
        self.assertEqual(end.address.authority, "example.com:80")

    def test_http_transport_is_a_bind(self) -> None:
        """<http.transport>tcp://@eth0:443</http.transport> moves the socket, under wss too, and TLS stays."""
        text = options(http_transport="tcp://@eth0:443")
        (end,) = accept_ends(read_one(KEYSTORE, proxy("wss://example.com/b", accept_options=text)))
        self.assertEqual(end.socket, Bind(interface="eth0", port=443))
        self.assertTrue(end.secure)
        self.assertEqual(
            self.socket("ssl://example.com:443", ssl_transport="tcp://0.0.0.0:8443"), "0.0.0.0:8443"
        )

    def test_bind_in_connect_options(self) -> None:
        """In reverse mode the connect-options move the socket of the tunnel."""
        text = reverse("wss://cloud/kwic", tcp_bind="8443")
        (end,) = connect_ends(read_one(KEYSTORE, proxy(connect="pipe://a", connect_options=text)))
        self.assertEqual(str(end.socket), "8443")

    def test_what_is_dialled(self) -> None:
        """A dialled end ignores binds; http.transport says where to dial instead of the host."""
        text = options(tcp_bind="1", http_transport="tcp://10.0.0.1:8443")
        (end,) = connect_ends(read_one(proxy(connect="wss://example.com/b", connect_options=text)))
        self.assertEqual(str(end.socket), "10.0.0.1:8443")


class ListenerTests(SynchronousTestCase):
    """Several services on one address."""

    def test_sharing(self) -> None:
        """Tunnels, WebSocket services and balancers share one listener, in the order of the file."""
        balancer = "<service><name>C</name><accept>ws://example.com/b</accept><type>balancer</type></service>"
        behind = proxy("ws://cloud/b", name="B").replace(
            "<type>", "<balance>ws://example.com/b</balance><type>"
        )
        config = read(
            proxy(connect="pipe://a", connect_options=reverse("ws://cloud/kwic")),
            proxy("tcp://h:2", "pipe://d", "D", connect_options=reverse("ws://cloud/kwic")),
            behind,
            balancer.replace(
                "<type>balancer</type>",
                "<type>balancer</type><accept-options><tcp.bind>cloud:80</tcp.bind></accept-options>",
            ),
        )
        found = {str(listener.socket): listener for listener in listeners(config)}
        shared = found["cloud:80"]
        self.assertEqual([end.service.name for end in shared.ends], ["A", "D", "B", "C"])
        self.assertEqual(shared.speech, Speech.HTTP)
        self.assertFalse(shared.secure)
        self.assertEqual(shared.hosts, ("cloud", "example.com"))
        self.assertEqual(found["127.0.0.1:7000"].speech, Speech.BYTES)

    def test_wildcards_take_in_their_port(self) -> None:
        """A listener on every address serves the others on its port; 0.0.0.0 and [::] are two listeners."""
        config = read(
            proxy("ws://a/x", name="A"),
            proxy("ws://b/x", name="B", accept_options=options(tcp_bind="80")),
            proxy("ws://c/x", name="C", accept_options=options(tcp_bind="@eth0:80")),
        )
        (listener,) = listeners(config)
        self.assertEqual((listener.socket, len(listener.ends)), (Bind(port=80), 3))
        config = read(
            proxy("ws://a/x", name="A", accept_options=options(tcp_bind="[::1]:80")),
            proxy("ws://b/x", name="B", accept_options=options(tcp_bind="0.0.0.0:80")),
            proxy("ws://c/x", name="C", accept_options=options(tcp_bind="[::]:80")),
            proxy("ws://d/x", name="D"),
        )
        gathered = {str(each.socket): [end.service.name for end in each.ends] for each in listeners(config)}
        self.assertEqual(gathered, {"[::]:80": ["A", "C"], "0.0.0.0:80": ["B", "D"]})

    def test_both_wildcards_for_one_service(self) -> None:
        """A plain TCP service may listen on every IPv4 and every IPv6 address."""
        self.assertEqual(complaints(echo("tcp://0.0.0.0:80</accept><accept>tcp://[::]:80")), [])

    def test_equal_verify_clients_by_two_names(self) -> None:
        """ssl.verify-client of one service and socks.ssl.verify-client of another are one value; silence goes along."""
        config = read(
            KEYSTORE,
            proxy(
                connect="pipe://a",
                connect_options=reverse("wss://cloud/kwic", socks_ssl_verify__client="required"),
            ),
            proxy("wss://cloud/b", name="B", accept_options=options(ssl_verify__client="required")),
            proxy("wss://cloud/c", name="C"),
        )
        (shared,) = [listener for listener in listeners(config) if listener.secure]
        self.assertEqual(shared.tls.verify_client, VerifyClient.REQUIRED)
        (warning,) = config.warnings
        self.assertIn(
            "service “C” says nothing of ssl.verify-client, and gets required from service “A”",
            warning.message,
        )

    def test_silence_beside_defaults(self) -> None:
        """Who says nothing gets what others ask for, and is told so unless it would have had it anyway."""
        for said, is_told in (
            ({"ssl_verify__client": "none", "ssl_protocols": "TLSv1.2,TLSv1.3"}, False),
            ({"ssl_protocols": "TLSv1.3"}, True),
            ({"ssl_ciphers": "HIGH"}, True),
            ({"ssl_verify__client": "optional"}, True),
        ):
            config = read(
                KEYSTORE,
                proxy("wss://cloud/a", accept_options=options(**said)),
                proxy("tcp://127.0.0.1:1", "pipe://b", "B", connect_options=reverse("wss://cloud/kwic")),
            )
            self.assertEqual(len(config.warnings), int(is_told), said)
            for warning in config.warnings:
                self.assertIn("service “B” says nothing of socks.ssl.", warning.message)

    def test_plain_tunnels_share(self) -> None:
        """Tunnels without WebSocket share a socket with each other."""
        config = read(
            proxy(connect="pipe://a", connect_options=reverse()),
            proxy("tcp://h:2", "pipe://b", "B", connect_options=reverse("tcp://cloud:1080")),
        )
        (shared,) = [listener for listener in listeners(config) if listener.speech is Speech.SOCKS]
        self.assertEqual(len(shared.ends), 2)

    def test_hosts_of_the_certificate(self) -> None:
        """The certificate must fit the names; interfaces and wildcards have none."""
        config = read(
            KEYSTORE, echo("ssl://@eth0:443"), echo("ssl://0.0.0.0:444", "B"), echo("ssl://h:445", "C")
        )
        self.assertEqual([listener.hosts for listener in listeners(config)], [(), (), ("h",)])

    def test_offloaded_tls(self) -> None:
        """With ssl.encryption disabled the socket speaks in clear and needs no keystore."""
        config = read(proxy("wss://h/x", accept_options=options(ssl_encryption="disabled")))
        self.assertFalse(listeners(config)[0].secure)
        clash = proxy("wss://h/y", name="B")
        self.assertIn(
            "error: service “B” speaks TLS and service “A” does not, and both listen at h:443",
            complaints(
                KEYSTORE, proxy("wss://h/x", accept_options=options(ssl_encryption="disabled")), clash
            ),
        )
