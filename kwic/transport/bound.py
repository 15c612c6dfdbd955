"""How much may wait to be sent on a connection before whoever is read for it is paused (`maximum.pending.bytes`); at half of it he goes on."""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper

from kwic.transport.lean_tcp import FIRST_READ_BYTES, LeanConnection
from kwic.transport.stream import Stream
from kwic.transport.websocket_transport import WebSocketTransport

_OWN = (LeanConnection, Stream)


def set_bound(transport: Any, pending_bytes: int) -> None:
    """
    Bound what waits on a transport. It is looked at after each write, so that one read may be above it.

    :param transport: of any kind. TLS and WebSockets keep nothing themselves: the connection below them does.
    :param pending_bytes: the bound.
    """
    # Its class is asked: a transport of Twisted's on top of a connection passes on whatever it does not have itself.
    if type(transport) in _OWN:
        transport.high_bytes = pending_bytes
    elif isinstance(transport, ProtocolWrapper):
        set_bound(transport.transport, pending_bytes)
    elif isinstance(transport, WebSocketTransport):
        set_bound(transport.below, pending_bytes)
    elif hasattr(transport, "high_bytes"):
        transport.high_bytes = pending_bytes
    elif hasattr(transport, "bufferSize"):
        # Twisted's own has one figure for this and for the size of a read.
        transport.bufferSize = max(pending_bytes, FIRST_READ_BYTES)
