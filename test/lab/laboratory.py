"""The laboratory itself: builds a scenario, keeps it under load, and lets faults happen to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from test.lab import meter, programs
from test.lab.case import Case
from test.lab.faults import Fault
from test.lab.feed import Feed
from test.lab.files import prepare
from test.lab.instance import Instance, InstanceError
from test.lab.machine import Machine
from test.lab.programs import Program
from test.lab.scenario import (
    ADDRESSES,
    BACK_ENDS,
    BALANCER,
    CLIENT,
    CLOUD,
    CLOUD_PORT,
    ETCD,
    NAME_OF,
    NAMES,
    ONPREM,
    ONPREM_PORT,
    Scenario,
)  # fmt: skip
from test.lab.status import fetch, lacking
from test.lab.switch import Switch
from test.lab.verdict import Verdict, Window, judge

START_LIMIT_S = 40.0
SETTLE_S = 2.0  # of quiet before and after each fault
DRAIN_S = 1.0  # for connections still open when a case ends


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run.

    :param rate: new connections a second.
    :param hold_s: for how long a fault lasts.
    :param balancer: ``nginx`` or ``haproxy``.
    :param command: what to run instead of the gateway; see :class:`Instance`.
    """

    rate: float = 100.0
    hold_s: float = 7.0
    balancer: str = "nginx"
    command: str | None = None
    streams: int = 1


class Laboratory:
    """One scenario, running.

    :param scenario: which.
    :param settings: how.
    :param folder: short-lived files, private to the laboratory.
    :param logs: where logs stay.
    :param say: writes a progress line.
    """

    def __init__(self, scenario: Scenario, settings: Settings, folder: Path, logs: Path, say: Callable[[str], None]) -> None:  # fmt: skip
        self.scenario = scenario
        self.settings = settings
        self.switch = Switch(logs)
        self.everyone = scenario.instances
        self.cases: list[Case] = []
        self.verdicts: list[Verdict] = []
        self._folder = folder
        self._logs = logs
        self._say = say
        self._machines = {
            name: Machine(name, ADDRESSES[name], folder / "machines" / name) for name in scenario.machines
        }
        self._instances: dict[str, Instance] = {}
        self._programs: dict[str, Program] = {}
        self._mode = folder / "names.mode"
        ports = {**dict.fromkeys(CLOUD, CLOUD_PORT), **dict.fromkeys(ONPREM, ONPREM_PORT)}
        targets = {name: (ADDRESSES[name], ports[name]) for name in self.everyone}
        controls = {name: (ADDRESSES[name], port) for name, port in BACK_ENDS.items()}
        self.feed = Feed(self._machines[CLIENT], targets, NAME_OF, controls)

    def machine(self, name: str) -> Machine:
        """A machine by its name."""
        return self._machines[name]

    def instance(self, name: str) -> Instance:
        """An instance by its name."""
        return self._instances[name]

    def program(self, name: str) -> Program:
        """Another program by its machine's name."""
        return self._programs[name]

    def build(self) -> None:
        """Machines, programs, instances; returns when all is redundant.

        :raises MachineError: the network could not be made.
        :raises InstanceError: the scenario did not come up.
        """
        self._wire()
        self._start_programs()
        setups = prepare(self.scenario, self._folder / "setup")
        for name in self.everyone:
            self._instances[name] = Instance(
                self._machines[name],
                port=self.feed.targets[name][1],
                config=setups[name].config,
                defines=setups[name].defines,
                folder=self._folder,
                log=self._logs / f"{name}.log",
                command=self.settings.command,
            )
        for instance in self._instances.values():
            instance.start()
        for instance in self._instances.values():
            instance.wait_accepting()
        self._wait_redundant()

    def _wire(self) -> None:
        self.switch.start()
        self._say(f"{len(self._machines)} machines on one switch")
        for machine in self._machines.values():
            self.switch.plug(machine, machine.hold(self.scenario.hosts(), ADDRESSES[NAMES]))
        inside = [self._machines[name] for name in ONPREM]
        self.switch.firewall([self._machines[name] for name in CLOUD], inside)

    def _start_programs(self) -> None:
        for name, port in BACK_ENDS.items():
            self._programs[name] = programs.echo(self._machines[name], port, self._logs / f"{name}.log")
        hosts = self._folder / "names.hosts"
        hosts.write_text("".join(f"{a}\t{n}\n" for n, some in self.scenario.hosts().items() for a in some))
        self.name_server_mode("0")
        self._programs[NAMES] = programs.name_server(
            self._machines[NAMES], hosts, self._mode, self._logs / "names.log"
        )
        if BALANCER in self._machines:
            make = programs.nginx if self.settings.balancer == "nginx" else programs.haproxy
            members = [ADDRESSES[name] for name in CLOUD]
            self._programs[BALANCER] = make(
                self._machines[BALANCER], members, self._folder, self._logs / "balancer.log"
            )
        if ETCD in self._machines:
            self._programs[ETCD] = programs.etcd(self._machines[ETCD], self._folder, self._logs / "etcd.log")
        for program in self._programs.values():
            program.start()

    def _wait_redundant(self) -> None:
        start = time.monotonic()
        while missing := self.missing():
            if time.monotonic() > start + START_LIMIT_S:
                raise InstanceError(
                    f"not redundant {START_LIMIT_S:g} s after the start: {'; '.join(missing)}"
                )
            for instance in self._instances.values():
                if not instance.alive:
                    raise InstanceError(f"{instance.name} has ended, see {self._logs / instance.name}.log")
            time.sleep(0.2)
        self._say(f"all redundant {time.monotonic() - start:.1f} s after the last listener came up")

    def missing(self) -> list[str]:
        """What full redundancy lacks, by what the instances say; nothing when another program stands in for the gateway."""
        if self.settings.command is not None:
            return []
        statuses = {name: fetch(instance.admin) for name, instance in self._instances.items()}
        return lacking(statuses, CLOUD, ONPREM, cluster=not self.scenario.balanced)

    def name_server_mode(self, mode: str) -> None:
        """How the name server answers; see names.py."""
        self._mode.write_text(mode + "\n")

    def ask_names(self, *, from_server: bool) -> None:
        """Whether the instances find names through the name server or in their hosts files."""
        for name in self.everyone:
            self._machines[name].write_hosts({} if from_server else self.scenario.hosts())

    def run(self, faults: Sequence[Fault], limit_s: float) -> None:
        """Let the faults happen, one after the other, under load.

        :param faults: which.
        :param limit_s: when the load ends at the latest.
        """
        more = [f"--streams={self.settings.streams}"]
        self.feed.start(rate=self.settings.rate, seconds=limit_s, log=self._logs / "load.log", more=more)
        time.sleep(SETTLE_S)
        for fault in faults:
            self._run_one(fault)
            if not self.feed.running:
                raise InstanceError("the load has ended before the faults, see load.log")
        self.feed.stop()
        self._judge(faults)

    def _run_one(self, fault: Fault) -> None:
        case = Case(fault.full_name, fault.row, self.feed, self.missing, self._say, self.settings.hold_s)
        self.cases.append(case)
        before = meter.read()
        time.sleep(SETTLE_S / 2)
        try:
            fault.act(self, case, fault.victims)
        except InstanceError as error:
            case.mark(str(error))
            case.notes.append(str(error))
            self._repair()
        time.sleep(SETTLE_S)
        case.end_s = time.monotonic()
        case.processors(before, meter.read(), {i.pid: i.name for i in self._instances.values()})
        time.sleep(DRAIN_S)
        self._say(summary(self._verdict(case, self._windows_before(case))))

    def _repair(self) -> None:
        """After a fault that went wrong: everything mended and running, so that the next one means something."""
        self.switch.mend()
        self.name_server_mode("0")
        self.ask_names(from_server=False)
        for instance in self._instances.values():
            self.switch.cable(instance.machine, plugged=True)
            if not instance.alive:
                instance.start()
        with contextlib.suppress(InstanceError):
            for instance in self._instances.values():
                instance.wait_accepting()
            self._wait_redundant()

    def _judge(self, faults: Sequence[Fault]) -> None:
        """With everything that came in late."""
        for number, case in enumerate(self.cases):
            last = number == len(self.cases) - 1
            earlier = self._windows_before(case)
            following = self.cases[number + 1].start_s if not last else float("inf")
            self.verdicts.append(self._verdict(case, earlier, until_s=following))

    def _windows_before(self, case: Case) -> list[Window]:
        """What was broken in the cases before."""
        return [window for before in self.cases[: self.cases.index(case)] for window in before.windows]

    def _verdict(self, case: Case, earlier: Sequence[Window], until_s: float | None = None) -> Verdict:
        probes, streams = self.feed.between(case.start_s, until_s or case.end_s)
        verdict = judge(case.fault, case.row, probes, streams, case.windows, earlier)
        verdict.direct_s = self.feed.direct_s(case.start_s, until_s or case.end_s)
        verdict.start_up_s = case.start_up_s
        verdict.notes = case.notes
        verdict.flaws += case.flaws
        verdict.other_work = case.other_work
        verdict.processors = case.used
        return verdict

    def close(self) -> None:
        """End everything."""
        self.feed.stop()
        for instance in self._instances.values():
            instance.close()
        for program in self._programs.values():
            program.kill()
        for machine in self._machines.values():
            machine.release()


def summary(verdict: Verdict) -> str:
    """One line of progress."""
    misses = verdict.misses()
    return (
        f"{verdict.fault}: {verdict.connects} connects, {verdict.failed} failed, longest stall {verdict.stall_s:.2f} s"
        + (f" – {'; '.join(misses)}" if misses else " – ok")
    )
