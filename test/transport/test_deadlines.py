"""Many waits of one length with one timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    """Who waits is called in time, unless he took it back."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, 5.0)
        self.called: list[str] = []

    def begin(self, name: str):
        return self.deadlines.begin(lambda: self.called.append(name))

    def test_in_order(self) -> None:
        """Each is called when its time is over, with one timer for all."""
        self.begin("a")
        self.clock.advance(2)
        self.begin("b")
        self.begin("c")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2.9)
        self.assertEqual(self.called, [])
        self.clock.advance(0.1)
        self.assertEqual(self.called, ["a"])
        self.clock.advance(2)
        self.assertEqual(self.called, ["a", "b", "c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_the_end_of_a_turn(self) -> None:
        """Where turns have ends the timer is set there, if anybody still waits; also where that was not known when the first was made."""
        ends = []
        self.clock.at_end_of_turn = ends.append
        for left in ([], ["b"]):
            first = self.begin("a")
            first.cancel()
            for name in left:
                self.begin(name)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            (end,) = ends
            ends.clear()
            end()
            self.assertEqual(len(self.clock.getDelayedCalls()), len(left))
        self.clock.advance(5)
        self.assertEqual((self.called, ends, self.clock.getDelayedCalls()), (["b"], [], []))

    def test_taken_back(self) -> None:
        """Who took it back is not called, and taking back again does nothing; when nobody waits there is no timer."""
        first, second = self.begin("a"), self.begin("b")
        first.cancel()
        first.cancel()
        self.assertFalse(first.active())
        self.assertTrue(second.active())
        self.clock.advance(5)
        self.assertEqual(self.called, ["b"])
        second.cancel()
        third = self.begin("c")
        third.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.called, ["b"])

    def test_one_waits_long(self) -> None:
        """What others begin and take back meanwhile is not kept."""
        self.begin("a")
        for _ in range(1000):
            self.begin("b").cancel()
        self.assertEqual(len(self.deadlines._waits), 1)

    def test_begins_within(self) -> None:
        """Whoever is called may wait again, and take others back."""
        other = None

        def again() -> None:
            self.begin("again")
            other.cancel()

        self.deadlines.begin(again)
        other = self.begin("other")
        self.begin("last")
        self.clock.advance(5)
        self.assertEqual(self.called, ["last"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(5)
        self.assertEqual(self.called, ["last", "again"])

    def test_fault(self) -> None:
        """One that fails is logged, and keeps nobody else from being called."""
        self.deadlines.begin(lambda: 1 / 0)
        self.begin("b")
        self.clock.advance(5)
        self.assertEqual(self.called, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
