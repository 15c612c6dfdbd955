"""Tests of the count of clients."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from kwic.service.relays import Relays


class Client:
    """Stands for a relay, or for a client that waits for one."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def abort(self) -> None:
        self.ends.append("aborted")

    def give_up(self, why: str) -> None:
        self.ends.append(why)


class RelaysTests(SynchronousTestCase):
    """The clients of a gateway."""

    def setUp(self) -> None:
        self.relays = Relays()
        self.joined: Any = Client()
        self.waiting: Any = Client()
        self.relays.add(self.joined)
        self.relays.expect(self.waiting)

    def test_load(self) -> None:
        """Only those that are joined are a load; those that wait are clients all the same."""
        self.assertEqual((len(self.relays), self.relays.clients), (1, 2))

    def test_drain(self) -> None:
        """A drain waits for the joined and for the waiting, and a client that is joined meanwhile is waited for, too."""
        empty: list[int] = []
        self.relays.when_empty(lambda: empty.append(1))
        self.relays.remove(self.joined)
        self.assertEqual(empty, [])
        self.relays.add(self.joined)
        self.relays.decided(self.waiting)
        self.assertEqual(empty, [])
        self.relays.remove(self.joined)
        self.assertEqual(empty, [1])

    def test_abort(self) -> None:
        """The joined are reset, the waiting are told why they wait in vain."""
        self.relays.abort()
        self.assertEqual((self.joined.ends, self.waiting.ends), (["aborted"], ["the gateway stops"]))
