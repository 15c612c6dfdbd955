"""Several ways to the same end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.name_endpoint import NameEndpoint, resolve, tcp_endpoint
from kwic.transport.race import Contender, Race
from test.transport.memory_network import MemoryNetwork, Recorder


class RaceTests(SynchronousTestCase):
    """Who is tried when, and who wins."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.started: list[Deferred[Any]] = []
        self.cancelled: list[int] = []
        self.connected: set[int] = set()

    def run_race(self, count: int) -> Deferred[Any]:
        """A race of so many."""
        return Race(self.clock, [self.start] * count).run()

    def start(self) -> Contender:
        number = len(self.started)
        outcome: Deferred[Any] = Deferred(lambda _: self.cancelled.append(number))
        self.started.append(outcome)
        return Contender(outcome=outcome, is_connected=lambda: number in self.connected)

    def test_the_first(self) -> None:
        """When the first succeeds in time, no other is tried."""
        race = self.run_race(3)
        self.started[0].callback("won")
        self.assertEqual(self.successResultOf(race), "won")
        self.assertEqual(len(self.started), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_failure(self) -> None:
        """When one fails, the next is tried at once."""
        race = self.run_race(3)
        self.started[0].errback(ValueError("a"))
        self.assertEqual(len(self.started), 2)
        self.started[1].callback("won")
        self.assertEqual(self.successResultOf(race), "won")

    def test_silence(self) -> None:
        """When one is not connected after 0.3 s the next is tried too, and whoever is first wins."""
        race = self.run_race(2)
        self.clock.advance(0.29)
        self.assertEqual(len(self.started), 1)
        self.clock.advance(0.02)
        self.assertEqual(len(self.started), 2)
        self.started[0].callback("late but first")
        self.assertEqual(self.successResultOf(race), "late but first")
        self.assertEqual(self.cancelled, [1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_patience(self) -> None:
        """One that is connected is given 1.5 s before the next is tried."""
        self.run_race(2)
        self.connected.add(0)
        self.clock.advance(1.4)
        self.clock.advance(0.05)
        self.assertEqual(len(self.started), 1)
        self.clock.advance(1.2)
        self.assertEqual(len(self.started), 2)

    def test_all_fail(self) -> None:
        """When all fail, the one that got furthest says why; the first of equals."""
        race = self.run_race(3)
        self.started[0].errback(ValueError("refused"))
        self.connected.add(1)
        self.started[1].errback(ValueError("bad certificate"))
        self.assertNoResult(race)
        self.started[2].errback(ValueError("refused too"))
        self.assertEqual(str(self.failureResultOf(race, ValueError).value), "bad certificate")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_last_one_standing(self) -> None:
        """A failure does not end the race while another is still running."""
        race = self.run_race(2)
        self.clock.advance(0.4)
        self.started[1].errback(ValueError("b"))
        self.assertNoResult(race)
        self.started[0].errback(ValueError("a"))
        self.assertEqual(str(self.failureResultOf(race, ValueError).value), "b")

    def test_a_way_that_cannot_begin(self) -> None:
        """A way that cannot even begin is one that failed."""

        def broken() -> Contender:
            raise ValueError("no options")

        self.assertEqual(
            str(self.failureResultOf(Race(self.clock, [broken]).run(), ValueError).value), "no options"
        )
        race = Race(self.clock, [broken, self.start]).run()
        self.started[0].callback("won")
        self.assertEqual(self.successResultOf(race), "won")

    def test_nobody(self) -> None:
        """A race without anybody fails."""
        self.failureResultOf(self.run_race(0), CancelledError)

    def test_cancelling(self) -> None:
        """Cancelling the race cancels everybody in it."""
        race = self.run_race(3)
        self.clock.advance(0.4)
        race.cancel()
        self.failureResultOf(race, CancelledError)
        self.assertEqual(self.cancelled, [0, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.started), 2)


class NameTests(SynchronousTestCase):
    """TCP to names and addresses."""

    def setUp(self) -> None:
        self.network = MemoryNetwork({"two.example.com": ("10.0.0.1", "fd00::1"), "none.example.com": ()})
        self.network.listen("fd00::1", 5551, Factory.forProtocol(Recorder))

    def connect(self, host: str) -> Deferred[Any]:
        opened = tcp_endpoint(self.network, host, 5551, 5.0).connect(Factory.forProtocol(Recorder))
        self.network.settle()
        return opened

    def test_addresses(self) -> None:
        """A literal address is dialled as it is."""
        self.successResultOf(self.connect("fd00::1"))
        self.assertEqual(self.network.dialled, [("fd00::1", 5551)])

    def test_the_second_address(self) -> None:
        """When the first address refuses, the second is connected to within the same moment."""
        self.successResultOf(self.connect("two.example.com"))
        self.assertEqual(self.network.dialled, [("10.0.0.1", 5551), ("fd00::1", 5551)])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_silent_address(self) -> None:
        """When the first address is silent, the second is tried after a moment, and the first is given up."""
        self.network.listen("10.0.0.1", 5551, None)
        opened = self.connect("two.example.com")
        self.network.pass_time(0.35, 0.05)
        self.successResultOf(opened)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_no_address(self) -> None:
        """A name without an address fails, as one that nobody knows."""
        for host in ("none.example.com", "unknown.example.com"):
            self.failureResultOf(self.connect(host), DNSLookupError)

    def test_cancelling(self) -> None:
        """A lookup that nobody waits for any more is let run, without harm."""

        class Slow:
            def resolveHostName(self, receiver: Any, name: str) -> None:
                self.receiver = receiver

        slow = Slow()

        class Reactor:
            nameResolver = slow

        answer = resolve(Reactor(), "a.example.com")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        slow.receiver.resolutionBegan(None)
        slow.receiver.resolutionComplete()

    def test_a_literal_is_its_own_answer(self) -> None:
        """Asking for the addresses of an address asks nobody."""
        self.assertEqual(self.successResultOf(resolve(None, "fe80::1%eth0")), ("fe80::1%eth0",))

    def test_kinds(self) -> None:
        """Names and addresses are told apart."""
        self.assertIsInstance(tcp_endpoint(self.network, "a1.2.3.4", 1, 1.0), NameEndpoint)
        self.assertNotIsInstance(tcp_endpoint(self.network, "1.2.3.4", 1, 1.0), NameEndpoint)
