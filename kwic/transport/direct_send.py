"""
Sends on a TCP connection at once, instead of asking the reactor first whether it may: one system call for a small write instead of four, and one
turn of the reactor less.

Only when nothing waits in the transport's buffer, so that order is kept; what the socket does not take goes the usual way. Whether nothing waits is
known to one private counter of Twisted's; where it is not there (another transport, another version) the usual way is taken for everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet

from kwic.transport.lean_tcp import SEND_BYTES, UNBROKEN, LeanConnection
from kwic.transport.stream import Stream

_OWN = (LeanConnection, Stream)


def fits(transport: Any) -> bool:
    """Whether a transport is one of Twisted's TCP connections, as this file knows them, over a real socket."""
    return (
        isinstance(transport, tcp.Connection)
        and isinstance(getattr(transport, "_tempDataLen", None), int)
        and isinstance(transport.dataBuffer, bytes)
        and IReactorFDSet.providedBy(transport.reactor)
        and getattr(transport, "_tlsClientDefault", None) is not None
        and not getattr(transport, "TLS", False)
    )


def sends_at_once(transport: Any) -> bool:
    """Whether what `sender` gives hands bytes of any kind to the socket at once."""
    return isinstance(transport, LeanConnection) or fits(transport)


def sender(transport: Any) -> Callable[[Any], None]:
    """
    What writes to a transport in the quickest way there is.

    :param transport: any transport.
    :returns: to be called with bytes, or a view of bytes that may change afterwards.
    """
    # Its class is asked: a transport of Twisted's on top of a connection – TLS – passes on whatever it does not have itself.
    if isinstance(transport, _OWN):
        send_now: Callable[[Any], None] = transport.send_now
        return send_now
    if not fits(transport):
        write: Callable[[Any], None] = transport.write
        return lambda data: write(data if type(data) is bytes else bytes(data))
    transport.SEND_LIMIT = SEND_BYTES

    def send(data: Any) -> None:
        if (
            transport._tempDataLen  # noqa: SLF001 - see above
            or transport.dataBuffer
            or not transport.connected
            or transport.disconnecting
            or transport._writeDisconnecting  # noqa: SLF001
            or not data
        ):
            transport.write(data if type(data) is bytes else bytes(data))
            return
        try:
            sent = transport.socket.send(data if len(data) <= SEND_BYTES else memoryview(data)[:SEND_BYTES])
        except OSError as problem:
            # It is full. Or it is lost: the reactor will find out, and say so, in its own time.
            if problem.errno not in UNBROKEN:
                transport.doRead = _lost
            sent = 0
        if sent < len(data):
            transport.write(bytes(memoryview(data)[sent:]))

    return send


def _lost() -> ConnectionLost:
    """In place of a read: the kernel says once that a connection is broken, and a read finds an end of stream afterwards."""
    return main.CONNECTION_LOST
