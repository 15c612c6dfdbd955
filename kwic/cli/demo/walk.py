"""The walk: performs the steps one after the other and prints a line for each as it passes or fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kwic.cli.demo.echo import say
from kwic.cli.demo.process import wait_until
from kwic.cli.demo.screen import BAD, GOOD, Screen
from kwic.cli.demo.script import Certify, Chapter, Crash, Echo, Join, ReadLogs, Start, Step, Stop
from kwic.cli.demo.stage import Stage
from kwic.cli.demo.traffic import CLIENT_S, Traffic

AT_ONCE_S = 2.0
"""The longest that a new client may take while an instance crashes."""

CLIENTS_BEFORE, CLIENTS_AFTER = 3, 20
"""How many clients on each route must have been served before, and must be served after, a crash."""

NEEDED = (Start, Join)
"""Steps without which those after them would only fail for the same reason, each after a long wait."""

TEXT_WIDTH = 66
TAIL_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a step.

    :param text: what was done, for the line.
    :param problem: what was wrong, None when nothing was.
    :param took_s: how long it took.
    :param concerned: whose logs to show when something was wrong.
    """

    text: str
    problem: str | None
    took_s: float
    concerned: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Tally:
    """How many steps passed and failed."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)


class Walk:
    """The performance of a script on a stage.

    :param stage: the processes.
    :param screen: where to print.
    """

    def __init__(self, stage: Stage, screen: Screen) -> None:
        self._stage = stage
        self._screen = screen
        self.tally = Tally()
        self._shown: dict[str, int] = {}

    def perform(self, chapters: Sequence[Chapter]) -> bool:
        """Perform all chapters, up to the first step that the rest cannot do without.

        :param chapters: the script.
        :returns: whether every step passed.
        """
        for number, chapter in enumerate(chapters, 1):
            self._screen.line()
            self._screen.line(f"{number}. {chapter.title}")
            for step in chapter.steps:
                passed = self._report(self._do(step))
                if isinstance(step, Join) and not self._screen.live:
                    self._print_picture()
                if not passed and isinstance(step, NEEDED):
                    self._screen.line("     The walk ends here: what comes next needs this.")
                    return False
        return not self.tally.failed

    def _do(self, step: Step) -> Outcome:
        """Perform one step."""
        match step:
            case Certify():
                return self._certify()
            case Echo():
                return self._echo(step)
            case Stop(name=name):
                began_s = time.monotonic()
                problem = self._stage.stop(name)
                return self._outcome(f"{name} is stopped", problem, began_s, name)
            case Start(names=names):
                return self._start(names)
            case Crash():
                return self._crash(step)
            case Join():
                return self._join()
            case ReadLogs():
                return self._read_logs()

    def _echo(self, step: Echo) -> Outcome:
        """One client."""
        route = step.route
        heard = say(route.word, route.host, route.port, timeout_s=CLIENT_S)
        text = f"{route}: says {route.word}, hears {route.word}"
        return Outcome(text=text, problem=heard.error, took_s=heard.took_s, concerned=(route.via,))

    def _certify(self) -> Outcome:
        """Make the certificates."""
        began_s = time.monotonic()
        self._stage.make_certificates()
        return self._outcome("certificates are made", None, began_s)

    def _start(self, names: Sequence[str]) -> Outcome:
        """Start some at the same time, and see that each answers."""
        began_s = time.monotonic()
        for name in names:
            self._stage.start(name)
        problems = {name: self._stage.wait_answering(name) for name in names}
        wrong = {name: problem for name, problem in problems.items() if problem}
        problem = "; ".join(f"{name} {problem}" for name, problem in wrong.items()) or None
        verb = "is up" if len(names) == 1 else "are up"
        return self._outcome(f"{' and '.join(names)} {verb}", problem, began_s, *wrong)

    def _join(self) -> Outcome:
        """Wait for tunnels and the cluster."""
        began_s = time.monotonic()
        problem = self._stage.wait_joined()
        names = [player.name for player in self._stage.cast.gateways]
        return self._outcome(
            "each on-prem instance serves clients of each cloud instance", problem, began_s, *names
        )

    def _print_picture(self) -> None:
        """Who is joined to whom, where it cannot be redrawn: once whenever it has changed."""
        for line in self._stage.picture().table(self._stage.cast.gateways):
            self._screen.line(f"    {line.rstrip()}")

    def _crash(self, step: Crash) -> Outcome:
        """Kill one while clients connect through the others."""
        began_s = time.monotonic()
        traffic = Traffic(step.others)
        traffic.start()
        try:
            wait_until(lambda: traffic.fewest_since(began_s) >= CLIENTS_BEFORE, 2 * CLIENT_S)
            crash_s = self._stage.kill(step.name)
            wait_until(lambda: traffic.fewest_since(crash_s) >= CLIENTS_AFTER, 2 * CLIENT_S)
        finally:
            traffic.stop()
        return self._judged(step, traffic, began_s, crash_s)

    def _judged(self, step: Crash, traffic: Traffic, began_s: float, crash_s: float) -> Outcome:
        """Whether every client that began after the crash was served, and soon enough.

        A client that was in the middle of it at that moment may be cut: its stream may have run through the instance.
        """
        since = traffic.begun_since(crash_s)
        failed = [
            *traffic.failed_before(crash_s),
            *((route, heard) for route, heard in since if not heard.ok),
        ]
        slowest_s = max((heard.took_s for _, heard in since), default=0.0)
        problem = None
        if failed:
            route, heard = failed[0]
            problem = f"{len(failed)} of {len(since)} clients failed, the first: {route}: {heard.error}"
        elif traffic.fewest_since(crash_s) < CLIENTS_AFTER:
            problem = "the clients came to a halt"
        elif slowest_s > AT_ONCE_S:
            problem = f"the slowest of {len(since)} new clients took {slowest_s:.1f} s"
        text = (
            f"{step.name} is killed: {len(since)} new clients, all served, slowest {1000 * slowest_s:.0f} ms"
        )
        return self._outcome(
            text if problem is None else f"{step.name} is killed",
            problem,
            began_s,
            step.name,
            *sorted({route.via for route, _ in failed}),
        )

    def _read_logs(self) -> Outcome:
        """Look for tracebacks."""
        began_s = time.monotonic()
        found = self._stage.tracebacks()
        problem = ", ".join(f"{name} logged {count}" for name, count in found.items()) or None
        return self._outcome("no instance has logged a traceback", problem, began_s, *found)

    @staticmethod
    def _outcome(text: str, problem: str | None, began_s: float, *concerned: str) -> Outcome:
        """An outcome that took from then until now."""
        return Outcome(text=text, problem=problem, took_s=time.monotonic() - began_s, concerned=concerned)

    def _report(self, outcome: Outcome) -> bool:
        """Print the line of a step, and for a failed one the end of the logs concerned."""
        sign = GOOD if outcome.problem is None else BAD
        self._screen.line(f"   {sign} {outcome.text:<{TEXT_WIDTH}}{duration(outcome.took_s):>9}")
        if outcome.problem is None:
            self.tally.passed += 1
            return True
        self.tally.failed.append(f"{outcome.text}: {outcome.problem}")
        self._screen.line(f"     {outcome.problem}")
        for name in outcome.concerned:
            self._print_tail(name)
        return False

    def _print_tail(self, name: str) -> None:
        """The end of one log, as far as it was not shown before."""
        process = self._stage.processes[name]
        lines = process.log_text().splitlines()
        new, self._shown[name] = lines[self._shown.get(name, 0) :], len(lines)
        self._screen.line(f"     {process.log} ends:" if new else f"     {process.log}: nothing new")
        for line in new[-TAIL_LINES:]:
            self._screen.line(f"       | {line}")


def duration(took_s: float) -> str:
    """A time for people.

    :param took_s: the time.
    """
    return f"{took_s:.1f} s" if took_s >= 1 else f"{1000 * took_s:.0f} ms"
