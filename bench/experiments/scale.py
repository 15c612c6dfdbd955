"""Very many idle clients and names on one pair: what each costs, and whether the pair still answers about itself."""

from __future__ import annotations

import http.client
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import MeasureError, SetupError
from bench.measures import KIB, MIB, SETTLE_S
from bench.pairs.kwic import Kwic
from bench.ports import LOOPBACK
from bench.progress import Progress
from bench.roundtrip import answers
from bench.section import Section
from bench.table import Table

CLIENTS = 10_000
NAMES = 1_000

STAGES = 3
"""Numbers of clients tried: a hundredth, a tenth, the whole."""

FEWEST = 50
"""Fewer clients cost less than can be measured."""

OPEN_LIMIT_S = 120.0
HOLD_S = 120.0
SPARE_FILES = 500
"""Open files of a gateway that are not clients and not listeners."""

ASKED = 20
"""How often each page is fetched while the clients are connected."""

PAGES = ("/status", "/metrics")
PAGE_LIMIT_MS = 100.0
FLAT = 1.5
"""How much more a client may cost among many than among few: memory, and CPU to accept it."""

NAME_READY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What so many clients showed.

    :param clients: how many.
    :param opening_s: until the last was served, one after the other.
    :param cpu_ms: of both gateways for accepting one.
    :param kib: of both gateways for each.
    :param pages_ms: by page, the slowest answer of either gateway.
    """

    clients: int
    opening_s: float
    cpu_ms: float
    kib: float
    pages_ms: dict[str, float]


def raise_file_limit(clients: int, names: int) -> None:
    """Raises the limit of open files as far as needed; gateways and clients inherit it.

    :param clients: how many clients there will be.
    :param names: how many listeners.
    :raises SetupError: when the system forbids it.
    """
    needed = clients + names + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(needed, soft), max(needed, hard)))
    except (ValueError, OSError) as error:
        raise SetupError(
            f"{clients} clients need {needed} open files a process, this system allows {hard} (ulimit -Hn): ask for fewer "
            f"with --scale N, or raise the limit"
        ) from error


def scale(pair: Kwic, clients: int, progress: Progress) -> Section:
    """Connects more and more idle clients, spread over all names.

    :param pair: one that runs, with as many names as wanted.
    :param clients: how many at most.
    :param progress: told what begins; `STAGES` + 1 steps.
    :raises MeasureError: when one is not served, or a page is not answered.
    """
    progress.step(f"scale: every one of {pair.names} names gives a byte back")
    names_s = _all_names_answer(pair)
    resting, empty = pair.rss_bytes(), pair.anonymous_bytes()
    stages = []
    for power in reversed(range(STAGES)):
        count = max(clients // 10**power, min(clients, FEWEST))
        progress.step(f"scale: {count} idle clients on {pair.names} names")
        stages.append(_stage(pair, count, empty))
    return _section(pair.names, names_s, resting, stages)


def _all_names_answer(pair: Kwic) -> float:
    started = time.monotonic()
    for number in range(pair.names):
        while not answers(pair.front_port + number):
            if time.monotonic() - started > NAME_READY_S:
                raise MeasureError(
                    f"name {number} of {pair.names} gave no byte back within {NAME_READY_S:.0f} s"
                )
    return time.monotonic() - started


def _stage(pair: Kwic, count: int, empty: int) -> Stage:
    """Connects so many clients; their memory is what is held above the pair that had none yet."""
    time.sleep(SETTLE_S)
    cpu_s = pair.cpu_s()
    with pair.lab.loadgen.idle(
        pair.front_port, count, OPEN_LIMIT_S, hold_s=HOLD_S, ports=min(pair.names, count)
    ) as opened:
        spent_s = pair.cpu_s() - cpu_s
        time.sleep(SETTLE_S)
        grown = pair.anonymous_bytes() - empty
        pages_ms = {page: max(_page_ms(port, page) for port in pair.admin_ports) for page in PAGES}
    return Stage(
        clients=count,
        opening_s=opened.opening_s,
        cpu_ms=spent_s / count * 1000,
        kib=grown / count / KIB,
        pages_ms=pages_ms,
    )


def _page_ms(port: int, page: str) -> float:
    """The median time of a page, connection included."""
    times = []
    for _ in range(ASKED):
        started = time.perf_counter()
        asked = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
        try:
            asked.request("GET", page)
            answer = asked.getresponse()
            answer.read()
        except OSError as error:
            raise MeasureError(f"{page} was not answered: {error}") from error
        finally:
            asked.close()
        if answer.status != http.client.OK:
            raise MeasureError(f"{page} was answered with {answer.status} {answer.reason}")
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def _section(names: int, names_s: float, resting: int, stages: Sequence[Stage]) -> Section:
    first, last = stages[0], stages[-1]
    slowest_ms = max(max(stage.pages_ms.values()) for stage in stages)
    cpu_growth = last.cpu_ms / first.cpu_ms if first.cpu_ms else 1.0
    return Section(
        title=f"{last.clients} idle clients and {names} names on one pair",
        table=Table(
            headings=(
                "idle clients",
                "opened in, s",
                "CPU each, ms",
                "KiB each",
                *(f"{page}, ms" for page in PAGES),
            ),
            rows=tuple(
                (
                    f"{stage.clients}",
                    f"{stage.opening_s:.2f}",
                    f"{stage.cpu_ms:.2f}",
                    f"{stage.kib:.1f}",
                    *(f"{stage.pages_ms[page]:.1f}" for page in PAGES),
                )
                for stage in stages
            ),
        ),
        verdict=f"both gateways hold {resting / MIB:.0f} MiB with {names} names and nobody connected (each name served within "
        f"{names_s:.1f} s); the slowest page takes {slowest_ms:.1f} ms (less than {PAGE_LIMIT_MS:.0f}); a client costs "
        f"{cpu_growth:.2f} × the CPU among {last.clients} as among {first.clients} (at most {FLAT:g} ×)",
        passed=slowest_ms < PAGE_LIMIT_MS and cpu_growth <= FLAT,
        data={
            "names": names,
            "names_answer_s": names_s,
            "resting_bytes": resting,
            "stages": [vars(stage) for stage in stages],
        },
    )
