"""Tests of what is said about a thing that fails again and again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.service.complaints import REASONS_MAXIMUM, Complaints


class ComplaintsTests(SynchronousTestCase):
    """Each reason is said once."""

    def setUp(self) -> None:
        self.complaints = Complaints()

    def said(self, *reasons: str) -> list[bool]:
        return [self.complaints.is_new(reason) for reason in reasons]

    def test_once_each(self) -> None:
        """Reasons that alternate are not said anew at each attempt; those of a thing that worked in between are."""
        self.assertEqual(self.said("refused", "silent", "refused", "silent"), [True, True, False, False])
        self.assertTrue(self.complaints.settle())
        self.assertFalse(self.complaints.settle())
        self.assertEqual(self.said("silent", "silent"), [True, False])

    def test_bounded(self) -> None:
        """However many reasons there are, few are remembered: the latest."""
        reasons = [str(number) for number in range(3 * REASONS_MAXIMUM)]
        self.assertTrue(all(self.said(*reasons)))
        self.assertEqual(len(self.complaints._said), REASONS_MAXIMUM)
        self.assertEqual(self.said(reasons[-1], reasons[0]), [False, True])
