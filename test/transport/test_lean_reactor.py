"""Turns of the reactor without a log context: the same events, in the same way."""

from __future__ import annotations

import os
import socket
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
