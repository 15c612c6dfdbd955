"""One client of the demo, opposite real sockets on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.echo import Heard, say


class SayTests(SynchronousTestCase):
    """A client that says a word."""

    def say_to(self, server: Callable[[socket.socket], None], timeout_s: float = 5.0) -> Heard:
        """Say a word to a server that deals with one connection."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    server(connection)

            thread = threading.Thread(target=serve)
            thread.start()
            heard = say("word", *listener.getsockname(), timeout_s=timeout_s)
            thread.join()
        return heard

    def test_echo(self) -> None:
        """A word that comes back byte by byte, followed by the end of the stream, is well."""

        def server(connection: socket.socket) -> None:
            while byte := connection.recv(1):
                connection.sendall(byte)

        self.assertIs(self.say_to(server).error, None)

    def test_other_answer(self) -> None:
        """Another word is not well."""

        def server(connection: socket.socket) -> None:
            connection.recv(5)
            connection.sendall(b"world")

        self.assertEqual(self.say_to(server).error, "heard 'world'")

    def test_more_than_was_said(self) -> None:
        """Bytes after the word are not well."""

        def server(connection: socket.socket) -> None:
            connection.sendall(connection.recv(5) + b"!")

        self.assertEqual(self.say_to(server).error, "heard more than was said: b'!'")

    def test_closed(self) -> None:
        """A connection that is closed without an answer is not well."""

        def server(connection: socket.socket) -> None:
            connection.recv(5)

        self.assertEqual(self.say_to(server).error, "closed without an answer")

    def test_reset(self) -> None:
        """A reset is not well."""

        def server(connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        self.assertIn("reset", self.say_to(server).error or "")

    def test_silence(self) -> None:
        """Silence is not well, and does not last longer than was allowed."""

        def server(connection: socket.socket) -> None:
            while connection.recv(5):
                pass

        self.assertEqual(self.say_to(server, timeout_s=0.05).error, "no answer within 0.05 s")

    def test_no_goodbye(self) -> None:
        """A server that hears our goodbye and does not say its own is not well."""
        release = threading.Event()

        def server(connection: socket.socket) -> None:
            connection.sendall(connection.recv(5))
            release.wait(0.2)

        self.assertEqual(self.say_to(server, timeout_s=0.1).error, "no answer within 0.1 s")

    def test_refused(self) -> None:
        """A port where nobody listens is not well."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
        self.assertEqual(say("word", *address, timeout_s=1).error, "connection refused")
