"""
The connection that a tunnel runs on, seen by how much may be given to it at once.

On Linux the kernel says how fast it is and how much waits in it unsent, and wakes us when little is left (`TCP_NOTSENT_LOWAT`); elsewhere, and where the
connection is none of the kernel's, everything is given in whole messages. The mark alone would not do: the kernel looks at it for every 64 KiB only.
Rejected: measuring the rate here. A span in which nothing had to wait says nothing about it, and a busy machine makes the others wrong.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import Any

from kwic.policy.portions import WHOLE, portions
from kwic.wire.tcp_info import TCP_INFO_BYTES, TcpInfo, parse_tcp_info

#: The kernel is asked again after so many bytes, and after each message where the line is slow: some microseconds for what takes some thousand.
ASK_BYTES = 1_048_576
#: And not sooner than after so long: a line that is that fast needs no second look.
ASK_S = 0.02

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def connection_below(transport: Any) -> Any:
    """:returns: what carries TLS and WebSockets in the end; the transport itself when nothing is below it."""
    below = transport
    while True:
        deeper = getattr(below, "below", None) or getattr(below, "transport", None)
        if deeper is None:
            return below
        below = deeper


class Line:
    """
    A tunnel's connection.

    :param transport: TCP, or whatever runs on it; what it is registered with is paused and resumed as usual.
    """

    __slots__ = (
        "_asked_s",
        "_connection",
        "_portions",
        "_since_asked",
        "_socket",
        "is_slow",
        "message_bytes",
    )

    def __init__(self, transport: Any) -> None:
        self._portions = WHOLE
        #: What one message may carry now.
        self.message_bytes = WHOLE.message_bytes
        #: Whether what stands in front in a message waits noticeably for what stands behind it: a message is read as a whole.
        self.is_slow = False
        self._since_asked = 0
        self._asked_s = 0.0
        self._connection = connection_below(transport)
        self._socket: Any = None
        found = getattr(self._connection, "socket", None)
        if _TCP_INFO is None or _NOTSENT_LOWAT is None or not hasattr(found, "getsockopt"):
            return
        self._socket = found
        self._ask()

    def gave(self, size: int) -> None:
        """A message was written: see whether it may be followed by another one, and have the tunnel paused otherwise."""
        self._since_asked += size
        if self._socket is None:
            return
        if not self.is_slow and (self._since_asked < ASK_BYTES or monotonic() < self._asked_s + ASK_S):
            return
        info = self._ask()
        if info is not None and self.is_slow and 2 * info.unsent_bytes >= self._portions.unsent_bytes:
            self._wait()

    def _ask(self) -> TcpInfo | None:
        self._since_asked = 0
        self._asked_s = monotonic()
        try:
            info = parse_tcp_info(self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, TCP_INFO_BYTES))
            wanted = portions(info.rate if info else None)
            if wanted.unsent_bytes != self._portions.unsent_bytes:
                self._socket.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, wanted.unsent_bytes)
        except OSError:
            # It is closed, or no TCP: whoever writes to it will notice.
            self._socket = None
            return None
        self._portions = wanted
        self.message_bytes = wanted.message_bytes
        self.is_slow = not wanted.is_whole
        if hasattr(self._connection, "high_bytes"):
            # On a slow one what the kernel does not take is all that may wait here: whatever comes behind can still be put in another order.
            self._connection.high_bytes = 0 if self.is_slow else None
        return info

    def _wait(self) -> None:
        """Until the kernel asks for more, which it does when half of its share is left; the connection resumes who is paused."""
        connection = self._connection
        if connection.producer is not None and not connection.producerPaused and not connection.disconnecting:
            connection.producerPaused = True
            connection.producer.pauseProducing()
            connection.startWriting()
