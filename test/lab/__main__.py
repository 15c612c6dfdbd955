"""``python -m test.lab``: run the fault laboratory. Needs root (network namespaces); says so and ends with status 0 where it cannot run."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from test.lab import programs
from test.lab.faults import Fault, all_faults, chosen
from test.lab.instance import InstanceError
from test.lab.laboratory import Laboratory, Settings
from test.lab.machine import ROOT, MachineError, run
from test.lab.report import as_json, machine_facts, markdown
from test.lab.scenario import SCENARIOS, Scenario
from test.lab.timeline import Timeline

RESULTS = Path(__file__).parent / "results"
INSIDE = "KWIC_LAB_INSIDE"  # set in the process that owns the private namespaces: its scenario
# a PID namespace of its own: when the laboratory ends, however it ends, the kernel ends everything that it started
UNSHARE = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--net",
    "--pid",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
PRIVATE = Path(
    "/mnt"
)  # gets a file system in memory that only the laboratory sees: keys, sockets, hosts files
BALANCERS = ("nginx", "haproxy")
COMMANDS = ("setpriv", "unshare", "nsenter", "ip", "iptables", "mount", "pkill", "nice", "sysctl")
FAULT_LIMIT_S = 60.0  # for the end of the load; only a stop beyond all doubt
PRIORITY = -15
SKIPPED, MISSED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def options_of(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m test.lab", description="The fault laboratory of KWIC.")
    parser.add_argument("--short", action="store_true", help="a few minutes: one fault for each promise")
    parser.add_argument(
        "--scenario", action="append", choices=list(SCENARIOS), help="default: all (--short: ha, ha-lb)"
    )
    parser.add_argument("--fault", nargs="+", action="extend", default=[], metavar="NAME",
                        help="kinds (kill) or single ones (kill:cloud1); default: all; --list names them")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="new connections a second, over all listeners"
    )
    parser.add_argument(
        "--hold", type=float, default=7.0, metavar="SECONDS", help="for how long a fault lasts"
    )
    parser.add_argument("--streams", type=int, default=1, help="long streams at a time, to each listener")
    parser.add_argument(
        "--balancer", choices=BALANCERS, help="in scenario ha-lb; default: the first that is installed"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where tables, pictures and logs go")
    parser.add_argument(
        "--gateway", metavar="COMMAND", help="run this instead of twistd kwic ({name} {config} {admin})"
    )
    options = parser.parse_args(argv)
    options.scenario = options.scenario or (["ha", "ha-lb"] if options.short else list(SCENARIOS))
    options.balancer = options.balancer or ([*filter(shutil.which, BALANCERS)] or BALANCERS)[0]
    return options


def obstacle(options: argparse.Namespace) -> str | None:
    """Why the laboratory cannot run here; None when it can."""
    if platform.system() != "Linux":
        return "it needs Linux network namespaces"
    if os.geteuid() != 0:
        return "it needs root, for network namespaces"
    if lacking := programs.missing(COMMANDS):
        return f"not installed: {' '.join(lacking)}"
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        return "namespaces are not permitted here"
    if not 0 < options.rate <= 1000:
        return "--rate is 1 to 1000"
    return None


def lacking_for(scenario: Scenario, options: argparse.Namespace) -> list[str]:
    """Commands that one scenario needs beside."""
    return programs.missing([*scenario.needs, *([options.balancer] if scenario.balanced else [])])


def enter(argv: Sequence[str], scenario: str) -> int:
    """Run this program again for one scenario, in namespaces of its own.

    :returns: its exit status.
    """
    with subprocess.Popen(
        [*UNSHARE, sys.executable, "-m", "test.lab", *argv],
        cwd=ROOT,
        env={**os.environ, INSIDE: scenario, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as inner:
        while True:
            try:
                return inner.wait()
            except KeyboardInterrupt:
                os.killpg(inner.pid, signal.SIGINT)  # it cleans up


def say(text: str) -> None:
    """A progress line."""
    print(f"{time.strftime('%H:%M:%S')} {time.monotonic():.3f} lab: {text}", flush=True)


def run_scenario(scenario: Scenario, faults: Sequence[Fault], options: argparse.Namespace) -> list[str]:
    """One scenario from its building to its table.

    :returns: the targets that were missed.
    """
    results: Path = options.results / scenario.name
    shutil.rmtree(results, ignore_errors=True)
    (results / "logs").mkdir(parents=True)
    settings = Settings(
        rate=options.rate,
        hold_s=options.hold,
        balancer=options.balancer,
        command=options.gateway,
        streams=options.streams,
    )
    folder = PRIVATE / scenario.name
    folder.mkdir()
    lab = Laboratory(scenario, settings, folder, results / "logs", say)
    trouble: list[str] = []
    try:
        lab.build()
        lab.run(faults, limit_s=FAULT_LIMIT_S * (len(faults) + 1))
    except (InstanceError, MachineError) as error:
        trouble.append(str(error))
        say(str(error))
    finally:
        lab.close()
    write(lab, results, options)
    return trouble + [f"{verdict.fault}: {miss}" for verdict in lab.verdicts for miss in verdict.misses()]


def write(lab: Laboratory, results: Path, options: argparse.Namespace) -> None:
    """The table and the picture."""
    title = f"Fault laboratory: {lab.scenario.title}"
    facts = {
        **machine_facts(),
        "new connections a second": f"{options.rate:g}",
        "each fault lasts": f"{options.hold:g} s",
        "date": time.strftime("%Y-%m-%d"),
    }
    if lab.scenario.balanced:
        facts["load balancer"] = options.balancer
    table = markdown(title, lab.verdicts, facts)
    (results / "table.md").write_text(table)
    (results / "table.json").write_text(as_json(title, lab.verdicts, facts))
    picture = Timeline(title, lab.everyone, lab.cases, lab.feed.probes)
    (results / "timeline.svg").write_text(picture.svg())
    print(f"\n{table}\n{results}/table.md table.json timeline.svg logs/", flush=True)


def go_first() -> None:
    """Get the processors before other work on this computer, which would be measured as stalls."""
    os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    group = Path(
        "/proc/self/autogroup"
    )  # where sessions share the processors, only their priorities count between them
    if group.exists():
        group.write_text(f"{PRIORITY}\n", encoding="ascii")


def inside(scenario: Scenario, options: argparse.Namespace) -> int:
    """One scenario.

    :returns: the exit status.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    go_first()
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", str(PRIVATE)])
    faults = chosen(scenario.name, options.fault, short=options.short)
    say(f"scenario {scenario.name}: {scenario.title}; {len(faults)} faults")
    misses = run_scenario(scenario, faults, options)
    for miss in misses:
        say(f"MISSED {scenario.name}: {miss}")
    say(f"{scenario.name}: " + (f"{len(misses)} targets missed" if misses else "every target was reached"))
    return MISSED if misses else 0


def every_scenario(argv: Sequence[str], options: argparse.Namespace) -> int:
    """Every scenario that was asked for, one after the other.

    :returns: the exit status: the first that is not 0.
    """
    worst = 0
    for name in options.scenario:
        if lacking := lacking_for(SCENARIOS[name], options):
            say(f"scenario {name} skipped, not installed: {' '.join(lacking)}")
        elif chosen(name, options.fault, short=options.short):
            worst = enter(argv, name) or worst
    return worst


def main(argv: Sequence[str]) -> int:
    """Run the laboratory.

    :returns: 0 when every target was reached or it cannot run here, 1 when one was missed.
    """
    options = options_of(argv)
    if options.list:
        for name in options.scenario:
            print(name + ":", *(fault.full_name for fault in all_faults(name)))
        return 0
    if INSIDE in os.environ:
        try:
            return inside(SCENARIOS[os.environ[INSIDE]], options)
        except KeyboardInterrupt:
            say("interrupted")
            return INTERRUPTED
    for name in options.fault:
        if not any(
            name in (fault.name, fault.full_name) for there in options.scenario for fault in all_faults(there)
        ):
            print(f"no fault {name!r}; --list names them")
            return WRONG_USE
    if reason := obstacle(options):
        print(f"the fault laboratory cannot run here: {reason}; skipped")
        return SKIPPED
    return every_scenario(argv, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
