"""`make docker-test`: builds the image, walks through the tutorial in containers, and runs a KWIC 5 compose file on the image.

The walk is the one of `kwic demo`, with docker-compose in place of processes: every way for a client, each instance stopped and
started again, each killed and started again. Prints a line for each step; the exit status is 0 when all passed. What was
started is removed again, volumes included; the image stays. BASE_IMAGE chooses what the image is built on.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from suite import BUILD_S, Container, Suite, run

from kwic.cli.demo.cast import A_PORT, B_PORT, Player, Route
from kwic.cli.demo.picture import Picture
from kwic.cli.demo.process import wait_until
from kwic.cli.demo.screen import Screen
from kwic.cli.demo.script import Certify, Chapter, Crash, Echo, Start, Step, the_walk
from kwic.cli.demo.stage import JOIN_S
from kwic.cli.demo.walk import TAIL_LINES, Outcome, Walk, duration
from kwic.transport.demo_pki import DemoPlan, make_demo_pki

ROOT = Path(__file__).resolve().parent.parent
KWIC5 = ROOT / "test" / "docker" / "kwic5"
HERE = "127.0.0.1"
POLL_S = 0.5

IMAGE = "kwic"
IMAGE_LINE = re.compile(r"^( +image: )kaazing/enterprise-gateway\S*$", re.MULTILINE)
COMPILERS = ("cc", "gcc", "g++", "clang", "make")


@dataclass(frozen=True, kw_only=True)
class Check:
    """A step that only containers have.

    :param text: what is true when it has passed.
    :param do: does it; what it returns is the problem, None when there is none.
    :param concerned: whose logs to show when there is one.
    :param needed: whether everything after it would only fail too, or pass for a wrong reason.
    """

    text: str
    do: Callable[[], str | None]
    concerned: tuple[str, ...] = ()
    needed: bool = False


class EndedError(Exception):
    """The walk ends: a step failed without which the rest makes no sense."""


class Cast:
    """Who takes part, by the names that the demo's script uses."""

    gateways = tuple(
        Player(
            name=name, side=side, config=ROOT / "etc" / "ha" / f"{side}-config.xml", address=HERE, ports=()
        )
        for side, names in (("cloud", ("cloud1", "cloud2")), ("onprem", ("onprem1", "onprem2")))
        for name in names
    )
    pairs = (("server-a", "server-b"), ("cloud1", "cloud2"), ("onprem1", "onprem2"))
    routes = (
        Route(client="A", via="cloud1", host=HERE, port=A_PORT, word="hello"),
        Route(client="A", via="cloud2", host=HERE, port=A_PORT + 1, word="world"),
        Route(client="B", via="onprem1", host=HERE, port=B_PORT, word="foo"),
        Route(client="B", via="onprem2", host=HERE, port=B_PORT + 1, word="bar"),
    )


SERVICES = {
    "cloud1": "cloud1.example.com",
    "cloud2": "cloud2.example.com",
    "onprem1": "onprem1.example.org",
    "onprem2": "onprem2.example.org",
    "server-a": "server-a",
    "server-b": "server-b",
}
"""What docker-compose.yml calls them."""

KWIC5_SERVICES = {name: name for name in ("example.com", "onprem", "server-a", "server-b")}


class Stage:
    """The containers of the tutorial, as the demo's walk knows its processes.

    :param suite: they.
    :param others: further containers whose logs may be of interest.
    """

    def __init__(self, suite: Suite, others: dict[str, Container]) -> None:
        self.cast = Cast()
        self.suite = suite
        self.processes = {**others, **suite.containers}

    def start(self, name: str) -> None:
        """Start one, unless it runs; whether that went well is seen when it is waited for."""
        self.processes[name].start()

    def wait_answering(self, name: str) -> str | None:
        """Wait until one answers; what is wrong when it does not."""
        return self.processes[name].wait_answering()

    def stop(self, name: str) -> str | None:
        """Stop one in order; what was wrong."""
        return self.processes[name].stop()

    def picture(self) -> Picture:
        """Who is joined to whom."""
        return Picture({player.name: self.processes[player.name].ask() for player in self.cast.gateways})

    def wait_joined(self) -> str | None:
        """Wait until everybody is joined to everybody; what is missing."""
        missing: list[str] = []

        def joined() -> bool:
            missing[:] = self.picture().missing(self.cast.gateways)
            return not missing

        return None if wait_until(joined, JOIN_S, poll_s=POLL_S) else "; ".join(missing)

    def tracebacks(self) -> dict[str, int]:
        """How many tracebacks each has logged, those without any left out."""
        counts = {
            name: container.log_text().count("Traceback") for name, container in self.suite.containers.items()
        }
        return {name: count for name, count in counts.items() if count}


class ContainerWalk(Walk):
    """The demo's walk, with the steps that only containers have."""

    _needed = False

    def _do(self, step: Step | Check) -> Outcome:
        self._needed = isinstance(step, Check) and step.needed
        if isinstance(step, Check):
            began_s = time.monotonic()
            return self._outcome(step.text, step.do(), began_s, *step.concerned)
        return super()._do(step)

    def _report(self, outcome: Outcome) -> bool:
        passed = super()._report(outcome)
        if self._needed and not passed:
            raise EndedError
        return passed


def in_containers(chapter: Chapter, stage: Stage) -> Chapter:
    """A chapter of the demo's script as it goes with containers.

    The certificates are docker-compose.yml's business. An instance is killed first, then the others are tried: the moment of
    its death is not known well enough from outside to tell which of many clients were there before it.
    """
    return Chapter(
        title=chapter.title.replace("crashes (kill -9) while clients connect", "is killed"),
        steps=tuple(one for step in chapter.steps for one in _in_containers(step, stage)),
    )


def _in_containers(step: Step, stage: Stage) -> Iterator[Step | Check]:
    match step:
        case Certify():
            yield Check(text="docker-compose up has brought everything up", do=stage.suite.up, needed=True)
        case Crash(name=name, others=others):
            yield Check(text=f"{name} is killed", do=stage.processes[name].kill, concerned=(name,))
            yield from (Echo(route=route) for route in others)
        case Start(names=names) if len(names) > 1:
            yield step
            for name in names:
                healthy = stage.processes[name].wait_healthy
                yield Check(text=f"{name} is healthy", do=healthy, concerned=(name,))
        case _:
            yield step


def build_image() -> str | None:
    """Build what docker-compose.yml says is to be built; what was wrong, with the end of what was printed."""
    done = Suite(ROOT, "kwic-walk", {}).compose("build", "certs", timeout_s=BUILD_S)
    if done.problem is None:
        return None
    lines = f"{done.text}\n{done.errors}".strip().splitlines()[-TAIL_LINES:]
    return "\n       | ".join([done.problem, *lines])


def look_into_image() -> str | None:
    """Who a container of the image runs as, and what is in it that should not be; what was wrong."""
    looks = f'id -u; for tool in {" ".join(COMPILERS)}; do command -v "$tool"; done; true'
    done = run(["docker", "run", "--rm", "--network", "none", IMAGE, "bash", "-c", looks])
    if done.problem:
        return done.problem
    user, *tools = done.text.split()
    if user == "0":
        return "it runs as root"
    return f"it has {', '.join(tools)}" if tools else None


class Kwic5:
    """Somebody's KWIC 5 compose file, in a folder as it lies on their machine.

    :param folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.suite = Suite(folder, "kwic5-walk", KWIC5_SERVICES)
        self.cloud, self.onprem = self.suite.containers["example.com"], self.suite.containers["onprem"]
        self._folder = folder

    def up(self) -> str | None:
        """Change the image: lines, and bring it up; what was wrong."""
        shutil.copytree(KWIC5, self._folder, dirs_exist_ok=True)
        (self._folder / "utils").mkdir()
        shutil.copy(ROOT / "docker" / "wait-for-files.sh", self._folder / "utils")
        (self._folder / "x509").mkdir()
        compose_file = self._folder / "docker-compose.yml"
        text, count = IMAGE_LINE.subn(rf"\g<1>{IMAGE}", compose_file.read_text())
        compose_file.write_text(text)
        return self.suite.up() if count == len(KWIC5_SERVICES) else f"{count} image: lines were changed"

    def certify(self) -> str | None:
        """Make the certificates that the gateways wait for, readable for all as keytool makes them; what was wrong."""
        gateways = (self.cloud, self.onprem)
        if not wait_until(
            lambda: all("waiting for" in one.log_text() for one in gateways), JOIN_S, poll_s=POLL_S
        ):
            return "they do not wait"
        with tempfile.TemporaryDirectory() as made:
            make_demo_pki(Path(made), DemoPlan(), now_s=time.time(), force=True)
            for store in sorted((Path(made) / "stores").iterdir()):
                store.chmod(0o644)
            # Passwords first: the tutorial's files wait for the stores alone.
            (self._folder / "x509" / "stores").mkdir()
            for store in sorted((Path(made) / "stores").iterdir(), key=lambda path: path.suffix != ".pw"):
                shutil.copy(store, self._folder / "x509" / "stores")
        return None

    def one_line_about_log4j(self) -> str | None:
        """What is wrong with what is said about the log4j file."""
        count = self.cloud.log_text().count("log4j-config.xml")
        return None if count == 1 else f"it is mentioned {count} times"

    def chapter(self) -> Chapter:
        """The steps."""
        ways = (
            Echo(route=Route(client="A", via="example.com", host=HERE, port=A_PORT, word="hello")),
            Echo(route=Route(client="B", via="onprem", host=HERE, port=B_PORT, word="foo")),
        )
        both = ("example.com", "onprem")
        return Chapter(
            title="A KWIC 5 compose file, with only its image: lines changed",
            steps=(
                Check(text="docker-compose up has brought everything up", do=self.up, needed=True),
                Check(
                    text="its gateways wait for their certificates, and get them",
                    do=self.certify,
                    concerned=both,
                ),
                Start(names=both),
                *ways,
                Check(
                    text="the log4j file beside the configuration gets one line", do=self.one_line_about_log4j
                ),
                Check(text="example.com is stopped, exit status 0", do=self.cloud.stop, concerned=both),
                Start(names=("example.com",)),
                *ways,
            ),
        )


def chapters(stage: Stage, kwic5: Kwic5) -> Iterator[Chapter]:
    """Everything, in order."""
    yield Chapter(
        title="The image",
        steps=(
            Check(text="it is built", do=build_image, needed=True),
            Check(text="it runs as an ordinary user, and has no compiler", do=look_into_image),
        ),
    )
    for chapter in the_walk(stage.cast):
        yield in_containers(chapter, stage)
    yield Chapter(
        title="It is all taken away",
        steps=(Check(text="docker-compose down", do=stage.suite.down),),
    )
    yield kwic5.chapter()


def interrupted(_number: int, _frame: object) -> NoReturn:
    """Let SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Walk, clean up, and sum up; the exit status."""
    signal.signal(signal.SIGTERM, interrupted)
    os.umask(0o022)  # what is mounted must be readable for the user inside
    screen = Screen(sys.stdout, live=False)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kwic5 = Kwic5(Path(folder))
        stage = Stage(Suite(ROOT, "kwic-walk", SERVICES), kwic5.suite.containers)
        walk = ContainerWalk(stage, screen)
        try:
            passed = walk.perform(list(chapters(stage, kwic5)))
        except EndedError:
            passed = False
        except KeyboardInterrupt:
            screen.line("interrupted; everything is being removed")
            return 130
        finally:
            for suite in (stage.suite, kwic5.suite):
                suite.down()
    screen.line()
    if passed:
        screen.line(f"All {walk.tally.passed} steps passed in {duration(time.monotonic() - began_s)}.")
        return 0
    screen.line(f"{len(walk.tally.failed)} of {walk.tally.passed + len(walk.tally.failed)} steps failed:")
    for problem in walk.tally.failed:
        screen.line(f"   {problem}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
