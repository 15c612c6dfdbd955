"""One compose file with its containers: brought up, stopped, killed, asked and taken down by name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kwic.cli.demo.picture import View, view_from
from kwic.cli.demo.process import wait_until

COMMAND_S = 120.0
"""How long one command may take, apart from building the image."""

BUILD_S = 1200.0

ANSWER_S = 30.0
"""How long a container may take until its gateway answers, six of them starting at the same time."""

POLL_S = 0.3


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of a command.

    :param status: its exit status.
    :param text: what it printed on standard output.
    :param errors: what it printed on standard error.
    """

    status: int
    text: str = ""
    errors: str = ""

    @property
    def problem(self) -> str | None:
        """What is wrong, None when nothing is."""
        if self.status == 0:
            return None
        last = (self.errors.strip() or self.text.strip()).splitlines()[-1:]
        return ": ".join([f"exit status {self.status}", *last])


def run(words: Sequence[str], *, folder: Path | None = None, timeout_s: float = COMMAND_S) -> Done:
    """Run a command.

    :param words: the command.
    :param folder: where.
    :param timeout_s: how long it may take.
    """
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            timeout=timeout_s,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        return Done(status=127, errors=f"there is no command {words[0]}")
    except subprocess.TimeoutExpired:
        return Done(status=124, errors=f"not done within {timeout_s:g} s")
    return Done(status=done.returncode, text=done.stdout, errors=done.stderr)


@cache
def compose_command() -> tuple[str, ...]:
    """Compose as the machine has it: version 2 inside docker, or version 1 on its own."""
    modern = ("docker", "compose")
    return modern if run([*modern, "version"]).status == 0 else ("docker-compose",)


class Suite:
    """The containers of one compose file.

    :param folder: the folder it lies in.
    :param project: what its containers, networks and volumes are called by.
    :param services: the service in it that is meant by each name.
    """

    def __init__(self, folder: Path, project: str, services: Mapping[str, str]) -> None:
        self._folder = folder
        self._project = project
        self.containers = {name: Container(self, service) for name, service in services.items()}

    @property
    def command(self) -> str:
        """How a person would call compose for it."""
        return " ".join([*compose_command(), "--project-name", self._project])

    def compose(self, *words: str, timeout_s: float = COMMAND_S) -> Done:
        """Run compose.

        :param words: what to do.
        :param timeout_s: how long it may take.
        """
        return run(
            [*compose_command(), "--project-name", self._project, *words],
            folder=self._folder,
            timeout_s=timeout_s,
        )

    def up(self) -> str | None:
        """Start everything in the background.

        :returns: what was wrong.
        """
        return self.compose("up", "-d").problem

    def down(self) -> str | None:
        """Remove the containers, the network and the volumes, also of an earlier run.

        :returns: what was wrong.
        """
        return self.compose("down", "--volumes", "--remove-orphans").problem


class Container:
    """The container of one service.

    :param suite: the compose file it is in.
    :param service: its service there.
    """

    def __init__(self, suite: Suite, service: str) -> None:
        self._suite = suite
        self._service = service
        self._id = ""
        self.log = f"{suite.command} logs {service}"

    @property
    def id(self) -> str:
        """The engine's name for it, the same until it is removed; empty when there is none."""
        self._id = self._id or self._suite.compose("ps", "--all", "--quiet", self._service).text.strip()
        return self._id

    def state(self, what: str) -> str:
        """One field of its state, as `docker inspect` calls it."""
        return run(["docker", "inspect", "--format", f"{{{{.State.{what}}}}}", self.id]).text.strip()

    def start(self) -> str | None:
        """Start it, unless it runs.

        :returns: what was wrong.
        """
        return (
            None if self.state("Running") == "true" else self._suite.compose("start", self._service).problem
        )

    def stop(self) -> str | None:
        """Stop it as the tutorial does.

        :returns: None when it ended in order, else what was wrong.
        """
        problem = self._suite.compose("stop", self._service).problem
        status = self.state("ExitCode")
        return problem or (None if status == "0" else f"ended with exit status {status}")

    def kill(self) -> str | None:
        """End it without letting it say goodbye.

        :returns: what was wrong.
        """
        return self._suite.compose("kill", self._service).problem

    def ask(self) -> View | None:
        """What its gateway says about itself; None when it does not."""
        answer = run(["docker", "exec", self.id, "gateway.ask", "/status"])
        try:
            return view_from(json.loads(answer.text)) if answer.status == 0 else None
        except (ValueError, KeyError, TypeError):
            return None

    def wait_answering(self) -> str | None:
        """Wait until its gateway answers.

        :returns: None when it does, else what is wrong.
        """
        answers = False

        def settled() -> bool:
            nonlocal answers
            answers = self.ask() is not None
            return answers or self.state("Running") != "true"

        wait_until(settled, ANSWER_S, poll_s=POLL_S)
        if answers:
            return None
        state = self.state("Status") or "not there"
        return f"does not answer within {ANSWER_S:g} s" if state == "running" else f"is {state}"

    def wait_healthy(self) -> str | None:
        """Wait until the engine's own health check has found it in order.

        :returns: None when it has, else what is wrong.
        """
        wait_until(lambda: self.state("Health.Status") == "healthy", ANSWER_S, poll_s=POLL_S)
        status = self.state("Health.Status")
        return None if status == "healthy" else f"is {status or 'not there'}"

    def log_text(self) -> str:
        """Everything it has logged so far, also before it was started again."""
        logs = run(["docker", "logs", self.id])
        return logs.text + logs.errors
