"""A session of ours, and its peer played by hand."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.wire.limits import Limits
from kwic.wire.session import Session
from kwic.wire.window import Budget
from kwic.wire.yamux import (
    Flag,
    GoAwayCode,
    YamuxError,
)
from test.wire.pair import go_away, update, written

SYN, ACK, FIN, RST = Flag.SYN, Flag.ACK, Flag.FIN, Flag.RST


class SessionCase(SynchronousTestCase):
    """A dialler's session, its peer played by hand."""

    def setUp(self) -> None:
        """A fresh session."""
        self.session = self.make()

    def make(self, **limits: int) -> Session:
        """A session with limits of its own."""
        self.budget = Budget()
        return Session(dialer=True, limits=Limits(budget=self.budget, **limits))

    def open(self) -> int:
        """A stream of ours, acknowledged; nothing is left to write."""
        number = self.session.open()
        self.session.receive(update(number, 0, ACK))
        self.session.take_output()
        return number

    def assert_breaks(self, frame: bytes, error: type[YamuxError], words: str) -> None:
        """The frame kills the session, which says goodbye with a protocol error."""
        with self.assertRaises(error) as caught:
            self.session.receive(frame)
        self.assertIn(words, str(caught.exception))
        self.assertTrue(self.session.dead)
        self.assertEqual(written(self.session)[-12:], go_away(GoAwayCode.PROTOCOL_ERROR))
        self.assertEqual(self.budget.left_bytes, self.budget.total_bytes)
