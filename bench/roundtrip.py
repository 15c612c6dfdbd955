"""Whether a byte sent into a port comes back: what ready means here, for every pair alike."""

from __future__ import annotations

import socket
import time

from bench.ports import LOOPBACK

PATIENCE_S = 1.0
"""How long one attempt waits for its byte."""

PAUSE_S = 0.05


def answers(port: int, patience_s: float = PATIENCE_S) -> bool:
    """One attempt: connects, sends the byte that the sink echoes, reads it back.

    :param port: on loopback.
    :param patience_s: how long it waits.
    :returns: whether it came back; after a pause when it did not.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=patience_s) as client:
            client.sendall(b"e")
            if client.recv(1) == b"e":
                return True
    except OSError:
        pass
    time.sleep(PAUSE_S)
    return False
