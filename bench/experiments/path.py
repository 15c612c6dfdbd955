"""Long and slow lines: one stream must fill them, many must share them, and interactive bytes must not wait behind bulk."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.errors import MeasureError
from bench.lab import Lab
from bench.line import Line, Shape
from bench.loadgen import Flows, Loadgen, RoundTrips, Target
from bench.pairs.kwic import Kwic, Site
from bench.progress import Progress
from bench.section import Section
from bench.spread import ratios
from bench.table import Table

LONG = Shape(delay_s=0.025)
"""As far as a city on the same continent, and as fast as this machine can."""

SLOW = Shape(delay_s=0.020, mbit=20, queue_bytes=100_000, congestion="cubic")
"""A small site's line. Its router holds what the line carries in one round trip, which is the usual advice, and cubic, which is Linux's own
default, keeps that filled: half of what is allowed to an interactive round trip is spent before anything of ours."""

REGION = "path"
UPWARD = {"up": True, "down": False}

ROUNDS = 3
WARM_S = 3.0
"""Slow start, and the growth of windows, are over after that."""

LOOK_S = 3.0
MANY = 100
MANY_LOOK_S = 6.0
PING_S = 6.0
SLOW_PING_S = 15.0
PING_BYTES = 64
PING_GAP_S = 0.01
MOST_PINGS = 100_000
LIMIT_S = 40.0

KEPT = 0.8
"""What one stream through both gateways must reach of what plain TCP reaches."""

FAIR = 0.5
"""What the slowest of many streams must move of what the fastest moves."""

BESIDE = 5.0
"""How much longer than alone the slow ones (p99) of interactive round trips may take beside a bulk stream."""

SLOW_LIMIT_MS = 120.0
"""How long nineteen of twenty (p95) may take on the slow line. When cubic has filled the router, a packet is lost, about once a second; whatever is
behind it waits a round trip more, as with every TCP connection. So the slowest two or three in a hundred show that, and not what waits with us."""


@dataclass(kw_only=True)
class Way:
    """What was seen in one direction of bulk.

    :param direction: `up` from the client to the server, or `down`.
    :param plain: rates of one stream of plain TCP, MB/s, a round each.
    :param ours: of one stream through both gateways, of the same rounds.
    :param many: of many streams through both gateways; None on the slow line.
    :param beside: interactive round trips beside one bulk stream, both through the gateways.
    :param plain_beside: the same with plain TCP.
    """

    direction: str
    beside: RoundTrips
    plain_beside: RoundTrips
    plain: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    many: Flows | None = None

    @property
    def kept(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(ratios(self.ours, self.plain))


class FarPair(Kwic):
    """Our pair at the two ends of a line: clients and cloud side near, on-prem side and server far."""

    def __init__(self, lab: Lab, line: Line) -> None:
        super().__init__(lab)
        self.sites = Site(line.near.prefix, line.near.address), Site(line.far.prefix, line.near.address)
        self.client = lab.loadgen.within(line.near.prefix)
        self.plain = f"{line.far.address}:{self.server_port}"
        self._sink = lab.loadgen.within(line.far.prefix).sink(
            f"0.0.0.0:{self.server_port}", self.folder / "far-sink.log"
        )

    def start(self) -> None:
        """The far server too."""
        self._sink.start()
        super().start()

    def stop(self) -> None:
        """The far server too."""
        super().stop()
        self._sink.stop()

    def answers(self) -> bool:
        """Asked from the near end."""
        try:
            self.client.ping(self.front_port, 1, 1, 1.0)
        except MeasureError:
            time.sleep(0.1)
            return False
        return True


STEPS = (1 + 2 * (2 + 2 * ROUNDS + 1)) + (1 + 2 * (2 + 2))
"""Of both lines."""


def long_line(lab: Lab, progress: Progress) -> Section:
    """One stream, many streams, and interactive ones beside bulk, on a long fast line.

    :param lab: for the load client, certificates and files.
    :param progress: told what begins.
    :raises SetupError: where no line can be laid.
    :raises MeasureError: when a stream breaks.
    """
    with Line(lab.folder, LONG) as line:
        pair = FarPair(lab, line)
        try:
            pair.start()
            progress.step("path: round trips alone")
            quiet = _pings(pair.client, pair.front_port)
            ways = [_way(pair, direction, progress, rounds=ROUNDS, many=True) for direction in UPWARD]
            return long_section(line.congestion(), quiet, ways)
        finally:
            pair.stop()


def slow_line(lab: Lab, progress: Progress) -> Section:
    """Interactive round trips beside one bulk stream on a slow line.

    :param lab: for the load client, certificates and files.
    :param progress: told what begins.
    :raises SetupError: where no line can be laid.
    :raises MeasureError: when a stream breaks.
    """
    with Line(lab.folder, SLOW) as line:
        pair = FarPair(lab, line)
        try:
            pair.start()
            progress.step("slow line: round trips alone")
            quiet = _pings(pair.client, pair.front_port)
            ways = [_way(pair, direction, progress, rounds=1, many=False) for direction in UPWARD]
            return slow_section(line.congestion(), quiet, ways)
        finally:
            pair.stop()


def _way(pair: FarPair, direction: str, progress: Progress, *, rounds: int, many: bool) -> Way:
    upward = UPWARD[direction]
    seconds = PING_S if many else SLOW_PING_S
    progress.step(f"path: round trips beside bulk {direction}, plain TCP")
    plain_beside = _beside(pair.client, pair.plain, upward=upward, seconds=seconds)
    progress.step(f"path: round trips beside bulk {direction}")
    way = Way(
        direction=direction,
        beside=_beside(pair.client, pair.front_port, upward=upward, seconds=seconds),
        plain_beside=plain_beside,
    )
    for number in range(rounds):
        targets: list[tuple[list[float], Target]] = [(way.plain, pair.plain), (way.ours, pair.front_port)]
        for rates, target in targets if number % 2 == 0 else targets[::-1]:
            progress.step(f"path: one stream {direction}, {number + 1} of {rounds}")
            rates.append(_flows(pair.client, target, 1, upward=upward, seconds=LOOK_S).mb_per_s)
    if many:
        progress.step(f"path: {MANY} streams {direction}")
        way.many = _flows(pair.client, pair.front_port, MANY, upward=upward, seconds=MANY_LOOK_S)
    return way


def _flows(client: Loadgen, target: Target, streams: int, *, upward: bool, seconds: float) -> Flows:
    return client.flows(target, streams, upward=upward, warm_s=WARM_S, seconds=seconds, limit_s=LIMIT_S)


def _pings(client: Loadgen, target: Target, seconds: float = PING_S) -> RoundTrips:
    return client.ping(target, MOST_PINGS, PING_BYTES, seconds, gap_s=PING_GAP_S)


def _beside(client: Loadgen, target: Target, *, upward: bool, seconds: float) -> RoundTrips:
    """Round trips while a bulk stream is at full speed."""
    with ThreadPoolExecutor(1) as pool:
        bulk = pool.submit(_flows, client, target, 1, upward=upward, seconds=seconds + 1.0)
        time.sleep(WARM_S)
        trips = _pings(client, target, seconds)
        bulk.result()
    return trips


def long_section(congestion: str, quiet: RoundTrips, ways: Sequence[Way]) -> Section:
    """What the long line says.

    :param congestion: what both ends use.
    :param quiet: round trips alone.
    :param ways: one of each direction.
    """
    slowest = max(way.beside.p99_us for way in ways) / quiet.p99_us
    fairness = min(way.many.fairness for way in ways if way.many is not None)
    kept = min(way.kept for way in ways)
    rows = []
    for way in ways:
        assert way.many is not None
        rows.append(
            (
                f"bulk {way.direction}",
                f"{statistics.median(way.plain):.1f}",
                f"{statistics.median(way.ours):.1f}",
                f"{way.kept:.0%}",
                f"{way.many.mb_per_s:.1f}",
                f"{way.many.fairness:.2f}",
                _ms(way.plain_beside.p99_us),
                _ms(way.beside.p99_us),
            )
        )
    return Section(
        title=f"A long line: {LONG.delay_s * 1000:.0f} ms each way ({congestion})",
        table=Table(
            headings=(
                "",
                "1 stream of plain TCP, MB/s",
                "1 stream of ours, MB/s",
                "kept",
                f"{MANY} streams of ours, MB/s",
                "slowest : fastest",
                "64 B beside bulk, plain TCP, p99, ms",
                "64 B beside bulk, ours, p99, ms",
            ),
            rows=tuple(rows),
        ),
        verdict=f"one stream reaches {kept:.0%} of plain TCP (at least {KEPT:.0%}); of {MANY} streams the slowest moves {fairness:.2f} of "
        f"what the fastest moves (at least {FAIR:g}); interactive round trips take {_ms(quiet.p99_us)} ms (p99) alone and "
        f"{slowest:.1f} × that beside a bulk stream (at most {BESIDE:g} ×)",
        passed=kept >= KEPT and fairness >= FAIR and slowest <= BESIDE,
        region=REGION,
        data={"quiet": vars(quiet), "ways": [_data(way) for way in ways]},
    )


def slow_section(congestion: str, quiet: RoundTrips, ways: Sequence[Way]) -> Section:
    """What the slow line says.

    :param congestion: what both ends use.
    :param quiet: round trips alone.
    :param ways: one of each direction.
    """
    slowest_us = max(way.beside.p95_us for way in ways)
    return Section(
        title=f"A slow line: {SLOW.mbit} Mbit/s, {2 * SLOW.delay_s * 1000:.0f} ms there and back ({congestion}, "
        f"{SLOW.queue_bytes // 1000} kB in the router)",
        table=Table(
            headings=(
                "",
                "bulk of plain TCP, MB/s",
                "bulk of ours, MB/s",
                *(
                    f"64 B beside it, {which}, ms"
                    for which in ("plain TCP, p95", "ours, p50", "p95", "p99", "longest")
                ),
            ),
            rows=tuple(
                (
                    f"bulk {way.direction}",
                    f"{statistics.median(way.plain):.2f}",
                    f"{statistics.median(way.ours):.2f}",
                    _ms(way.plain_beside.p95_us),
                    _ms(way.beside.p50_us),
                    _ms(way.beside.p95_us),
                    _ms(way.beside.p99_us),
                    _ms(way.beside.most_us),
                )
                for way in ways
            ),
        ),
        verdict=f"beside a bulk stream an interactive round trip takes {_ms(slowest_us)} ms (p95; less than {SLOW_LIMIT_MS:.0f}), alone "
        f"{_ms(quiet.p95_us)}",
        passed=slowest_us < SLOW_LIMIT_MS * 1000,
        region=REGION,
        data={"quiet": vars(quiet), "ways": [_data(way) for way in ways]},
    )


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1000:.0f}"


def _data(way: Way) -> dict[str, object]:
    return {
        "direction": way.direction,
        "plain": way.plain,
        "ours": way.ours,
        "many": list(way.many.each) if way.many else None,
        "beside": vars(way.beside),
        "plain_beside": vars(way.plain_beside),
    }
