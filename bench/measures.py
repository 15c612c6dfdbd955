"""How each figure is taken from a pair that runs."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Protocol

from bench import metrics
from bench.effort import Effort
from bench.errors import MeasureError
from bench.instructions import counted
from bench.lab import Lab
from bench.pair import Pair

LIMIT_S = 30.0
"""When a transfer or a series that should have taken a second or two is given up."""

IDLE_LIMIT_S = 120.0
"""When opening idle clients, one after the other, is given up."""

PROBE_BYTES = 64_000_000
"""What the first bulk transfer of a pair moves, in all; its rate decides how much the measured ones move."""

MOST_BYTES = 8_000_000_000
MESSAGE_BYTES = 64
MOST_ROUND_TRIPS = 1_000_000
AT_ONCE = 50
PROBE_CONNECTS = 100

MOST_CONNECTS = 20_000
"""In one series: a closed connection keeps its port for a while, and there are 28 000."""

SETTLE_S = 0.4
"""How long a program may take to tidy up before its memory is read."""

KIB = 1024
MIB = 1024 * 1024


class Measure(Protocol):
    """One thing that is measured in every round."""

    title: str

    def take(self, pair: Pair) -> dict[str, float]:
        """Measures once.

        :param pair: one that runs.
        :returns: values by metric key.
        :raises MeasureError: when something was lost or failed.
        """


class BulkMeasure:
    """Bytes one way, over one or several connections, on all cores of the lab.

    :param direction: `upload` or `download`.
    :param streams: how many connections.
    :param seconds: about how long one transfer lasts.
    :param counts_instructions: whether to count, beside time, what both gateways execute.
    """

    def __init__(
        self, direction: str, streams: int, seconds: float, *, counts_instructions: bool = False
    ) -> None:
        self.rate, self.cpu = metrics.BULK[direction, streams]
        self.title = self.rate.title
        self._direction = direction
        self._streams = streams
        self._seconds = seconds
        self._counted = metrics.INSTRUCTIONS[direction, streams] if counts_instructions else None
        self._bytes_per_stream: dict[str, int] = {}

    def take(self, pair: Pair) -> dict[str, float]:
        """The rate, and CPU seconds per 10^9 bytes of both gateways."""
        size = self._bytes_per_stream.get(pair.key) or self._size(pair)
        with counted(pair) if self._counted else nullcontext() as count:
            before_s = pair.cpu_s()
            moved = pair.lab.loadgen.bulk(self._direction, pair.front_port, self._streams, size, LIMIT_S)
            spent_s = pair.cpu_s() - before_s
        values = {self.rate.key: moved.mb_per_s}
        if pair.gateways:
            values[self.cpu.key] = spent_s / (moved.bytes_moved / 1e9)
        if self._counted and count:
            values[self._counted.key] = count.value / moved.bytes_moved
        return values

    def _size(self, pair: Pair) -> int:
        """How much to move on each connection, found out once for a pair."""
        probe = PROBE_BYTES // self._streams
        rate = pair.lab.loadgen.bulk(self._direction, pair.front_port, self._streams, probe, LIMIT_S).mb_per_s
        total = min(max(rate * 1e6 * self._seconds, PROBE_BYTES), MOST_BYTES)
        self._bytes_per_stream[pair.key] = size = int(total / self._streams)
        return size


class RoundTripMeasure:
    """Round trips of 64 bytes on one connection.

    :param cores: the cores that the client, the sink and both gateways share.
    :param seconds: how long.
    """

    def __init__(self, cores: tuple[int, ...], seconds: float) -> None:
        self._p50, self._p99 = metrics.ROUND_TRIPS[len(cores)]
        self.title = self._p50.title.removesuffix(", p50")
        self._cores = cores
        self._seconds = seconds

    def take(self, pair: Pair) -> dict[str, float]:
        """p50 and p99."""
        with pair.lab.only_on(self._cores, pair.gateways):
            trips = pair.lab.loadgen.ping(pair.front_port, MOST_ROUND_TRIPS, MESSAGE_BYTES, self._seconds)
        return {self._p50.key: trips.p50_us, self._p99.key: trips.p99_us}


class ConnectMeasure:
    """New connections: connect, one byte there and back, close; 50 at once.

    :param seconds: about how long.
    """

    title = metrics.CONNECTS.title

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._total: dict[str, int] = {}

    def take(self, pair: Pair) -> dict[str, float]:
        """The rate, how long the slow ones took, and what each cost both gateways."""
        loadgen = pair.lab.loadgen
        if pair.key not in self._total:
            rate = loadgen.connects(pair.front_port, AT_ONCE, PROBE_CONNECTS, LIMIT_S).per_s
            self._total[pair.key] = int(min(max(rate * self._seconds, PROBE_CONNECTS), MOST_CONNECTS))
        before_s = pair.cpu_s()
        made = loadgen.connects(pair.front_port, AT_ONCE, self._total[pair.key], LIMIT_S)
        values = {metrics.CONNECTS.key: made.per_s, metrics.CONNECT_P99.key: made.p99_us / 1000}
        if pair.gateways:
            values[metrics.CONNECT_CPU.key] = (pair.cpu_s() - before_s) / made.count * 1000
        return values


def measures_of(lab: Lab, effort: Effort) -> list[Measure]:
    """What every round consists of.

    :param lab: whose cores there are.
    :param effort: how long each takes.
    """
    found: list[Measure] = [
        BulkMeasure(direction, streams, effort.bulk_s) for direction, streams in metrics.BULK
    ]
    found.append(RoundTripMeasure(lab.cores[:1], effort.round_trips_s))
    if len(lab.cores) > 1:
        found.append(RoundTripMeasure(lab.cores[:2], effort.round_trips_s))
    found.append(ConnectMeasure(effort.connects_s))
    return found


def memory_of(pair: Pair, clients: int) -> dict[str, float]:
    """What a freshly started pair holds at rest, and how much more for each idle client.

    :param pair: just started.
    :param clients: how many idle clients.
    :raises MeasureError: when one of them was not served.
    """
    if not pair.gateways:
        return {}
    time.sleep(SETTLE_S)
    resting = [gateway.rss_bytes() for gateway in pair.gateways]
    before = pair.anonymous_bytes()
    values = {metrics.REST.key: sum(resting) / MIB, metrics.REST_LARGER.key: max(resting) / MIB}
    with pair.lab.loadgen.idle(pair.front_port, clients, IDLE_LIMIT_S):
        time.sleep(SETTLE_S)
        grown = pair.anonymous_bytes() - before
    if grown < 0:
        raise MeasureError("memory shrank while clients were connected")
    values[metrics.IDLE.key] = grown / clients / KIB
    return values


def verify(pair: Pair) -> None:
    """Every byte of a pattern, each way, on one and on several connections; before anything is timed.

    :param pair: one that runs.
    :raises MeasureError: when a byte is missing or wrong.
    """
    pair.lab.loadgen.verify(pair.front_port, 1, 20_000_000, LIMIT_S)
    pair.lab.loadgen.verify(pair.front_port, 10, 2_000_000, LIMIT_S)
