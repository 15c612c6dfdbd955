"""Tests of back-end probing."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from kwic.service.recovery import Recovery, State


class BackEnd:
    """An address that is there or not."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.asked: list[float] = []

    def connect(self, factory) -> Deferred:
        answer = self.answers.pop(0) if self.answers else "refused"
        if answer == "silent":
            return Deferred()
        if answer == "refused":
            return fail(ConnectionRefusedError())
        protocol = Protocol()
        protocol.makeConnection(StringTransport())
        return succeed(protocol)


class RecoveryTests(SynchronousTestCase):
    """A service whose back end comes and goes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.backend = BackEnd()
        self.events: list[tuple[float, str]] = []
        self.recovery = Recovery(
            self.clock,
            "tcp://server-b:6661",
            [self.endpoint],
            5,
            quiesce=lambda: self.events.append((self.clock.seconds(), "quiesced")),
            start=lambda: self.events.append((self.clock.seconds(), "started")),
        )

    def endpoint(self) -> BackEnd:
        self.backend.asked.append(self.clock.seconds())
        return self.backend

    def run_for(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)

    def test_probed_with_back_off(self) -> None:
        """Probes come after 1, 2, 4 seconds and then at the interval."""
        self.recovery.failed()
        self.run_for(18)
        self.assertEqual([round(at) for at in self.backend.asked], [1, 3, 7, 12, 17])
        self.assertEqual(self.events, [(0, "quiesced")])

    def test_started_again(self) -> None:
        """The first probe that connects starts the service again, and probing ends."""
        self.backend.answers = ["refused", "there"]
        self.recovery.failed()
        self.recovery.failed()
        self.run_for(10)
        self.assertEqual([event for _, event in self.events], ["quiesced", "started"])
        self.assertEqual(len(self.backend.asked), 2)
        self.assertIs(self.recovery.state, State.SERVING)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_silent_back_end(self) -> None:
        """A probe that is not answered is given up, and another follows."""
        self.backend.answers = ["silent", "there"]
        self.recovery.failed()
        self.run_for(12)
        self.assertEqual([event for _, event in self.events], ["quiesced", "started"])

    def test_stopped(self) -> None:
        """A stopped service probes no more, whatever it was waiting for."""
        self.backend.answers = ["silent"]
        self.recovery.failed()
        self.run_for(2)
        self.recovery.stop()
        self.run_for(10)
        self.assertEqual(len(self.backend.asked), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
