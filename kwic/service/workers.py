"""
The supervisor of an instance that is several processes (`--workers N`): starts the workers, replaces those that die or are silent, passes on what it is told to do, and
speaks for all of them on the admin port.

It serves no clients itself. It binds every socket and hands them down, so that a port that is taken, or a mistake in the file, is an error of the start in one
place, and clients that come while a worker is dead or frozen are taken by another, or by its successor. Rejected: SO_REUSEPORT, where the kernel
gives each worker its share, dead or alive. Addresses that appear later are bound by each worker with it all the same.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.logger import Logger

from kwic.policy.backoff import Backoff
from kwic.service.admin import JSON, METRICS
from kwic.service.admin_pages import Page
from kwic.service.gateway import Gateway
from kwic.service.worker import SOCKETS, Worker, listed
from kwic.service.worker_process import FIRST_S, LONGEST_S, WorkerProcess
from kwic.service.worker_totals import total_metrics, total_status


class Workers(MultiService):
    """
    Keeps so many workers.

    :param gateway: what each of them will be; here it only shows what it could not bind.
    :param count: how many.
    :param command: makes the command line of one.
    :param environ: their environment.
    :param give_up: called when one cannot start at all.
    """

    log = Logger()

    def __init__(
        self,
        gateway: Gateway,
        count: int,
        command: Callable[[Worker], Sequence[str]],
        environ: Mapping[str, str],
        give_up: Callable[[], None],
    ) -> None:
        super().__init__()
        self._gateway = gateway
        self._context = gateway.context
        self._count = count
        self._command = command
        self._environ = environ
        self._give_up = give_up
        self._folder: Path | None = None
        #: Where it listens, and the file descriptors.
        self._sockets: dict[tuple[str, int], int] = {}
        self.processes: list[WorkerProcess] = []
        self._stopping = False

    # -- Service ------------------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Bind every socket.

        :raises SystemExit: when one cannot be bound; every reason is logged.
        """
        super().privilegedStartService()
        self.log.info("Configuration file: {file}", file=self._gateway.config.file)
        listening = self._gateway.listening
        problems = listening.bind()
        for problem in problems:
            self.log.critical("{problem}", problem=problem)
        if problems:
            raise SystemExit(1)
        self._sockets = {(one.host, one.port): one.park() for one, _ in listening.listeners}

    def startService(self) -> None:
        """Start them."""
        super().startService()
        self.log.info("Starting {count} workers", count=self._count)
        self._folder = Path(tempfile.mkdtemp(prefix="kwic-"))
        written, descriptors = listed(self._sockets)
        held = list(self._sockets.values())
        environ = {**self._environ, SOCKETS: written}
        inherited = {descriptor: held[at] for descriptor, at in descriptors.items()}
        for number in range(1, self._count + 1):
            worker = Worker(number=number, count=self._count, folder=self._folder)
            backoff = Backoff(self._context.random, initial_s=FIRST_S, maximum_s=LONGEST_S)
            reactor, command = self._context.reactor, self._command(worker)
            self.processes.append(WorkerProcess(self, reactor, number, command, environ, backoff, inherited))
        for process in self.processes:
            process.start()

    def stopService(self) -> Deferred[Any]:
        """
        Let all of them drain.

        :returns: fires when they are gone.
        """
        self.log.info("Stopping server")
        self._stopping = True
        # As long as it is open here, clients would be let in, and nobody would take them.
        for listener, _ in self._gateway.listening.listeners:
            listener.stop_listening()
        gone = DeferredList([process.stop() for process in self.processes])
        return gone.addCallback(self._clear)

    def _clear(self, _: object) -> Deferred[Any]:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.log.info("Stopped server successfully")
        return maybeDeferred(super().stopService)

    def hurry(self) -> None:
        """Told again to stop: so are they."""
        for process in self.processes:
            process.signal("TERM")

    def reload(self) -> None:
        """They read their stores again, and look at their addresses."""
        for process in self.processes:
            process.signal("HUP")

    # -- WorkerUser ---------------------------------------------------------------------------------------------------------

    def worker_ready(self, process: WorkerProcess) -> None:
        """It serves clients."""
        self.log.info("worker {number} serves clients", number=process.number)
        if all(one.ready for one in self.processes):
            self.log.info("Started server successfully with {count} workers", count=self._count)

    def worker_ended(self, process: WorkerProcess) -> None:
        """One that never was ready will not be the next time either: that is an error of the start."""
        if not process.was_ready and not self._stopping:
            self._stopping = True
            self.log.critical("worker {number} cannot start: the lines above say why", number=process.number)
            self._give_up()

    # -- the admin port -----------------------------------------------------------------------------------------------------

    def pages(self) -> dict[str, Page]:
        """What the instance says of itself: what its workers say, added up."""
        return {
            "/status": Page(make=self._status, content_type=JSON),
            "/health": Page(make=self._health),
            "/metrics": Page(make=self._metrics, content_type=METRICS),
        }

    def _ask(self, page: str) -> Deferred[list[Any]]:
        return gatherResults([process.ask(page) for process in self.processes])

    def _status(self) -> Deferred[tuple[int, str]]:
        def made(found: list[Any]) -> tuple[int, str]:
            status = total_status(self._context.node, found)
            for shown, process in zip(status["workers"], self.processes, strict=True):
                shown["restarts"] = process.restarts
            return 200, json.dumps(status, indent=1) + "\n"

        return self._ask("status").addCallback(made)

    def _health(self) -> Deferred[tuple[int, str]]:
        def made(found: list[Any]) -> tuple[int, str]:
            healthy = sum(one is not None and one[0] == 200 for one in found)
            if self._stopping or not healthy:
                return 503, "draining\n" if self._stopping else "no worker serves clients\n"
            return 200, "ok\n" if healthy == len(found) else f"ok, {healthy} of {len(found)} workers\n"

        return self._ask("health").addCallback(made)

    def _metrics(self) -> Deferred[tuple[int, str]]:
        def made(found: list[Any]) -> tuple[int, str]:
            texts = [one for one in found if one is not None]
            own = [
                ("kwic_workers", "gauge", "Worker processes that answer.", len(texts)),
                (
                    "kwic_worker_restarts_total",
                    "counter",
                    "Times that a worker was started again.",
                    sum(process.restarts for process in self.processes),
                ),
            ]
            more = "".join(
                f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}\n"
                for name, kind, text, value in own
            )
            return 200, total_metrics(texts, len(texts) - 1) + more

        return self._ask("metrics").addCallback(made)


def worker_command(twistd: str, reactor: str | None, options: Sequence[str], worker: Worker) -> list[str]:
    """
    The command line of a worker.

    :param twistd: what the `twistd` command runs.
    :param reactor: the one that was chosen; None for the default.
    :param options: those of `twistd kwic` that all share.
    """
    chosen = [] if reactor is None else [f"--reactor={reactor}"]
    return [
        sys.executable, "-c", twistd, "-n", "--pidfile=", "--logfile=-", *chosen, "kwic", *options, f"--worker={worker}",
    ]  # fmt: skip
