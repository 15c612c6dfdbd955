"""Lets the kernel find out soon that the peer of a silent TCP connection is gone, where nothing above TCP does."""

from __future__ import annotations

import socket
from typing import Any

#: Silent seconds before the first probe, seconds between two, and how many may go unanswered: five seconds in all.
IDLE_S = 2
INTERVAL_S = 1
PROBES = 3

#: As far as the system has such options.
_OPTIONS = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", IDLE_S), ("TCP_KEEPINTVL", INTERVAL_S), ("TCP_KEEPCNT", PROBES))
    if hasattr(socket, name)
}


def probe_when_silent(transport: Any) -> None:
    """
    Probe a connection that is silent.

    :param transport: TCP, or TLS over it; with anything else nothing is done.
    """
    below = transport
    while getattr(below, "transport", None) is not None:
        below = below.transport
    connection = getattr(below, "socket", None)
    if isinstance(connection, socket.SocketType):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _OPTIONS.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
