"""One instance as one process and as two: two workers on two cores must take far more new connections than one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench import proc
from bench.daemon import Daemon
from bench.gateway_files import CONFIG
from bench.lab import Lab
from bench.measures import AT_ONCE, LIMIT_S
from bench.pairs.kwic import Kwic
from bench.progress import Progress
from bench.quota import Quota
from bench.section import Section
from bench.spread import NOISE_FACTOR, ratios, standard_error
from bench.table import Table

ROUNDS = 6
WORKERS = 2
CONNECTS = 6_000
"""In one series."""

SHARE = 0.3
"""Of a core, for each process of the gateway, where such parts can be given: client and server need what they leave."""

FACTOR = 1.6
"""What two workers must take of what one takes."""

SERVICE = """\
    <service>
        <name>relay</name>
        <accept>tcp://127.0.0.1:{front}</accept>
        <connect>tcp://127.0.0.1:{back}</connect>
        <type>proxy</type>
    </service>
"""


class OneGateway(Kwic):
    """A single gateway between the client and the sink, so that it is what limits the rate.

    :param lab: what all share.
    :param workers: how many processes it is.
    """

    def __init__(self, lab: Lab, workers: int) -> None:
        super().__init__(lab)
        self.workers = workers

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The one."""
        services = SERVICE.format(front=self.front_port, back=self.lab.sink_port)
        certificates = self.lab.certificates
        config = CONFIG.format(
            services=services, keystore=certificates.server.both, truststore=certificates.client.ca
        )
        return (self._gateway(f"{self.workers}-workers", config, 0, f"--workers={self.workers}"),)

    def processes(self) -> list[int]:
        """Those that serve clients: the one, or the workers below their supervisor."""
        family = [stat.pid for stat in proc.family(self.gateways[0].pid, proc.all_stats())]
        return family[1:] or family


@dataclass(frozen=True, kw_only=True)
class Rates:
    """New connections a second, a round each.

    :param one: with one process.
    :param several: with several, of the same rounds.
    """

    one: list[float]
    several: list[float]

    @property
    def factor(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(ratios(self.several, self.one))

    @property
    def noise(self) -> float:
        """How far the median may be off."""
        return NOISE_FACTOR * standard_error(ratios(self.several, self.one))


def workers(pair: OneGateway, several: OneGateway, quota: Quota | None, progress: Progress) -> Section:
    """Measures both in turns.

    :param pair: with one process, running.
    :param several: with several, running.
    :param quota: gives each process its part of a core; None where all share the cores.
    :param progress: told what begins; `2 * ROUNDS` steps.
    :raises MeasureError: when a connection fails.
    """
    if quota is not None:
        quota.give([*pair.processes(), *several.processes()])
    rates = Rates(one=[], several=[])
    for number in range(ROUNDS):
        turns: Sequence[tuple[OneGateway, list[float]]] = ((pair, rates.one), (several, rates.several))
        for gateway, found in turns if number % 2 else turns[::-1]:
            progress.step(f"workers: {gateway.workers}, round {number + 1} of {ROUNDS}")
            made = gateway.lab.loadgen.connects(gateway.front_port, AT_ONCE, CONNECTS, LIMIT_S)
            found.append(made.per_s)
    return section(rates, several.workers, None if quota is None else SHARE)


def section(rates: Rates, count: int, share: float | None) -> Section:
    """What the rates say.

    :param rates: of all rounds.
    :param count: how many workers there were.
    :param share: what part of a core each process had; None when all shared them.
    """
    cores = "client and server on the same cores" if share is None else f"each with {share} of a core"
    return Section(
        title=f"One gateway as one process and as {count}",
        table=Table(
            headings=("workers", "new connections, 1/s"),
            rows=(
                ("1", f"{statistics.median(rates.one):.0f}"),
                (f"{count}", f"{statistics.median(rates.several):.0f}"),
            ),
        ),
        verdict=f"{count} workers take {rates.factor:.2f} × ±{rates.noise:.2f} what one takes, {cores}; "
        f"{FACTOR} × or the noise below it is wanted",
        passed=rates.factor + rates.noise >= FACTOR,
        region="workers",
        data={"one": rates.one, "several": rates.several},
    )
