"""
How many nodes there are, told to whoever dialled: a line `<version> <count>` on a stream of its own whenever it changes (protocol.md).

A dialler that knows it keeps dialling until it has met every node, and dials at once when one came back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from kwic.errors import MisuseError
from kwic.service.switchboard import NODES
from kwic.transport.negotiation import Acceptor, Opener
from kwic.transport.tunnel import Tunnel
from kwic.wire.kwic_headers import Nodes, format_nodes, parse_nodes
from kwic.wire.socks5 import Command, Rep


class NodesTeller(Protocol):
    """
    Tells a dialler about the nodes for as long as it listens.

    :param current: what to tell.
    :param watch: calls back when it changes.
    """

    transport: Any

    def __init__(
        self, current: Callable[[], Nodes | None], watch: Callable[[Callable[[], None]], Callable[[], None]]
    ) -> None:
        self._current = current
        self._told: Nodes | None = None
        self._stop = watch(self._tell)

    def connectionMade(self) -> None:
        """Say what there is now."""
        self.transport.resumeProducing()
        self._tell()

    def _tell(self) -> None:
        nodes = self._current()
        if self.transport is not None and nodes is not None and nodes != self._told:
            self._told = nodes
            self.transport.write(f"{format_nodes(nodes)}\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Nothing is said here."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nobody listens any more."""
        self._stop()


class NodesListener(LineOnlyReceiver):
    """
    Hears about the nodes.

    :param heard: called with what was told.
    """

    delimiter = b"\n"
    MAX_LENGTH = 64
    transport: Any

    def __init__(self, heard: Callable[[Nodes], None]) -> None:
        self._heard = heard

    def lineReceived(self, line: bytes) -> None:
        """One view of the nodes."""
        nodes = parse_nodes(line.decode("ascii", "replace"))
        if nodes is not None:
            self._heard(nodes)

    def lineLengthExceeded(self, line: bytes) -> None:
        """No line is so long."""
        self.transport.abortConnection()


def tell_nodes(
    acceptor: Acceptor,
    current: Callable[[], Nodes | None],
    watch: Callable[[Callable[[], None]], Callable[[], None]],
) -> None:
    """Answer a stream that asked for the nodes."""
    acceptor.accept_with(NodesTeller(current, watch))


def ask_nodes(tunnel: Tunnel, heard: Callable[[Nodes], None]) -> None:
    """Ask the far end of a tunnel to tell about its nodes; one that cannot says no, and that is that."""

    def on_reply(opener: Opener, rep: Rep) -> None:
        if rep is Rep.SUCCEEDED:
            listener = NodesListener(heard)
            stream, rest = opener.transport, opener.rest
            stream.hand_over(listener)
            if rest:
                listener.dataReceived(rest)
            stream.resumeProducing()

    opener = Opener(Command.CONNECT, NODES, on_reply=on_reply, on_lost=lambda opener: None)
    try:
        tunnel.open(opener).housekeeping = True
    except MisuseError:
        return
