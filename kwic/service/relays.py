"""The clients of a gateway: those that are joined now, counted for the load, and those that wait to be; a drain waits for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Interface


class Joined(Interface):
    """A client that is served: joined with the far end, or by ourselves."""

    def abort(self) -> None:
        """Reset it."""


class Waiting(Interface):
    """A client for which the far end is being dialled."""

    def give_up(self, why: str) -> None:
        """Tell it that it waits in vain."""


class Relays:
    """Every client of the gateway that is served, and every one that is not yet."""

    def __init__(self) -> None:
        self._relays: dict[Joined, None] = {}
        self._waiting: dict[Waiting, None] = {}
        self._when_empty: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def clients(self) -> int:
        """How many clients there are, joined or not."""
        return len(self._relays) + len(self._waiting)

    def expect(self, waiting: Waiting) -> None:
        """A client came."""
        self._waiting[waiting] = None

    def decided(self, waiting: Waiting) -> None:
        """A client was joined, or turned away, or has left."""
        self._waiting.pop(waiting, None)
        if self._when_empty is not None:
            self._check()

    def add(self, relay: Joined) -> None:
        """A client was joined."""
        self._relays[relay] = None

    def remove(self, relay: Joined) -> None:
        """A client is done."""
        self._relays.pop(relay, None)
        if self._when_empty is not None:
            self._check()

    def when_empty(self, call: Callable[[], None]) -> None:
        """Be called once, when no client is left, which may be now."""
        self._when_empty = call
        self._check()

    def abort(self) -> None:
        """Reset every client that is left."""
        for waiting in tuple(self._waiting):
            waiting.give_up("the gateway stops")
        for relay in tuple(self._relays):
            relay.abort()

    def _check(self) -> None:
        if self._when_empty is not None and not self.clients:
            call, self._when_empty = self._when_empty, None
            call()
