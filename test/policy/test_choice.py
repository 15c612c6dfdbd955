"""The choice of a path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.choice import Candidate, best, order


def keys(*candidates: Candidate, tried: tuple[object, ...] = ()) -> list[object]:
    """The order of these, without dice."""
    return [one.key for one in order(candidates, random=lambda: 0.5, tried=tried)]


class OrderTests(SynchronousTestCase):
    """Which path goes first."""

    def test_healthy_first(self) -> None:
        """A suspected path is the last resort, whatever else speaks for it."""
        self.assertEqual(
            keys(
                Candidate(key="ours", healthy=False),
                Candidate(key="theirs", local=False, load=99, priority=9),
            ),
            ["theirs", "ours"],
        )

    def test_order_of_the_configuration(self) -> None:
        """What stands first in the configuration goes first, however far or busy."""
        self.assertEqual(
            keys(Candidate(key="b", priority=1), Candidate(key="a", local=False, load=5, priority=0)),
            ["a", "b"],
        )

    def test_own_node_before_others(self) -> None:
        """A path of this node is shorter, even when it is busier."""
        self.assertEqual(
            keys(Candidate(key="far", local=False), Candidate(key="near", load=9)), ["near", "far"]
        )

    def test_least_streams(self) -> None:
        """The least busy goes first."""
        self.assertEqual(keys(*(Candidate(key=n, load=n) for n in (3, 1, 2))), [1, 2, 3])

    def test_slow(self) -> None:
        """A line that answers much later than another is used after all others, but not when all are as far away."""
        slow = Candidate(key="slow", delay_s=0.5)
        quick = Candidate(key="quick", delay_s=0.01, load=99)
        far = Candidate(key="through another", local=False, delay_s=9.0)
        self.assertEqual(keys(slow, quick, far), ["quick", "through another", "slow"])
        self.assertEqual(keys(slow, Candidate(key="suspect", delay_s=0.01, healthy=False), far)[0], "slow")
        self.assertEqual(keys(slow, Candidate(key="as far", delay_s=0.4, load=1)), ["slow", "as far"])

    def test_distance_is_no_fault(self) -> None:
        """A few times as long is only distance."""
        self.assertEqual(
            keys(Candidate(key="far", delay_s=0.15), Candidate(key="near", delay_s=0.005, load=1)),
            ["far", "near"],
        )

    def test_tried_and_leaving(self) -> None:
        """What was tried, or is leaving, is left out."""
        self.assertEqual(
            keys(Candidate(key=1), Candidate(key=2), Candidate(key=3, leaving=True), tried=(1,)), [2]
        )

    def test_ties(self) -> None:
        """Among equals the dice decide."""
        draws = iter([0.9, 0.1])
        ranked = order([Candidate(key="a"), Candidate(key="b")], random=lambda: next(draws))
        self.assertEqual([one.key for one in ranked], ["b", "a"])

    def test_best(self) -> None:
        """The best is the first; without candidates there is none."""
        self.assertEqual(best([Candidate(key=2, load=1), Candidate(key=1)], random=lambda: 0).key, 1)
        self.assertIsNone(best([], random=lambda: 0))

    @given(
        st.lists(
            st.builds(
                Candidate,
                key=st.integers(0, 9),
                local=st.booleans(),
                healthy=st.booleans(),
                leaving=st.booleans(),
                load=st.integers(0, 3),
                priority=st.integers(0, 3),
            )
        ),
        st.sets(st.integers(0, 9)),
    )
    def test_always(self, candidates: list[Candidate], tried: set[int]) -> None:
        """Nobody usable is lost, nobody else is let in, and no suspected path stands before a healthy one."""
        ranked = order(candidates, random=lambda: 0, tried=tried)
        usable = [one for one in candidates if not one.leaving and one.key not in tried]
        self.assertCountEqual(ranked, usable)
        health = [one.healthy for one in ranked]
        self.assertEqual(health, sorted(health, reverse=True))
