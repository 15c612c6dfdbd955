"""What a connection does for its protocol, its producer and its peer: ours as Twisted's own, with the real reactor over loopback."""

from __future__ import annotations

import errno
import hashlib
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, error, main, reactor, tcp
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from kwic.transport.direct_send import sender
from kwic.transport.lean_tcp import LeanConnection, tcp_address
from test.transport.real_tcp import connected

MUCH = 50_000_000
PIECE_BYTES = 100_000
TURN_S = 0.001
LIMIT_S = 20.0


class Recorder(Protocol):
    """Writes down what happens, and does what a test wants when it does."""

    def __init__(self) -> None:
        self.received = b""
        self.told: list[str] = []
        self.lost: Failure | None = None
        self.on_data: Callable[[bytes], Any] = lambda data: None
        self.on_told: dict[str, Callable[[], Any]] = {}

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)

    def connectionLost(self, reason: Failure = main.CONNECTION_DONE) -> None:
        assert self.lost is None, "it is told once"
        self.lost = reason
        self.tell("lost")

    def tell(self, what: str) -> None:
        self.told.append(what)
        self.on_told.get(what, lambda: None)()


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    """Lives on with one direction."""

    def readConnectionLost(self) -> None:
        self.tell("read")

    def writeConnectionLost(self) -> None:
        self.tell("written")


class Pushing:
    """Writes as long as it may."""

    def __init__(self, transport: Any, total: int) -> None:
        self.transport = transport
        self.left = total
        self.paused = self.stopped = False
        self.digest = hashlib.sha256()
        self.most_waiting = 0

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused and not self.stopped:
            self.push()
        if not self.left and not self.stopped:
            self.stopped = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def push(self) -> None:
        piece = bytes((self.left // 7 % 251,)) * min(PIECE_BYTES, self.left)
        self.left -= len(piece)
        self.digest.update(piece)
        self.transport.write(piece)
        self.most_waiting = max(self.most_waiting, waiting(self.transport))

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.stopped = True


class Pulled(Pushing):
    """Writes a piece whenever it is asked."""

    def resumeProducing(self) -> None:
        if self.left:
            self.push()
        else:
            self.stopped = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()


def waiting(transport: Any) -> int:
    """What waits on a connection of either kind."""
    if isinstance(transport, LeanConnection):
        return transport.waiting_bytes
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


class Behaviour:
    """The tests; a subclass makes the connection."""

    def connect(self, protocol: Recorder, send_buffer_bytes: int = 0) -> Any:
        """A connection of this kind with a protocol; its peer is a plain socket."""
        ours, self.peer = connected()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        if send_buffer_bytes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer_bytes)
        self.peer.setblocking(False)
        ours.setblocking(False)
        self.protocol = protocol
        transport = self.make(ours, protocol)
        self.addCleanup(self.end, transport)
        return transport

    def make(self, ours: socket.socket, protocol: Any) -> Any:
        raise NotImplementedError

    def end(self, transport: Any) -> None:
        transport.connectionLost(Failure(main.CONNECTION_LOST))

    @defer.inlineCallbacks
    def until(self, done: Callable[[], Any]) -> Any:
        """Turn the reactor until something is so."""
        until_s = reactor.seconds() + LIMIT_S
        while not done():
            assert reactor.seconds() < until_s, "it does not happen"
            yield pause()

    @defer.inlineCallbacks
    def heard(self, size: int = 1 << 30) -> Any:
        """What the peer hears, so much of it or all until the end of stream."""
        found = bytearray()
        while len(found) < size:
            try:
                piece = self.peer.recv(min(1 << 20, size - len(found)))
            except BlockingIOError:
                yield pause()
                continue
            if not piece:
                break
            found += piece
        return bytes(found)

    @defer.inlineCallbacks
    def hears_reset(self) -> Any:
        """The peer hears that the connection was reset."""
        with self.assertRaises(OSError) as raised:
            yield self.heard()
        self.assertEqual(raised.exception.errno, errno.ECONNRESET)

    def reset(self) -> None:
        """The peer is gone from one moment to the next."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()

    # -- bytes ----------------------------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def test_both_ways(self) -> Any:
        """Bytes go both ways in order; an orderly end is one."""
        transport = self.connect(Recorder())
        self.protocol.on_data = transport.write
        self.peer.sendall(b"hello")
        self.assertEqual((yield self.heard(5)), b"hello")
        transport.writeSequence([b"a", b"", b"bc"])
        transport.write(b"d")
        self.assertEqual((yield self.heard(4)), b"abcd")
        self.peer.close()
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_pause(self) -> Any:
        """While it is paused nothing is delivered, not even an end; all of it comes later."""
        transport = self.connect(Recorder())
        for _ in range(2):
            transport.pauseProducing()
        self.peer.sendall(b"x" * 1000)
        self.peer.close()
        for _ in range(10):
            yield pause()
        self.assertEqual((self.protocol.received, self.protocol.lost), (b"", None))
        for _ in range(2):
            transport.resumeProducing()
        yield self.until(lambda: self.protocol.lost)
        self.assertEqual(len(self.protocol.received), 1000)

    @defer.inlineCallbacks
    def test_a_pause_within_a_delivery(self) -> Any:
        """Who pauses while bytes are delivered gets no more of them."""
        transport = self.connect(Recorder())
        self.protocol.on_data = lambda data: transport.pauseProducing()
        for number in range(1, 4):
            self.peer.sendall(b"x" * 10)
            transport.resumeProducing()
            yield self.until(lambda number=number: len(self.protocol.received) == 10 * number)

    @defer.inlineCallbacks
    def test_much_for_a_slow_reader(self) -> Any:
        """What a slow reader is sent waits within a bound, and arrives unchanged before the end."""
        transport = self.connect(Recorder(), send_buffer_bytes=1_000_000)
        transport.bufferSize = 1_000_000
        source = Pushing(transport, MUCH)
        transport.registerProducer(source, True)
        source.resumeProducing()
        for _ in range(20):
            yield pause()
        self.assertTrue(source.paused)
        found = yield self.heard()
        self.assertEqual(len(found), MUCH)
        self.assertEqual(hashlib.sha256(found).digest(), source.digest.digest())
        self.assertLess(source.most_waiting, 2_000_000)
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_all_at_once_for_a_slow_reader(self) -> Any:
        """Without a producer everything waits, and arrives unchanged in reasonable time: large pieces and a flood of small ones."""
        transport = self.connect(Recorder(), send_buffer_bytes=1_000_000)
        large = bytes(range(256)) * (MUCH // 512)
        small = [bytes((number % 251,)) * 50 for number in range(100_000)]
        transport.write(large)
        for piece in small:
            transport.write(piece)
        transport.write(large)
        transport.loseConnection()
        found = yield self.heard()
        self.assertEqual(
            hashlib.sha256(found).digest(), hashlib.sha256(large + b"".join(small) + large).digest()
        )

    @defer.inlineCallbacks
    def test_a_producer_that_is_asked(self) -> Any:
        """One that wants to be asked is asked until it has no more, then the connection may close."""
        transport = self.connect(Recorder())
        source = Pulled(transport, 3_000_000)
        transport.registerProducer(source, False)
        found = yield self.heard()
        self.assertEqual(hashlib.sha256(found).digest(), source.digest.digest())
        yield self.until(lambda: self.protocol.lost)

    # -- ends -----------------------------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def test_the_peer_finishes(self) -> Any:
        """When the peer has finished, ours may go on; it is told once."""
        transport = self.connect(HalfCloser())
        self.peer.sendall(b"question")
        self.peer.shutdown(socket.SHUT_WR)
        yield self.until(lambda: self.protocol.told)
        self.assertEqual((self.protocol.received, self.protocol.told), (b"question", ["read"]))
        transport.write(b"answer")
        self.assertEqual((yield self.heard(6)), b"answer")
        transport.loseConnection()
        self.assertEqual((yield self.heard()), b"")
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))
        self.assertEqual(self.protocol.told, ["read", "lost"])

    @defer.inlineCallbacks
    def test_we_finish(self) -> Any:
        """An end of stream follows what was written; bytes come in after it, until the peer finishes too."""
        transport = self.connect(HalfCloser(), send_buffer_bytes=100_000)
        transport.write(bytes(3_000_000))
        transport.loseWriteConnection()
        self.assertEqual(len((yield self.heard())), 3_000_000)
        yield self.until(lambda: self.protocol.told)
        self.assertEqual(self.protocol.told, ["written"])
        transport.write(b"too late")
        self.peer.sendall(b"answer")
        yield self.until(lambda: self.protocol.received == b"answer")
        self.protocol.on_told["read"] = transport.loseConnection
        self.peer.close()
        yield self.until(lambda: self.protocol.lost)
        self.assertEqual(self.protocol.told, ["written", "read", "lost"])
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_we_finish_without_a_word(self) -> Any:
        """An end of stream is sent when nothing was written, too; one is enough."""
        transport = self.connect(HalfCloser())
        for _ in range(2):
            transport.loseWriteConnection()
        self.assertEqual((yield self.heard()), b"")
        yield self.until(lambda: self.protocol.told)
        transport.loseWriteConnection()
        self.assertEqual(self.protocol.told[0], "written")
        self.assertIsNone(self.protocol.lost)

    @defer.inlineCallbacks
    def test_who_does_not_half_close(self) -> Any:
        """A protocol that knows no half-close may send one; for it, the peer's is the end."""
        transport = self.connect(Recorder())
        transport.loseWriteConnection()
        self.assertEqual((yield self.heard()), b"")
        self.peer.close()
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_closing_answers_an_end(self) -> Any:
        """A connection may be closed, finished or aborted by whoever is told that nothing more comes."""
        for name in ("loseConnection", "abortConnection", "loseWriteConnection"):
            transport = self.connect(HalfCloser())
            self.protocol.on_told["read"] = getattr(transport, name)
            self.protocol.on_told["written"] = transport.loseConnection
            self.peer.shutdown(socket.SHUT_WR)
            yield self.until(lambda: self.protocol.lost)

    @defer.inlineCallbacks
    def test_closing_with_something_waiting(self) -> Any:
        """What was written before the close is sent before the end; within a delivery, too."""
        transport = self.connect(Recorder(), send_buffer_bytes=100_000)

        def answer(data: bytes) -> None:
            transport.write(bytes(3_000_000))
            transport.loseConnection()

        self.protocol.on_data = answer
        self.peer.sendall(b"question")
        self.assertEqual(len((yield self.heard())), 3_000_000)
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_nothing_is_read_while_closing(self) -> Any:
        """Who closes hears nothing more, also while something is still to be sent."""
        transport = self.connect(Recorder(), send_buffer_bytes=100_000)
        transport.write(bytes(3_000_000))
        transport.loseConnection()
        transport.resumeProducing()
        self.peer.sendall(b"late")
        try:
            yield self.heard()
        except ConnectionResetError:
            # The kernel says in this way that something was not read.
            pass
        yield self.until(lambda: self.protocol.lost)
        self.assertEqual(self.protocol.received, b"")

    # -- abrupt ends ----------------------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def test_abort(self) -> Any:
        """An abort drops what waits and is a reset for the peer; the protocol is told afterwards."""
        transport = self.connect(HalfCloser(), send_buffer_bytes=100_000)
        transport.write(bytes(3_000_000))
        for _ in range(2):
            transport.abortConnection()
        self.assertIsNone(self.protocol.lost)
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionAborted))
        self.assertEqual(self.protocol.told, ["lost"])
        yield self.hears_reset()

    @defer.inlineCallbacks
    def test_abort_within_a_delivery(self) -> Any:
        """It may be aborted while bytes are delivered, with something to be sent: nothing else happens."""
        transport = self.connect(Recorder())

        def abort(data: bytes) -> None:
            transport.write(b"never sent")
            transport.abortConnection()

        self.protocol.on_data = abort
        self.peer.sendall(b"x")
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionAborted))
        yield self.hears_reset()

    @defer.inlineCallbacks
    def test_a_peer_that_vanishes(self) -> Any:
        """A reset by the peer is no orderly end, for who reads and for who only writes."""
        for reads in (True, False):
            transport = self.connect(HalfCloser())
            source = Pushing(transport, MUCH)
            transport.registerProducer(source, True)
            if not reads:
                transport.pauseProducing()
            self.reset()
            if not reads:
                source.resumeProducing()
            yield self.until(lambda: self.protocol.lost)
            self.assertTrue(self.protocol.lost.check(error.ConnectionLost))
            self.assertTrue(source.stopped)

    @defer.inlineCallbacks
    def test_a_peer_that_vanishes_from_who_sends_at_once(self) -> Any:
        """A reset of which a send past the reactor hears first is no end of stream for whoever reads."""
        transport = self.connect(HalfCloser())
        self.reset()
        sender(transport)(b"x")
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(self.protocol.lost.check(error.ConnectionLost))
        self.assertEqual(self.protocol.told, ["lost"])

    @defer.inlineCallbacks
    def test_after_the_end(self) -> Any:
        """Nothing that is asked of a connection that is over does anything."""
        transport = self.connect(Recorder())
        peer = transport.getPeer()
        source = Pushing(transport, MUCH)
        transport.registerProducer(source, True)
        self.peer.close()
        yield self.until(lambda: self.protocol.lost)
        self.assertTrue(source.stopped)
        transport.write(b"x")
        transport.writeSequence([b"x"])
        for name in ("loseConnection", "abortConnection", "unregisterProducer", "resumeProducing"):
            getattr(transport, name)()
        late = Pushing(transport, 1)
        transport.registerProducer(late, True)
        self.assertTrue(late.stopped)
        for _ in range(5):
            yield pause()
        self.assertEqual((transport.getPeer(), self.protocol.told), (peer, ["lost"]))

    # -- faults ---------------------------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def test_a_fault_of_the_protocol(self) -> Any:
        """Whatever a protocol fails in, it is logged and the connection is closed with it."""
        for where in ("data", "read", "written"):
            transport = self.connect(HalfCloser())
            self.protocol.on_data = lambda data: 1 / 0
            self.protocol.on_told = {"read": lambda: 1 / 0, "written": lambda: 1 / 0}
            if where == "data":
                self.peer.sendall(b"x")
            elif where == "read":
                self.peer.shutdown(socket.SHUT_WR)
            else:
                transport.loseWriteConnection()
            yield self.until(lambda: self.protocol.lost)
            self.assertTrue(self.protocol.lost.check(ZeroDivisionError), where)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1, where)
            self.assertEqual((yield self.heard()), b"")


class TwistedTests(Behaviour, TestCase):
    """Twisted's own."""

    def make(self, ours: socket.socket, protocol: Any) -> Any:
        made = tcp.Server(ours, protocol, self.peer.getsockname(), None, 0, reactor)
        protocol.makeConnection(made)
        return made


class LeanTests(Behaviour, TestCase):
    """Ours."""

    def make(self, ours: socket.socket, protocol: Any) -> Any:
        made = LeanConnection(ours, protocol, tcp_address(self.peer.getsockname()), reactor)
        made.begin()
        return made

    @defer.inlineCallbacks
    def test_told_of_an_end_once(self) -> Any:
        """Who goes on reading behind an end of stream is not told of it again; Twisted's would be."""
        transport = self.connect(HalfCloser())
        self.peer.shutdown(socket.SHUT_WR)
        yield self.until(lambda: self.protocol.told)
        transport.resumeProducing()
        for _ in range(5):
            yield pause()
        self.assertEqual(self.protocol.told, ["read"])

    @defer.inlineCallbacks
    def test_finishing_behind_a_producer_that_is_asked(self) -> Any:
        """An end of stream follows what such a one still gives; Twisted's would wait for another write."""
        transport = self.connect(HalfCloser())
        source = Pulled(transport, 3_000_000)
        transport.registerProducer(source, False)
        transport.loseWriteConnection()
        self.patch(transport.__class__, "loseConnection", lambda self: None)
        found = yield self.heard()
        self.assertEqual(len(found), 3_000_000)
        self.assertEqual(self.protocol.told, ["written"])


def pause() -> defer.Deferred:
    """A few turns of the reactor."""
    waiting: defer.Deferred = defer.Deferred()
    reactor.callLater(TURN_S, waiting.callback, None)
    return waiting
