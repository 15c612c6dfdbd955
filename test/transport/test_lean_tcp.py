"""TCP connections with less around them: real ones, over loopback."""

from __future__ import annotations

import socket
from typing import Any
from unittest import mock

from twisted.internet import defer, error, main, reactor, tcp
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from kwic.transport import lean_tcp
from kwic.transport.direct_send import sender
from kwic.transport.lean_tcp import FIRST_READ_BYTES, Connecting, LeanConnection, fits, is_known
from kwic.transport.leg import Leg, tune
from kwic.transport.listen import listen
from kwic.transport.relay import Relay
from test.transport.links import LinkEnd
from test.transport.real_tcp import Reactor, connected

PATIENCE_S = 5


class Recording(Protocol):
    """Writes down what happens."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Failure = main.CONNECTION_DONE) -> None:
        self.lost = reason


class Counting:
    """A producer."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


class ConnectionTests(SynchronousTestCase):
    """One end is ours, the other a plain socket."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        ours, self.peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.peer.settimeout(PATIENCE_S)
        self.socket = ours
        self.protocol = Recording()
        self.connection = LeanConnection(ours, self.protocol, self.peer.getsockname(), None, 0, self.reactor)
        self.protocol.makeConnection(self.connection)

    def test_this_version(self) -> None:
        """This version of Twisted's connections is the one that is known: fails loudly when it is not any more."""
        self.assertTrue(lean_tcp.IS_KNOWN)
        self.assertTrue(fits(reactor))

    def test_another_version(self) -> None:
        """Where a method is missing or takes something else, Twisted's own are used; so they are without file descriptors."""
        for name in ("doRead", "_closeSocket"):
            with mock.patch.object(tcp.Server, name, lambda self, one, two: None):
                self.assertFalse(is_known(tcp.Server))
        self.assertFalse(is_known(object))
        self.assertFalse(fits(Clock()))

    def test_everything_that_twisted_gives(self) -> None:
        """It has every attribute that Twisted's own would have."""
        ours, peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        protocol = Recording()
        twisted_s = tcp.Server(ours, protocol, peer.getsockname(), None, 0, self.reactor)
        missing = set(vars(twisted_s)) - set(vars(self.connection)) - {"repstr"}
        self.assertEqual(missing, set())
        self.assertIn("127.0.0.1", repr(self.connection))
        self.assertEqual(self.connection.logPrefix(), "TCP")

    def test_read(self) -> None:
        """Bytes are delivered; nothing to read is no end; the end is one."""
        self.assertIs(self.connection.doRead(), None)
        self.peer.sendall(b"hello")
        self.connection.doRead()
        self.assertEqual(self.protocol.received, [b"hello"])
        self.peer.close()
        self.assertIs(self.connection.doRead(), main.CONNECTION_DONE)

    def test_reads_grow_and_shrink(self) -> None:
        """Reads become larger while they are full, up to what the transport allows, and smaller again."""
        tune(self.connection)
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
        self.peer.sendall(bytes(400_000))
        while sum(map(len, self.protocol.received)) < 400_000:
            self.connection.doRead()
        sizes = [len(piece) for piece in self.protocol.received]
        self.assertEqual(sizes[0], FIRST_READ_BYTES)
        self.assertGreater(max(sizes), FIRST_READ_BYTES)
        self.assertLessEqual(max(sizes), self.connection.bufferSize)
        for _ in range(5):
            self.peer.sendall(b"x")
            self.connection.doRead()
        self.assertEqual(self.connection._read_bytes, FIRST_READ_BYTES)

    def test_reset(self) -> None:
        """A reset is no orderly end, for a reader and for a writer."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()
        self.assertIs(self.connection.doRead(), main.CONNECTION_LOST)
        self.assertIs(self.connection.writeSomeData(b"x"), main.CONNECTION_LOST)

    def test_write(self) -> None:
        """What the socket takes is sent, no more than the limit at once; a full socket takes nothing."""
        self.connection.SEND_LIMIT = 4
        self.assertEqual(self.connection.writeSomeData(b"abcdef"), 4)
        self.assertEqual(self.peer.recv(10), b"abcd")
        self.connection.SEND_LIMIT = 1 << 24
        while self.connection.writeSomeData(bytes(1 << 20)):
            pass
        self.assertEqual(self.connection.writeSomeData(b"x"), 0)

    def test_producer(self) -> None:
        """A producer is paused when more than the bound waits, and goes on at half of it; what was sent of a piece counts no more."""
        self.connection.high_bytes = 100
        producer = Counting()
        self.connection.registerProducer(producer, True)
        self.connection.SEND_LIMIT = 60
        self.connection.write(bytes(100))
        self.assertEqual(producer.calls, [])
        self.connection.write(bytes(11))
        self.assertEqual((producer.calls, self.connection.waiting_bytes), (["pause"], 111))
        self.connection.doWrite()
        self.assertEqual((producer.calls, self.connection.waiting_bytes), (["pause"], 51))
        self.connection.SEND_LIMIT = 1
        self.connection.doWrite()
        self.assertEqual((producer.calls, self.connection.waiting_bytes), (["pause", "resume"], 50))
        self.connection.write(bytes(50))
        self.connection.doWrite()
        self.assertEqual(producer.calls, ["pause", "resume"])

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

    def test_send_now_after_the_end(self) -> None:
        """Into a connection that was reset nothing is sent, and that is no fault here; nothing is sent for no bytes."""
        self.connection.send_now(b"")
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()
        self.connection.send_now(b"x")
        self.assertIs(self.connection.doWrite(), main.CONNECTION_LOST)
        self.connection.connectionLost(Failure(main.CONNECTION_LOST))
        self.connection.send_now(b"x")

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
        """Ending abruptly is a reset for the other end."""
        self.connection.abortConnection()
        self.reactor.advance(0)
        with self.assertRaises(ConnectionResetError):
            self.peer.recv(1)


@implementer(IHalfCloseableProtocol)
class HalfClosing(Recording):
    """Closes when it was told that nothing more comes."""

    def readConnectionLost(self) -> None:
        self.transport.end_at_once()

    def writeConnectionLost(self) -> None:
        pass


class OnTopTests(SynchronousTestCase):
    """Transports of Twisted's on top of a connection pass on what they do not have: nothing may get past them."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        ours, self.peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.peer.setblocking(False)
        self.on_top = OnTop(WrappingFactory(Factory.forProtocol(Recording)), Recording())
        connection = LeanConnection(ours, self.on_top, self.peer.getsockname(), None, 0, self.reactor)
        self.on_top.makeConnection(connection)

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


class ConnectTests(TestCase):
    """Dialling, with the real reactor."""

    def setUp(self) -> None:
        self.made: list[Any] = []

    def build(self, kind: type[Protocol] = Recording) -> Factory:
        made = self.made

        class Building(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                protocol = kind()
                protocol.address = addr
                made.append(protocol)
                return protocol

        return Building()

    def dial(self, host: str, port: int, factory: Factory | None = None, timeout_s: float = 5.0) -> Any:
        return lean_tcp.connect(reactor, host, port, factory or self.build(), timeout_s)

    def listen(self, host: str, kind: type[Protocol] = Recording) -> int:
        port = listen(reactor, host, 0, self.build(kind))
        self.addCleanup(port.stopListening)
        return port.getHost().port

    def silent(self) -> tuple[str, int]:
        """An address whose queue of connections is full, so that nobody answers there."""
        server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(server.close)
        for _ in range(4):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        return server.getsockname()

    @defer.inlineCallbacks
    def test_there_and_back(self) -> Any:
        """Both sides are lean, know each other's address, and send small writes at once."""
        for host in ("127.0.0.1", "::1"):
            self.made.clear()
            where = self.listen(host)
            ours = yield self.dial(host, where)
            self.assertEqual((ours.address.host, ours.address.port), (host, where))
            self.assertEqual(ours.transport.getPeer(), ours.address)
            while len(self.made) < 2:
                yield pause()
            theirs = next(one for one in self.made if one is not ours)
            for one in (ours, theirs):
                self.assertIsInstance(one.transport, LeanConnection)
                self.assertTrue(one.transport.getTcpNoDelay())
                self.assertTrue(one.transport.getTcpKeepAlive())
            self.assertEqual(theirs.address, ours.transport.getHost())
            ours.transport.write(b"hello")
            while not theirs.received:
                yield pause()
            self.assertEqual(theirs.received, [b"hello"])
            ours.transport.end_at_once()
            while theirs.lost is None:
                yield pause()
            self.assertTrue(theirs.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_ends_within_its_own_end(self) -> Any:
        """A connection may be ended at once by whoever is told that nothing more comes."""
        where = self.listen("127.0.0.1", HalfClosing)
        ours = yield self.dial("127.0.0.1", where)
        ours.transport.loseConnection()
        while any(one.lost is None for one in self.made) or len(self.made) < 2:
            yield pause()

    def test_refused(self) -> Any:
        """A port where nobody listens refuses."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        return self.assertFailure(self.dial("127.0.0.1", port), error.ConnectionRefusedError)

    def test_no_such_address(self) -> Any:
        """What is no address of any kind fails, and leaves nothing behind."""
        return self.assertFailure(self.dial("fe80::1%none0", 1), error.ConnectError)

    def test_slow(self) -> Any:
        """Who does not answer is given up in time."""
        return self.assertFailure(self.dial(*self.silent(), timeout_s=0.2), error.TimeoutError)

    def test_cancelled(self) -> Any:
        """An attempt can be given up."""
        attempt = self.dial(*self.silent())
        attempt.cancel()
        return self.assertFailure(attempt, defer.CancelledError)

    def test_not_wanted(self) -> Any:
        """A factory that wants no connection, or fails, is a failed attempt."""
        where = self.listen("127.0.0.1")
        unwanted = Factory()
        unwanted.buildProtocol = lambda addr: None
        broken = Factory()
        broken.buildProtocol = lambda addr: 1 / 0
        return defer.gatherResults(
            [
                self.assertFailure(self.dial("127.0.0.1", where, unwanted), error.ConnectError),
                self.assertFailure(self.dial("127.0.0.1", where, broken), ZeroDivisionError),
            ]
        )

    def test_lost_while_connecting(self) -> None:
        """When the reactor says that it came to nothing, the socket says why, or nobody does."""
        clock = Reactor()
        attempt = Connecting(clock, *self.silent(), self.build(), 5.0)
        outcome = attempt.begin()
        self.assertIn(attempt, clock.writers)
        attempt.doRead()
        attempt.doWrite()
        self.assertNoResult(outcome)
        attempt.connectionLost(Failure(main.CONNECTION_LOST))
        self.failureResultOf(outcome, error.ConnectError)
        self.assertEqual((clock.writers, clock.getDelayedCalls()), (set(), []))
        self.assertEqual((attempt.fileno(), attempt.logPrefix()), (-1, "TCP"))
        attempt.connectionLost(Failure(main.CONNECTION_LOST))
        attempt.doWrite()


def pause() -> defer.Deferred:
    """A few turns of the reactor."""
    waiting: defer.Deferred = defer.Deferred()
    reactor.callLater(0.005, waiting.callback, None)
    return waiting
