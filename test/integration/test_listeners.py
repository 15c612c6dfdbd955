"""Clients of `tcp` and `ssl` accepts: who is let in, and how long a handshake may take."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

from test.integration.certificates import client_context, stores
from test.integration.gateways import CLIENT_S, GatewayTestCase
from test.integration.servers import PlainServer, echo

BOUND_S = 9.0
"""A handshake is given up after 5 s."""

CONFIG = """\
<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">
  <security>
    <keystore>
      <type>JCEKS</type>
      <file>${stores}/keystore-cloud.jceks</file>
      <password-file>${stores}/keystore-cloud.pw</password-file>
    </keystore>
    <truststore>
      <type>JCEKS</type>
      <file>${stores}/truststore-cloud.jceks</file>
      <password-file>${stores}/truststore-cloud.pw</password-file>
    </truststore>
  </security>
"""
SERVICE = """\
  <service>
    <name>{role} {type}</name>
    <accept>ssl://example.com:{port}</accept>
    <accept>tcp://example.com:1{port}</accept>
    {connect}
    <type>{type}</type>
    <accept-options><ssl.verify-client>required</ssl.verify-client></accept-options>
    <authorization-constraint><require-role>{role}</require-role></authorization-constraint>
  </service>
"""
OURS, OTHERS = {"proxy": 7001, "echo": 7002}, {"proxy": 7011, "echo": 7012}


class ListenerTests(GatewayTestCase):
    """A gateway with services for one certificate, and services for another one."""

    hosts = {"example.com": (11,), "server-a": (31,)}

    def setUp(self) -> None:
        super().setUp()
        connect = {"proxy": "<connect>tcp://server-a:5551</connect>", "echo": ""}
        services = [
            SERVICE.format(role=role, type=kind, port=port, connect=connect[kind])
            for role, ports in (("tenant101", OURS), ("tenant201", OTHERS))
            for kind, port in ports.items()
        ]
        config = Path(self.folder).absolute() / "cloud.xml"
        config.write_text(CONFIG + "".join(services) + "</gateway-config>\n")
        server = PlainServer((self.address("server-a"), 5551), echo)
        self.addCleanup(server.close)
        self.run_gateway("example.com", config, stores=stores())

    def answer(self, client: socket.socket) -> bytes:
        """What a client hears that says hello; nothing when it is not let in."""
        try:
            client.sendall(b"hello")
            return client.recv(100)
        except (ConnectionError, ssl.SSLError):
            return b""

    def with_tls(self, port: int) -> bytes:
        """What the client with the certificate of tenant101 hears."""
        client = client_context("tenant101").wrap_socket(
            self.connect("example.com", port), server_hostname="example.com"
        )
        self.addCleanup(client.close)
        return self.answer(client)

    def without_tls(self, port: int) -> bytes:
        """What a client hears that knows nothing of TLS."""
        try:
            client = self.connect("example.com", port)
        except ConnectionResetError:  # sooner than `connect` returned
            return b""
        return self.answer(client)

    def test_constraint(self) -> None:
        """A client reaches the services that its certificate allows, and no others; without TLS it reaches none of them."""
        for kind in ("proxy", "echo"):
            self.assertEqual(self.with_tls(OURS[kind]), b"hello", kind)
            self.assertEqual(self.with_tls(OTHERS[kind]), b"", kind)
            for port in (OURS[kind], OTHERS[kind]):
                self.assertEqual(self.without_tls(10000 + port), b"", kind)
        self.wait_for_line("example.com", "CN=tenant101 may not use service tenant201 proxy")

    def test_unfinished_handshakes(self) -> None:
        """Who does not finish the handshake is dropped within a bounded time."""
        said = {"nothing": b"", "half a hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"}
        clients = {(kind, what): self.connect("example.com", OURS[kind]) for kind in OURS for what in said}
        for (_, what), client in clients.items():
            client.sendall(said[what])
        end = time.monotonic() + BOUND_S
        for key, client in clients.items():
            client.settimeout(max(0.1, min(CLIENT_S, end - time.monotonic())))
            try:
                self.assertEqual(client.recv(100), b"", key)
            except ConnectionResetError:
                pass
