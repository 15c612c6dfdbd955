"""A block of loopback addresses for one test run, so that several runs on one machine do not meet."""

from __future__ import annotations

import functools
import random
import socket

CLAIM_PORT = 47999
"""Listened on at the block's first address for as long as the process lives: whoever finds it taken looks further."""

_claims: list[socket.socket] = []


@functools.cache
def claim_network() -> str:
    """Three numbers of a block of loopback addresses that belong to this process.

    Blocks used by the demo's default and by distributions (127.0, 127.34, 127.53) are left alone.
    """
    while True:
        block = f"127.{random.randint(60, 250)}.{random.randint(0, 255)}"
        claim = socket.socket()
        try:
            claim.bind((f"{block}.1", CLAIM_PORT))
            claim.listen(1)
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return block
