"""Reverse names and who holds them: through which tunnels and waiting connections an agent can be reached that serves a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol as Interface

from kwic.service.watch import Watched

#: One tunnel may offer so many names: a bound on what a peer can make us remember.
NAMES_PER_TUNNEL = 4096


class Holder(Interface):
    """A tunnel that carries many clients, or a connection of an agent that waits for a single one."""

    #: The other end, in log lines.
    peer: str
    #: It left something unanswered: others are chosen first.
    suspect: bool

    @property
    def usable(self) -> bool:
        """Whether a client can be sent there now."""


class Names(Watched):
    """The names that agents offer, and what they are offered on."""

    def __init__(self) -> None:
        super().__init__()
        #: Grows with every offer that is made or taken back.
        self.version = 0
        self._holders: dict[str, dict[Holder, int]] = {}
        self._counts: dict[Holder, int] = {}

    def offer(self, name: str, holder: Holder) -> Callable[[], None] | None:
        """
        A name is offered; once the holder is ready, say so with `changed`.

        :returns: what takes the offer back; None when this holder offers too many names already.
        """
        if self._counts.get(holder, 0) >= NAMES_PER_TUNNEL:
            return None
        holders = self._holders.setdefault(name, {})
        holders[holder] = holders.get(holder, 0) + 1
        self._counts[holder] = self._counts.get(holder, 0) + 1
        self.version += 1

        def withdraw() -> None:
            self._withdraw(name, holder)

        return withdraw

    def _withdraw(self, name: str, holder: Holder) -> None:
        _count_down(self._counts, holder)
        holders = self._holders.get(name, {})
        _count_down(holders, holder)
        if not holders:
            self._holders.pop(name, None)
        self.version += 1
        self.changed()

    def offering(self, name: str) -> tuple[Holder, ...]:
        """On what a name is offered, whether or not a client can be sent there now."""
        return tuple(self._holders.get(name, ()))

    def holders(self, name: str) -> tuple[Holder, ...]:
        """Through what a name can be reached now."""
        return tuple(holder for holder in self._holders.get(name, ()) if holder.usable)

    def held(self) -> Mapping[str, tuple[Holder, ...]]:
        """Every name, and through what it can be reached."""
        return {name: holders for name in self._holders if (holders := self.holders(name))}

    def of(self, holder: Holder) -> tuple[str, ...]:
        """The names that are offered on one tunnel or connection."""
        return tuple(name for name, holders in self._holders.items() if holder in holders)


def _count_down(counts: dict[Holder, int], holder: Holder) -> None:
    left = counts.get(holder, 0) - 1
    if left > 0:
        counts[holder] = left
    else:
        counts.pop(holder, None)
