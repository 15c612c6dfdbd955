"""`kwic demo`: the whole high-availability scenario on this machine, and a walk through everything it promises."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NoReturn

from twisted.python.usage import UsageError

from kwic.cli.config_options import VerbOptions
from kwic.cli.demo.cast import TLS_PORT
from kwic.cli.demo.folder import default_folder
from kwic.cli.demo.hint import hint
from kwic.cli.demo.home import Home, Settings
from kwic.cli.demo.loopback import check_free, check_network
from kwic.cli.demo.screen import Screen
from kwic.cli.demo.script import the_walk
from kwic.cli.demo.stage import Stage
from kwic.cli.demo.walk import Walk, duration
from kwic.cli.demo.watch import Watch
from kwic.errors import SetupError

DEFAULT_NETWORK = "127.34.0"
FAILED, INTERRUPTED = 1, 130
"""Exit statuses besides 0."""

OPENING = """\
KWIC, high availability: two instances in the cloud, two on-prem, an echo server behind each side.
Client A in the cloud reaches server A on-prem; client B on-prem reaches server B in the cloud.
The on-prem instances dial out, nothing dials in. Everything runs on this machine, in {folder}"""


class ActionOptions(VerbOptions):
    """An action on a demo that was left running."""

    def getSynopsis(self) -> str:
        """:returns: how it is typed; Twisted would put all that `kwic demo` can be told before it."""
        return self.synopsis


class NamedOptions(ActionOptions):
    """An action on one process of a demo that was left running."""

    def parseArgs(self, name: str) -> None:  # type: ignore[override]  # twisted calls it with what was given
        """Take the name."""
        self["name"] = name


class StopOptions(NamedOptions):
    """`kwic demo stop NAME`."""

    synopsis = "kwic demo stop NAME"
    about = "Stops one process of a demo that was left running; `kwic demo status` names them."


class StartOptions(NamedOptions):
    """`kwic demo start NAME`."""

    synopsis = "kwic demo start NAME"
    about = "Starts a process again that was stopped."


class StatusOptions(ActionOptions):
    """`kwic demo status`."""

    synopsis = "kwic demo status"
    about = "Says who runs, who is joined to whom, and what to try."


class DownOptions(ActionOptions):
    """`kwic demo down`."""

    synopsis = "kwic demo down"
    about = "Stops everything and removes the folder."


class Options(VerbOptions):
    """Options of `kwic demo`."""

    synopsis = (
        "kwic demo [--keep] [options] | kwic demo [--directory DIR] stop NAME | start NAME | status | down"
    )
    about = """\
Runs the high-availability scenario on this machine, without root or containers, and walks through it: every
way for a client, each instance stopped and started again, each instance killed while clients connect.
Prints a line for each step.
Exit status: 0 all passed, 1 something did not, 2 called wrongly.
"""
    examples = (
        ("kwic demo", "the walk, and nothing is left"),
        ("kwic demo --keep", "everything stays up, to try it by hand"),
        ("kwic demo stop cloud1", "what becomes of the clients?"),
        ("kwic demo down", "the end of it"),
    )
    optFlags: ClassVar = [
        ["keep", "k", "leave everything running afterwards, to try it by hand"],
        ["plain", None, "print lines only, no picture that is redrawn"],
    ]
    optParameters: ClassVar = [
        ["directory", "d", None, "where certificates, logs and pids go (default: one folder per user)"],
        ["network", "n", DEFAULT_NETWORK, "the loopback addresses to use: three numbers"],
        ["tls-port", None, TLS_PORT, "the port that stands for 443, which only root may open", int],
    ]
    subCommands: ClassVar = [
        ["stop", None, StopOptions, "stop one instance of a demo that was left running"],
        ["start", None, StartOptions, "start it again"],
        ["status", None, StatusOptions, "say who runs, who is joined to whom, and what to try"],
        ["down", None, DownOptions, "stop everything and remove the folder"],
    ]

    def postOptions(self) -> None:
        """Check what can be checked without touching anything."""
        try:
            check_network(self["network"])
        except SetupError as e:
            raise UsageError(str(e)) from None
        if not 0 < self["tls-port"] < 1 << 16:
            raise UsageError(f"--tls-port {self['tls-port']}: a port is a number from 1 to 65535")


def run(options: Options) -> int:
    """Do what was asked.

    :param options: the parsed command line.
    :returns: the exit status.
    """
    try:
        return _run(options)
    except SetupError as error:
        print(f"kwic demo: {error}", file=sys.stderr)
        return FAILED


def _run(options: Options) -> int:
    """Do what was asked, or raise SetupError."""
    home = Home(Path(options["directory"]) if options["directory"] else default_folder())
    screen = Screen(
        sys.stdout,
        live=sys.stdout.isatty() and not options["plain"],
        width=shutil.get_terminal_size().columns,
    )
    if not options.subCommand:
        settings = Settings(network=options["network"], tls_port=options["tls-port"])
        return demonstrate(home, settings, screen, keep=bool(options["keep"]))
    stage = Stage.from_settings(home, home.settings())
    actions: dict[str, Callable[[Stage, Screen, str], int]]
    actions = {"stop": stop, "start": start, "status": status, "down": down}
    return actions[options.subCommand](stage, screen, options.subOptions.get("name", ""))


def demonstrate(home: Home, settings: Settings, screen: Screen, *, keep: bool) -> int:
    """Start the scenario and walk through it.

    :param home: the demo's folder.
    :param settings: what the cast is made from.
    :param screen: where to print.
    :param keep: whether to leave everything running afterwards.
    :returns: the exit status.
    """
    stage = Stage.from_settings(home, settings)
    if stage.running:
        shows, ends = hint("status", home.folder), hint("down", home.folder)
        raise SetupError(f"a demo is running in {home.folder}: `{shows}` shows it, `{ends}` ends it")
    check_free(stage.cast.players.values())
    home.prepare(settings)
    watch = Watch(stage, screen)
    before = signal.signal(signal.SIGTERM, _interrupted)
    passed = complete = False
    try:
        screen.line(OPENING.format(folder=home.folder))
        watch.start()
        passed = _walk(stage, screen)
        complete = True
    except KeyboardInterrupt:
        screen.line("interrupted; everything is being stopped")
        return INTERRUPTED
    finally:
        watch.stop()
        if not (complete and keep):
            stage.stop_all()
        signal.signal(signal.SIGTERM, before)
    if keep:
        screen.line()
        show_what_to_try(stage, screen)
    elif passed:
        home.remove()
    return 0 if passed else FAILED


def _interrupted(_number: int, _frame: object) -> NoReturn:
    """Let SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def _walk(stage: Stage, screen: Screen) -> bool:
    """Perform the steps, and sum up."""
    began_s = time.monotonic()
    walk = Walk(stage, screen)
    passed = walk.perform(the_walk(stage.cast))
    took = duration(time.monotonic() - began_s)
    screen.line()
    if passed:
        screen.line(f"All {walk.tally.passed} steps passed in {took}.")
        return True
    screen.line(f"{len(walk.tally.failed)} of {walk.tally.passed + len(walk.tally.failed)} steps failed:")
    for problem in walk.tally.failed:
        screen.line(f"   {problem}")
    screen.line(f"The logs are in {stage.home.run}")
    return False


def show_what_to_try(stage: Stage, screen: Screen) -> None:
    """Print what a person can do with a demo that runs.

    :param stage: the processes.
    :param screen: where to print.
    """
    screen.line("Try it: type something, press Enter, and see it come back.")
    for route in stage.cast.routes:
        screen.line(f"   {route.netcat:<24}# {route}")
    screen.line("Take an instance away, and try again:")
    for words in ("stop cloud1", "start cloud1", "status", "down"):
        screen.line(f"   {hint(words, stage.home.folder)}")
    screen.line(f"The logs are in {stage.home.run}")


def stop(stage: Stage, screen: Screen, name: str) -> int:
    """`kwic demo stop NAME`.

    :returns: the exit status.
    """
    stage.player(name)
    if name not in stage.running:
        raise SetupError(f"{name} does not run")
    problem = stage.stop(name)
    screen.line(f"{name} {problem or 'is stopped'}")
    return FAILED if problem else 0


def start(stage: Stage, screen: Screen, name: str) -> int:
    """`kwic demo start NAME`.

    :returns: the exit status.
    """
    stage.player(name)
    stage.start(name)
    problem = stage.wait_answering(name)
    screen.line(f"{name} {problem or 'is up'}")
    if problem:
        for line in stage.processes[name].log_tail():
            screen.line(f"   | {line}")
    return FAILED if problem else 0


def status(stage: Stage, screen: Screen, _name: str = "") -> int:
    """`kwic demo status`.

    :returns: the exit status.
    """
    for player in stage.cast.players.values():
        pid = stage.processes[player.name].pid
        state = f"pid {pid}" if pid else "stopped"
        screen.line(f"{player.name:<10}{player.address:<17}{state:<13}http://{player.admin}/status")
    screen.line()
    for line in stage.picture().table(stage.cast.gateways):
        screen.line(line)
    screen.line()
    show_what_to_try(stage, screen)
    return 0


def down(stage: Stage, screen: Screen, _name: str = "") -> int:
    """`kwic demo down`.

    :returns: the exit status.
    """
    names = stage.running
    stage.stop_all()
    stage.home.remove()
    screen.line(f"stopped: {', '.join(names) or 'nothing ran any more'}")
    return 0
