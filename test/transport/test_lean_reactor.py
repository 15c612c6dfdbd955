"""Turns of the reactor without a log context: the same events, in the same way."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any
from unittest import mock

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.transport import lean_reactor
from kwic.transport.lean_reactor import end_of_turn, fits, lighten


@implementer(IReadWriteDescriptor)
class Descriptor:
    """A socket that writes down what it is told."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.told: list[Any] = []
        self.fault: Exception | None = None

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "-"

    def doRead(self) -> Any:
        if self.fault is not None:
            raise self.fault
        data = self.socket.recv(100)
        self.told.append(data)
        return None if data else ConnectionDone()

    def doWrite(self) -> None:
        self.told.append("write")

    def connectionLost(self, reason: Failure) -> None:
        self.told.append(reason.type)


class LightenTests(SynchronousTestCase):
    """A reactor of its own, in which one socket is served."""

    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.close)
        ours, self.peer = socket.socketpair()
        self.descriptor = Descriptor(ours)
        self.assertTrue(lighten(self.reactor))
        self.reactor.addReader(self.descriptor)

    def close(self) -> None:
        self.reactor.removeAll()
        self.reactor._poller.close()
        waker = self.reactor.waker
        for number in (waker.i, waker.o):
            os.close(number)
        for end in (self.descriptor.socket, self.peer):
            end.close()

    def turn(self) -> None:
        self.reactor.doIteration(1.0)

    def test_this_version(self) -> None:
        """This version of Twisted's reactor is the one that is known: fails loudly when it is not any more."""
        self.assertTrue(fits(self.reactor))
        self.assertIsNot(self.reactor.doIteration, EPollReactor.doPoll)

    def test_others(self) -> None:
        """Any other reactor goes on as it is."""
        other = SelectReactor()
        self.assertFalse(lighten(other))
        self.assertFalse(lighten(object()))
        with mock.patch.object(EPollReactor, "_doReadOrWrite", lambda self, selectable, what: None):
            self.assertFalse(lighten(EPollReactor()))

    def test_read(self) -> None:
        """Bytes are read, then the end is told, once."""
        self.peer.sendall(b"hello")
        self.turn()
        self.peer.close()
        self.turn()
        self.reactor.doIteration(0)
        self.assertEqual(self.descriptor.told, [b"hello", b"", ConnectionDone])

    def test_one_turn_after_the_other(self) -> None:
        """Without anything for Twisted's loop to do it is not asked between two turns; with something it is, at once."""
        self.reactor.running = True
        turns: list[None] = []

        def serve(happens: Any) -> None:
            turns.append(None)
            if len(turns) == 3:
                happens()

        for something in (
            lambda: self.reactor.callLater(99, self.fail),
            lambda: self.reactor.callFromThread(self.fail),
            lambda: setattr(self.reactor, "_justStopped", True),
            lambda: setattr(self.reactor, "running", False),
        ):
            turns.clear()
            self.descriptor.doRead = partial(serve, something)
            self.peer.sendall(b"x")
            self.reactor.doIteration(None)
            self.assertEqual(len(turns), 3)
            del self.reactor.threadCallQueue[:]
            self.reactor._newTimedCalls.clear()
            self.reactor._justStopped, self.reactor.running = False, True

    def test_a_timer_that_is_due(self) -> None:
        """However much there is to read, a timer is served in its time, also one that was moved."""
        self.reactor.running = True
        moved = self.reactor.callLater(99, self.fail)
        self.reactor._insertNewDelayedCalls()
        self.peer.sendall(b"x")
        turns: list[float] = []

        def serve() -> None:
            turns.append(self.reactor.seconds())
            if len(turns) == 5:
                moved.reset(0.01)

        self.descriptor.doRead = serve
        started_s = self.reactor.seconds()
        self.reactor.doIteration(99.0)
        self.assertGreater(len(turns), 5)
        self.assertLess(self.reactor.seconds() - started_s, 5.0)
        self.assertGreaterEqual(self.reactor.seconds(), moved.time)

    def test_a_timer_of_what_was_put_off(self) -> None:
        """What a timer put off may set a timer, put more off, or stop: nothing of that waits until something is to be read."""
        self.reactor.running = True
        told: list[str] = []

        def first() -> None:
            self.reactor.callLater(0.01, told.append, "timer")
            end_of_turn(self.reactor)(lambda: told.append("second"))

        end_of_turn(self.reactor)(first)
        started_s = self.reactor.seconds()
        self.reactor.doIteration(9.0)
        self.assertLess(self.reactor.seconds() - started_s, 5.0)
        self.assertEqual(told, ["second"])
        self.assertTrue(self.reactor._newTimedCalls)

    def test_a_timer_far_away(self) -> None:
        """A timer that is due in a year is none that could be waited for in one go."""
        self.reactor.running = True
        self.reactor.callLater(365 * 86_400, self.fail)
        self.reactor._insertNewDelayedCalls()
        self.peer.sendall(b"x")
        self.reactor.doIteration(99.0)
        self.assertEqual(self.descriptor.told, [b"x"])

    def test_write(self) -> None:
        """Who wants to write may."""
        self.reactor.addWriter(self.descriptor)
        self.turn()
        self.assertIn("write", self.descriptor.told)

    def test_fault(self) -> None:
        """A fault is logged and ends the connection, and nothing else."""
        self.descriptor.fault = ValueError("broken")
        self.peer.sendall(b"x")
        self.turn()
        self.assertEqual(self.descriptor.told, [ValueError])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def another(self) -> tuple[Descriptor, socket.socket]:
        """One more that is read."""
        ours, peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        other = Descriptor(ours)
        self.reactor.addReader(other)
        return other, peer

    def test_patient(self) -> None:
        """Those that can wait are served after all others, as many of them as there is time for; the next turn goes on with the rest."""
        self.patch(lean_reactor, "PATIENT_S", 0.0)
        order: list[str] = []
        for name in ("one", "two"):
            other, peer = self.another()
            other.patient = True
            other.doRead = lambda name=name, other=other: (
                order.append(name) or self.reactor.removeReader(other)
            )
            peer.sendall(b"x")
        self.descriptor.doRead = lambda: order.append("open")
        self.peer.sendall(b"x")
        self.turn()
        self.assertEqual((order[0], len(order)), ("open", 2))
        self.turn()
        self.assertEqual((sorted(order), order[2]), (["one", "open", "open", "two"], "open"))

    def test_ends_can_wait(self) -> None:
        """The end of a connection is served after what others have to say."""
        told: list[str] = []
        other, peer = self.another()
        other.connectionLost = lambda reason: told.append("lost")
        self.reactor.removeReader(other)
        self.reactor.addWriter(other)
        self.descriptor.doRead = lambda: told.append("read")
        peer.close()
        self.peer.sendall(b"x")
        self.turn()
        self.assertEqual(told, ["read", "lost"])

    def test_closed_while_it_waited(self) -> None:
        """One that can wait, and was closed by another in the same turn, is not served."""
        other, peer = self.another()
        other.patient = True
        peer.sendall(b"x")
        self.peer.sendall(b"x")
        self.descriptor.doRead = lambda: self.reactor.removeReader(other)
        self.turn()
        self.assertEqual(other.told, [])

    def test_closed_within_the_turn(self) -> None:
        """One that another event of the same turn has closed is not served."""
        ours, peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        other = Descriptor(ours)
        self.reactor.addReader(other)
        for one, two in ((self.descriptor, other), (other, self.descriptor)):
            one.doRead = lambda one=one, two=two: (one.told.append("read"), self.reactor.removeReader(two))[
                2:
            ]
        self.peer.sendall(b"x")
        peer.sendall(b"x")
        self.turn()
        self.assertEqual(len(self.descriptor.told) + len(other.told), 1)

    def test_end_of_turn(self) -> None:
        """What is put off is done when the events of the turn are served, once; a fault in it is logged, and the rest is done."""
        put_off = end_of_turn(self.reactor)
        told = self.descriptor.told
        put_off(lambda: told.append("before"))
        put_off(lambda: 1 / 0)
        read = self.descriptor.doRead
        self.descriptor.doRead = lambda: (put_off(lambda: told.append("after")), read())[1]
        self.peer.sendall(b"x")
        self.turn()
        self.assertEqual(told, ["before", b"x", "after"])
        self.reactor.doIteration(0)
        self.assertEqual(len(told), 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_end_of_turn_elsewhere(self) -> None:
        """Without a lightened reactor a timer does it."""
        clock, told = Clock(), []
        end_of_turn(clock)(lambda: told.append("after"))
        self.assertEqual(told, [])
        clock.advance(0)
        self.assertEqual(told, ["after"])

    def test_nothing_happens(self) -> None:
        """A turn without events ends in time."""
        self.reactor.doIteration(0.01)
        self.assertEqual(self.descriptor.told, [])
