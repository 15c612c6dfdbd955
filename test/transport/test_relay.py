"""Tests of the relay: what happens to one leg happens to the other."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from kwic.transport.leg import Leg, can_half_close
from kwic.transport.relay import CLOSING_S, LINGER_S, Relay
from test.transport.links import Link


@implementer(IHalfCloseableProtocol)
class Remote(Protocol):
    """The far end of a leg: a client or a server."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = False
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason) -> None:
        self.reason = reason


class RelayCase(SynchronousTestCase):
    """A client, a relay and a server."""

    half_closes = (True, True)

    def setUp(self) -> None:
        self.clock = Clock()
        self.links = Link(), Link()
        self.remotes = Remote(), Remote()
        self.legs = []
        for link, remote, half in zip(self.links, self.remotes, self.half_closes, strict=True):
            link.a.half_closes = link.b.half_closes = half
            leg = Leg()
            self.legs.append(leg)
            link.connect(leg, remote)
        self.client, self.server = self.remotes
        self.done: list[bool] = []
        self.relay = Relay(*self.legs, self.clock, on_done=lambda relay: self.done.append(True))

    def pump(self, size: int = 65536) -> None:
        for _ in range(40):
            for link in self.links:
                link.pump(size)

    def start(self) -> None:
        self.relay.start()
        self.pump()


class ByteTests(RelayCase):
    """Bytes pass, unread before the relay starts."""

    def test_nothing_is_read_before_the_start(self) -> None:
        """A client's bytes wait in its connection until the far end has answered."""
        self.client.transport.write(b"early")
        self.pump()
        self.assertEqual(self.links[0].b.waiting, 5)
        self.start()
        self.assertEqual(self.server.heard, b"early")

    def test_bytes_both_ways_one_at_a_time(self) -> None:
        """Bytes arrive unchanged, however they are cut."""
        self.start()
        self.client.transport.write(b"question")
        self.server.transport.write(b"answer")
        self.pump(size=1)
        self.assertEqual((self.server.heard, self.client.heard), (b"question", b"answer"))

    def test_bytes_kept_by_the_leg(self) -> None:
        """What arrived on a leg before the start goes first."""
        self.legs[0].dataReceived(b"one ")
        self.client.transport.write(b"two")
        self.start()
        self.assertEqual(self.server.heard, b"one two")

    def test_a_slow_reader_pauses_the_other_side(self) -> None:
        """A server that does not read stops the client within a bounded buffer."""
        self.start()
        self.links[1].b.reading = False
        for _ in range(100):
            self.client.transport.write(b"x" * 10_000)
        self.pump()
        self.assertLess(self.links[1].a.waiting, 65_536 + 20_000)
        self.links[1].b.reading = True
        self.pump()
        self.assertEqual(len(self.server.heard), 1_000_000)


class EndTests(RelayCase):
    """How one leg ends the other ends."""

    def test_half_close(self) -> None:
        """An end of stream is carried over, the answer still comes, and then both are closed."""
        self.start()
        self.client.transport.write(b"question")
        self.legs[0].transport.loseWriteConnection = self.record("client")
        self.legs[1].transport.loseWriteConnection = self.record("server")
        self.pump()
        self.legs[0].readConnectionLost()
        self.assertEqual(self.calls, ["server"])
        self.server.transport.write(b"answer")
        self.pump()
        self.assertEqual(self.client.heard, b"answer")
        self.legs[1].readConnectionLost()
        self.pump()
        self.assertEqual(self.done, [True])
        self.assertTrue(self.client.reason.check(ConnectionDone))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def record(self, name: str):
        self.calls: list[str] = []
        return lambda: self.calls.append(name)

    def test_orderly_close(self) -> None:
        """A closed client closes the server's connection behind what was sent."""
        self.start()
        self.client.transport.write(b"bye")
        self.client.transport.loseConnection()
        self.pump()
        self.assertEqual(self.server.heard, b"bye")
        self.assertTrue(self.server.reason.check(ConnectionDone))
        self.assertEqual((self.done, self.clock.getDelayedCalls()), ([True], []))

    def test_reset(self) -> None:
        """A reset client is a reset for the server."""
        self.start()
        self.client.transport.abortConnection()
        self.pump()
        self.assertTrue(self.server.reason.check(ConnectionLost))
        self.assertEqual(self.done, [True])

    def test_a_closing_leg_has_a_deadline(self) -> None:
        """A server that never takes the rest is dropped in the end."""
        self.start()
        self.links[1].b.reading = False
        self.client.transport.write(b"x" * 1000)
        self.links[0].pump()
        self.client.transport.loseConnection()
        self.links[0].pump()
        self.assertIsNone(self.server.reason)
        self.clock.advance(CLOSING_S)
        self.assertTrue(self.server.reason.check(ConnectionLost))
        self.assertEqual(self.done, [True])

    def test_a_leg_lost_before_the_start(self) -> None:
        """A far end that went while the relay was made takes the client along."""
        self.server.transport.abortConnection()
        self.start()
        self.assertTrue(self.client.reason.check(ConnectionLost))
        self.assertEqual(self.done, [True])

    def test_abort(self) -> None:
        """An aborted relay resets both sides."""
        self.start()
        self.relay.abort()
        self.pump()
        self.assertTrue(all(remote.reason.check(ConnectionLost) for remote in self.remotes))
        self.assertEqual(self.done, [True])

    def test_both_lost_before_the_start(self) -> None:
        """Two ends that went while the relay was made are done with, once."""
        self.server.transport.abortConnection()
        self.client.transport.abortConnection()
        self.start()
        self.assertEqual(self.done, [True])


class NoHalfCloseTests(RelayCase):
    """The server's leg is a WebSocket: it cannot be half-closed."""

    half_closes = (True, False)

    def test_the_answer_is_waited_for(self) -> None:
        """A client's end of stream does not cut the answer off; when that has been quiet, the leg is closed."""
        self.start()
        self.legs[0].readConnectionLost()
        self.clock.advance(LINGER_S - 1)
        self.server.transport.write(b"late answer")
        self.pump()
        self.assertEqual(self.client.heard, b"late answer")
        self.clock.advance(LINGER_S - 1)
        self.pump()
        self.assertIsNone(self.server.reason)
        self.clock.advance(2)
        self.pump()
        self.assertTrue(self.server.reason.check(ConnectionDone))
        self.assertEqual((self.done, self.clock.getDelayedCalls()), ([True], []))

    def test_what_comes_while_it_closes(self) -> None:
        """What the server says when its leg is being closed is carried over still, until the connection is gone."""
        self.start()
        self.legs[0].readConnectionLost()
        self.links[1].a.frozen = True
        self.clock.advance(LINGER_S)
        self.assertTrue(self.links[1].a.disconnecting)
        self.server.transport.write(b"one more thing")
        self.pump()
        self.assertEqual(self.client.heard, b"one more thing")
        self.links[1].a.frozen = False
        self.pump()
        self.assertTrue(self.client.reason.check(ConnectionDone))
        self.assertEqual((self.done, self.clock.getDelayedCalls()), ([True], []))


class CanHalfCloseTests(SynchronousTestCase):
    """Which transports can be half-closed."""

    def test_by_what_they_are(self) -> None:
        """TCP can, what says otherwise cannot, and an unknown one is not trusted."""

        class Plain:
            pass

        tcp, unknown, declared = Plain(), Plain(), Plain()
        directlyProvides(tcp, ITCPTransport)
        declared.half_closes = True
        self.assertEqual([can_half_close(each) for each in (tcp, unknown, declared)], [True, False, True])
