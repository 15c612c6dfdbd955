"""The scenarios `tls` and `multi-tenant`, as they stand in etc/, and openssl opposite them."""

from __future__ import annotations

import shutil
import subprocess

from kwic.cli.demo.echo import say
from test.integration.certificates import demo_pki, stores
from test.integration.gateways import CLIENT_S, ETC, GatewayTestCase, read_all
from test.integration.servers import PlainServer, echo, hear_out_then_answer

TLS_PORT = "8443"


class TlsTestCase(GatewayTestCase):
    """A cloud called example.com."""

    hosts = {
        "example.com": (11,),
        "onprem": (21,),
        "tenant101": (23,),
        "tenant201": (24,),
        "server-a": (31,),
        "server-b": (32,),
        "server-c": (33,),
    }

    def run_side(self, host: str, scenario: str, config: str) -> None:
        """Start one side of a scenario, without waiting for it."""
        self.launch(host, ETC / scenario / config, tls_port=TLS_PORT, stores=stores())

    def echo_server(self, host: str, port: int) -> None:
        """An echo server on a host."""
        self.addCleanup(PlainServer((self.address(host), port), echo).close)

    def check_echo(self, host: str, port: int) -> None:
        """A client is served there."""
        heard = say("hello", self.address(host), port, timeout_s=CLIENT_S)
        self.assertIs(heard.error, None, f"{host}:{port}")


class TlsTests(TlsTestCase):
    """Mutual TLS between the two sides."""

    def test_both_ways(self) -> None:
        """A reaches its server on-prem, B its server in the cloud, half-close included, over TLS with certificates on both sides."""
        self.echo_server("server-a", 5551)
        self.addCleanup(PlainServer((self.address("server-b"), 6661), hear_out_then_answer).close)
        self.run_side("onprem", "tls", "onprem-config.xml")
        self.run_side("example.com", "tls", "cloud-config.xml")
        self.wait_answering("onprem", "example.com")
        self.wait_joined("example.com", agents=1)
        self.check_echo("example.com", 5551)
        client = self.connect("onprem", 6661)
        client.sendall(b"x" * 300_000)
        client.shutdown(1)
        self.assertEqual(read_all(client), b"300000 bytes")
        for layer in ("tcp", "ssl", "wsn"):
            self.wait_for_line("example.com", rf"^INFO  \[{layer}#\d+ 127[\d.:]+\] OPENED: .*, server, ")

    def test_openssl(self) -> None:
        """Openssl verifies our certificate and name and is let in with a certificate, over TLS 1.3 and 1.2, not 1.1."""
        self.run_side("example.com", "tls", "cloud-config.xml")
        self.wait_answering("example.com")
        pki = demo_pki()
        ours = ["-cert", str(pki.certificate("onprem")), "-key", str(pki.key("onprem"))]
        for version, flag in (("TLSv1.3", "-tls1_3"), ("TLSv1.2", "-tls1_2")):
            said = self.s_client(flag, *ours)
            self.assertIn("Verification: OK", said)
            self.assertIn(f"Protocol version: {version}", said)
            self.assertIn("HTTP/1.1 426", said)
        self.assertNotIn("HTTP/1.1", self.s_client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", *ours))

    def test_openssl_without_certificate(self) -> None:
        """Openssl without a certificate is shown out with the alert that says so, and we log why in one line."""
        self.run_side("example.com", "tls", "cloud-config.xml")
        self.wait_answering("example.com")
        said = self.s_client("-tls1_3")
        self.assertIn("certificate required", said)
        self.assertNotIn("HTTP/1.1", said)
        line = self.wait_for_line("example.com", "is refused")
        self.assertRegex(
            line,
            r"^WARN  .*127\.[\d.]+:\d+ is refused: the client sent no certificate .*give the client a keystore$",
        )

    def s_client(self, *options: str) -> str:
        """What openssl says when it sends a plain GET for /kwic."""
        openssl = shutil.which("openssl")
        assert openssl is not None, "the tests need the openssl command"
        where = ["-connect", f"{self.address('example.com')}:{TLS_PORT}", "-servername", "example.com"]
        trust = ["-CAfile", str(demo_pki().ca()), "-verify_hostname", "example.com", "-verify_return_error"]
        done = subprocess.run(
            [openssl, "s_client", *where, *trust, "-brief", "-ign_eof", *options],
            input=f"GET /kwic HTTP/1.1\r\nHost: example.com:{TLS_PORT}\r\nConnection: close\r\n\r\n",
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            check=False,
        )
        return done.stdout + done.stderr

    def test_wrong_authority(self) -> None:
        """A cloud whose certificate is from another authority is not talked to: one line says so, and it is dialled again."""
        other = demo_pki().truststore("cloud")  # trusts the clients' authority, not the servers'
        self.run_side("example.com", "tls", "cloud-config.xml")
        config = self.folder / "onprem.xml"
        text = (ETC / "tls" / "onprem-config.xml").read_text()
        config.write_text(
            text.replace("${stores:/x509/stores}/truststore-onprem", str(other.with_suffix("")))
        )
        self.launch("onprem", config, tls_port=TLS_PORT, stores=stores())
        self.wait_answering("onprem", "example.com")
        line = self.wait_for_line("onprem", "certificate")
        self.assertIn(f"example.com:{TLS_PORT}", line)
        self.assertEqual((self.status("example.com") or {})["tunnels"], [])


class MultiTenantTests(TlsTestCase):
    """Two tenants on one cloud gateway, one port and one /kwic."""

    def test_each_tenant_its_own(self) -> None:
        """A and B go through tenant101, C and D through tenant201."""
        for host, port in (("server-a", 5551), ("server-c", 5551), ("server-b", 6661)):
            self.echo_server(host, port)
        self.run_side("example.com", "multi-tenant", "cloud-config.xml")
        for tenant in ("tenant101", "tenant201"):
            self.run_side(tenant, "multi-tenant", f"{tenant}-config.xml")
        self.wait_answering("example.com", "tenant101", "tenant201")
        self.wait_joined("example.com", agents=2)
        entrances = (("example.com", 5551), ("example.com", 7771), ("tenant101", 6661), ("tenant201", 6661))
        for host, port in entrances:
            self.check_echo(host, port)
        self.processes["tenant101"].kill()
        for host, port in (("example.com", 7771), ("tenant201", 6661)):
            self.check_echo(host, port)
