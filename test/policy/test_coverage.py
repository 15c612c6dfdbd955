"""Whether every node of the other side is reached."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.coverage import REMEMBER_S, Coverage, Missing, surplus, welcome

NODES = st.sampled_from("abc")


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

    def test_uneven(self) -> None:
        """A node that is reached by two tunnels less than another has too few; who is missing altogether comes first."""
        coverage = Coverage(prepared=4)
        for node in "ab":
            coverage.reached(node, 0.0)
        self.assertIs(coverage.missing(["a", "a", "b", "b"], 0.0), Missing.PERHAPS)
        self.assertIs(coverage.missing(["a", "a", "a", "b", "b"], 0.0), Missing.PERHAPS)
        self.assertIs(coverage.missing(["a", "a", "a", "b"], 0.0), Missing.UNEVEN)
        self.assertIs(coverage.missing(["a", "a", "a", "a"], 0.0), Missing.KNOWN)
        coverage.announced(2)
        self.assertIs(coverage.missing(["a", "a", "b", "b"], 0.0), Missing.NONE)
        self.assertIs(coverage.missing(["a", "a", "a", "b"], 0.0), Missing.UNEVEN)
        coverage.announced(3)
        self.assertIs(coverage.missing(["a", "a", "a", "b"], 0.0), Missing.KNOWN)


class WelcomeTests(SynchronousTestCase):
    """Which tunnel is kept although there are enough."""

    def test_new(self) -> None:
        """The first one to an instance is."""
        self.assertTrue(welcome("a", []))
        self.assertTrue(welcome("a", ["b"]))

    def test_share(self) -> None:
        """One to an instance that has two less than another is: more would only turn the difference round."""
        self.assertTrue(welcome("a", ["a", "b", "b", "b"]))
        self.assertFalse(welcome("b", ["a", "b", "b", "b"]))
        self.assertFalse(welcome("a", ["a", "b", "b"]))
        self.assertFalse(welcome("a", ["a"]))

    @given(st.lists(NODES, min_size=1, max_size=12), st.lists(NODES, max_size=40))
    @example(["a"] * 5, ["b"])
    @example(["a"], ["b", "c"])
    def test_even_in_the_end(self, tunnels: list[str], met: list[str]) -> None:
        """However they are spread, and whoever is met in which order: with each tunnel they are spread no worse, and in the end evenly."""
        wanted = len(tunnels)
        for instance in [*met, *"abc" * wanted]:
            before = difference(tunnels)
            if welcome(instance, tunnels):
                tunnels = [*tunnels, instance]
                given_up = surplus(dict(enumerate(tunnels)), dict.fromkeys(range(len(tunnels)), 0))
                if len(tunnels) > wanted and given_up is not None:
                    del tunnels[given_up]
            self.assertLessEqual(difference(tunnels), before)
        self.assertEqual(len(tunnels), max(wanted, 3))
        self.assertLessEqual(difference(tunnels), 1)


def difference(tunnels: list[str]) -> int:
    """How many tunnels lead to the instance that has most, more than to the one that has fewest."""
    counts = [tunnels.count(instance) for instance in "abc"]
    return max(counts) - min(counts)


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
