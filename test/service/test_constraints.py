"""Who may offer and reach a service: decided from certificates, two tenants beside each other."""

from __future__ import annotations

from twisted.internet.protocol import Factory

from kwic.config.address import parse_address
from kwic.config.model import TlsOptions
from kwic.service.gateway import Gateway
from kwic.transport.connect_error import WebSocketRefusedError
from kwic.transport.tls import Credentials
from kwic.transport.websocket_client import WebSocketEndpoint
from test.integration.certificates import demo_pki
from test.service.gateway_case import Talker
from test.service.test_clients import proxy
from test.service.tls_case import HOST, TlsCase, security

CLOUD, SERVER = "10.0.0.7", "10.0.1.9"
AGENTS = {"tenant101": "10.0.1.1", "tenant201": "10.0.1.2"}


def requires(*roles: str) -> str:
    """A constraint."""
    inner = "".join(f"<require-role>{role}</require-role>" for role in roles) or "<require-valid-user/>"
    return f"<authorization-constraint>{inner}</authorization-constraint>"


def reverse(side: str, transport: str, more: str = "") -> str:
    """The options of a reverse service."""
    return (
        f"<{side}-options><pipe.transport>socks+ssl://{HOST}</pipe.transport><socks.mode>reverse</socks.mode>"
        f"<socks.transport>{transport}</socks.transport>{more}</{side}-options>"
    )


class ConstraintCase(TlsCase):
    """A cloud, and a server of each tenant that says whose it is."""

    def setUp(self) -> None:
        super().setUp()
        self.network.names[HOST] = (CLOUD,)
        self.serve("server", SERVER, 9)
        for number, tenant in enumerate(AGENTS):
            self.serve(
                f"server-{tenant}", f"10.0.2.{number + 1}", 9, lambda tenant=tenant: Talker(tenant.encode())
            )

    def start_cloud(self, services: str) -> Gateway:
        return self.start("cloud", CLOUD, security("cloud") + services)


class BindTests(ConstraintCase):
    """Agents that offer a name."""

    transport = f"wss://{HOST}:8443/kwic"

    def start_both(self, constraint: str) -> None:
        """A cloud that has service A behind `constraint`, and the agents of both tenants, who both offer it."""
        verify = "<socks.ssl.verify-client>optional</socks.ssl.verify-client>"
        self.start_cloud(
            proxy(
                "A",
                "tcp://{ip}:5551",
                "pipe://a",
                reverse("connect", self.transport, verify + "<socks.timeout>3 s</socks.timeout>")
                + constraint,
            )
        )
        for tenant in AGENTS:
            self.start_agent(tenant)
        self.run_for(3)

    def start_agent(self, tenant: str) -> None:
        service = proxy("A", "pipe://a", f"tcp://server-{tenant}:9", reverse("accept", self.transport))
        self.start(tenant, AGENTS[tenant], security(tenant) + service)

    def reached(self, count: int = 12) -> set[bytes]:
        """Whose servers clients come to."""
        clients = [self.connect(CLOUD, 5551) for _ in range(count)]
        for client in clients:
            self.wait(lambda client=client: client.heard or client.lost)
            self.run_for(0.5)
        return {client.heard for client in clients}

    def test_one_tenant(self) -> None:
        """Only the named tenant's agent gets the clients; the other is refused, and told so."""
        self.start_both(requires("tenant101"))
        self.assertEqual(self.reached(), {b"tenant101"})
        self.assertTrue(self.lines("CN=tenant201) may not offer a: service A requires another certificate"))
        self.assertTrue(self.lines("refuses the name a: not allowed"))

    def test_the_other(self) -> None:
        """A client is reset when only the wrong agent is there."""
        self.start_both(requires("tenant101"))
        self.network.crash("tenant101")
        self.assertEqual(self.reached(2), {b""})

    def test_both(self) -> None:
        """Several roles: any of them will do. Without a constraint anybody will."""
        for constraint in (requires("tenant101", "tenant201"), requires(), ""):
            self.start_both(constraint)
            self.assertEqual(self.reached(), {b"tenant101", b"tenant201"}, constraint)

    def test_no_certificate(self) -> None:
        """An agent without a certificate meets no constraint at all."""
        self.start_both(requires())
        for tenant in AGENTS:
            self.network.crash(tenant)
        trusting = security("tenant101")
        trusting = trusting[: trusting.index("<keystore>")] + trusting[trusting.index("<truststore>") :]
        service = proxy("A", "pipe://a", "tcp://server-tenant101:9", reverse("accept", self.transport))
        self.start("nobody", "10.0.1.3", trusting + service)
        self.assertEqual(self.reached(2), {b""})
        self.assertTrue(self.lines("(no certificate) may not offer a"))


class BindOnSocksTests(BindTests):
    """The same on SOCKS connections over TLS."""

    transport = f"ssl://{HOST}:1443"

    def test_no_certificate_at_all(self) -> None:
        """An agent that shows no certificate where one is required is refused, with a line that says so."""
        required = "<socks.ssl.verify-client>required</socks.ssl.verify-client>"
        self.start_cloud(
            proxy("A", "tcp://{ip}:5551", "pipe://a", reverse("connect", self.transport, required))
        )
        agent = self.tls(CLOUD, 1443)
        self.wait(lambda: agent.lost)
        (line,) = self.warnings("is refused")
        self.assertIn("the client sent no certificate", line)


class ReachTests(ConstraintCase):
    """Clients of services with constraints."""

    def websocket(self, tenant: str, *protocols: str) -> Talker | WebSocketRefusedError:
        """A WebSocket client with a tenant's certificate."""
        endpoint = WebSocketEndpoint(
            self.network.hosts["user"],
            parse_address(f"wss://{HOST}:8443/b"),
            credentials=Credentials.from_security(demo_pki().security(tenant)),
            tls=TlsOptions(),
            protocols=protocols,
        )
        outcome: list[object] = []
        endpoint.connect(Factory.forProtocol(Talker)).addBoth(outcome.append)  # type: ignore[arg-type]
        self.wait(lambda: outcome)
        found = getattr(outcome[0], "value", outcome[0])
        assert isinstance(found, Talker | WebSocketRefusedError), found
        return found

    def start_service(self, accept: str, constraint: str, verify: str = "optional") -> None:
        options = f"<accept-options><ssl.verify-client>{verify}</ssl.verify-client></accept-options>"
        self.start_cloud(proxy("B", accept, more=options + constraint))

    def test_raw_tls(self) -> None:
        """A TLS client of the wrong tenant is reset before a byte of it is read, and so is one without a certificate."""
        self.start_service(f"ssl://{HOST}:7443", requires("tenant101"))
        client = self.tls(CLOUD, 7443, b"hello", tenant="tenant101")
        self.hears(client, b"hello")
        for tenant in ("tenant201", None):
            client = self.tls(CLOUD, 7443, b"hello", tenant=tenant)
            self.wait(lambda client=client: client.lost)
            self.assertEqual(client.heard, b"")
        self.assertEqual(len(self.lines("may not use service B")), 2)
        self.assertEqual(len(self.network.hosts["server"].transports), 1)

    def test_plain_websocket(self) -> None:
        """A plain WebSocket client of the wrong tenant is answered 403."""
        self.start_service(f"wss://{HOST}:8443/b", requires("tenant101"))
        refused = self.websocket("tenant201")
        assert isinstance(refused, WebSocketRefusedError)
        self.assertEqual(refused.status, 403)
        client = self.websocket("tenant101")
        assert isinstance(client, Talker)
        client.say(b"hello")
        self.hears(client, b"hello")

    def test_balancer(self) -> None:
        """A balancer with a constraint sends on whom it names, and answers everybody else 403."""
        self.network.names["member.example.com"] = (CLOUD,)
        verify = "<accept-options><ssl.verify-client>optional</ssl.verify-client></accept-options>"
        more = f"<balance>wss://{HOST}:8443/b</balance>"
        member = proxy("B", "wss://member.example.com:8443/b", more=more + verify)
        accept = f"<accept>wss://{HOST}:8443/b</accept>"
        balancer = (
            f"<service><name>LB</name>{accept}<type>balancer</type>{verify}{requires('tenant101')}</service>"
        )
        self.start_cloud(balancer + member)
        client = self.websocket("tenant101")
        assert isinstance(client, Talker), client
        client.say(b"hello")
        self.hears(client, b"hello")
        refused = self.websocket("tenant201")
        assert isinstance(refused, WebSocketRefusedError), refused
        self.assertEqual(refused.status, 403)

    def test_valid_user(self) -> None:
        """`require-valid-user` lets in every verified certificate, and nobody without."""
        self.start_service(f"ssl://{HOST}:7443", requires())
        for tenant in AGENTS:
            self.hears(self.tls(CLOUD, 7443, b"hello", tenant=tenant), b"hello")
        client = self.tls(CLOUD, 7443, b"hello")
        self.wait(lambda: client.lost)

    def test_tunnelled(self) -> None:
        """Clients that come in the tunnel of the wrong tenant are refused, and reset at the other end."""
        self.start_service(f"wss://{HOST}:8443/b", requires("tenant101"))
        for tenant, address in AGENTS.items():
            service = proxy("B", "tcp://{ip}:6661", f"wss://{HOST}:8443/b")
            self.start(tenant, address, security(tenant) + service)
        self.served(AGENTS["tenant101"], 6661)
        client = self.connect(AGENTS["tenant201"], 6661, b"hello")
        self.is_reset(client)

    def test_one_tunnel_two_services(self) -> None:
        """Tenants share a listener; each reaches its own service by name and not the other's."""
        services = ""
        for name, tenant in (("a", "tenant101"), ("b", "tenant201")):
            options = reverse(
                "accept",
                f"wss://{HOST}:8443/kwic",
                "<socks.ssl.verify-client>required</socks.ssl.verify-client>",
            )
            services += proxy(
                name,
                f"pipe://{name}",
                "tcp://server:9",
                options.replace("reverse", "forward") + requires(tenant),
            )
        self.start_cloud(services)
        for tenant, address in AGENTS.items():
            both = "".join(
                proxy(
                    name,
                    f"tcp://{{ip}}:{port}",
                    f"pipe://{name}",
                    reverse("connect", f"wss://{HOST}:8443/kwic").replace("reverse", "forward"),
                )
                for name, port in (("a", 7001), ("b", 7002))
            )
            self.start(tenant, address, security(tenant) + both)
        self.run_for(1)
        self.served(AGENTS["tenant101"], 7001)
        self.served(AGENTS["tenant201"], 7002)
        self.is_reset(self.connect(AGENTS["tenant101"], 7002, b"hello"))
        self.is_reset(self.connect(AGENTS["tenant201"], 7001, b"hello"))
        self.assertTrue(self.lines("(CN=tenant201) may not reach a"))

    def test_plain_tcp_beside(self) -> None:
        """A service with a constraint that also accepts plain TCP takes nobody there: no certificate could be shown."""
        accepts = f"wss://{HOST}:8443/b</accept><accept>tcp://{{ip}}:7000"
        self.start_service(accepts, requires("tenant101"))
        self.is_reset(self.connect(CLOUD, 7000, b"hello"))
        self.assertTrue(self.lines("no certificate may not use service B"))

    def test_constraint_of_the_agents(self) -> None:
        """Where clients are not asked, the constraint of a service with agents is about the agents, on every kind of accept."""
        accepts = (
            "tcp://{ip}:5551</accept><accept>ssl://" + HOST + ":5552</accept><accept>ws://" + HOST + ":80/a"
        )
        verify = "<socks.ssl.verify-client>required</socks.ssl.verify-client>"
        self.start_cloud(
            proxy(
                "A",
                accepts,
                "pipe://a",
                reverse("connect", f"wss://{HOST}:8443/kwic", verify) + requires("tenant101"),
            )
        )
        agent = proxy("A", "pipe://a", "tcp://server:9", reverse("accept", f"wss://{HOST}:8443/kwic"))
        self.start("tenant101", AGENTS["tenant101"], security("tenant101") + agent)
        self.served(CLOUD, 5551)
        self.hears(self.tls(CLOUD, 5552, b"hello"), b"hello")
        endpoint = WebSocketEndpoint(self.network.hosts["user"], parse_address(f"ws://{HOST}/a"))
        outcome: list[object] = []
        endpoint.connect(Factory.forProtocol(lambda: Talker(b"hello"))).addBoth(outcome.append)  # type: ignore[arg-type]
        self.wait(lambda: outcome)
        assert isinstance(outcome[0], Talker), outcome
        self.hears(outcome[0], b"hello")

    def test_local_pipe(self) -> None:
        """A pipe within the process shows no certificate either."""
        verify = "<accept-options><ssl.verify-client>optional</ssl.verify-client></accept-options>"
        accepts = f"wss://{HOST}:8443/b</accept><accept>pipe://b"
        self.start_cloud(
            proxy("in", "tcp://{ip}:7000", "pipe://b")
            + proxy("B", accepts, more=verify + requires("tenant101"))
        )
        self.is_reset(self.connect(CLOUD, 7000, b"hello"))


class DialledTunnelTests(ConstraintCase):
    """A side that dials its tunnel knows the other side by its certificate, too."""

    def test_agent_with_a_constraint(self) -> None:
        """An agent hands over clients only to a cloud with the certificate that it wants."""
        self.start_cloud(
            proxy(
                "A",
                "tcp://{ip}:5551",
                "pipe://a",
                reverse(
                    "connect",
                    f"wss://{HOST}:8443/kwic",
                    "<socks.ssl.verify-client>required</socks.ssl.verify-client>",
                ),
            )
        )
        for tenant, role in (("tenant101", "*.example.com"), ("tenant201", "somebody else")):
            service = proxy(
                "A",
                "pipe://a",
                "tcp://server:9",
                reverse("accept", f"wss://{HOST}:8443/kwic") + requires(role),
            )
            self.start(tenant, AGENTS[tenant], security(tenant) + service)
        self.run_for(1)
        for _ in range(4):
            self.served(CLOUD, 5551)
        self.network.crash("tenant101")
        self.is_reset(self.connect(CLOUD, 5551, b"hello"))
        self.assertTrue(self.lines("may not reach A"))
