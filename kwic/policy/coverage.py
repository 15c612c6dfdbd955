"""
Whether every node of the other side is reached: what an agent decides about the tunnels it keeps.

Nodes make themselves known when a tunnel comes up, and a node of a cluster says how many there are. Where nobody says, a node that was
met and is gone is looked for again, and so are nodes that may hide behind one address when more than one tunnel to it was asked for:

1. Announced nodes (a cluster counts its live members): some are missing when fewer are reached than announced.
2. No announcement: some are missing when one that was reached within `REMEMBER_S` is not reached now.
3. None is missing, but one is reached by two tunnels less than another: it came back when the tunnels had gone to the other.
4. No announcement, and more tunnels asked for than nodes reached: some may be missing; they are looked for at leisure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

Key = TypeVar("Key")

#: Seconds for which a node that was reached once is looked for when nobody says how many nodes there are.
REMEMBER_S = 3600.0


class Missing(Enum):
    """Whether nodes are there that no tunnel reaches, or too few."""

    NONE = "every node that we know of is reached"
    PERHAPS = "there may be more"
    UNEVEN = "every node that we know of is reached, one of them by too few of the tunnels"
    KNOWN = "there are more"


class Coverage:
    """
    Which nodes are known to one uplink.

    :param prepared: how many tunnels were asked for to each address.
    """

    def __init__(self, prepared: int) -> None:
        self._prepared = prepared
        self._announced: int | None = None
        self._seen: dict[str, float] = {}

    def reached(self, node: str, now_s: float) -> None:
        """A tunnel to a node is up, or was until now."""
        self._seen[node] = now_s

    def announced(self, count: int | None) -> None:
        """The other side says how many nodes it has; None: it does not say."""
        self._announced = count

    def missing(self, nodes: Iterable[str], now_s: float) -> Missing:
        """
        Whether nodes are there that no tunnel reaches, or too few.

        :param nodes: the name of the node that each tunnel leads to now.
        """
        now = Counter(nodes)
        least, most = min(now.values(), default=0), max(now.values(), default=0)
        otherwise = Missing.UNEVEN if most - least > 1 else Missing.NONE
        if self._announced is not None:
            return Missing.KNOWN if len(now) < self._announced else otherwise
        for node in [node for node, seen in self._seen.items() if now_s - seen > REMEMBER_S]:
            del self._seen[node]
        if set(self._seen) - set(now):
            return Missing.KNOWN
        if otherwise is Missing.NONE and len(now) < self._prepared:
            return Missing.PERHAPS
        return otherwise


def welcome(instance: str, others: Iterable[str]) -> bool:
    """
    Whether to keep one more tunnel than are wanted, so that `surplus` gives up another one.

    :param instance: the instance that it leads to.
    :param others: the instances that the other tunnels lead to.
    :returns: true when there is none to it yet, or two less than to another instance.
    """
    counts = Counter(others)
    return not counts[instance] or counts[instance] <= max(counts.values()) - 2


def surplus(instances: Mapping[Key, str], streams: Mapping[Key, int]) -> Key | None:
    """
    The tunnel to give up when there are more than wanted: one to the instance that has most of them, the one with the fewest streams.

    :param instances: the instance that each tunnel leads to.
    :param streams: how many streams each tunnel carries.
    :returns: None when every instance has only one.
    """
    counts = Counter(instances.values())
    candidates = [key for key, instance in instances.items() if counts[instance] > 1]
    return min(candidates, key=lambda key: (-counts[instances[key]], streams[key]), default=None)
