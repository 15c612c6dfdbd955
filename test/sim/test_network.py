"""Tests of the network in memory: it must do to a program what a real one does."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint
from twisted.internet.error import (
    AlreadyCalled,
    AlreadyCancelled,
    CannotListenError,
    ConnectBindError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHostnameResolver,
    IListeningPort,
    IPushProducer,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from test.sim.clock import SimClock
from test.sim.network import SYN_AGAIN_S, SimNetwork
from test.sim.tcp import WINDOW_BYTES


class Recorder(Protocol):
    """Remembers what happens to it."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Any = None
        self.transport: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        assert self.lost is None
        self.lost = reason.type


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """Goes on when the other end has finished."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def readConnectionLost(self) -> None:
        self.ends.append("read")

    def writeConnectionLost(self) -> None:
        self.ends.append("write")


class Listening(Factory):
    """Keeps the protocols of the connections that came."""

    noisy = False

    def __init__(self, kind: Any = Recorder) -> None:
        self.kind = kind
        self.made: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self.kind()
        self.made.append(protocol)
        return protocol


class Dialled(ClientFactory):
    """Keeps the one protocol of a connection that was dialled."""

    noisy = False

    def __init__(self, kind: Any = Recorder) -> None:
        self.protocol = kind()  # type: ignore[assignment]
        self.failed: Any = None
        self.lost: Any = None

    def buildProtocol(self, addr: Any) -> Any:
        return self.protocol

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.failed = reason.type

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.lost = reason.type


class NetworkCase(SynchronousTestCase):
    """Two hosts."""

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.a = self.network.host("a", "10.0.0.1")
        self.b = self.network.host("b", "10.0.0.2", "fd00::2")

    def connect(self, kind: Any = Recorder) -> tuple[Any, Any]:
        """A connection from a to b: both protocols."""
        listening, dialled = Listening(kind), Dialled(kind)
        self.port = self.b.listenTCP(80, listening)
        self.connector = self.a.connectTCP("10.0.0.2", 80, dialled)
        self.dialled = dialled
        self.network.run(0.1)
        return dialled.protocol, listening.made[0]


class ConnectionTests(NetworkCase):
    """TCP connections."""

    def test_interfaces(self) -> None:
        """Everything provides the interfaces that it claims."""
        near, _ = self.connect()
        for interface in (IReactorTCP, IReactorTime, IReactorPluggableNameResolver):
            verifyObject(interface, self.a)
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, near.transport)
        verifyObject(IListeningPort, self.port)
        verifyObject(IConnector, self.connector)
        verifyObject(IDelayedCall, self.a.callLater(1, int))
        verifyObject(IHostnameResolver, self.a.nameResolver)
        verifyObject(IListeningPort, self.a.listenMulticast(1, DatagramProtocol()))

    def test_bytes(self) -> None:
        """Bytes arrive in order, after the time they take."""
        self.network.latency("a", "b", 0.1)
        near, far = self.connect_slowly()
        near.transport.write(b"one ")
        near.transport.writeSequence([b"two ", b"three"])
        self.network.run(0.09)
        self.assertEqual(far.heard, b"")
        self.network.run(0.02)
        self.assertEqual(far.heard, b"one two three")
        self.assertEqual(
            (near.transport.getPeer().host, far.transport.getPeer().host), ("10.0.0.2", "10.0.0.1")
        )
        self.assertEqual(near.transport.getHost(), far.transport.getPeer())

    def connect_slowly(self) -> tuple[Any, Any]:
        listening, dialled = Listening(), Dialled()
        self.b.listenTCP(80, listening)
        self.a.connectTCP("10.0.0.2", 80, dialled)
        self.network.run(0.19)
        self.assertIsNone(dialled.protocol.transport)
        self.network.run(0.02)
        return dialled.protocol, listening.made[0]

    def test_order_when_the_way_gets_shorter(self) -> None:
        """Bytes do not overtake each other."""
        near, far = self.connect()
        self.network.latency("a", "b", 0.5)
        near.transport.write(b"first ")
        self.network.latency("a", "b", 0.1)
        near.transport.write(b"second")
        self.network.run(1)
        self.assertEqual(far.heard, b"first second")

    def test_close(self) -> None:
        """A close sends what was written, and both are told."""
        near, far = self.connect()
        near.transport.write(b"x" * 1_000_000)
        near.transport.loseConnection()
        near.transport.write(b"too late")
        self.network.run(1)
        self.assertEqual(len(far.heard), 1_000_000)
        self.assertEqual((near.lost, far.lost, self.dialled.lost), (ConnectionDone,) * 3)
        self.assertEqual((self.a.transports, self.b.transports), (set(), set()))

    def test_abort(self) -> None:
        """An abort is a reset for the other end."""
        near, far = self.connect()
        near.transport.write(b"x" * 10_000_000)
        near.transport.abortConnection()
        near.transport.abortConnection()
        self.network.run(1)
        self.assertEqual((near.lost, far.lost), (ConnectionAborted, ConnectionLost))

    def test_half_close(self) -> None:
        """One direction may end while the other goes on."""
        near, far = self.connect(HalfRecorder)
        near.transport.write(b"question")
        near.transport.loseWriteConnection()
        self.network.run(0.1)
        self.assertEqual((far.heard, far.ends, near.ends), (b"question", ["read"], ["write"]))
        far.transport.write(b"answer")
        far.transport.loseWriteConnection()
        self.network.run(0.1)
        self.assertEqual((near.heard, near.ends), (b"answer", ["write", "read"]))
        self.assertEqual((near.lost, far.lost), (ConnectionDone, ConnectionDone))

    def test_half_close_of_one_who_cannot(self) -> None:
        """Who does not know of half-close is closed by the end of the other direction."""
        near, far = self.connect()
        near.transport.loseWriteConnection()
        self.network.run(0.1)
        self.assertEqual((near.lost, far.lost), (ConnectionDone, ConnectionDone))

    def test_unread_bytes_reset(self) -> None:
        """A close with bytes unread is a reset, as the kernel has it."""
        near, far = self.connect()
        far.transport.pauseProducing()
        near.transport.write(b"unread")
        self.network.run(0.1)
        far.transport.loseConnection()
        self.network.run(0.1)
        self.assertEqual((near.lost, far.lost), (ConnectionLost, ConnectionDone))

    def test_back_pressure(self) -> None:
        """A reader that pauses stops the writer's producer after a bounded number of bytes."""
        near, far = self.connect()

        class Producer:
            paused = False
            written = 0

            def pauseProducing(self) -> None:
                self.paused = True

            def resumeProducing(self) -> None:
                self.paused = False
                self.go_on()

            def stopProducing(self) -> None:
                self.paused = True

            def go_on(self) -> None:
                while not self.paused and self.written < 5_000_000:
                    self.written += 10_000
                    near.transport.write(b"x" * 10_000)

        producer = Producer()
        near.transport.registerProducer(producer, True)
        far.transport.pauseProducing()
        producer.go_on()
        self.network.run(10)
        self.assertLess(producer.written, 2 * WINDOW_BYTES)
        self.assertEqual(far.heard, b"")
        far.transport.resumeProducing()
        self.network.run(10)
        self.assertEqual(len(far.heard), 5_000_000)
        near.transport.loseConnection()
        self.network.run(0.1)
        self.assertEqual(far.lost, ConnectionDone)

    def test_protocol_that_fails(self) -> None:
        """A protocol that raises is logged and loses its connection, as Twisted has it."""
        near, far = self.connect()
        far.dataReceived = lambda data: 1 / 0
        near.transport.write(b"x")
        self.network.run(0.1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((near.lost, far.lost), (ConnectionLost, ZeroDivisionError))


class DialTests(NetworkCase):
    """Connects that fail."""

    def dial(self, host: str = "10.0.0.2", port: int = 80, **how: Any) -> Dialled:
        dialled = Dialled()
        self.connector = self.a.connectTCP(host, port, dialled, **how)
        return dialled

    def test_refused(self) -> None:
        """Nobody listens."""
        dialled = self.dial()
        self.network.run(0.1)
        self.assertIs(dialled.failed, ConnectionRefusedError)

    def test_nobody_there(self) -> None:
        """There is no such address."""
        dialled = self.dial("10.0.0.77", timeout=7)
        self.network.run(6.9)
        self.assertIsNone(dialled.failed)
        self.network.run(0.2)
        self.assertIs(dialled.failed, TimeoutError)
        self.network.run(10)
        self.assertEqual(self.a.getDelayedCalls(), [])

    def test_wrong_family(self) -> None:
        """A host without IPv6 cannot dial it."""
        dialled = self.dial("fd00::2")
        self.network.run(0.1)
        self.assertIs(dialled.failed, ConnectBindError)

    def test_given_up(self) -> None:
        """A connect that is given up comes to nothing."""
        listening = Listening()
        self.b.listenTCP(80, listening)
        dialled = self.dial()
        self.connector.stopConnecting()
        self.network.run(5)
        self.assertIsNotNone(dialled.failed)
        self.assertIsNone(dialled.protocol.transport)

    def test_cut_while_dialling(self) -> None:
        """A connect through a cut is made when that is healed in time."""
        self.b.listenTCP(80, Listening())
        self.network.cut("a", "b")
        dialled = self.dial()
        self.network.run(3)
        self.assertIsNone(dialled.protocol.transport)
        self.network.heal()
        self.network.run(SYN_AGAIN_S + 0.1)
        self.assertIsNotNone(dialled.protocol.transport)

    def test_listener_that_closes(self) -> None:
        """A port that is closed takes no one, and may be opened again."""
        listening = Listening()
        port = self.b.listenTCP(80, listening, interface="10.0.0.2")
        self.assertRaises(CannotListenError, self.b.listenTCP, 80, listening, interface="10.0.0.2")
        self.assertRaises(CannotListenError, self.b.listenTCP, 80, listening, interface="10.0.0.9")
        self.successResultOf(port.stopListening())
        dialled = self.dial()
        self.network.run(0.1)
        self.assertIs(dialled.failed, ConnectionRefusedError)
        self.b.listenTCP(80, listening, interface="10.0.0.2")
        dialled = self.dial()
        self.network.run(0.1)
        self.assertIsNotNone(dialled.protocol.transport)

    def test_names(self) -> None:
        """Endpoints resolve names, and an attempt may be cancelled."""
        self.network.names["b.example.com"] = ("fd00::2", "10.0.0.2")
        listening = Listening()
        self.b.listenTCP(80, listening)
        waiting = HostnameEndpoint(self.a, "b.example.com", 80).connect(Factory.forProtocol(Recorder))
        self.network.run(2)
        self.successResultOf(waiting)
        self.network.run(30)
        waiting = HostnameEndpoint(self.a, "nowhere.example.com", 80).connect(Factory.forProtocol(Recorder))
        self.network.run(1)
        self.failureResultOf(waiting, DNSLookupError)
        self.network.resolve_s = None
        waiting = TCP4ClientEndpoint(self.a, "10.0.0.77", 80).connect(Factory.forProtocol(Recorder))
        waiting.cancel()
        self.failureResultOf(waiting, ConnectingCancelledError)


class FaultTests(NetworkCase):
    """What happens to hosts and between them."""

    def test_crash(self) -> None:
        """A process that is killed resets its connections, runs no timer and listens no more; its peer hears of it at once."""
        near, far = self.connect()
        ran: list[int] = []
        self.b.callLater(1, ran.append, 1)
        self.network.crash("b")
        self.network.run(2)
        self.assertEqual((near.lost, far.lost, ran), (ConnectionLost, None, []))
        dialled = Dialled()
        self.a.connectTCP("10.0.0.2", 80, dialled)
        self.network.run(0.1)
        self.assertIs(dialled.failed, ConnectionRefusedError)

    def test_power_is_back(self) -> None:
        """Who has sent something to a machine without power is told when it is back, who has not may wait for ever."""
        near, _ = self.connect()
        silent = Dialled()
        self.a.connectTCP("10.0.0.2", 80, silent)
        self.network.run(0.1)
        self.network.power_off("b")
        near.transport.write(b"hello?")
        self.network.run(5)
        self.network.host("b", "10.0.0.2")
        self.network.run(30)
        self.assertEqual((near.lost, silent.protocol.lost), (ConnectionLost, None))

    def test_power_off(self) -> None:
        """A machine that loses power says nothing; when it is back it resets what it does not know."""
        near, far = self.connect()
        self.network.power_off("b")
        near.transport.write(b"hello?")
        self.network.run(30)
        self.assertEqual((near.lost, far.lost), (None, None))
        self.network.host("b", "10.0.0.2")
        near.transport.write(b"hello?")
        self.network.run(0.5)
        self.assertIs(near.lost, ConnectionLost)

    def test_freeze(self) -> None:
        """A stopped process does nothing and its kernel everything; it goes on where it was, in order."""
        near, far = self.connect()
        ran: list[int] = []
        for delay in (3, 1, 2):
            self.b.callLater(delay, ran.append, delay)
        gone = self.b.callLater(2, ran.append, 99)
        self.b.callLater(1, gone.cancel)
        self.network.freeze("b")
        near.transport.write(b"hello")
        other = Dialled()
        self.a.connectTCP("10.0.0.2", 80, other)
        self.network.run(10)
        self.assertEqual((far.heard, ran), (b"", []))
        self.assertIsNotNone(other.protocol.transport)
        self.network.thaw("b")
        self.network.run(0.1)
        self.assertEqual((far.heard, ran), (b"hello", [1, 2, 3]))

    def test_cut(self) -> None:
        """What is sent through a cut arrives when it is healed, in order, and nothing is lost."""
        near, far = self.connect()
        self.network.cut("a", "b", both=False)
        near.transport.write(b"one ")
        far.transport.write(b"hello")
        self.network.run(5)
        near.transport.write(b"two")
        self.network.run(5)
        self.assertEqual((far.heard, near.heard), (b"", b"hello"))
        self.network.heal("b", "a")
        self.network.run(0.1)
        self.assertEqual(far.heard, b"one two")

    def test_isolate(self) -> None:
        """A host whose cable is pulled reaches nobody, and nobody it."""
        near, far = self.connect()
        self.network.isolate("b")
        near.transport.loseConnection()
        self.network.run(5)
        self.assertIsNone(far.lost)
        self.network.heal()
        self.network.run(0.1)
        self.assertIs(far.lost, ConnectionDone)

    def test_multicast(self) -> None:
        """Datagrams reach everyone in the group, the sender included, and nobody through a cut."""

        class Ear(DatagramProtocol):
            def __init__(self) -> None:
                self.heard: list[Any] = []

            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                self.heard.append((datagram, addr))

        ears = []
        for host in (self.a, self.b):
            ear = Ear()
            port = host.listenMulticast(5000, ear, listenMultiple=True)
            self.assertRaises(CannotListenError, host.listenMulticast, 5000, Ear())
            port.joinGroup("224.0.0.9", host.addresses[0])
            port.setOutgoingInterface(host.addresses[0])
            self.failureResultOf(port.joinGroup("224.0.0.9", "10.9.9.9"))
            ears.append(ear)
        ears[0].transport.write(b"x", ("224.0.0.9", 5000))
        ears[0].transport.write(b"y", ("224.0.0.8", 5000))
        self.network.run(0.1)
        self.assertEqual([ear.heard for ear in ears], [[(b"x", ("10.0.0.1", 5000))]] * 2)
        self.network.cut("a", "b")
        ears[0].transport.write(b"z", ("224.0.0.9", 5000))
        self.network.run(0.1)
        self.assertEqual([len(ear.heard) for ear in ears], [2, 1])
        ears[0].transport.leaveGroup("224.0.0.9")
        ears[1].transport.stopListening()
        ears[0].transport.write(b"z", ("224.0.0.9", 5000))
        self.network.run(0.1)
        self.assertEqual([len(ear.heard) for ear in ears], [2, 1])


class ClockTests(SynchronousTestCase):
    """Time."""

    def test_calls(self) -> None:
        """Calls come in order of time, then of making; they can be moved and cancelled, once."""
        clock = SimClock()
        ran: list[Any] = []
        began = clock.seconds()
        late = clock.callLater(1, ran.append, "late")
        clock.callLater(1, lambda: ran.append(clock.seconds() - began))
        clock.callLater(0.5, ran.append, "early")
        late.reset(2)
        later = clock.callLater(0.1, ran.append, "later")
        later.delay(2)
        gone = clock.callLater(0.1, ran.append, "gone")
        gone.cancel()
        self.assertRaises(AlreadyCancelled, gone.cancel)
        self.assertEqual(len(clock.getDelayedCalls()), 4)
        clock.run(3)
        self.assertEqual(ran, ["early", 1.0, "late", "later"])
        self.assertRaises(AlreadyCalled, late.reset, 1)
        self.assertEqual((clock.seconds() - began, clock.getDelayedCalls()), (3.0, []))

    def test_until(self) -> None:
        """Waiting for something ends when it is so, or fails in time."""
        clock = SimClock()
        done: list[int] = []
        clock.callLater(2, done.append, 1)
        self.assertAlmostEqual(clock.run_until(lambda: done), 2.0)
        self.assertRaises(AssertionError, clock.run_until, lambda: False, 5)
