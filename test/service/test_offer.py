"""Names that are offered on tunnels."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.service.offer import SOON_S, Offer


class FakeTunnel:
    """A tunnel that takes some opens and no more until they are answered."""

    up = True
    draining = False
    peer = "peer"

    def __init__(self, room: int) -> None:
        self.room = room
        self.opened: list[str] = []

    @property
    def usable(self) -> bool:
        return self.up and not self.draining and self.room > 0

    def open(self, opener: Any) -> FakeTunnel:
        self.room -= 1
        self.opened.append(opener)
        return self


class OfferTests(SynchronousTestCase):
    """More names than a tunnel takes at once."""

    def setUp(self) -> None:
        """Three names, and a tunnel that takes two opens."""
        self.clock = Clock()
        self.tunnel: Any = FakeTunnel(2)
        self.offers = [Offer(self.clock, name, lambda: [self.tunnel]) for name in "abc"]
        for offer in self.offers:
            offer.tunnel_up(self.tunnel)

    def test_waits_for_room(self) -> None:
        """A name for which there is no room is offered as soon as there is."""
        self.assertEqual(len(self.tunnel.opened), 2)
        self.clock.advance(SOON_S)
        self.assertEqual(len(self.tunnel.opened), 2)
        self.tunnel.room = 1
        self.clock.advance(SOON_S)
        self.assertEqual(len(self.tunnel.opened), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_longer_wanted(self) -> None:
        """A name that was withdrawn meanwhile is not offered after all."""
        self.offers[2].withdraw()
        self.tunnel.room = 1
        self.clock.advance(SOON_S)
        self.assertEqual((len(self.tunnel.opened), self.clock.getDelayedCalls()), (2, []))

    def test_tunnel_gone_or_draining(self) -> None:
        """A tunnel that went away, or drains, is not waited for."""
        for name in ("up", "draining"):
            tunnel: Any = FakeTunnel(0)
            self.offers[0].tunnel_up(tunnel)
            setattr(tunnel, name, name == "draining")
            self.clock.advance(SOON_S)
            self.assertEqual(tunnel.opened, [])
        self.offers[2].withdraw()
        self.clock.advance(SOON_S)
        self.assertEqual(self.clock.getDelayedCalls(), [])
