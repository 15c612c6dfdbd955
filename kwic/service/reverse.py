"""Reverse names and who holds them: which tunnels lead to an agent that serves a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kwic.service.watch import Watched
from kwic.transport.tunnel import Tunnel

#: One tunnel may offer so many names: a bound on what a peer can make us remember.
NAMES_PER_TUNNEL = 4096


class Names(Watched):
    """The names that agents offer, and the tunnels that offer them."""

    def __init__(self) -> None:
        super().__init__()
        self._holders: dict[str, dict[Tunnel, int]] = {}
        self._counts: dict[Tunnel, int] = {}

    def offer(self, name: str, tunnel: Tunnel) -> Callable[[], None] | None:
        """
        A tunnel offers a name.

        :returns: what takes the offer back; None when the tunnel offers too many names already.
        """
        if self._counts.get(tunnel, 0) >= NAMES_PER_TUNNEL:
            return None
        holders = self._holders.setdefault(name, {})
        holders[tunnel] = holders.get(tunnel, 0) + 1
        self._counts[tunnel] = self._counts.get(tunnel, 0) + 1
        self.changed()

        def withdraw() -> None:
            self._withdraw(name, tunnel)

        return withdraw

    def _withdraw(self, name: str, tunnel: Tunnel) -> None:
        _count_down(self._counts, tunnel)
        holders = self._holders.get(name, {})
        _count_down(holders, tunnel)
        if not holders:
            self._holders.pop(name, None)
        self.changed()

    def holders(self, name: str) -> tuple[Tunnel, ...]:
        """The tunnels through which a name can be reached now."""
        return tuple(tunnel for tunnel in self._holders.get(name, ()) if tunnel.usable)

    def held(self) -> Mapping[str, tuple[Tunnel, ...]]:
        """Every name and its usable tunnels."""
        return {name: holders for name in self._holders if (holders := self.holders(name))}

    def of(self, tunnel: Tunnel) -> tuple[str, ...]:
        """The names that a tunnel offers."""
        return tuple(name for name, holders in self._holders.items() if tunnel in holders)


def _count_down(counts: dict[Tunnel, int], tunnel: Tunnel) -> None:
    left = counts.get(tunnel, 0) - 1
    if left > 0:
        counts[tunnel] = left
    else:
        counts.pop(tunnel, None)
