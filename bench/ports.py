"""Ports on loopback that nobody listens on."""

from __future__ import annotations

import socket

from bench.errors import SetupError

LOOPBACK = "127.0.0.1"

FIRST_PORT = 12_000
LAST_PORT = 32_000
"""Below the ports that Linux gives to outgoing connections (32768 and up), so that no client of a run takes one away."""


class FreePorts:
    """Gives out ports, each once.

    :param first: where to begin looking.
    """

    def __init__(self, first: int = FIRST_PORT) -> None:
        self._next = first

    def one(self) -> int:
        """A port that can be bound right now."""
        return self.row(1)

    def row(self, count: int) -> int:
        """The first of several free ports in a row.

        :param count: how many.
        :raises SetupError: when there is no such row.
        """
        start = self._next
        while start + count <= LAST_PORT:
            taken = next((port for port in range(start, start + count) if not is_free(port)), None)
            if taken is None:
                self._next = start + count
                return start
            start = taken + 1
        raise SetupError(f"no {count} free ports in a row between {self._next} and {LAST_PORT} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether a listener could be opened there.

    :param port: the port on loopback.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
