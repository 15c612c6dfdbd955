"""Clients that stop reading: the others must not notice, and what waits for the stalled ones must be bounded."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.measures import LIMIT_S, MIB
from bench.pair import Pair
from bench.ports import LOOPBACK
from bench.progress import Progress
from bench.section import Section
from bench.spread import NOISE_FACTOR, ratios, standard_error
from bench.table import Table

ROUNDS = 8
STREAMS = 4
BYTES = 300_000_000
"""What the unstalled streams move in all, in one transfer."""

STALLED = 4
"""How many clients stall: half of them ask for a download and never read, half flood an echo and never read."""

ASKED_BYTES = 1_000_000_000
"""What a stalled download has asked for: enough to fill every buffer on its way many times over."""

FLOOD_S = 2.0

RATE_KEPT = 0.95
"""What the others must keep of their rate."""

MIB_A_STREAM = 8.0
"""What may wait in both gateways for one stalled client; a stream's window starts at a quarter of a MiB and may grow."""


def stall(pair: Pair, progress: Progress) -> Section:
    """Compares the rate of some streams with and without stalled clients beside them, in turns.

    :param pair: one that runs.
    :param progress: told what begins; `2 * ROUNDS` steps for each direction.
    :raises MeasureError: when bytes are lost.
    """
    rows: list[tuple[str, ...]] = []
    kept: dict[str, float] = {}
    passed = True
    held_mib = 0.0
    for direction in ("upload", "download"):
        alone: list[float] = []
        beside: list[float] = []
        for number in range(ROUNDS):
            progress.step(f"stall: {direction} alone, {number + 1} of {ROUNDS}")
            alone.append(_rate(pair, direction))
            progress.step(f"stall: {direction} beside {STALLED} stalled clients, {number + 1} of {ROUNDS}")
            before = pair.rss_bytes()
            with stalled_clients(pair.front_port):
                held_mib = max(held_mib, (pair.rss_bytes() - before) / MIB / STALLED)
                beside.append(_rate(pair, direction))
        found = ratios(beside, alone)
        kept[direction] = statistics.median(found)
        noise = NOISE_FACTOR * standard_error(found)
        passed = passed and kept[direction] + noise >= RATE_KEPT
        rows.append(
            (
                f"{direction}, {STREAMS} streams",
                f"{statistics.median(alone):.0f}",
                f"{statistics.median(beside):.0f}",
                f"{kept[direction]:.0%} ±{noise:.0%}",
            )
        )
    return Section(
        title=f"{STALLED} clients that stop reading",
        table=Table(headings=("", "alone, MB/s", "beside the stalled, MB/s", "kept"), rows=tuple(rows)),
        verdict=f"the others keep {min(kept.values()):.0%} of their rate (at least {RATE_KEPT:.0%}, beyond noise); "
        f"{held_mib:.1f} MiB wait in both gateways for each stalled client (at most {MIB_A_STREAM:.0f})",
        passed=passed and held_mib <= MIB_A_STREAM,
        data={"kept": kept, "held_mib_per_stalled_client": held_mib},
    )


@contextmanager
def stalled_clients(port: int) -> Iterator[None]:
    """Clients that have stopped reading, as long as the block runs.

    :param port: where they connect to.
    """
    clients = [_stalled(port, asks=number % 2 == 0) for number in range(STALLED)]
    try:
        deadline = time.monotonic() + FLOOD_S
        while time.monotonic() < deadline:
            for client in clients[1::2]:
                _flood(client)
            time.sleep(0.02)
        yield
    finally:
        for client in clients:
            client.close()


def _stalled(port: int, *, asks: bool) -> socket.socket:
    client = socket.create_connection((LOOPBACK, port), timeout=LIMIT_S)
    if asks:
        client.sendall(b"D" + bytes(7) + ASKED_BYTES.to_bytes(8, "little"))
    client.setblocking(False)
    return client


def _flood(client: socket.socket) -> None:
    """Sends what the socket takes; the first byte of it, an `e`, makes the sink echo."""
    block = b"e" * 65536
    try:
        for _ in range(64):
            client.send(block)
    except BlockingIOError:
        pass


def _rate(pair: Pair, direction: str) -> float:
    return pair.lab.loadgen.bulk(direction, pair.front_port, STREAMS, BYTES // STREAMS, LIMIT_S).mb_per_s
