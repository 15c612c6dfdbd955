"""Which path to try first.

1. What was tried is left out, and so is what is leaving.
2. The healthy before the suspected: a suspected path is used only when no other is left.
3. Then those to a peer that was not tried before those to one that was: a peer may be reached on several paths, and one that is silent, or
   refuses, does so on all of them. Of a peer that was tried, first what stands elsewhere in the configuration: it is another name.
4. Those of this node that answer much later than its quickest stand behind all others: a line that loses packets carries no new client
   while a good one is there.
5. Then the order of the configuration (`priority`).
6. Then paths of this node before those through another, which cost a hop more.
7. Then the fewest open streams, and among equals any.

The own node stands behind health on purpose: a client is better served through a neighbour than through a silent tunnel of our own. So do
slow lines and the order of the configuration behind peers: few paths are tried for one client, too few to spend two on one peer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from math import inf

#: A path answers much later than the quickest when it takes so many times as long, and so many seconds more: less is only distance.
SLOW_FACTOR = 4.0
SLOW_S = 0.2


@dataclass(kw_only=True, slots=True, eq=False)
class Candidate:
    """What is known of one path. Nobody changes it; it is not frozen because one is made for each path of each client, and that takes thrice as long."""

    key: Hashable
    """What it is, for the caller."""

    peer: Hashable = None
    """Who is at its far end; None when that is not known."""

    local: bool = True
    """Whether this node has it, and not another member of the cluster."""

    healthy: bool = True
    """Whether nothing speaks against it."""

    leaving: bool = False
    """Whether its far end asked for nothing new."""

    load: int = 0
    """Open streams."""

    priority: int = 0
    """Its place in the configuration: lower goes first."""

    delay_s: float | None = None
    """How long its next hop takes to answer; None when that is not known."""


def order(
    candidates: Iterable[Candidate], *, random: Callable[[], float], tried: Collection[Candidate] = ()
) -> list[Candidate]:
    """Put paths in the order in which to try them.

    :param candidates: what there is.
    :param random: draws evenly from [0, 1), for ties.
    :param tried: those that are to be left out, as they were when they were tried.
    :returns: the best first.
    """
    usable = _usable(candidates, tried)
    return sorted(usable, key=_rank(usable, random, tried))


def best(
    candidates: Iterable[Candidate], *, random: Callable[[], float], tried: Collection[Candidate] = ()
) -> Candidate | None:
    """The path to try next.

    :returns: the first of `order`, or None when none is left.
    """
    usable = _usable(candidates, tried)
    if len(usable) > 1:
        return min(usable, key=_rank(usable, random, tried))
    return usable[0] if usable else None


def _usable(candidates: Iterable[Candidate], tried: Collection[Candidate]) -> list[Candidate]:
    """Those that may be tried."""
    keys = {one.key for one in tried} if tried else ()
    return [one for one in candidates if not one.leaving and one.key not in keys]


def _rank(
    usable: Iterable[Candidate], random: Callable[[], float], tried: Iterable[Candidate]
) -> Callable[[Candidate], tuple[object, ...]]:
    """What paths are compared by: the lowest goes first."""
    peers = {one.peer for one in tried if one.peer is not None}
    names = {(one.peer, one.priority) for one in tried if one.peer is not None}
    slow_s = _slow_s(usable)

    def rank(one: Candidate) -> tuple[object, ...]:
        return (
            not one.healthy,
            one.peer in peers,
            (one.peer, one.priority) in names,
            one.local and one.delay_s is not None and one.delay_s > slow_s,
            one.priority,
            not one.local,
            one.load,
            random(),
        )

    return rank


def _slow_s(candidates: Iterable[Candidate]) -> float:
    """The delay above which a path of this node is slow."""
    delays = [one.delay_s for one in candidates if one.local and one.healthy and one.delay_s is not None]
    return min(delays) * SLOW_FACTOR + SLOW_S if delays else inf
