"""Many connections one after the other: memory must not grow with them."""

from __future__ import annotations

import time

from bench.measures import AT_ONCE, KIB, MIB, SETTLE_S
from bench.pair import Pair
from bench.progress import Progress
from bench.section import Section
from bench.spread import slope
from bench.table import Table

BATCHES = 20

WARM_UP = 5
"""Batches that do not count: caches and allocators fill up first."""

BYTES_A_CONNECTION = 32.0
"""Growth that still is flat: 3 MB for 100 000 connections, less than the steps in which an allocator takes memory."""

BATCH_LIMIT_S = 120.0


def soak(pair: Pair, connections: int, progress: Progress) -> Section:
    """Opens and closes connections in batches and looks at the memory of both gateways after each.

    :param pair: one that runs.
    :param connections: how many in all.
    :param progress: told what begins; `BATCHES` steps.
    :raises MeasureError: when a connection fails.
    """
    size = max(connections // BATCHES, 1)
    done: list[int] = []
    memory: list[int] = []
    rates: list[float] = []
    for number in range(1, BATCHES + 1):
        progress.step(f"soak: {size * number} of {size * BATCHES} connections")
        made = pair.lab.loadgen.connects(pair.front_port, AT_ONCE, size, BATCH_LIMIT_S)
        time.sleep(SETTLE_S)
        done.append(made.count + (done[-1] if done else 0))
        memory.append(pair.rss_bytes())
        rates.append(made.per_s)
    growth = slope(done[WARM_UP:], memory[WARM_UP:])
    passed = growth <= BYTES_A_CONNECTION and done[-1] == size * BATCHES
    shown = [0, *range(WARM_UP - 1, BATCHES, WARM_UP)]
    return Section(
        title=f"{done[-1]} connections, {AT_ONCE} at once",
        table=Table(
            headings=("connections so far", "memory of both, MiB", "rate, 1/s"),
            rows=tuple((f"{done[at]}", f"{memory[at] / MIB:.1f}", f"{rates[at]:.0f}") for at in shown),
        ),
        verdict=f"{done[-1]} of {size * BATCHES} connections served; after a warm-up of {done[WARM_UP - 1]}, memory "
        f"{'grows' if growth > 0 else 'changes'} by {growth:.1f} bytes a connection "
        f"({growth * 100_000 / KIB:.0f} KiB in 100 000); up to {BYTES_A_CONNECTION:.0f} bytes is flat",
        passed=passed,
        data={"connections": done, "rss_bytes": memory, "per_s": rates, "bytes_per_connection": growth},
    )
