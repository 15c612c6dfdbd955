"""Clients that stop reading: the others must not notice, and what waits for the stalled ones must be bounded."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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

TELLING = 0.1
"""Noise above which a result says little."""

MIB_A_STREAM = 8.0
"""What may wait in both gateways for one stalled client; a stream's window starts at a quarter of a MiB and may grow."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What streams in one direction kept of their rate.

    :param direction: `upload` or `download`.
    :param alone: their rates without stalled clients, MB/s, a round each.
    :param beside: with them, of the same rounds.
    :param held_mib: what both gateways grew by for each stalled client, at most.
    """

    direction: str
    alone: list[float]
    beside: list[float]
    held_mib: float

    @property
    def part(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(ratios(self.beside, self.alone))

    @property
    def noise(self) -> float:
        """How far the median may be off."""
        return NOISE_FACTOR * standard_error(ratios(self.beside, self.alone))

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it: enough was kept, or less by no more than noise."""
        return self.part + self.noise >= RATE_KEPT and self.held_mib <= MIB_A_STREAM

    @property
    def row(self) -> tuple[str, ...]:
        """A row of the table."""
        return (
            f"{self.direction}, {STREAMS} streams",
            f"{statistics.median(self.alone):.0f}",
            f"{statistics.median(self.beside):.0f}",
            f"{self.part:.0%} ±{self.noise:.0%}",
        )


def stall(pair: Pair, progress: Progress) -> Section:
    """Compares the rate of some streams with and without stalled clients beside them, in turns.

    :param pair: one that runs.
    :param progress: told what begins; `2 * ROUNDS` steps for each direction.
    :raises MeasureError: when bytes are lost.
    """
    return section([_measure(pair, direction, progress) for direction in ("upload", "download")])


def section(found: Sequence[Kept]) -> Section:
    """What both directions say.

    :param found: one of each.
    """
    noise = max(kept.noise for kept in found)
    held_mib = max(kept.held_mib for kept in found)
    unsure = f" (this machine is too busy to say it better than ±{noise:.0%})" if noise > TELLING else ""
    return Section(
        title=f"{STALLED} clients that stop reading",
        table=Table(
            headings=("", "alone, MB/s", "beside the stalled, MB/s", "kept"),
            rows=tuple(kept.row for kept in found),
        ),
        verdict=f"the others keep {min(kept.part for kept in found):.0%} of their rate, {RATE_KEPT:.0%} or the noise below it "
        f"is wanted{unsure}; {held_mib:.1f} MiB wait in both gateways for each stalled client (at most {MIB_A_STREAM:.0f})",
        passed=all(kept.passed for kept in found),
        data={"rates": [vars(kept) for kept in found]},
    )


def _measure(pair: Pair, direction: str, progress: Progress) -> Kept:
    """Alone and beside, then beside and alone: what one leaves behind hits both alike."""
    alone: list[float] = []
    beside: list[float] = []
    held_mib = 0.0
    for number in range(ROUNDS):
        for stalls in (number % 2 == 1, number % 2 == 0):
            company = f"beside {STALLED} stalled clients" if stalls else "alone"
            progress.step(f"stall: {direction} {company}, {number + 1} of {ROUNDS}")
            if not stalls:
                alone.append(_rate(pair, direction))
                continue
            before = pair.rss_bytes()
            with stalled_clients(pair.front_port):
                held_mib = max(held_mib, (pair.rss_bytes() - before) / MIB / STALLED)
                beside.append(_rate(pair, direction))
    return Kept(direction=direction, alone=alone, beside=beside, held_mib=held_mib)


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
