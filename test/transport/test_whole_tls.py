"""TLS in whole buffers: the same promises with pyOpenSSL's handles, with its public functions, and as Twisted keeps them."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.logger import globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.transport import whole_tls
from kwic.transport.openssl_handles import BUFFER_BYTES
from kwic.transport.whole_tls import RECORD_BYTES, WholeFactory, WholeTls, factory_class, fits
from test.transport.memory_network import MemoryNetwork, Recorder
from test.transport.real_tcp import Joined
from test.transport.test_direct_send import Producer
from test.transport.tls_kinds import (
    Creator,
    Kind,
    creators,
    join,
    stock,
    tls_end,
    with_handles,
    with_public_functions,
)

SIZES = (
    1,
    RECORD_BYTES - 1,
    RECORD_BYTES,
    RECORD_BYTES + 1,
    262_144,
    BUFFER_BYTES - 1,
    BUFFER_BYTES,
    BUFFER_BYTES + 1,
    1_000_000,
)


class VersionTests(SynchronousTestCase):
    """Whose TLS transport is used."""

    def test_this_version(self) -> None:
        """Ours fits this version of Twisted: fails loudly when it does not any more, so that nobody is slow unknowingly."""
        self.assertTrue(fits(TLSMemoryBIOProtocol))
        self.assertIs(whole_tls.FACTORY, WholeFactory)

    def test_another_version(self) -> None:
        """Where a method that is replaced is gone or takes something else, Twisted's own transport is used, and that is said."""

        class Gone(TLSMemoryBIOProtocol):
            _flushSendBIO = None

        class Other(TLSMemoryBIOProtocol):
            def _write(self, octets: Any) -> None:
                pass

        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for kind in (Gone, Other):
            self.assertFalse(fits(kind))
            self.assertIs(factory_class(kind), TLSMemoryBIOFactory)
        self.assertEqual(len(events), 2)
        self.assertIn("slower", events[0]["log_format"])

    def test_what_is_made(self) -> None:
        """A factory made in the usual way makes our transport, with the handles that there are."""
        factory = whole_tls.tls_factory(creators()[0], client=True, wrapped=Recorder, clock=MemoryNetwork())
        self.assertIsInstance(factory, WholeFactory)
        self.assertIs(factory.handles, whole_tls.HANDLES)
        self.assertIs(factory.protocol, WholeTls)


@implementer(IHandshakeListener)
class Talker(Recorder):
    """Knows when its handshake is done."""

    shaken = False

    def handshakeCompleted(self) -> None:
        self.shaken = True


class PairCase(SynchronousTestCase):
    """One kind of TLS opposite another."""

    client: Kind = staticmethod(stock)
    server: Kind = staticmethod(stock)
    read_bytes = 65_536

    def setUp(self) -> None:
        self.network = MemoryNetwork(read_bytes=self.read_bytes)
        self.near, self.far = Talker(), Talker()
        self.wires = join(self.network, (self.client, self.near), (self.server, self.far))

    def settle(self) -> None:
        self.network.settle()
        self.network.advance(0)
        self.network.settle()

    def pattern(self, size: int) -> bytes:
        return (bytes(range(251)) * (size // 251 + 1))[:size]


class StockTests(PairCase):
    """What everybody keeps: Twisted's own transport too."""

    def test_bytes(self) -> None:
        """Any number of bytes arrives unchanged, both ways."""
        for size in SIZES:
            for one, other in ((self.near, self.far), (self.far, self.near)):
                data = self.pattern(size)
                one.transport.write(data)
                self.settle()
                self.assertEqual(other.data, data)
                other.received.clear()

    def test_many_writes(self) -> None:
        """Many small pieces arrive in order, single ones and sequences."""
        for number in range(500):
            self.near.transport.write(bytes((number % 251,)))
            self.near.transport.writeSequence([b"<", self.pattern(number), b">"])
        self.settle()
        expected = b"".join(
            bytes((number % 251,)) + b"<" + self.pattern(number) + b">" for number in range(500)
        )
        self.assertEqual(self.far.data, expected)

    def test_writes_before_the_handshake(self) -> None:
        """What is written while the handshake is under way follows it, in order; nothing of it is on the wire in clear."""
        near, far = Talker(), Talker()
        wire, _ = join(self.network, (self.client, near), (self.server, far))
        near.transport.write(b"first ")
        near.transport.write(self.pattern(100_000))
        far.transport.write(b"welcome")
        self.assertNotIn(b"first", bytes(wire.written))
        self.settle()
        self.assertTrue(near.shaken and far.shaken)
        self.assertEqual(far.data, b"first " + self.pattern(100_000))
        self.assertEqual(near.data, b"welcome")

    def test_both_ways_at_once(self) -> None:
        """Both directions carry bytes at a time."""
        self.near._on_data = lambda protocol, data: protocol.transport.write(bytes(data))
        self.settle()
        self.far.transport.write(self.pattern(700_000))
        self.settle()
        self.assertEqual(self.far.data, self.pattern(700_000))

    def test_an_orderly_end(self) -> None:
        """What was written before the end arrives, then both ends know that it was one."""
        self.settle()
        self.near.transport.write(self.pattern(300_000))
        self.near.transport.loseConnection()
        self.near.transport.write(b"late")
        self.settle()
        self.assertEqual(self.far.data, self.pattern(300_000))
        for end in (self.near, self.far):
            self.assertTrue(end.lost is not None and end.lost.check(ConnectionDone), end.lost)
        self.assertEqual(self.network.pairs, [])

    def test_a_cut(self) -> None:
        """A TCP connection that ends without a goodbye of TLS may have lost bytes: never an orderly end."""
        self.settle()
        self.near.transport.write(b"last")
        self.network.settle()
        self.wires[0].loseConnection()
        self.settle()
        self.assertEqual(self.far.data, b"last")
        self.assertTrue(self.far.lost is not None and self.far.lost.check(ConnectionLost), self.far.lost)

    def test_a_reset(self) -> None:
        """A reset is no orderly end, at either end."""
        self.settle()
        self.near.transport.abortConnection()
        self.settle()
        for end in (self.near, self.far):
            self.assertTrue(end.lost is not None and not end.lost.check(ConnectionDone), end.lost)
        self.assertEqual(self.network.pairs, [])

    def test_an_abort_within_a_delivery(self) -> None:
        """Nothing more is delivered to a protocol that has aborted."""
        self.settle()
        self.far._on_data = lambda protocol, data: protocol.transport.abortConnection()
        for _ in range(5):
            self.near.transport.write(self.pattern(BUFFER_BYTES))
        self.settle()
        self.assertEqual(len(self.far.received), 1)
        self.assertIsNotNone(self.far.lost)
        self.assertEqual(self.network.pairs, [])

    def test_closing_within_a_delivery(self) -> None:
        """A protocol may answer and close while it is given data."""
        self.settle()

        def answer(protocol: Any, data: bytes) -> None:
            protocol.transport.write(b"enough")
            protocol.transport.loseConnection()

        self.far._on_data = answer
        self.near.transport.write(b"x")
        self.settle()
        self.assertEqual(self.near.data, b"enough")
        self.assertTrue(self.near.lost is not None and self.near.lost.check(ConnectionDone))
        self.assertEqual(self.network.pairs, [])

    def test_garbage_after_the_handshake(self) -> None:
        """A spoilt record ends the connection with an error that says so, and what came before it is delivered."""
        self.settle()
        self.near.transport.write(b"good")
        self.network.advance(0)
        self.wires[0].write(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.settle()
        self.assertEqual(self.far.data, b"good")
        self.assertTrue(self.far.lost is not None and self.far.lost.check(SSL.Error), self.far.lost)
        self.assertEqual(self.network.pairs, [])

    def test_garbage_instead_of_a_handshake(self) -> None:
        """Somebody who speaks no TLS is told so and dropped."""
        for is_client, kind in ((True, self.client), (False, self.server)):
            ours, raw = Talker(), Recorder()
            made = tls_end(kind, ours, is_client=is_client, clock=self.network)
            self.network.join(raw, made)
            raw.transport.write(b"GET / HTTP/1.1\r\n\r\n" * 10)
            self.settle()
            self.assertTrue(ours.lost is not None and ours.lost.check(SSL.Error), ours.lost)
            self.assertEqual(ours.received, [])

    def test_back_pressure(self) -> None:
        """A producer is paused while the other end does not read, and resumed when it has."""
        self.settle()
        producer = Producer()
        self.near.transport.registerProducer(producer, True)
        self.wires[1].reading = False
        self.near.transport.write(self.pattern(200_000))
        self.settle()
        self.assertEqual(producer.told[-1:], ["pause"])
        self.wires[1].reading = True
        self.settle()
        self.assertEqual(producer.told[-1:], ["resume"])
        self.assertEqual(self.far.data, self.pattern(200_000))
        self.near.transport.unregisterProducer()

    def test_a_pause(self) -> None:
        """A paused end reads nothing more from TCP, and goes on where it was."""
        self.settle()
        self.far.transport.pauseProducing()
        self.near.transport.write(self.pattern(200_000))
        self.settle()
        self.assertEqual(self.far.data, b"")
        self.far.transport.resumeProducing()
        self.settle()
        self.assertEqual(self.far.data, self.pattern(200_000))

    def test_closing_with_a_producer(self) -> None:
        """A closed transport still takes what its producer has, up to the end of it."""
        self.settle()
        self.near.transport.registerProducer(Producer(), True)
        self.near.transport.loseConnection()
        self.near.transport.write(b"rest")
        self.settle()
        self.assertIsNone(self.near.lost)
        self.near.transport.unregisterProducer()
        self.settle()
        self.assertEqual(self.far.data, b"rest")
        self.assertTrue(self.near.lost is not None and self.near.lost.check(ConnectionDone))

    def test_after_the_end(self) -> None:
        """Writing to a connection that is over does nothing."""
        self.settle()
        self.wires[0].abortConnection()
        self.settle()
        self.near.transport.write(b"x")
        self.near.transport.write(b"")
        self.near.transport.loseConnection()
        self.settle()
        self.assertEqual(self.far.data, b"")


class HandlesClientTests(StockTests):
    """Our client with handles, opposite Twisted's transport."""

    client = staticmethod(with_handles)


class HandlesServerTests(StockTests):
    """Our server with handles, opposite Twisted's transport."""

    server = staticmethod(with_handles)


class PublicClientTests(StockTests):
    """Our client without handles, opposite Twisted's transport."""

    client = staticmethod(with_public_functions)


class PublicServerTests(StockTests):
    """Our server without handles, opposite Twisted's transport."""

    server = staticmethod(with_public_functions)


class WholeTests(StockTests):
    """Ours opposite ours."""

    client = staticmethod(with_handles)
    server = staticmethod(with_public_functions)

    def test_all_records_of_a_read_at_once(self) -> None:
        """What came in one read is delivered in one piece, not record by record."""
        self.network.read_bytes = 1 << 20
        self.settle()
        for one, other in ((self.near, self.far), (self.far, self.near)):
            one.transport.write(self.pattern(200_000))
            self.settle()
            self.assertEqual([len(piece) for piece in other.received], [200_000])

    def test_views(self) -> None:
        """A protocol that takes views is given them with handles; every other one gets bytes."""
        self.settle()
        kinds: list[type] = []
        self.near._on_data = lambda protocol, data: kinds.append(type(data))
        for takes in (False, True):
            self.near.takes_views = takes
            self.far.transport.write(b"x")
            self.settle()
        self.assertEqual(kinds, [bytes, memoryview])

    def test_a_context_that_writes_in_parts(self) -> None:
        """A context that takes a record at a time gets the rest too."""
        context = SSL.Context(SSL.TLS_METHOD)
        near, far = Talker(), Talker()
        client = tls_end(with_handles, near, is_client=True, clock=self.network, creator=Creator(context))
        server = tls_end(self.server, far, is_client=False, clock=self.network)
        self.network.join(client, server)
        self.settle()
        near.transport.write(memoryview(self.pattern(200_000)))
        self.settle()
        self.assertEqual(far.data, self.pattern(200_000))

    def test_tls_that_fails_within(self) -> None:
        """Where OpenSSL refuses to write any more, the connection ends, in the middle of a long read too; nobody is given the rest."""

        def fail(protocol: Any, data: bytes) -> None:
            protocol.transport.getHandle().shutdown()
            protocol.transport.write(b"refused")

        for to_client, pieces in ((True, [BUFFER_BYTES]), (False, [2 * BUFFER_BYTES])):
            self.setUp()
            self.network.read_bytes = 1 << 21
            self.settle()
            talker, listener = (self.far, self.near) if to_client else (self.near, self.far)
            listener._on_data = fail
            talker.transport.write(self.pattern(2 * BUFFER_BYTES))
            self.settle()
            self.assertEqual([len(piece) for piece in listener.received], pieces)
            self.assertIsNotNone(listener.lost)

    def test_more_than_the_buffer_in_one_read(self) -> None:
        """A read that holds more than the buffer is delivered whole."""
        self.network.read_bytes = 1 << 21
        self.settle()
        self.far.transport.write(self.pattern(3 * BUFFER_BYTES))
        self.settle()
        self.assertEqual(self.near.data, self.pattern(3 * BUFFER_BYTES))


class SocketTests(SynchronousTestCase):
    """Over real sockets, where what is read and sent are views of the buffers."""

    def test_much_both_ways(self) -> None:
        """Bytes arrive unchanged while both ends send more than the sockets hold; they are read in large pieces."""
        one, other = Talker(), Talker()
        joined = Joined(
            lambda clock: tls_end(with_handles, one, is_client=True, clock=clock),
            lambda clock: tls_end(with_handles, other, is_client=False, clock=clock),
        )
        self.addCleanup(joined.close)
        data = bytes(range(251)) * 16_000
        for end in (one, other):
            end.transport.write(data)
        joined.pump()
        self.assertTrue(one.data == other.data == data)
        self.assertGreater(max(map(len, one.received)), 100_000)


class WholeByteByByteTests(PairCase):
    """TCP delivers a byte at a time."""

    client = staticmethod(with_handles)
    server = staticmethod(with_public_functions)
    read_bytes = 1

    def test_bytes(self) -> None:
        """The handshake is done and bytes arrive both ways."""
        self.near.transport.write(self.pattern(20_000))
        self.far.transport.write(b"hello")
        self.settle()
        self.assertEqual((self.far.data, self.near.data), (self.pattern(20_000), b"hello"))
        self.near.transport.loseConnection()
        self.settle()
        self.assertTrue(self.far.lost is not None and self.far.lost.check(ConnectionDone))
