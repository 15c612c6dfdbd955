"""How the load judges the end of a stream: real sockets, over loopback."""

from __future__ import annotations

import asyncio
import socket

from twisted.trial.unittest import SynchronousTestCase

from test.lab.echo import PEER_BYTES
from test.lab.load import CLOSED, RESET, BrokenError, Stream, Target
from test.transport.real_tcp import connected

RESETTING = b"\1\0\0\0\0\0\0\0"
PEER = b"10.0.0.1".ljust(PEER_BYTES)


class Sending(Stream):
    """Sends a little, after its peer has ended in some way.

    :param ends: how.
    """

    def __init__(self, peer: socket.socket, *ends: str) -> None:
        super().__init__(Target(name="cloud1", address=("", 0)), 1000, 1.0)
        self.peer = peer
        self.ends = ends

    async def _send(self, sock: socket.socket) -> None:
        await asyncio.sleep(0.01)  # by now somebody waits for something to read
        for end in self.ends:
            if end == "finish":
                self.peer.shutdown(socket.SHUT_WR)
            else:
                self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
                self.peer.close()
        self.sent += 1
        await asyncio.get_running_loop().sock_sendall(sock, b"x")


class EndTests(SynchronousTestCase):
    """An orderly end is told from a reset."""

    def end(self, *ends: str, first: bytes = b"") -> str:
        """The outcome of a stream whose peer ends so, while bytes are on their way to it."""
        ours, peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        ours.setblocking(False)
        peer.sendall(first)
        with self.assertRaises(BrokenError) as caught:
            asyncio.run(Sending(peer, *ends)._exchange(ours))
        return str(caught.exception)

    def test_reset_that_the_sender_was_told_of(self) -> None:
        """A reset of which a send hears before the read does is no orderly end, early or late."""
        for first in (b"", PEER):
            self.assertEqual(self.end("reset", first=first), RESET)

    def test_orderly_end(self) -> None:
        """An orderly end with bytes missing is one, also when a reset comes behind it."""
        self.assertEqual(self.end("finish", first=PEER), CLOSED)
        self.assertEqual(self.end("finish", "reset", first=PEER), CLOSED)
