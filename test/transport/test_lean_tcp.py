"""TCP connections with less around them: real ones, over loopback."""

from __future__ import annotations

import errno
import socket
from typing import Any
from unittest import mock

from twisted.internet import error, main, reactor
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IPushProducer,
    IReadWriteDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from kwic.transport import lean_tcp
from kwic.transport.direct_send import sender
from kwic.transport.lean_channel import LeanChannel
from kwic.transport.lean_tcp import FIRST_READ_BYTES, READ_BYTES, LeanConnection, fits, tcp_address
from kwic.transport.leg import Leg
from kwic.transport.masking import mask
from kwic.transport.relay import Relay
from kwic.wire.frames import FrameDecoder
from test.transport.links import LinkEnd
from test.transport.real_tcp import Reactor, Recording, connected

PATIENCE_S = 5


class Counting:
    """A producer."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class ConnectionTests(SynchronousTestCase):
    """One end is ours, the other a plain socket."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        ours, self.peer = connected()
        ours.setblocking(False)
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.peer.settimeout(PATIENCE_S)
        self.socket = ours
        self.protocol = Recording()
        self.connection = LeanConnection(
            ours, self.protocol, tcp_address(self.peer.getsockname()), self.reactor
        )
        self.connection.begin()

    def test_where_it_fits(self) -> None:
        """It needs a reactor that watches file descriptors."""
        self.assertTrue(fits(reactor))
        self.assertFalse(fits(Clock()))

    def test_interfaces(self) -> None:
        """It is what reactors, protocols and producers take it for."""
        for interface in (
            ITCPTransport,
            IConsumer,
            IPushProducer,
            IReadWriteDescriptor,
            IHalfCloseableDescriptor,
            ILoggingContext,
            ISystemHandle,
        ):
            verifyObject(interface, self.connection)
        self.assertIn("127.0.0.1", repr(self.connection))
        self.assertEqual(self.connection.logPrefix(), "TCP")
        self.assertIs(self.connection.getHandle(), self.socket)
        self.assertEqual(self.connection.fileno(), self.socket.fileno())

    def test_addresses(self) -> None:
        """Both ends are known; an IPv6 address has its scope where it has one."""
        self.assertEqual(self.connection.getPeer(), tcp_address(self.peer.getsockname()))
        self.assertEqual(self.connection.getHost(), tcp_address(self.socket.getsockname()))
        self.assertEqual(tcp_address(("::1", 80, 0, 0)).host, "::1")
        name = socket.if_indextoname(1)
        self.assertEqual(tcp_address(("fe80::1", 80, 0, 1)).host, f"fe80::1%{name}")

    def test_options(self) -> None:
        """What can be set is set, also where the system does not want to."""
        for enabled in (True, False):
            self.connection.setTcpNoDelay(enabled)
            self.connection.setTcpKeepAlive(enabled)
            self.assertIs(self.connection.getTcpNoDelay(), enabled)
            self.assertIs(self.connection.getTcpKeepAlive(), enabled)
        with mock.patch.object(self.connection, "socket") as refusing:
            refusing.setsockopt.side_effect = OSError
            self.connection.setTcpNoDelay(True)

    def test_read(self) -> None:
        """Bytes are delivered; nothing to read is no end; the end is one."""
        self.assertIs(self.connection.doRead(), None)
        self.peer.sendall(b"hello")
        self.connection.doRead()
        self.assertEqual(self.protocol.received, [b"hello"])
        self.peer.close()
        self.connection.doRead()
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))
        self.assertEqual(self.reactor.readers, set())

    def test_reads_grow_and_shrink(self) -> None:
        """Reads become larger while they are full, up to what the transport allows, and smaller again."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
        self.peer.sendall(bytes(400_000))
        while sum(map(len, self.protocol.received)) < 400_000:
            self.connection.doRead()
        sizes = [len(piece) for piece in self.protocol.received]
        self.assertEqual(sizes[0], FIRST_READ_BYTES)
        self.assertGreater(max(sizes), FIRST_READ_BYTES)
        self.assertLessEqual(max(sizes), READ_BYTES)
        for _ in range(5):
            self.peer.sendall(b"x")
            self.connection.doRead()
        self.assertEqual(self.connection._read_bytes, FIRST_READ_BYTES)

    def test_reset(self) -> None:
        """A reset is no orderly end, for a reader and for a writer."""
        self.reset()
        self.assertIs(self.connection.doRead(), main.CONNECTION_LOST)
        self.connection.write(b"x")
        self.assertIs(self.connection.doWrite(), main.CONNECTION_LOST)

    def patch_sends(self, most: int) -> None:
        """Have the socket take no more than so much at once."""
        self.patch(lean_tcp, "SEND_BYTES", most)

    def test_write(self) -> None:
        """What the socket takes is sent, no more than the limit at once; a full socket takes nothing."""
        self.patch_sends(4)
        self.connection.write(b"abcdef")
        self.connection.doWrite()
        self.assertEqual((self.peer.recv(10), self.connection.waiting_bytes), (b"abcd", 2))
        self.assertIn(self.connection, self.reactor.writers)
        self.connection.doWrite()
        self.assertEqual((self.peer.recv(10), self.connection.waiting_bytes), (b"ef", 0))
        self.assertEqual(self.reactor.writers, set())
        self.patch_sends(1 << 24)
        self.connection.write(bytes(1 << 24))
        left = 1 << 25
        while self.connection.waiting_bytes < left:
            left = self.connection.waiting_bytes
            self.connection.doWrite()
        self.assertGreater(left, 0)
        self.assertIsNone(self.connection.doWrite())

    def test_small_pieces(self) -> None:
        """Small pieces are sent together and in order, whatever the socket takes of them; large ones are not copied for it."""
        pieces = [
            bytes((number % 251,)) * (70_000 if number % 7 == 3 else 100 * number) for number in range(50)
        ]
        self.patch_sends(150_001)
        for piece in pieces:
            self.connection.write(piece)
        self.connection.writeSequence([b"a", b"", b"b"])
        expected = b"".join(pieces) + b"ab"
        self.assertEqual(self.connection.waiting_bytes, len(expected))
        found = b""
        turns = 0
        while len(found) < len(expected):
            self.connection.doWrite()
            turns += 1
            found += self.peer.recv(1 << 20)
        self.assertEqual(found, expected)
        self.assertLess(turns, 30)

    def test_nothing_but_bytes(self) -> None:
        """What is no bytes is refused, as Twisted's do; nothing is nothing."""
        for wrong in ("text", bytearray(b"x"), memoryview(b"x"), None):
            self.assertRaises(TypeError, self.connection.write, wrong)
        self.connection.write(b"")
        self.connection.writeSequence([])
        self.assertEqual(self.reactor.writers, set())

    def test_no_room_in_the_kernel(self) -> None:
        """ENOBUFS is a full socket, and no end."""
        self.connection.write(b"x")
        with mock.patch.object(self.connection, "socket") as full:
            full.send.side_effect = OSError(errno.ENOBUFS, "no buffer space")
            self.assertIsNone(self.connection.doWrite())
        self.assertEqual(self.connection.waiting_bytes, 1)
        self.connection.doWrite()
        self.assertEqual(self.peer.recv(10), b"x")

    def test_producer(self) -> None:
        """A producer is paused when more than the bound waits, and goes on at half of it; what was sent of a piece counts no more."""
        self.connection.high_bytes = 100
        producer = Counting()
        self.connection.registerProducer(producer, True)
        self.patch_sends(60)
        self.connection.write(bytes(100))
        self.assertEqual(producer.calls, [])
        self.connection.write(bytes(11))
        self.assertEqual((producer.calls, self.connection.waiting_bytes), (["pause"], 111))
        self.connection.doWrite()
        self.assertEqual((producer.calls, self.connection.waiting_bytes), (["pause"], 51))
        self.patch_sends(1)
        self.connection.doWrite()
        self.assertEqual((producer.calls, self.connection.waiting_bytes), (["pause", "resume"], 50))
        self.connection.write(bytes(50))
        self.connection.doWrite()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_producer_that_goes_on_unasked(self) -> None:
        """One that goes on although it was paused is paused again."""
        self.connection.high_bytes = 10
        producer = Counting()
        self.connection.registerProducer(producer, True)
        self.connection.write(bytes(11))
        self.connection.write(b"x")
        self.assertEqual(producer.calls, ["pause", "pause"])
        self.connection.doWrite()
        self.assertEqual(producer.calls, ["pause", "pause", "resume"])

    def test_who_is_paused_by_another(self) -> None:
        """A producer that somebody else has paused is asked to go on when the socket has room (see `line`)."""
        producer = Counting()
        self.connection.registerProducer(producer, True)
        self.connection.producerPaused = True
        self.connection.startWriting()
        self.connection.doWrite()
        self.assertEqual((producer.calls, self.connection.producerPaused), (["resume"], False))
        self.assertEqual(self.reactor.writers, set())

    def test_one_producer(self) -> None:
        """A second producer is refused; one that comes too late is stopped."""
        self.connection.registerProducer(Counting(), True)
        self.assertRaises(RuntimeError, self.connection.registerProducer, Counting(), True)
        self.connection.unregisterProducer()
        self.connection.connectionLost(Failure(main.CONNECTION_LOST))
        late = Counting()
        self.connection.registerProducer(late, True)
        self.assertEqual(late.calls, ["stop"])

    def test_producer_that_has_gone(self) -> None:
        """One that was paused and has left is not asked to go on; one of a connection that breaks neither."""
        self.connection.high_bytes = 10
        for leaves in (True, False):
            producer = Counting()
            self.connection.registerProducer(producer, True)
            self.connection.write(bytes(11))
            if leaves:
                self.connection.unregisterProducer()
            else:
                self.socket.shutdown(socket.SHUT_WR)
            problem = self.connection.doWrite()
            self.assertEqual((producer.calls, problem), (["pause"], None if leaves else main.CONNECTION_LOST))

    def test_default_bound(self) -> None:
        """Where nothing is said about it the bound is Twisted's."""
        producer = Counting()
        self.connection.registerProducer(producer, True)
        self.connection.write(bytes(self.connection.bufferSize))
        self.assertEqual(producer.calls, [])
        self.connection.write(b"x")
        self.assertEqual(producer.calls, ["pause"])

    def test_send_now(self) -> None:
        """Bytes and views leave at once; what the socket does not take, and what comes after it, waits in order."""
        self.connection.send_now(b"ab")
        self.connection.send_now(memoryview(b"xcdx")[1:3])
        self.assertEqual(self.peer.recv(10), b"abcd")
        piece = bytes(range(256)) * 4096
        for _ in range(20):
            self.connection.send_now(memoryview(piece))
        self.connection.send_now(b"end")
        self.assertIn(self.connection, self.reactor.writers)
        found = bytearray()
        while not found.endswith(b"end"):
            found += self.peer.recv(1 << 20)
            self.connection.doWrite()
        self.assertEqual(bytes(found), piece * 20 + b"end")

    def reset(self) -> None:
        """The peer is gone from one moment to the next."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()

    def test_reset_that_a_send_was_told_of(self) -> None:
        """A reset is no orderly end either when a send heard of it first; what came before it is delivered."""
        self.peer.sendall(b"last word")
        self.reset()
        self.connection.send_now(b"x")
        self.assertIs(self.connection.doRead(), None)
        self.assertIs(self.connection.doRead(), main.CONNECTION_LOST)
        self.assertEqual(self.protocol.received, [b"last word"])
        self.assertIs(self.protocol.lost, None)

    def test_end_before_a_send_failed(self) -> None:
        """An orderly end is one, although a send to who had gone then is refused."""
        self.peer.sendall(b"last word")
        self.peer.close()
        self.connection.send_now(b"unwanted")
        self.connection.send_now(b"refused")
        self.assertIn(self.connection, self.reactor.writers)
        self.connection.doRead()
        self.connection.doRead()
        self.assertEqual(self.protocol.received, [b"last word"])
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))

    def test_send_now_after_the_end(self) -> None:
        """Into a connection that was reset nothing is sent, and that is no fault here; nothing is sent for no bytes."""
        self.connection.send_now(b"")
        self.reset()
        self.connection.send_now(b"x")
        self.assertIs(self.connection.doWrite(), main.CONNECTION_LOST)
        self.connection.connectionLost(Failure(main.CONNECTION_LOST))
        self.connection.send_now(b"x")

    def test_frames_of_a_tunnel(self) -> None:
        """They leave at once on a connection without TLS, too; what the socket does not take is kept, whatever is written behind it."""
        for client in (False, True):
            channel = LeanChannel(self.connection, client=client)
            for size in (10, 60_000):
                channel.send_pieces((b"head", memoryview(bytes(size))))
                self.assertEqual((self.connection.waiting_bytes, self.reactor.writers), (0, set()))
                sent = self.peer.recv(100_000, socket.MSG_WAITALL | socket.MSG_DONTWAIT)
                self.assertEqual(sent[-size:] == bytes(size), not client)
            self.patch_sends(1000)
            for filling in (b"1", b"2"):
                channel.send_pieces((b"head", filling * 60_000))
            self.assertGreater(self.connection.waiting_bytes, 118_000)
            self.patch_sends(1_000_000)
            decoder = FrameDecoder(masked=client, mask=mask)
            found = b""
            while len(found) < 120_008:
                self.connection.doWrite()
                view, at = memoryview(self.peer.recv(200_000)), 0
                while at < len(view):
                    piece, at = decoder.next(view, at)
                    found += piece or b""
            self.assertEqual(found, b"head" + b"1" * 60_000 + b"head" + b"2" * 60_000)

    def test_end_at_once(self) -> None:
        """When nothing waits the connection ends at once, in order."""
        self.assertTrue(self.connection.end_at_once())
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))
        self.assertEqual(self.peer.recv(1), b"")
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))
        self.assertFalse(self.connection.end_at_once())

    def test_end_when_something_waits(self) -> None:
        """What waits is sent before the end."""
        self.connection.write(b"bye")
        self.assertFalse(self.connection.end_at_once())
        self.connection.loseConnection()
        self.connection.doWrite()
        self.assertEqual(self.peer.recv(10), b"bye")

    def test_abort(self) -> None:
        """Ending abruptly is a reset for the other end, and nothing else happens until the protocol knows."""
        self.connection.write(b"never sent")
        for _ in range(2):
            self.connection.abortConnection()
        self.connection.write(b"x")
        self.connection.send_now(b"x")
        self.connection.loseWriteConnection()
        self.connection.loseConnection()
        self.connection.resumeProducing()
        self.assertIsNone(self.connection.doWrite())
        self.assertFalse(self.connection.end_at_once())
        self.assertEqual(
            (self.reactor.readers, self.reactor.writers, self.protocol.lost), (set(), set(), None)
        )
        self.reactor.advance(0)
        self.assertTrue(self.protocol.lost.check(error.ConnectionAborted))
        with self.assertRaises(ConnectionResetError):
            self.peer.recv(1)

    def test_after_the_end(self) -> None:
        """When it is over nothing that is asked of it does anything."""
        self.connection.connectionLost(Failure(main.CONNECTION_LOST))
        self.protocol.lost = None
        self.connection.connectionLost(Failure(main.CONNECTION_DONE))
        for call in ("loseConnection", "abortConnection", "loseWriteConnection", "pauseProducing"):
            getattr(self.connection, call)()
        for call in (
            "resumeProducing",
            "stopProducing",
            "startWriting",
            "startReading",
            "unregisterProducer",
        ):
            getattr(self.connection, call)()
        self.connection.write(b"x")
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))
        self.assertEqual((self.connection.fileno(), self.protocol.lost), (-1, None))
        self.assertEqual(self.connection.getPeer().host, "127.0.0.1")
        self.assertFalse(hasattr(self.connection, "socket"))

    def test_another_says_that_writing_is_over(self) -> None:
        """A reactor that cannot write any more ends it."""
        self.connection.writeConnectionLost(Failure(main.CONNECTION_LOST))
        self.assertTrue(self.protocol.lost.check(error.ConnectionLost))

    def test_begin(self) -> None:
        """The reactor is asked for what is wanted once the protocol knows the connection, and not before."""
        for wanted in ("pause", "write", "lose", "end", "fail"):
            ours, peer = connected()
            self.addCleanup(ours.close)
            self.addCleanup(peer.close)
            asked = Asked()
            protocol = Deciding(wanted)
            connection = LeanConnection(ours, protocol, tcp_address(peer.getsockname()), asked)
            connection.begin()
            self.assertEqual(asked.asked, DECIDED[wanted], wanted)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), wanted == "fail")
            asked.advance(0)
            self.assertEqual(connection.disconnected, wanted in ("end", "fail"))


class Asked(Reactor):
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def addReader(self, reader: Any) -> None:
        self.asked.append("read")

    def addWriter(self, writer: Any) -> None:
        self.asked.append("write")

    def removeReader(self, reader: Any) -> None:
        self.asked.append("no read")

    def removeWriter(self, writer: Any) -> None:
        self.asked.append("no write")


#: What a reactor is asked for by a protocol that decides so at once.
DECIDED = {"pause": [], "write": ["read", "write"], "lose": ["write"], "end": [], "fail": []}


class Deciding(Recording):
    """Does something at once."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted

    def connectionMade(self) -> None:
        if self.wanted == "pause":
            self.transport.pauseProducing()
        elif self.wanted == "write":
            self.transport.write(b"hello")
        elif self.wanted == "lose":
            self.transport.loseConnection()
        elif self.wanted == "end":
            self.transport.end_at_once()
        else:
            self.transport.write(1 // 0)


class OnTopTests(SynchronousTestCase):
    """Transports of Twisted's on top of a connection pass on what they do not have: nothing may get past them."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        ours, self.peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.peer.setblocking(False)
        self.on_top = OnTop(WrappingFactory(Factory.forProtocol(Recording)), Recording())
        LeanConnection(ours, self.on_top, tcp_address(self.peer.getsockname()), self.reactor).begin()

    def test_bytes(self) -> None:
        """What is sent goes through it."""
        sender(self.on_top)(memoryview(b"secret"))
        self.assertEqual(self.on_top.told, [b"secret"])
        with self.assertRaises(BlockingIOError):
            self.peer.recv(10)

    def test_end(self) -> None:
        """It is closed in its own way."""
        near, far = Leg(), Leg()
        near.makeConnection(self.on_top)
        far.makeConnection(LinkEnd("far", 1))
        relay = Relay(near, far, self.reactor)
        relay.start()
        relay._close(near)
        self.assertEqual(self.on_top.told, ["loseConnection"])
        with self.assertRaises(BlockingIOError):
            self.peer.recv(10)


class OnTop(ProtocolWrapper):
    """One that writes down what it is told."""

    def __init__(self, *made: Any) -> None:
        super().__init__(*made)
        self.told: list[Any] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def loseConnection(self) -> None:
        self.told.append("loseConnection")
