"""Sending at once on TCP connections: real ones, and what happens where it does not fit."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet import main
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.direct_send import SEND_BYTES, fits, sender
from test.transport.links import LinkEnd
from test.transport.real_tcp import Ends


class Producer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class FitsTests(SynchronousTestCase):
    """Where it can be done."""

    def test_a_real_connection(self) -> None:
        """This version of Twisted's TCP connection is the one that is known: fails loudly when it is not any more."""
        ends = Ends()
        self.addCleanup(ends.close)
        self.assertTrue(fits(ends.connection))

    def test_others(self) -> None:
        """Every other transport is written to in its own way."""
        self.assertFalse(fits(StringTransport()))
        self.assertFalse(fits(LinkEnd("a", 1)))
        self.assertFalse(fits(object()))

    def test_another_version(self) -> None:
        """Where the private counter is missing, or means something else, nothing is sent past the transport."""
        for change in (
            {"_tempDataLen": None},
            {"dataBuffer": bytearray()},
            {"TLS": True},
            {"reactor": object()},
        ):
            ends = Ends()
            self.addCleanup(ends.close)
            vars(ends.connection).update(change)
            self.assertFalse(fits(ends.connection), change)


class OtherTransportTests(SynchronousTestCase):
    """The usual way."""

    def test_bytes_are_handed_over_as_they_are(self) -> None:
        """Bytes are not copied; views are, as they may change afterwards."""
        written: list[Any] = []

        class Transport:
            write = written.append

        send = sender(Transport())
        data, changing = b"bytes", bytearray(b"view")
        send(data)
        send(memoryview(changing))
        changing[:] = b"xxxx"
        self.assertIs(written[0], data)
        self.assertEqual((written[1], type(written[1])), (b"view", bytes))


class SendTests(SynchronousTestCase):
    """On a real connection."""

    def make(self, send_buffer_bytes: int = 0) -> Ends:
        """A connection and what sends on it."""
        self.ends = Ends(send_buffer_bytes=send_buffer_bytes)
        self.addCleanup(self.ends.close)
        self.connection = self.ends.connection
        self.send = sender(self.connection)
        return self.ends

    def test_at_once(self) -> None:
        """Bytes and views are at the peer without the reactor having been asked."""
        ends = self.make()
        changing = bytearray(b"two")
        self.send(b"one ")
        self.send(memoryview(changing))
        changing[:] = b"xxx"
        self.assertEqual(ends.peer.recv(100), b"one two")
        self.assertEqual(ends.reactor.writers, set())

    def test_nothing(self) -> None:
        """Nothing is nothing, and does not wake the reactor."""
        ends = self.make()
        self.send(b"")
        self.send(memoryview(b""))
        self.assertEqual(ends.reactor.writers, set())

    def test_partial_sends(self) -> None:
        """What the socket does not take follows in order; a view may change meanwhile."""
        ends = self.make(send_buffer_bytes=16_384)
        data = bytearray(bytes(range(251)) * 4000)
        expected = bytes(data)
        self.send(memoryview(data))
        data[:] = bytes(len(data))
        self.assertEqual(ends.reactor.writers, {self.connection})
        self.assertEqual(ends.heard(len(expected)), expected)
        self.assertEqual(ends.reactor.writers, set())

    def test_order(self) -> None:
        """While something waits, everything waits behind it, also when the socket has room again."""
        ends = self.make(send_buffer_bytes=16_384)
        expected = b""
        for number in range(60):
            piece = bytes((number,)) * (40_000 if number % 3 else 10)
            self.send(piece if number % 2 else memoryview(piece))
            expected += piece
            if number % 20 == 10:
                ends.peer.setblocking(False)
                try:
                    head = ends.peer.recv(30_000)
                except BlockingIOError:
                    head = b""
                self.assertEqual(head, expected[: len(head)])
                expected = expected[len(head) :]
        self.assertEqual(ends.heard(len(expected)), expected)

    def test_order_behind_an_ordinary_write(self) -> None:
        """What was written in the usual way goes first."""
        ends = self.make()
        self.connection.write(b"first ")
        self.send(b"second")
        self.assertEqual(ends.heard(12), b"first second")

    def test_large_pieces(self) -> None:
        """A piece is offered to the socket whole, not cut at Twisted's 128 KiB."""
        self.make()
        self.assertEqual(self.connection.SEND_LIMIT, SEND_BYTES)

    def test_the_producer(self) -> None:
        """A producer is paused when more waits than the transport allows, and resumed when it is gone."""
        ends = self.make(send_buffer_bytes=16_384)
        self.connection.bufferSize = 100_000
        producer = Producer()
        self.connection.registerProducer(producer, True)
        self.send(bytes(1_000_000))
        self.assertEqual(producer.told, ["pause"])
        ends.heard(1_000_000)
        self.connection.doWrite()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.connection.unregisterProducer()

    def test_a_lost_connection(self) -> None:
        """A connection that the peer reset is no exception: the reactor is asked to write, and finds out."""
        ends = self.make()
        ends.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.peer.close()
        for _ in range(3):
            self.send(b"x")
        self.assertEqual(ends.reactor.writers, {self.connection})
        self.assertIs(self.connection.doRead(), main.CONNECTION_LOST)
        self.assertIs(self.connection.doWrite(), main.CONNECTION_LOST)

    def test_a_connection_that_ended_before(self) -> None:
        """Who sends to a peer that has said its last word and gone still hears it, and that it was the last."""
        ends = self.make()
        heard: list[bytes] = []
        self.connection.protocol.dataReceived = heard.append
        ends.peer.sendall(b"last word")
        ends.peer.close()
        self.send(b"unwanted")
        self.send(b"refused")
        self.assertIs(self.connection.doRead(), None)
        self.assertIs(self.connection.doRead(), main.CONNECTION_DONE)
        self.assertEqual(heard, [b"last word"])

    def test_after_the_end(self) -> None:
        """Nothing goes out of a connection that is over, or that is being closed."""
        ends = self.make()
        self.connection.loseConnection()
        self.send(b"late")
        ends.reactor.writers.clear()
        self.connection.connectionLost(Failure(main.CONNECTION_DONE))
        self.send(b"later")
        self.assertEqual(ends.reactor.writers, set())
        self.assertEqual(ends.peer.recv(100), b"")

    def test_behind_a_half_close(self) -> None:
        """Nothing goes out behind an end of stream."""
        ends = self.make()
        self.send(b"last")
        self.connection.loseWriteConnection()
        self.connection.doWrite()
        self.send(b"late")
        if self.connection in ends.reactor.writers:
            self.connection.doWrite()
        self.assertEqual(ends.heard(4), b"last")
        self.assertEqual(ends.peer.recv(100), b"")
