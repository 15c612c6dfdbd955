"""What a member tells the others about itself, and how often."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.service.balancer import Balances
from kwic.service.context import Context
from kwic.service.membership import OwnState
from kwic.service.own_offers import LOAD_S, MANY, PAUSE_S, OwnOffers
from kwic.service.reverse import Names


class Told:
    """A membership that remembers."""

    def __init__(self) -> None:
        self.own = OwnState()
        self.published: list[int] = []

    def publish(self, state: OwnState) -> None:
        self.own = state
        self.published.append(state.names.get("name", 0))


class Holder:
    """Looks like a tunnel."""

    usable = True
    suspect = False


class OwnOffersTests(SynchronousTestCase):
    """A name, and the tunnels that hold it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.names = Names()
        self.told = Told()
        membership: Any = self.told
        self.offers = OwnOffers(Context(reactor=self.clock), membership, self.names, Balances(), ())
        self.offers.startService()

    def add(self, count: int) -> list[Any]:
        """So many more tunnels hold the name; what ends each of that."""
        ends = []
        for _ in range(count):
            holder: Any = Holder()
            ends.append(self.names.offer("name", holder))
            self.names.changed()
        return ends

    def test_few(self) -> None:
        """Of few tunnels each is told at once."""
        self.add(3)
        self.assertEqual(self.told.published, [1, 2, 3])

    def test_many(self) -> None:
        """Of many those that come in one moment are told together, a moment later."""
        self.add(MANY + 1)
        self.told.published.clear()
        self.add(500)
        self.assertEqual(self.told.published, [])
        self.clock.advance(PAUSE_S)
        self.assertEqual(self.told.published, [MANY + 501])
        self.add(1)
        self.clock.advance(PAUSE_S)
        self.assertEqual(self.told.published, [MANY + 501, MANY + 502])

    def test_told_by_the_way(self) -> None:
        """What has been told with the load is not told again."""
        self.add(MANY + 1)
        self.clock.advance(LOAD_S - PAUSE_S / 2)
        self.told.published.clear()
        self.add(2)
        self.clock.advance(PAUSE_S / 2)
        self.clock.advance(PAUSE_S)
        self.assertEqual(self.told.published, [MANY + 3])

    def test_stop(self) -> None:
        """Nothing is told any more, and nothing waits."""
        self.add(MANY + 2)
        self.offers.stopService()
        self.clock.advance(10)
        self.assertEqual(self.told.published[-1], MANY + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
