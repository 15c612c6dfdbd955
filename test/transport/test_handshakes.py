"""Connections that are not through yet, bounded in time and number; and the kernel's probes on silent ones."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport import keepalive
from kwic.transport.handshakes import Handshakes


class HandshakesTests(SynchronousTestCase):
    """At most two at a time, five seconds each."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.handshakes = Handshakes(self.clock, timeout_s=5.0, maximum=2)
        self.dropped: list[str] = []

    def begin(self, name: str) -> Any:
        return self.handshakes.began(lambda: self.dropped.append(name))

    def test_in_time(self) -> None:
        """One that is through in time is left alone, however often that is said."""
        handshake = self.begin("a")
        self.clock.advance(4.9)
        handshake.done()
        handshake.done()
        self.clock.advance(10)
        self.assertEqual((self.dropped, len(self.handshakes)), ([], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_slow(self) -> None:
        """One that takes longer is dropped, once."""
        handshake = self.begin("a")
        self.clock.advance(5)
        handshake.done()
        self.assertEqual((self.dropped, len(self.handshakes)), (["a"], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many(self) -> None:
        """The oldest goes when there are too many."""
        for name in "abc":
            self.begin(name)
        self.assertEqual((self.dropped, len(self.handshakes)), (["a"], 2))

    def test_give_up(self) -> None:
        """All are dropped when the listener is closed."""
        for name in "ab":
            self.begin(name)
        self.handshakes.give_up()
        self.assertEqual(self.dropped, ["a", "b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class KeepaliveTests(SynchronousTestCase):
    """Probes on real sockets."""

    def test_tcp_below(self) -> None:
        """The options are set on the socket below whatever lies on it; what has none is left alone."""

        class Transport:
            transport: Any = None
            socket: Any = None

        below, above = Transport(), Transport()
        above.transport = below
        with socket.socket() as connection:
            below.socket = connection
            keepalive.probe_when_silent(above)
            self.assertTrue(connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            self.assertEqual(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), keepalive.IDLE_S)
        keepalive.probe_when_silent(Transport())
        keepalive.probe_when_silent(object())
