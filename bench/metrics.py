"""The figures that are measured: what they are called, in what unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure.

    :param key: its name in JSON.
    :param title: its name in tables.
    :param unit: what it counts.
    :param higher_is_better: which way it should go.
    :param digits: after the decimal point, in tables.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool = False
    digits: int = 0

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}"

    def show(self, value: float) -> str:
        """A value as tables print it.

        :param value: in the metric's unit.
        """
        return f"{value:.{self.digits}f}"


def _bulk(direction: str, way: str, streams: int) -> tuple[Metric, Metric]:
    many = f"{streams} stream" + ("s" if streams > 1 else "")
    return (
        Metric(
            key=f"{direction}_{streams}_mb_per_s", title=f"{way} {many}", unit="MB/s", higher_is_better=True
        ),
        Metric(key=f"{direction}_{streams}_cpu_s_per_gb", title=f"CPU {way} {many}", unit="s/GB", digits=2),
    )


STREAMS = (1, 10)
"""How many streams bulk is measured with."""

BULK = {
    (direction, streams): _bulk(direction, way, streams)
    for streams in STREAMS
    for direction, way in (("upload", "up"), ("download", "down"))
}
"""By direction and number of streams: the rate, and the CPU seconds of both gateways."""

INSTRUCTIONS = {
    (direction, 1): Metric(
        key=f"{direction}_1_instructions_per_byte", title=f"instructions {way}", unit="a byte", digits=2
    )
    for direction, way in (("upload", "up"), ("download", "down"))
}
"""By direction and number of streams: what both gateways execute, where the machine counts it."""

ROUND_TRIPS = {
    cores: (
        Metric(key=f"{name}_p50_us", title=f"64 B there and back, {text}, p50", unit="µs"),
        Metric(key=f"{name}_p99_us", title=f"64 B there and back, {text}, p99", unit="µs"),
    )
    for cores, name, text in ((1, "one_core", "one core"), (2, "two_core", "two cores"))
}
"""By number of cores: p50 and p99."""

CONNECTS = Metric(key="connects_per_s", title="new connections", unit="1/s", higher_is_better=True)
CONNECT_P99 = Metric(key="connect_p99_ms", title="of these, p99", unit="ms", digits=1)
CONNECT_CPU = Metric(key="connect_cpu_ms", title="CPU a new connection", unit="ms", digits=2)
IDLE = Metric(key="idle_kib", title="memory an idle client", unit="KiB", digits=1)
REST = Metric(key="rest_mib", title="memory at rest, both", unit="MiB", digits=1)
REST_LARGER = Metric(key="rest_larger_mib", title="memory at rest, the larger", unit="MiB", digits=1)

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        *(pair[0] for pair in BULK.values()),
        *(pair[1] for pair in BULK.values()),
        *INSTRUCTIONS.values(),
        *(metric for pair in ROUND_TRIPS.values() for metric in pair),
        CONNECTS,
        CONNECT_P99,
        CONNECT_CPU,
        IDLE,
        REST,
        REST_LARGER,
    )
}
"""All of them, in the order of tables."""
