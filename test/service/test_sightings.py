"""Tests of the nodes that have come back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.service.sightings import NODES_MAXIMUM, Sightings


class SightingsTests(SynchronousTestCase):
    """Whoever waits to dial is told of nodes that are there again."""

    def setUp(self) -> None:
        self.sightings = Sightings()
        self.calls: list[bool] = []
        self.sightings.watch(lambda: self.calls.append(True))

    def test_once_for_each_start(self) -> None:
        """A process is told of once, and again when it was started again; peers that do not say who they are are not told of."""
        for node, instance in (("a", "1"), ("a", "1"), ("b", "2"), ("a", "1"), ("a", "3"), ("", "")):
            self.sightings.met(node, instance)
        self.assertEqual(len(self.calls), 3)

    def test_bounded(self) -> None:
        """However many names there are, few are remembered."""
        for number in range(3 * NODES_MAXIMUM):
            self.sightings.met(f"n{number}", "1")
        self.assertEqual(len(self.sightings._instances), NODES_MAXIMUM)
