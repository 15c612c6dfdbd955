"""`gateway.ask`, which is the image's health check: asks a gateway's admin listener."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from test.docker.scripts import DOCKER, TIMEOUT_S

GOOD = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nok\n"
DRAINING = b"HTTP/1.1 503 Service Unavailable\r\n\r\ndraining\n"


class Answering:
    """A listener that gives one client a fixed answer.

    :param listener: a bound socket.
    :param answer: the answer.
    """

    def __init__(self, listener: socket.socket, answer: bytes) -> None:
        self.heard = b""
        self._listener = listener
        self._answer = answer
        listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            while b"\r\n\r\n" not in self.heard:
                self.heard += client.recv(1024)
            client.sendall(self._answer)

    def close(self) -> None:
        """End."""
        self._thread.join(TIMEOUT_S)
        self._listener.close()


class GatewayAskTests(SynchronousTestCase):
    """The command."""

    def ask(self, admin: str, *words: str) -> tuple[int, str, str]:
        """Run it; its exit status, what it printed, and its complaint."""
        done = subprocess.run(
            [sys.executable, "-IS", DOCKER / "gateway.ask", *words],
            env={**os.environ, "KWIC_ADMIN": admin},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        return done.returncode, done.stdout, done.stderr

    def answering(self, answer: bytes) -> tuple[str, Answering]:
        """A listener on loopback, and its port."""
        listener = socket.create_server(("127.0.0.1", 0))
        served = Answering(listener, answer)
        self.addCleanup(served.close)
        return str(listener.getsockname()[1]), served

    def test_good(self) -> None:
        """A gateway in order: its answer, exit status 0."""
        port, served = self.answering(GOOD)
        self.assertEqual(self.ask(f"127.0.0.1:{port}", "/health"), (0, "ok\n", ""))
        self.assertTrue(served.heard.startswith(b"GET /health HTTP/1.0\r\n"))

    def test_status_unless_said(self) -> None:
        """Without a path it asks for the status."""
        port, served = self.answering(GOOD)
        self.ask(f"127.0.0.1:{port}")
        self.assertTrue(served.heard.startswith(b"GET /status "))

    def test_draining(self) -> None:
        """A gateway that is not in order: its answer, exit status 1, as Docker wants it."""
        port, _ = self.answering(DRAINING)
        self.assertEqual(self.ask(f"127.0.0.1:{port}", "/health"), (1, "draining\n", ""))

    def test_forms_of_the_address(self) -> None:
        """Every form that --admin takes is understood; a wildcard is asked on the machine itself."""
        for form in ("tcp:127.0.0.1:{}", "[127.0.0.1]:{}", "0.0.0.0:{}", ":{}", "localhost:{}"):
            port, _ = self.answering(GOOD)
            self.assertEqual(self.ask(form.format(port), "/health")[0], 0, form)

    def test_unix_socket(self) -> None:
        """A unix socket is asked the same way."""
        with tempfile.TemporaryDirectory() as folder:  # trial's own are too long for a socket's path
            path = Path(folder) / "admin.sock"
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            served = Answering(listener, GOOD)
            self.assertEqual(self.ask(f"unix:{path}", "/health")[0], 0)
            served.close()

    def test_nobody(self) -> None:
        """Nobody there, or an address that is none: one line, exit status 1."""
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        for admin in (f"127.0.0.1:{port}", "unix:/nowhere/admin.sock", "nonsense"):
            status, out, errors = self.ask(admin, "/health")
            self.assertEqual((status, out, errors.count("\n")), (1, "", 1), errors)
            self.assertIn(f"nobody answers at {admin}", errors)

    def test_garbage(self) -> None:
        """Something else that listens there is not in order."""
        for answer in (b"", b"SSH-2.0-x\r\n", b"\xff\xfe\r\n\r\n"):
            port, _ = self.answering(answer)
            self.assertEqual(self.ask(f"127.0.0.1:{port}", "/health")[0], 1)
