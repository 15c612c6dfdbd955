"""Whether every node of the other side is reached."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.coverage import REMEMBER_S, Coverage, Missing, surplus


class CoverageTests(SynchronousTestCase):
    """What an uplink knows about nodes."""

    def test_announced(self) -> None:
        """When the other side says how many nodes it has, that is what counts."""
        coverage = Coverage(prepared=1)
        coverage.announced(2)
        self.assertIs(coverage.missing(["a"], 0.0), Missing.KNOWN)
        self.assertIs(coverage.missing(["a", "b"], 0.0), Missing.NONE)
        self.assertIs(coverage.missing(["a", "b", "c"], 0.0), Missing.NONE)

    def test_two_tunnels_to_one_node(self) -> None:
        """Two tunnels to one node reach one node."""
        coverage = Coverage(prepared=1)
        coverage.announced(2)
        self.assertIs(coverage.missing(["a", "a"], 0.0), Missing.KNOWN)

    def test_announced_no_more(self) -> None:
        """When nobody says any more, memory counts again."""
        coverage = Coverage(prepared=1)
        coverage.announced(9)
        coverage.announced(None)
        self.assertIs(coverage.missing(["a"], 0.0), Missing.NONE)

    def test_gone(self) -> None:
        """A node that was reached and is gone is looked for, for an hour."""
        coverage = Coverage(prepared=1)
        coverage.reached("a", 0.0)
        coverage.reached("b", 100.0)
        self.assertIs(coverage.missing(["a", "b"], 100.0), Missing.NONE)
        self.assertIs(coverage.missing(["a"], 100.0 + REMEMBER_S), Missing.KNOWN)
        self.assertIs(coverage.missing(["a"], 100.1 + REMEMBER_S), Missing.NONE)

    def test_more_tunnels_than_nodes(self) -> None:
        """Where more tunnels were asked for than nodes were met, there may be more nodes."""
        coverage = Coverage(prepared=2)
        self.assertIs(coverage.missing(["a"], 0.0), Missing.PERHAPS)
        self.assertIs(coverage.missing(["a", "b"], 0.0), Missing.NONE)


class SurplusTests(SynchronousTestCase):
    """Which tunnel is given up."""

    def test_one_each(self) -> None:
        """The only tunnel to an instance is kept, however idle."""
        self.assertIsNone(surplus({}, {}))
        self.assertIsNone(surplus({1: "a", 2: "b"}, {1: 0, 2: 9}))

    def test_most_tunnels(self) -> None:
        """The instance with most tunnels loses one."""
        self.assertEqual(
            surplus({1: "a", 2: "a", 3: "b", 4: "b", 5: "b"}, {1: 0, 2: 0, 3: 7, 4: 3, 5: 5}),
            4,
        )

    def test_fewest_streams(self) -> None:
        """Of two tunnels to one instance the one with fewer streams goes."""
        self.assertEqual(surplus({1: "a", 2: "a"}, {1: 2, 2: 1}), 2)
