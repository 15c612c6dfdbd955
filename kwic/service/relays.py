"""The connections that are joined now: counted for the load, waited for by a drain."""

from __future__ import annotations

from collections.abc import Callable

from kwic.transport.relay import Relay


class Relays:
    """Every relay of the gateway."""

    def __init__(self) -> None:
        self._relays: dict[Relay, None] = {}
        self._when_empty: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._relays)

    def add(self, relay: Relay) -> None:
        """A client was joined."""
        self._relays[relay] = None

    def remove(self, relay: Relay) -> None:
        """A client is done."""
        self._relays.pop(relay, None)
        self._check()

    def when_empty(self, call: Callable[[], None]) -> None:
        """Be called once, when no client is left, which may be now."""
        self._when_empty = call
        self._check()

    def abort(self) -> None:
        """Reset every client that is left."""
        for relay in tuple(self._relays):
            relay.abort()

    def _check(self) -> None:
        if self._when_empty is not None and not self._relays:
            call, self._when_empty = self._when_empty, None
            call()
