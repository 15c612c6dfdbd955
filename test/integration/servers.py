"""Plain TCP servers behind the gateways, in threads: one that echoes and carries half-close, one that resets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

Conversation = Callable[[socket.socket], None]


class PlainServer:
    """A listener with a thread for each connection.

    :param address: where to listen.
    :param conversation: what to do with a connection, which is closed afterwards.
    """

    def __init__(self, address: tuple[str, int], conversation: Conversation) -> None:
        self._listener = socket.create_server(address, reuse_port=False)
        self._conversation = conversation
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Listen no more."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accept, which a close alone would not
        except OSError:
            pass
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._conversation(connection)
            except OSError:
                pass  # the other end went away: its own affair


def echo(connection: socket.socket) -> None:
    """Send back what comes, and the end of the stream too."""
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def hear_out_then_answer(connection: socket.socket) -> None:
    """Read up to the end of the stream, and only then say how much it was."""
    total = 0
    while data := connection.recv(65536):
        total += len(data)
    connection.sendall(f"{total} bytes".encode())


def reset(connection: socket.socket) -> None:
    """Wait for a byte, then reset."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
