"""How long a run measures: a trade of minutes for certainty."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a run spends.

    :param rounds: how often every measure of every pair is taken, in turn.
    :param bulk_s: about how long one bulk transfer lasts.
    :param round_trips_s: how long one series of round trips lasts.
    :param connects_s: about how long one series of connections lasts.
    :param idle_clients: at most so many idle clients.
    """

    rounds: int
    bulk_s: float
    round_trips_s: float
    connects_s: float
    idle_clients: int


FULL = Effort(rounds=3, bulk_s=1.5, round_trips_s=1.5, connects_s=2.0, idle_clients=2000)
"""Some four minutes with every peer of a Debian machine."""

QUICK = Effort(rounds=2, bulk_s=0.3, round_trips_s=0.3, connects_s=0.4, idle_clients=1000)
"""A bit over a minute with the same; good enough to see a factor, not a few per cent."""
