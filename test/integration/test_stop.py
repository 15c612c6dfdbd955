"""How the process of a gateway ends: of one that only echoes, so that nobody else is needed."""

from __future__ import annotations

import signal
import socket

from kwic.cli.demo.process import wait_until
from test.integration.gateways import CLIENT_S, START_S, GatewayTestCase, read_all, read_exactly

HOST, PORT = "echo", 7001
ECHO = (
    '<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway"><service><name>E</name>'
    f"<accept>tcp://@eth0:{PORT}</accept><type>echo</type></service></gateway-config>"
)


class EchoStopTests(GatewayTestCase):
    """A gateway that only echoes."""

    hosts = {HOST: (41,)}

    def setUp(self) -> None:
        super().setUp()
        self.config = self.folder / "echo.xml"
        self.config.write_text(ECHO)

    def test_client_finishes(self) -> None:
        """Its clients may finish after SIGTERM; it ends with status 0 when the last has left."""
        self.run_gateway(HOST, self.config)
        client = self.connect(HOST, PORT)
        client.sendall(b"x")
        self.assertEqual(read_exactly(client, 1), b"x")
        process = self.processes[HOST]
        process.signal(signal.SIGTERM)
        self.wait_for_line(HOST, "waiting up to 30 s for 1 connections to finish")
        client.sendall(b"last words")
        self.assertEqual(read_exactly(client, 10), b"last words")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), b"")
        self.assertTrue(process.ended(CLIENT_S))
        self.assertEqual(process.exit_status, 0)

    def test_as_soon_as_it_has_started(self) -> None:
        """SIGTERM is an orderly stop from the moment on at which the log says that it has started."""
        process = self.launch(HOST, self.config)
        wait_until(lambda: "Started server" in process.log_text(), START_S, poll_s=0.001)
        process.signal(signal.SIGTERM)
        self.assertTrue(process.ended(CLIENT_S))
        self.assertEqual(process.exit_status, 0)
        self.assertIn("Stopped server successfully", process.log_text())
