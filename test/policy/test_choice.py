"""The choice of a path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.choice import Candidate, best, order


def keys(*candidates: Candidate, tried: tuple[Candidate, ...] = ()) -> list[object]:
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
            keys(
                Candidate(key=1),
                Candidate(key=2),
                Candidate(key=3, leaving=True),
                tried=(Candidate(key=1),),
            ),
            [2],
        )

    def test_tried_peer(self) -> None:
        """A peer that was tried comes after all others that are as healthy, however much speaks for it, and before the suspected."""
        tried = Candidate(key="a1", peer="a")
        again = Candidate(key="a2", peer="a", delay_s=0.01)
        slow = Candidate(key="b", peer="b", delay_s=0.9, load=9, priority=1)
        far = Candidate(key="through another", peer="c", local=False, priority=1)
        suspect = Candidate(key="suspect", peer="d", healthy=False)
        self.assertEqual(
            keys(suspect, again, slow, far, tried=(tried,)), ["through another", "b", "a2", "suspect"]
        )

    def test_tried_peer_by_another_name(self) -> None:
        """Of a peer that was tried, what stands elsewhere in the configuration goes first: that it may reach."""
        self.assertEqual(
            keys(
                Candidate(key="a2", peer="a"),
                Candidate(key="another name of a", peer="a", priority=1),
                Candidate(key="b", peer="b", priority=2),
                tried=(Candidate(key="a1", peer="a"),),
            ),
            ["b", "another name of a", "a2"],
        )

    def test_unknown_peers(self) -> None:
        """Peers that are not known are not taken for the same."""
        self.assertEqual(
            keys(Candidate(key=1), Candidate(key=2, load=1), tried=(Candidate(key=3),)),
            keys(Candidate(key=1), Candidate(key=2, load=1)),
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
                peer=st.none() | st.integers(0, 3),
            )
        ),
        st.lists(st.builds(Candidate, key=st.integers(0, 9), peer=st.none() | st.integers(0, 3))),
    )
    def test_always(self, candidates: list[Candidate], tried: list[Candidate]) -> None:
        """
        Nobody usable is lost, nobody else is let in, no suspected path stands before a healthy one, and among those that are as healthy
        none to a peer that was tried before one to another.
        """
        ranked = order(candidates, random=lambda: 0, tried=tried)
        keys = {one.key for one in tried}
        usable = [one for one in candidates if not one.leaving and one.key not in keys]
        self.assertCountEqual(ranked, usable)
        peers = {one.peer for one in tried} - {None}
        standing = [(not one.healthy, one.peer in peers) for one in ranked]
        self.assertEqual(standing, sorted(standing))
