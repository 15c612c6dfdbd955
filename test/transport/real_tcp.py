"""Twisted's own TCP connections over a real socket pair, with a reactor that only writes down what it is asked for."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

IDLE_S = 0.05
"""What was sent over loopback is there sooner."""


@implementer(IReactorFDSet)
class Reactor(Clock):
    """Who wants to read and who to write; a test calls `doRead` and `doWrite` itself."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def removeAll(self) -> list[Any]:
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        return list(self.writers)


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


class Ends:
    """A Twisted connection, and the plain socket opposite it.

    :param send_buffer_bytes: what the kernel is asked to hold for the connection.
    """

    def __init__(self, protocol: Protocol | None = None, send_buffer_bytes: int = 0) -> None:
        self.reactor = Reactor()
        ours, self.peer = self._sockets = connected()
        if send_buffer_bytes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer_bytes)
        self.protocol = protocol or Protocol()
        self.connection = tcp.Server(ours, self.protocol, self.peer.getsockname(), None, 0, self.reactor)
        self.protocol.makeConnection(self.connection)

    def close(self) -> None:
        """Close both sockets."""
        for end in self._sockets:
            end.close()

    def heard(self, size: int) -> bytes:
        """So many bytes at the peer; the connection goes on writing when it asked to."""
        found = b""
        self.peer.settimeout(5)
        while len(found) < size:
            if self.connection in self.reactor.writers:
                self.connection.doWrite()
            piece = self.peer.recv(size - len(found))
            assert piece, f"the connection ended after {len(found)} bytes"
            found += piece
        return found


class Joined:
    """
    Two Twisted connections, one opposite the other.

    :param makes: each makes a protocol, given the reactor.
    """

    def __init__(self, *makes: Callable[[Reactor], Any]) -> None:
        self.reactor = Reactor()
        self.connections = []
        for make, end in zip(makes, connected(), strict=True):
            protocol = make(self.reactor)
            connection = tcp.Server(end, protocol, end.getpeername(), None, 0, self.reactor)
            protocol.makeConnection(connection)
            self.connections.append(connection)

    def pump(self) -> None:
        """Let both read and write until nothing moves any more."""
        while True:
            self.reactor.advance(0)
            readable, writable, _ = select.select(self.reactor.readers, self.reactor.writers, [], IDLE_S)
            for connection in readable:
                self._end_if(connection, connection.doRead())
            for connection in writable:
                if connection.connected:
                    self._end_if(connection, connection.doWrite())
            if not (readable or writable):
                return

    def _end_if(self, connection: Any, reason: Any) -> None:
        if reason is not None and connection.connected:
            connection.connectionLost(Failure(reason))

    def close(self) -> None:
        """Close both sockets."""
        for connection in self.connections:
            if connection.connected:
                connection.connectionLost(Failure(main.CONNECTION_LOST))


class Recording(Protocol):
    """Writes down what happens."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Failure = main.CONNECTION_DONE) -> None:
        self.lost = reason
