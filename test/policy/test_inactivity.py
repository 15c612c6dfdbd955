"""Silence on a WebSocket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.inactivity import Inactivity, Verdict


class InactivityTests(SynchronousTestCase):
    """A timeout of 10 s, open at second 100."""

    def setUp(self) -> None:
        self.inactivity = Inactivity(10.0, 100.0)

    def test_half_the_time(self) -> None:
        """After half the timeout it is pinged, after the other half it is dead."""
        self.assertEqual(self.inactivity.due_s, 105.0)
        self.assertIs(self.inactivity.check(104.9), Verdict.ALIVE)
        self.assertIs(self.inactivity.check(105.0), Verdict.PING)
        self.assertEqual(self.inactivity.due_s, 110.0)
        self.assertIs(self.inactivity.check(109.9), Verdict.ALIVE)
        self.assertIs(self.inactivity.check(110.0), Verdict.DEAD)

    def test_any_byte_is_life(self) -> None:
        """Whatever comes starts the first half anew, also after the ping."""
        self.inactivity.check(105.0)
        self.inactivity.received(109.0)
        self.assertEqual(self.inactivity.due_s, 114.0)
        self.assertIs(self.inactivity.check(114.0), Verdict.PING)

    def test_not_while_we_do_not_read(self) -> None:
        """A paused connection is not judged, and has its whole time when it is read again."""
        self.inactivity.check(105.0)
        self.inactivity.stopped_reading()
        self.assertIsNone(self.inactivity.due_s)
        self.assertIs(self.inactivity.check(1000.0), Verdict.ALIVE)
        self.inactivity.resumed_reading(1000.0)
        self.assertEqual(self.inactivity.due_s, 1005.0)
        self.assertIs(self.inactivity.check(1005.0), Verdict.PING)
