"""Services: types, options on both sides, properties, constraints."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Bind, CrossSite, Liveness, SocksMode, StoreKind, TlsOptions, VerifyClient
from kwic.config.options import NEEDS, OPTIONS
from kwic.config.problem import ConfigError
from kwic.config.reader import read_text
from kwic.config.service_types import REFUSED_TYPES, TYPES
from kwic.config.shape import NAMESPACES
from test.config.text import KEYSTORE, complaints, echo, gateway, options, proxy, read, read_one, reverse

TYPES_OF_KWIC_5 = {
    "http.proxy": "use a proxy service",
    "http.balancer": "use a balancer service",
    "directory": "a web server",
    "broadcast": "a message broker",
    "amqp.proxy": "use a proxy service",
    "redis": "use a proxy service",
    "jms": "use a proxy service",
    "jms.proxy": "use a proxy service",
    "stomp.jms": "use a proxy service",
    "stomp.proxy": "use a proxy service",
    "stomp.interceptor": "use a proxy service",
    "xmpp.proxy": "use a proxy service",
    "kerberos5.proxy": "use a proxy service",
    "turn.proxy": "a TURN server",
    "turn.rest": "a TURN server",
    "management.jmx": "the admin address",
    "management.snmp": "the admin address",
    "snmp": "the admin address",
    "session": "remove it",
    "update.check": "remove it",
    "update.check.management": "remove it",
    "keepalive": "ws.inactivity.timeout",
}
"""The types of KWIC 5 that there are not any more, and words of what is said instead."""


class ShapeTests(SynchronousTestCase):
    """What a service is."""

    def test_order_of_the_file_is_kept(self) -> None:
        """Services, accepts and connects come in the order of the file; KWIC 5 shuffled them."""
        names = [f"S{number}" for number in (3, 1, 2)]
        config = read(*(echo(f"tcp://127.0.0.1:{7000 + index}", name) for index, name in enumerate(names)))
        self.assertEqual([service.name for service in config.services], names)
        hosts = ["zeta", "alpha", "mu"]
        connects = "</connect><connect>".join(f"tcp://{host}:1" for host in hosts)
        service = read_one(proxy(connect=connects))
        self.assertEqual([address.host for address in service.connects], hosts)

    def test_namespaces(self) -> None:
        """The 2016, 2015 and 2014 namespaces are one and the same; another is named with those that are."""
        for namespace in NAMESPACES:
            config = read_text(gateway(echo(), namespace=namespace).encode(), "test.xml")
            self.assertEqual([service.name for service in config.services], ["A"])
        self.assertEqual([namespace[-15:-8] for namespace in NAMESPACES], ["2016/06", "2015/11", "2014/09"])
        foreign = gateway(echo(), namespace="http://xmlns.kaazing.com/2012/09/gateway").encode()
        (problem,) = self.assertRaises(ConfigError, read_text, foreign, "test.xml").problems
        self.assertIn("2012/09", problem.message)
        self.assertTrue(all(namespace in problem.hint for namespace in NAMESPACES))

    def test_description(self) -> None:
        """A description is free text, collapsed like any other."""
        service = read_one(echo().replace("<accept>", "<description> two\n words </description><accept>"))
        self.assertEqual(service.description, "two words")
        self.assertEqual(read_one(echo()).description, "")
        missing = echo().replace("<accept>", "<description>${none}</description><accept>")
        self.assertEqual(complaints(missing), ["error: the property “none” has no value"])

    def test_types_of_kwic_5(self) -> None:
        """Every other type of KWIC 5 is refused by its name, never as unknown."""
        for name, hint in TYPES_OF_KWIC_5.items():
            refused = echo().replace(">echo<", f">{name}<")
            error = self.assertRaises(ConfigError, read, refused)
            (problem,) = error.problems
            self.assertEqual(problem.message, f"services of type “{name}” are not supported")
            self.assertIn(hint, problem.hint)
        self.assertEqual(set(REFUSED_TYPES), set(TYPES_OF_KWIC_5))

    def test_accepted_schemes(self) -> None:
        """Each type accepts and connects to its schemes and to no other."""
        everything = {"tcp", "ssl", "ws", "wss", "pipe", "http", "https", "socks", "socks+ssl", "udp", "etcd"}
        for name, kind in TYPES.items():
            for scheme in everything:
                address = f"{scheme}://a" if scheme == "pipe" else f"{scheme}://a:1"
                connect = f"<connect>{address}</connect>" if kind.connects else ""
                text = (
                    f"<service><name>A</name><accept>{address}</accept>{connect}<type>{name}</type></service>"
                )
                said = " ".join(complaints(KEYSTORE, text))
                self.assertEqual(
                    f"cannot accept {scheme} " in said, scheme not in kind.accepts, f"{name} {scheme}"
                )
                if kind.connects:
                    self.assertEqual(
                        f"cannot connect to {scheme} " in said, scheme not in kind.connects, said
                    )

    def test_liveness(self) -> None:
        """kwic:liveness counts for both sides of a service, and is normal by default."""
        fast = proxy("tcp://h:1", "ws://cloud/b").replace("<service>", '<service kwic:liveness="fast">')
        service = read_one(fast)
        self.assertEqual(service.accept_options.liveness, Liveness.FAST)
        self.assertEqual(service.connect_options.liveness, Liveness.FAST)
        self.assertEqual(read_one(echo()).accept_options.liveness, Liveness.NORMAL)

    def test_liveness_of_the_whole(self) -> None:
        """The links between members are as impatient as the most impatient service."""
        slow = proxy("tcp://127.0.0.1:2", "ws://cloud/c", name="slow")
        fast = proxy("tcp://127.0.0.1:1", "ws://cloud/b", name="fast").replace(
            "<service>", '<service kwic:liveness="fast">'
        )
        for services, liveness in (
            ((), Liveness.NORMAL),
            ((slow,), Liveness.NORMAL),
            ((slow, fast), Liveness.FAST),
            ((fast, slow), Liveness.FAST),
        ):
            self.assertEqual(read(*services).liveness, liveness)


class PropertyTests(SynchronousTestCase):
    """Properties of a service."""

    def test_defaults(self) -> None:
        """Without properties: 64 kB pending, no probing, one tunnel, one echo."""
        service = read_one(proxy())
        self.assertEqual(service.maximum_pending_bytes, 64000)
        self.assertIsNone(service.maximum_recovery_interval_s)
        self.assertIsNone(service.prepared_connection_count)
        self.assertEqual(service.repeat, 1)

    def test_values(self) -> None:
        """Each property is a typed value."""
        written = options(
            maximum_pending_bytes="128k", maximum_recovery_interval="2 minutes", prepared_connection_count="4"
        )
        service = read_one(proxy(connect="ws://cloud/b", properties=written))
        self.assertEqual(service.maximum_pending_bytes, 131072)
        self.assertEqual(service.maximum_recovery_interval_s, 120.0)
        self.assertEqual(service.prepared_connection_count, 4)
        for dialling in (
            proxy(connect="ws://cloud/b", properties=written),
            proxy("pipe://a", accept_options=reverse("tcp://cloud:1080"), properties=written),
        ):
            self.assertEqual(complaints(dialling), [])
        repeated = echo().replace("</service>", "<properties><repeat>3</repeat></properties></service>")
        self.assertEqual(read_one(repeated).repeat, 3)

    def test_recovery_is_on_where_others_stand_in(self) -> None:
        """Services with a balance or a reverse name probe their back end every 5 s, unless told otherwise."""
        balanced = proxy("ws://h/x").replace("<type>", "<balance>ws://example.com/x</balance><type>")
        agent = proxy("pipe://a", accept_options=reverse("ws://cloud/kwic"))
        listening = proxy("pipe://a", accept_options=reverse("ws://cloud/kwic").replace("reverse", "forward"))
        acceptor = proxy(connect="pipe://a", connect_options=reverse("ws://cloud/kwic"))
        self.assertEqual(read_one(balanced).maximum_recovery_interval_s, 5.0)
        self.assertEqual(read_one(agent).maximum_recovery_interval_s, 5.0)
        self.assertEqual(read_one(listening).maximum_recovery_interval_s, 5.0)
        self.assertIsNone(read_one(acceptor).maximum_recovery_interval_s)
        for value, seconds in (("0", None), ("7", 7.0)):
            told = agent.replace(
                "<accept-options>",
                f"<properties>{options(maximum_recovery_interval=value)}</properties><accept-options>",
            )
            self.assertEqual(read_one(told).maximum_recovery_interval_s, seconds)

    def test_without_effect(self) -> None:
        """connect.strategy and internal.maximum.transferred.bytes are accepted with a warning."""
        written = options(connect_strategy="deferred", internal_maximum_transferred_bytes="-1")
        self.assertEqual(
            complaints(proxy(properties=written)),
            [
                "warning: <connect.strategy> has no effect: the far end is dialled when a client comes",
                "warning: <internal.maximum.transferred.bytes> has no effect: connections last as long as both ends want",
            ],
        )


class OptionTests(SynchronousTestCase):
    """accept-options and connect-options."""

    def test_defaults(self) -> None:
        """What nobody wrote has the documented default."""
        written = read_one(proxy()).accept_options
        self.assertEqual(written.socks_timeout_s, 10.0)
        self.assertEqual(written.socks_retry_maximum_interval_s, 30.0)
        self.assertEqual(written.socks_mode, SocksMode.FORWARD)
        self.assertIsNone(written.ws_inactivity_timeout_s)
        self.assertEqual(written.ws_maximum_message_bytes, 131072)
        self.assertEqual(written.http_maximum_redirects, 3)
        self.assertIsNone(written.tcp_maximum_outbound_rate)
        self.assertEqual(written.tls, TlsOptions())
        self.assertEqual(written.tls.encryption, True)

    def test_every_option_on_both_sides(self) -> None:
        """Each option is read into its attribute, whichever side it stands on."""
        values = {
            "socks_timeout": ("2 seconds", "socks_timeout_s", 2.0),
            "socks_retry_maximum_interval": ("1 second", "socks_retry_maximum_interval_s", 1.0),
            "socks_mode": ("reverse", "socks_mode", SocksMode.REVERSE),
            "ws_inactivity_timeout": ("55 seconds", "ws_inactivity_timeout_s", 55.0),
            "ws_maximum_message_size": ("64k", "ws_maximum_message_bytes", 65536),
            "http_maximum_redirects": ("0", "http_maximum_redirects", 0),
            "http_keepalive_timeout": ("30", "http_keepalive_timeout_s", 30.0),
            "tcp_maximum_outbound_rate": ("1kB/s", "tcp_maximum_outbound_rate", 1000),
        }
        text = options(**{name: value for name, (value, _, _) in values.items()})
        service = read_one(proxy(accept_options=text, connect_options=text))
        for side in (service.accept_options, service.connect_options):
            for _, attribute, expected in values.values():
                self.assertEqual(getattr(side, attribute), expected, attribute)

    def test_binds_and_transports(self) -> None:
        """Binds go by scheme, transports by layer."""
        text = options(tcp_bind="1", ssl_bind="2", ws_bind="3", wss_bind="4", http_bind="5", https_bind="6")
        service = read_one(proxy(accept_options=text))
        self.assertEqual(
            service.accept_options.bind,
            {
                scheme: Bind(port=port + 1)
                for port, scheme in enumerate(("tcp", "ssl", "ws", "wss", "http", "https"))
            },
        )
        text = options(
            pipe_transport="socks://a", tcp_transport="socks+ssl://b", ssl_transport="tcp://c:1",
            http_transport="ssl://@eth0:443", socks_transport="wsn+ssl://d/kwic",
        )  # fmt: skip
        service = read_one(
            proxy("ws://h/x", "ws://h/y", connect_options=text.replace("ssl://@eth0", "tcp://e"))
        )
        self.assertEqual(
            {layer: str(address) for layer, address in service.connect_options.transport.items()},
            {
                "pipe": "socks://a:1080",
                "tcp": "socks+ssl://b:1443",
                "ssl": "tcp://c:1",
                "http": "tcp://e:443",
                "socks": "wss://d:443/kwic",
            },
        )

    def test_tls_options(self) -> None:
        """ssl.* and socks.ssl.* are kept apart; tls is another word for ssl."""
        text = options(
            tls_verify__client="optional", ssl_protocols="TLSv1.3", tls_ciphers="HIGH", ssl_encryption="disabled",
            socks_ssl_verify__client="required", socks_tls_protocols="TLSv1.2", socks_ssl_ciphers="AES128-SHA",
            socks_ssl_encryption="enabled",
        )  # fmt: skip
        service = read_one(proxy(accept_options=text))
        self.assertEqual(
            service.accept_options.tls,
            TlsOptions(
                verify_client=VerifyClient.OPTIONAL,
                protocols=("TLSv1.3",),
                ciphers=("HIGH",),
                encryption=False,
            ),
        )
        self.assertEqual(
            service.accept_options.socks_tls,
            TlsOptions(verify_client=VerifyClient.REQUIRED, protocols=("TLSv1.2",), ciphers=("AES128-SHA",)),
        )

    def test_service_defaults(self) -> None:
        """Defaults count option by option, where the service says nothing itself, on their own side, without warnings."""
        defaults = (
            "<service-defaults>"
            f"<accept-options>{options(ws_maximum_message_size='1k', socks_timeout='1 s', ssl_verify__client='required')}</accept-options>"
            f"<connect-options>{options(http_maximum_redirects='9')}</connect-options></service-defaults>"
        )
        config = read(proxy("ws://h/x", accept_options=options(ws_maximum_message_size="2k")), defaults)
        (service,) = config.services
        self.assertEqual(config.warnings, ())
        self.assertEqual(service.accept_options.ws_maximum_message_bytes, 2048)
        self.assertEqual(service.accept_options.socks_timeout_s, 1.0)
        self.assertEqual(service.accept_options.tls.verify_client, VerifyClient.REQUIRED)
        self.assertEqual(service.connect_options.http_maximum_redirects, 9)
        self.assertEqual(service.connect_options.ws_maximum_message_bytes, 131072)

    def test_inactivity_zero_is_off(self) -> None:
        """ws.inactivity.timeout 0 is off, as in KWIC 5, and overrides a default."""
        defaults = f"<service-defaults><accept-options>{options(ws_inactivity_timeout='5')}</accept-options></service-defaults>"
        service = read_one(
            defaults, proxy("ws://h/x", accept_options=options(ws_inactivity_timeout="0 seconds"))
        )
        self.assertIsNone(service.accept_options.ws_inactivity_timeout_s)

    def test_places(self) -> None:
        """Each option knows where it was written, by its canonical name."""
        service = read_one(proxy(accept_options=options(tls_verify__client="none")))
        place = service.accept_options.places["ssl.verify-client"]
        self.assertEqual(
            (place.line, place.path), (2, "gateway-config/service/accept-options/tls.verify-client")
        )

    def test_pointless_options_are_told(self) -> None:
        """Every option that needs something to have an effect says so on a service that has nothing of it."""
        values = {
            **dict.fromkeys((name for name in OPTIONS if name.endswith("bind")), "1"),
            **dict.fromkeys((name for name in OPTIONS if name.endswith("transport")), "socks://a"),
            "socks.transport": "ws://a/kwic",
            "socks.mode": "reverse",
            "socks.timeout": "1",
            "socks.retry.maximum.interval": "1",
            "ws.inactivity.timeout": "1",
            "ws.maximum.message.size": "1",
            "http.maximum.redirects": "1",
            "tcp.maximum.outbound.rate": "1",
        }
        for layer in ("", "socks."):
            values |= {f"{layer}ssl.verify-client": "none", f"{layer}ssl.protocols": "TLSv1.2"}
            values |= {f"{layer}ssl.ciphers": "HIGH", f"{layer}ssl.encryption": "enabled"}
        self.assertLessEqual(set(NEEDS), set(values))
        for name in values.keys() - {"tcp.transport"}:
            text = f"<{name}>{values[name]}</{name}>"
            said = complaints(proxy(connect_options=text))
            self.assertTrue(
                said and said[0].startswith(f"warning: {name} has no effect: "), f"{name}: {said}"
            )

    def test_useful_options_are_not(self) -> None:
        """Nothing is said about the options of a cloud side, an agent and a WebSocket service."""
        cloud = proxy(
            connect="pipe://a",
            connect_options=reverse(
                "wss://cloud/kwic", socks_timeout="5", socks_ssl_verify__client="required", ws_inactivity_timeout="55",
                tcp_bind="443", ssl_protocols="TLSv1.3", socks_ssl_ciphers="HIGH", socks_ssl_encryption="enabled",
            ),
        )  # fmt: skip
        agent = proxy(
            "pipe://a",
            name="B",
            accept_options=reverse(
                "wss://cloud/kwic", socks_retry_maximum_interval="5", socks_ssl_protocols="TLSv1.3",
                ws_inactivity_timeout="55", http_maximum_redirects="3",
            ),
        )  # fmt: skip
        web = proxy(
            "wss://cloud/b",
            "ws://other/b",
            name="C",
            accept_options=options(
                ssl_verify__client="required", ssl_ciphers="HIGH", ws_maximum_message_size="1M",
                tcp_maximum_outbound_rate="1MB/s", wss_bind="443",
            ),
            connect_options=options(http_maximum_redirects="1", ws_version="rfc6455"),
        )  # fmt: skip
        self.assertEqual(complaints(KEYSTORE, cloud), [])
        self.assertEqual(complaints(KEYSTORE, agent), [])
        self.assertEqual(complaints(KEYSTORE, web), [])


class ConstraintTests(SynchronousTestCase):
    """Who may pass."""

    def service(self, *constraints: str) -> str:
        """A service whose clients are asked for certificates."""
        rest = "".join(
            f"<authorization-constraint>{inner}</authorization-constraint>" for inner in constraints
        )
        return proxy("wss://h/x", accept_options=options(ssl_verify__client="required"), rest=rest)

    def test_roles_are_names_in_certificates(self) -> None:
        """One of the roles of one of the constraints is enough; nobody else passes."""
        text = self.service(
            "<require-role>tenant101</require-role><require-role>tenant102</require-role>",
            "<require-role>admin</require-role>",
        )
        service = read_one(KEYSTORE, text)
        self.assertEqual(service.require_roles, (frozenset({"tenant101", "tenant102"}), frozenset({"admin"})))
        for name in ("tenant101", "tenant102", "admin"):
            self.assertTrue(service.permits(frozenset({name, "other"})), name)
        for names in (None, frozenset(), frozenset({"tenant201"}), frozenset({"*"})):
            self.assertFalse(service.permits(names))

    def test_any_verified_certificate(self) -> None:
        """require-valid-user, and the role * of KWIC 5, let every verified certificate pass."""
        for inner in ("<require-valid-user/>", "<require-role>*</require-role>"):
            service = read_one(KEYSTORE, self.service(inner))
            self.assertTrue(service.permits(frozenset()))
            self.assertFalse(service.permits(None))

    def test_no_constraint(self) -> None:
        """Without a constraint everybody passes."""
        service = read_one(KEYSTORE, self.service())
        self.assertTrue(service.permits(None))
        self.assertTrue(service.permits(frozenset({"x"})))


class CrossSiteTests(SynchronousTestCase):
    """Which pages may connect."""

    def sites(self, *origins: str, more: str = "") -> tuple[CrossSite, ...]:
        """The rules of a service for these origins."""
        rest = "".join(
            f"<cross-site-constraint><allow-origin>{origin}</allow-origin>{more}</cross-site-constraint>"
            for origin in origins
        )
        return read_one(proxy("ws://h/x", rest=rest)).cross_sites

    def test_origins_have_their_port(self) -> None:
        """An origin is canonical: lower case, with its port; * is every origin."""
        self.assertEqual(
            [
                site.allow_origin
                for site in self.sites("https://WWW.example.com", "http://a", "http://[::1]:81")
            ],
            ["https://www.example.com:443", "http://a:80", "http://[::1]:81"],
        )
        self.assertEqual(self.sites("*"), (CrossSite(allow_origin="*"),))

    def test_methods(self) -> None:
        """The methods are GET and POST unless said; a rule without GET lets no WebSocket in, and says so."""
        self.assertEqual(self.sites("http://a")[0].allow_methods, ("GET", "POST"))
        more = "<allow-methods>GET , PUT</allow-methods><allow-headers>X-A,X-B</allow-headers><maximum-age>9</maximum-age>"
        (site,) = self.sites("http://a", more=more)
        self.assertEqual(site.allow_methods, ("GET", "PUT"))
        self.assertEqual(site.allow_headers, ("X-A", "X-B"))
        self.assertEqual(site.maximum_age_s, 9)
        self.assertEqual(self.sites("http://a", more="<allow-methods>POST</allow-methods>"), ())


class SecurityTests(SynchronousTestCase):
    """Stores, and the cluster."""

    def test_stores(self) -> None:
        """Files are absolute or relative to the configuration; the type is JKS unless said."""
        text = (
            "<security><keystore><type>PKCS12</type><file>stores/own.p12</file>"
            "<password-file>/run/own.pw</password-file></keystore><truststore><file>trust.jks</file></truststore></security>"
        )
        security = read(text).security
        assert security.keystore is not None
        assert security.truststore is not None
        self.assertEqual(security.keystore.kind, StoreKind.PKCS12)
        self.assertEqual(security.keystore.file, Path("/etc/kwic/stores/own.p12"))
        self.assertEqual(security.keystore.password_file, Path("/run/own.pw"))
        self.assertEqual(security.truststore.kind, StoreKind.JKS)
        self.assertEqual(security.truststore.file, Path("/etc/kwic/trust.jks"))
        self.assertIsNone(security.truststore.password_file)

    def test_kinds(self) -> None:
        """JKS, JCEKS, PKCS12 and PEM are types of stores."""
        for kind in ("JKS", "JCEKS", "PKCS12", "PEM"):
            text = f"<security><keystore><type>{kind}</type><file>x</file></keystore></security>"
            keystore = read(text).security.keystore
            assert keystore is not None
            self.assertEqual(keystore.kind.value, kind)

    def test_no_stores(self) -> None:
        """Without security there is neither store."""
        self.assertIsNone(read().security.keystore)
        self.assertIsNone(read("<security/>").security.truststore)
        self.assertEqual(
            complaints("<security><keystore><type>PEM</type></keystore></security>"),
            ["error: <keystore> has no <file>"],
        )

    def test_cluster(self) -> None:
        """Members are found by multicast, by host and in etcd."""
        text = (
            '<cluster kwic:insecure="true" kwic:etcd-user="gw" kwic:etcd-password-file="etcd.pw"><name>kzha</name>'
            "<accept>tcp://@eth0:5941</accept><connect>udp://[ff02::1]:54327</connect>"
            "<connect>tcp://members:5941</connect><connect>etcd://e1:2379,e2:2379</connect></cluster>"
        )
        cluster = read(text).cluster
        assert cluster is not None
        self.assertEqual(cluster.name, "kzha")
        self.assertEqual([str(address) for address in cluster.accepts], ["tcp://@eth0:5941"])
        self.assertEqual(
            [str(address) for address in cluster.connects],
            ["udp://[ff02::1]:54327", "tcp://members:5941", "etcd://e1:2379", "etcd://e2:2379"],
        )
        self.assertTrue(cluster.insecure)
        self.assertEqual((cluster.etcd_user, cluster.etcd_password_file), ("gw", Path("/etc/kwic/etcd.pw")))
        self.assertIsNone(read().cluster)

    def test_cluster_is_secure_by_default(self) -> None:
        """A cluster with a keystore needs no permission; without one it may open on loopback and on names."""

        def cluster(accept: str, attribute: str = "") -> str:
            return f"<cluster{attribute}><name>c</name><accept>{accept}</accept></cluster>"

        refused = "cannot be told from strangers"
        for accept in (
            "tcp://@eth0:1",
            "tcp://0.0.0.0:1",
            "tcp://[::]:1",
            "tcp://10.0.0.1:1",
            "tcp://[2001:db8::1]:1",
        ):
            self.assertIn(refused, complaints(cluster(accept))[0])
            self.assertIn(refused, complaints(cluster(accept, ' kwic:insecure="false"'))[0])
            self.assertEqual(complaints(cluster(accept, ' kwic:insecure="true"')), [])
            self.assertEqual(complaints(KEYSTORE, cluster(accept)), [])
        for accept in (
            "tcp://127.0.0.1:1",
            "tcp://127.1.2.3:1",
            "tcp://[::1]:1",
            "tcp://@lo:1",
            "tcp://node1:1",
        ):
            self.assertEqual(complaints(cluster(accept)), [])
