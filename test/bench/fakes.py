"""A pair without programs, for the tests of what measures pairs."""

from __future__ import annotations

from typing import Any

from bench.errors import MeasureError
from bench.loadgen import Bulk, Connects


class FakeLoadgen:
    """Answers at once, and remembers what it was asked.

    :param pair: whose CPU and memory its work costs.
    """

    def __init__(self, pair: FakePair) -> None:
        self._pair = pair
        self.calls: list[tuple[Any, ...]] = []

    def bulk(self, direction: str, port: int, streams: int, size: int, limit_s: float) -> Bulk:
        self.calls.append((direction, streams, size))
        self._pair.spent_s += self._pair.cpu_s_per_gb * streams * size / 1e9
        return Bulk(bytes_moved=streams * size, mb_per_s=self._pair.rate)

    def connects(self, port: int, at_once: int, total: int, limit_s: float) -> Connects:
        self.calls.append(("connects", at_once, total))
        self._pair.memory += self._pair.leak * total
        return Connects(count=total, per_s=1000.0, p50_us=1.0, p99_us=2.0)


class FakePair:
    """Looks like a pair to whoever measures it."""

    is_c_relay = False
    front_port = 1
    idle_clients = 10

    def __init__(self, key: str, *, starts: bool = True) -> None:
        self.key = self.title = key
        self.starts = starts
        self.rate = 500.0
        self.cpu_s_per_gb = 2.0
        self.spent_s = 0.0
        self.memory = 50_000_000
        self.leak = 0
        self.gateways = (object(),)
        self.loadgen = FakeLoadgen(self)
        self.lab = self
        self.events: list[str] = []

    def start(self) -> None:
        self.events.append("start")
        if not self.starts:
            raise MeasureError("port taken")

    def stop(self) -> None:
        self.events.append("stop")

    def cpu_s(self) -> float:
        return self.spent_s

    def rss_bytes(self) -> int:
        return self.memory
