"""The scenario `simple`, as it stands in etc/: two real gateways, plain servers behind them, plain clients before them."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time

from kwic.cli.demo.echo import say
from kwic.cli.demo.process import GatewayProcess
from test.integration.gateways import CLIENT_S, ETC, GatewayTestCase, read_all, read_exactly
from test.integration.servers import Conversation, PlainServer, echo, hear_out_then_answer, reset

WS_PORT = "8080"
CLOUD, ONPREM = "example.com", "onprem"
CLOUD_CONFIG = ETC / "simple" / "cloud-config.xml"
ONPREM_CONFIG = ETC / "simple" / "onprem-config.xml"
ENTRANCES = {"A": (CLOUD, 5551), "B": (ONPREM, 6661), "C": (CLOUD, 7771), "D": (ONPREM, 8881)}
SERVER_PORTS = {"A": 5551, "B": 6661, "C": 7771, "D": 8881}
AT_ONCE_S = 3.0
"""A limit for what needs no waiting, far below the grace."""


class SimpleTestCase(GatewayTestCase):
    """Both sides, with what the tests put behind them."""

    hosts = {
        CLOUD: (11,),
        ONPREM: (21,),
        "server-a": (31,),
        "server-b": (32,),
        "server-c": (33,),
        "server-d": (34,),
    }

    def serve(self, service: str, conversation: Conversation) -> PlainServer:
        """A server behind a service."""
        address = self.address(f"server-{service.lower()}")
        server = PlainServer((address, SERVER_PORTS[service]), conversation)
        self.addCleanup(server.close)
        return server

    def run_both(self) -> None:
        """Both gateways, joined; the one that dials is there first."""
        self.launch(ONPREM, ONPREM_CONFIG, ws_port=WS_PORT)
        self.launch(CLOUD, CLOUD_CONFIG, ws_port=WS_PORT)
        self.wait_answering(ONPREM, CLOUD)
        self.wait_joined(CLOUD, agents=1)

    def client(self, service: str) -> socket.socket:
        """A client of a service."""
        return self.connect(*ENTRANCES[service])


class SimpleTests(SimpleTestCase):
    """A and C from the cloud to servers on-prem, B and D the other way."""

    def test_bytes_there_and_back(self) -> None:
        """Every service carries bytes to its own server and back, in any number, and the end of the stream too."""
        for service in SERVER_PORTS:
            self.serve(service, echo)
        self.run_both()
        for service, (host, port) in ENTRANCES.items():
            heard = say("hello", self.address(host), port, timeout_s=CLIENT_S)
            self.assertIs(heard.error, None, service)
        for service in ENTRANCES:
            self.check_large(service)

    def check_large(self, service: str) -> None:
        """Send several MiB, more than all buffers on the way hold, while they come back."""
        sent = os.urandom(8 << 20)
        client = self.client(service)

        def send() -> None:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        heard = read_all(client)
        thread.join()
        self.assertTrue(heard == sent, f"service {service}: {len(heard)} of {len(sent)} bytes, or others")

    def test_half_close(self) -> None:
        """A client that has said all may still hear the answer, and the server only then."""
        for service in SERVER_PORTS:
            self.serve(service, hear_out_then_answer)
        self.run_both()
        for service in ENTRANCES:
            client = self.client(service)
            client.sendall(b"x" * 100_000)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"100000 bytes", service)

    def test_reset(self) -> None:
        """A server's reset is a reset for the client, and a client's for the server."""
        felt = threading.Event()

        def feel(connection: socket.socket) -> None:
            try:
                connection.sendall(b"!")
                read_all(connection)
            except ConnectionResetError:
                felt.set()

        self.serve("A", reset)
        self.serve("C", feel)
        self.run_both()
        client = self.client("A")
        client.sendall(b"x")
        self.assertRaises(ConnectionResetError, read_all, client)
        client = self.client("C")
        read_exactly(client, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        self.assertTrue(felt.wait(CLIENT_S))

    def test_server_that_is_down(self) -> None:
        """A client whose server refuses is reset, soon, and the next is served when the server is back."""
        self.run_both()
        for service in ("A", "B"):
            # It may be reset sooner than `connect` returns.
            self.assertRaises(ConnectionResetError, lambda service=service: read_all(self.client(service)))
        for service in ("A", "B"):
            self.serve(service, echo)
            host, port = ENTRANCES[service]
            self.assertIs(say("hello", self.address(host), port, timeout_s=CLIENT_S).error, None, service)

    def test_peer_that_is_unreachable(self) -> None:
        """A cloud that is not there is said in one line and dialled again; once there, it is joined at once."""
        self.serve("A", echo)
        self.run_gateway(ONPREM, ONPREM_CONFIG, ws_port=WS_PORT)
        line = self.wait_for_line(ONPREM, "refused")
        self.assertIn(f"example.com:{WS_PORT}", line)
        self.assertRegex(line, r"^(WARN|ERROR|INFO) ")
        self.run_gateway(CLOUD, CLOUD_CONFIG, ws_port=WS_PORT)
        self.wait_joined(CLOUD, agents=1)
        self.assertIs(say("hello", self.address(CLOUD), 5551, timeout_s=CLIENT_S).error, None)

    def stopping(self) -> tuple[GatewayProcess, socket.socket, float]:
        """
        Tell the cloud to stop while it serves a client, and wait until it takes no more.

        :returns: its process, the client, and when it was told (monotonic).
        """
        self.serve("A", echo)
        self.run_both()
        client = self.client("A")
        client.sendall(b"x")
        read_exactly(client, 1)
        cloud, told_s = self.processes[CLOUD], time.monotonic()
        cloud.signal(signal.SIGTERM)
        self.wait_for("the listener closes", lambda: self.refuses(CLOUD, 5551))
        return cloud, client, told_s

    def test_orderly_stop(self) -> None:
        """SIGTERM lets open clients finish while no new ones are taken; then the gateway ends."""
        cloud, client, _ = self.stopping()
        client.sendall(b"last words")
        self.assertEqual(read_exactly(client, 10), b"last words")
        client.close()
        self.assertTrue(cloud.ended(CLIENT_S))
        self.assertEqual(cloud.exit_status, 0)

    def test_second_signal(self) -> None:
        """A second SIGTERM ends the gateway at once, however long the grace; its clients are reset."""
        cloud, client, _ = self.stopping()
        client.sendall(b"still served")
        self.assertEqual(read_exactly(client, 12), b"still served")
        told_s = time.monotonic()
        cloud.signal(signal.SIGTERM)
        self.assertTrue(cloud.ended(CLIENT_S))
        self.assertLess(time.monotonic() - told_s, AT_ONCE_S)
        self.assertEqual(cloud.exit_status, 0)
        self.assertRaises(ConnectionResetError, read_all, client)
        self.assertIn("told again to stop: 1 connections are cut", cloud.log_text())

    def test_expired_grace(self) -> None:
        """A client that has not finished when the grace is over is reset then, not before, and the gateway ends."""
        self.grace_s = 2.0
        cloud, client, told_s = self.stopping()
        self.assertRaises(ConnectionResetError, read_all, client)
        served_s = time.monotonic() - told_s
        self.assertTrue(self.grace_s <= served_s < self.grace_s + AT_ONCE_S, served_s)
        self.assertTrue(cloud.ended(AT_ONCE_S))
        self.assertEqual(cloud.exit_status, 0)
        self.assertIn("the grace is over: 1 connections are cut", cloud.log_text())

    def refuses(self, host: str, port: int) -> bool:
        """Whether nobody listens there."""
        try:
            socket.create_connection((self.address(host), port), timeout=CLIENT_S).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_log(self) -> None:
        """The log has a line for each accept, and OPENED and CLOSED lines for each layer of a tunnel."""
        self.run_both()
        text = self.processes[CLOUD].log_text()
        for accept in ("tcp://@eth0:5551", f"ws://example.com:{WS_PORT}/serviceB", "tcp://@eth0:7771"):
            self.assertIn(accept, text)
        block = self.address(CLOUD).rpartition(".")[0].replace(".", r"\.")
        self.wait_for_line(CLOUD, r"^INFO  \[tcp#\d+ 127\.[\d.:]+\] OPENED: \(#\d{8}: kwic tcp, server, ")
        self.wait_for_line(
            ONPREM, rf"^INFO  \[tcp#\d+ 127[\d.:]+\] OPENED: .*, client, .*{block}\.11:{WS_PORT}"
        )
        self.wait_for_line(
            ONPREM,
            rf"^INFO  \[wsn#(\d+) 127[\d.:]+\] OPENED: \(#0*\1: kwic wsn, client, "
            rf"ws://example\.com:{WS_PORT}/kwic => ws://example\.com:{WS_PORT}/kwic\)$",
        )
        self.processes[CLOUD].kill()
        self.wait_for_line(ONPREM, r"^INFO  \[wsn#\d+ .*\] CLOSED: ")
