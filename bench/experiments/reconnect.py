"""Very many agents that lose their tunnels at one moment: all must be back soon, and those that were not cut must not notice."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.certificates import HOST
from bench.daemon import Daemon
from bench.errors import MeasureError
from bench.experiments.scale import raise_file_limit
from bench.gateway_files import Rendezvous, cloud_config, joined, onprem_config
from bench.lab import Lab
from bench.loadgen import RoundTrips
from bench.pairs.kwic import ROOT, Kwic
from bench.ports import LOOPBACK
from bench.progress import Progress
from bench.roundtrip import answers
from bench.section import Section
from bench.table import Table

AGENTS = 1000
REGION = "reconnect"
STEPS = 4

BACK_S = 10.0
"""Within so many seconds all are to be back."""

STALL_MS = 1000.0
"""How long streams that are open meanwhile may stand still."""

OPEN = 8
"""How many such streams."""

PING_BYTES = 64
PING_GAP_S = 0.03
MOST_PINGS = 100_000
WATCH_S = 15.0
START_LIMIT_S = 120.0
LIMIT_S = 60.0
POLL_S = 0.1


class Sight(NamedTuple):
    """What the agents said at one moment.

    :param at_s: when, on the monotonic clock.
    :param up: how many had a tunnel.
    :param resumed: TLS handshakes so far that resumed a session.
    :param full: those that did not.
    """

    at_s: float
    up: int
    resumed: int
    full: int

    @property
    def made(self) -> int:
        """All handshakes so far."""
        return self.resumed + self.full


@dataclass(frozen=True, kw_only=True)
class Return:
    """How they came back.

    :param what: what had happened to them.
    :param agents: how many.
    :param half_s: until half as many new tunnels were made.
    :param all_s: until the last had, and the gateway knew it.
    :param busiest: how many came in the busiest second.
    :param resumed: handshakes with a session ticket.
    :param full: handshakes without.
    :param stall_ms: the longest round trip of the streams that were open.
    :param cpu_ms: what each cost the gateway.
    """

    what: str
    agents: int
    half_s: float
    all_s: float
    busiest: int
    resumed: int
    full: int
    stall_ms: float
    cpu_ms: float

    @property
    def passed(self) -> bool:
        """Whether all were quick, and disturbed nobody."""
        return self.all_s <= BACK_S and self.stall_ms <= STALL_MS


class Crowd(Kwic):
    """Our pair, and very many agents on its cloud side.

    :param lab: what all pairs share.
    :param count: how many agents.
    """

    def __init__(self, lab: Lab, count: int) -> None:
        super().__init__(lab)
        self.count = count
        self.agents_port = lab.ports.one()
        self.agents_middle = lab.ports.one()
        self._said = self.folder / "agents.log"
        self._agents: Daemon | None = None

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The cloud side knows the agents' name as well, and listens for them on a port of their own."""
        ours, theirs = (
            Rendezvous(host=HOST, port=port, certificates=self.lab.certificates)
            for port in (self.middle_port, self.agents_middle)
        )
        cloud = joined(
            cloud_config(ours, ["bench"], self.front_port), cloud_config(theirs, ["agents"], self.agents_port)
        )
        self._agents_path = self.folder / "agents-config.xml"
        self._agents_path.write_text(onprem_config(theirs, ["agents"], self.server_port), encoding="utf-8")
        return (
            self._gateway("cloud", cloud, 0),
            self._gateway("onprem", onprem_config(ours, ["bench"], self.server_port), 1),
        )

    def start_agents(self) -> None:
        """All of them, and wait until they have their tunnels.

        :raises MeasureError: they do not get them.
        """
        command = ["-m", "bench.agents", str(self._agents_path), str(self.count), f"{HOST}={LOOPBACK}"]
        self._agents = Daemon(
            "the agents",
            [sys.executable, *command],
            log=self._said,
            environ={**os.environ, "PYTHONPATH": str(ROOT)},
            folder=ROOT,
        )
        self._agents.start()
        self.wait(lambda: self.sights() and self.sights()[-1].up == self.count, START_LIMIT_S)

    def stop(self) -> None:
        """The agents too."""
        if self._agents is not None:
            self._agents.stop()
        super().stop()

    def sights(self) -> list[Sight]:
        """Everything that the agents have said."""
        lines = (
            self._said.read_text(encoding="utf-8", errors="replace").splitlines()
            if self._said.exists()
            else []
        )
        return [Sight(**json.loads(line)) for line in lines if line.startswith("{") and line.endswith("}")]

    def registered(self) -> int:
        """How many tunnels the cloud side knows for the agents' name."""
        asked = http.client.HTTPConnection(LOOPBACK, self.admin_ports[0], timeout=10)
        try:
            asked.request("GET", "/status")
            found: dict[str, Any] = json.loads(asked.getresponse().read())
        except (OSError, ValueError):
            return 0
        finally:
            asked.close()
        return len(found["names"].get("agents", ()))

    def wait(self, fits: Callable[[], object], limit_s: float) -> None:
        """Until something is so.

        :raises MeasureError: it is not so in time.
        """
        deadline = time.monotonic() + limit_s
        while not fits():
            if time.monotonic() > deadline:
                up = self.sights()[-1].up if self.sights() else 0
                said = self._agents.tail(2) if self._agents else ""
                raise MeasureError(f"{up} of {self.count} agents have a tunnel after {limit_s:.0f} s; {said}")
            time.sleep(POLL_S)

    def wait_for_all(self) -> None:
        """Until all have tunnels, the gateway knows them, and a byte comes back through one."""
        self.wait(lambda: self.sights()[-1].up == self.count, LIMIT_S)
        self.wait(lambda: self.registered() == self.count, LIMIT_S)
        self.wait(lambda: answers(self.agents_port), LIMIT_S)

    def cut(self) -> None:
        """Every tunnel of the agents at once, from outside both programs."""
        subprocess.run(
            ["ss", "-K", "state", "established", "dport", "=", f":{self.agents_middle}"],
            capture_output=True,
            check=False,
            timeout=30,
        )

    def restart(self) -> None:
        """Kill the cloud side and start it again; wait until it listens."""
        cloud = self.gateways[0]
        os.kill(cloud.pid, signal.SIGKILL)
        cloud.stop()
        cloud.start()
        self.wait(lambda: listens(self.agents_middle), START_LIMIT_S)


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    asked = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
    try:
        asked.connect()
    except OSError:
        return False
    finally:
        asked.close()
    return True


def reconnect(lab: Lab, count: int, progress: Progress) -> Section:
    """Cuts all tunnels at once, then kills the gateway and starts it again.

    :param lab: for certificates and files.
    :param count: how many agents.
    :param progress: told what begins; `STEPS` steps.
    :raises MeasureError: when they do not come back at all.
    """
    raise_file_limit(2 * count, 2)
    crowd = Crowd(lab, count)
    found = []
    try:
        progress.step("reconnect: the pair")
        crowd.start()
        progress.step(f"reconnect: {count} agents")
        crowd.start_agents()
        crowd.wait_for_all()
        progress.step("reconnect: every tunnel of theirs is cut")
        if os.geteuid() == 0 and shutil.which("ss"):
            found.append(_after_a_cut(crowd))
        else:
            print("without a cut: it needs root and ss (iproute2)", file=sys.stderr)
        progress.step("reconnect: the gateway is killed and started again")
        found.append(_after_a_restart(crowd))
    finally:
        progress.clear()
        crowd.stop()
    return section(found)


def _watched(crowd: Crowd) -> RoundTrips:
    return crowd.lab.loadgen.ping(
        crowd.front_port, MOST_PINGS, PING_BYTES, WATCH_S, gap_s=PING_GAP_S, streams=OPEN
    )


def _after_a_cut(crowd: Crowd) -> Return:
    before = crowd.sights()[-1]
    with ThreadPoolExecutor(1) as pool:
        pings = pool.submit(_watched, crowd)
        time.sleep(1.0)
        began_s, cpu_s = time.monotonic(), crowd.gateways[0].cpu_s()
        crowd.cut()
        crowd.wait(lambda: crowd.sights()[-1].made >= before.made + crowd.count, LIMIT_S)
        crowd.wait_for_all()
        ended_s = time.monotonic()
        cpu_s = crowd.gateways[0].cpu_s() - cpu_s
        trips = pings.result()
    return came_back(
        "their tunnels are cut", crowd.sights(), before, Seen(began_s, ended_s, trips.most_us / 1000, cpu_s)
    )


def _after_a_restart(crowd: Crowd) -> Return:
    before = crowd.sights()[-1]
    crowd.restart()
    began_s, cpu_s = time.monotonic(), crowd.gateways[0].cpu_s()
    with ThreadPoolExecutor(1) as pool:
        # Its streams are as new as its tunnel: those that were open ended with the old process.
        crowd.wait(crowd.answers, LIMIT_S)
        pings = pool.submit(_watched, crowd)
        crowd.wait_for_all()
        ended_s = time.monotonic()
        cpu_s = crowd.gateways[0].cpu_s() - cpu_s
        trips = pings.result()
    return came_back(
        "the gateway is killed and started again",
        crowd.sights(),
        before,
        Seen(began_s, ended_s, trips.most_us / 1000, cpu_s),
    )


class Seen(NamedTuple):
    """What was seen from outside.

    :param began_s: when they were cut, or the gateway was there again.
    :param ended_s: when the last was seen to be served.
    :param stall_ms: the longest round trip meanwhile.
    :param cpu_s: what the gateway used meanwhile.
    """

    began_s: float
    ended_s: float
    stall_ms: float
    cpu_s: float


def came_back(what: str, sights: Sequence[Sight], before: Sight, seen: Seen) -> Return:
    """What the agents' own words come to.

    :param sights: all that they said.
    :param before: what they had said last before.
    :param seen: what was seen from outside.
    """
    since = [sight for sight in sights if before.at_s < sight.at_s <= seen.ended_s]
    half_s = next(sight.at_s for sight in since if sight.made - before.made >= before.up / 2) - seen.began_s
    return Return(
        what=what,
        agents=before.up,
        half_s=max(half_s, 0.0),
        all_s=seen.ended_s - seen.began_s,
        busiest=max(
            later.made - earlier.made
            for earlier in (before, *since)
            for later in since
            if 0 <= later.at_s - earlier.at_s <= 1.0
        ),
        resumed=since[-1].resumed - before.resumed,
        full=since[-1].full - before.full,
        stall_ms=seen.stall_ms,
        cpu_ms=seen.cpu_s / before.up * 1000,
    )


def section(found: Sequence[Return]) -> Section:
    """What all of it says.

    :param found: one for each thing that happened to them.
    """
    slowest_s = max(came.all_s for came in found)
    stall_ms = max(came.stall_ms for came in found)
    return Section(
        title=f"{found[0].agents} agents come back at once",
        table=Table(
            headings=(
                "",
                "half are back after, s",
                "all are back after, s",
                "most in one second",
                "TLS resumed",
                "TLS in full",
                "gateway's CPU for each, ms",
                "longest stall of open streams, ms",
            ),
            rows=tuple(
                (
                    came.what,
                    f"{came.half_s:.1f}",
                    f"{came.all_s:.1f}",
                    f"{came.busiest}",
                    f"{came.resumed}",
                    f"{came.full}",
                    f"{came.cpu_ms:.1f}",
                    f"{came.stall_ms:.0f}",
                )
                for came in found
            ),
        ),
        verdict=f"all are served again after {slowest_s:.1f} s (at most {BACK_S:.0f}), spread by the jitter of the back-off; {OPEN} streams on "
        f"another tunnel stand still for {stall_ms:.0f} ms at most ({STALL_MS:.0f} allowed); sessions are resumed when the process "
        "that gave the tickets still runs: its keys end with it",
        passed=all(came.passed for came in found),
        region=REGION,
        data={"returns": [vars(came) for came in found]},
    )
