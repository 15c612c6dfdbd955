"""
Connections that are not through yet: TLS is being agreed on, or the peer has not said what it wants. They are bounded in time and in number.

When there are too many, the oldest goes: it had its time, and a flood of silent connections must not lock out those who speak.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: From the TCP connect until the connection is through.
HANDSHAKE_S = 5.0
#: So many at a time: with TLS about 100 KiB each.
MAXIMUM_HANDSHAKES = 1000


class Handshakes:
    """
    Those of one listener.

    :param clock: for the deadlines.
    :param timeout_s: the time of each.
    :param maximum: how many may be under way.
    """

    def __init__(
        self, clock: IReactorTime, *, timeout_s: float = HANDSHAKE_S, maximum: int = MAXIMUM_HANDSHAKES
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._maximum = maximum
        self._under_way: dict[Handshake, None] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def began(self, give_up: Callable[[], None]) -> Handshake:
        """
        A connection was made.

        :param give_up: drops it.
        :returns: to be told when it is through, or gone.
        """
        if len(self._under_way) >= self._maximum:
            next(iter(self._under_way)).give_up()
        handshake = Handshake(self._forget, give_up)
        handshake.deadline = self._clock.callLater(self._timeout_s, handshake.give_up)
        self._under_way[handshake] = None
        return handshake

    def give_up(self) -> None:
        """Drop all: the listener was closed."""
        for handshake in tuple(self._under_way):
            handshake.give_up()

    def _forget(self, handshake: Handshake) -> None:
        self._under_way.pop(handshake, None)


class Handshake:
    """One of them."""

    def __init__(self, forget: Callable[[Handshake], None], give_up: Callable[[], None]) -> None:
        self._forget = forget
        self._give_up = give_up
        self.deadline: IDelayedCall | None = None

    def done(self) -> None:
        """The connection is through, or gone. May be said more than once."""
        self._forget(self)
        if self.deadline is not None and self.deadline.active():
            self.deadline.cancel()
        self.deadline = None

    def give_up(self) -> None:
        """It took too long, or others need the room."""
        self.done()
        self._give_up()
