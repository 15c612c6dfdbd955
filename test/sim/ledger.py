"""What was broken when: the truth about the simulated world, against which the gateways are judged."""

from __future__ import annotations

from typing import Any

Thing = tuple[str, ...]
"""Something that can be broken: see the functions below."""

NAMES: Thing = ("names",)


def host(name: str) -> Thing:
    """A process: broken while it is dead or does nothing, or its machine is gone."""
    return ("host", name)


def leaving(name: str) -> Thing:
    """A process that was told to stop, until it is started again."""
    return ("leaving", name)


def cut_off(name: str) -> Thing:
    """A host whose cable is pulled, or that its firewall cuts off."""
    return ("cut off", name)


def way(a: str, b: str) -> Thing:
    """Packets from a to b."""
    return ("way", a, b)


def link(a: str, b: str) -> Thing:
    """What is between two hosts: broken while packets are lost in one direction or both."""
    return ("link", *sorted((a, b)))


class Ledger:
    """
    When things were broken.

    :param clock: for now.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._since: dict[Thing, float] = {}
        self._past: dict[Thing, list[tuple[float, float]]] = {}

    def broke(self, thing: Thing) -> None:
        """It is broken from now on."""
        self._since.setdefault(thing, self._clock.seconds())

    def mended(self, thing: Thing) -> None:
        """It is whole again."""
        since = self._since.pop(thing, None)
        if since is not None:
            self._past.setdefault(thing, []).append((since, self._clock.seconds()))

    def is_broken(self, thing: Thing) -> bool:
        return thing in self._since

    def since(self, thing: Thing) -> float | None:
        """Since when it has been broken without a break; None when it is whole."""
        return self._since.get(thing)

    def clean(self, thing: Thing, since_s: float) -> bool:
        """Whether it was whole from a time on until now."""
        if thing in self._since:
            return False
        past = self._past.get(thing)
        return not past or past[-1][1] < since_s

    def quiet_s(self) -> float:
        """For how long nothing has been broken; 0 while something is."""
        if self._since:
            return 0.0
        ends = [past[-1][1] for past in self._past.values()]
        return self._clock.seconds() - max(ends, default=float("-inf"))
