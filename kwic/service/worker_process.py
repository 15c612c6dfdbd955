"""One worker as its supervisor sees it: started, listened to, asked, and started again when it has died or is silent."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from kwic.policy.backoff import Backoff
from kwic.service.worker import BEAT_S, CHANNEL, Channel, adopt

#: So many signs of life in a row may be missing; then it is killed.
MISSED_MAXIMUM = 5
#: The first and the longest wait before one that has died is started again.
FIRST_S = 0.25
LONGEST_S = 10.0
#: One that has lived so long was a good one: the waits begin anew.
STABLE_S = 10.0
#: How long an answer may take.
ANSWER_S = 2.0
#: A line of its log is cut after so many bytes.
LINE_MAXIMUM_BYTES = 65_536

_LEVELS = {
    "DEBUG": LogLevel.debug,
    "INFO": LogLevel.info,
    "WARN": LogLevel.warn,
    "ERROR": LogLevel.error,
}


class WorkerUser(Interface):
    """Whoever supervises."""

    def worker_ready(self, process: WorkerProcess) -> None:
        """It serves clients."""

    def worker_ended(self, process: WorkerProcess) -> None:
        """The process is gone; a new one is started unless we stop, or it never was ready."""


class WorkerProcess(ProcessProtocol):
    """
    One of them, over all its starts.

    :param user: whoever supervises.
    :param reactor: starts it.
    :param number: which one it is, from 1.
    :param command: its program and arguments.
    :param environ: its environment.
    :param backoff: how long to wait before it is started again.
    :param sockets: the listening sockets that it inherits: their file descriptors there, and here.
    """

    log = Logger()

    def __init__(
        self,
        user: WorkerUser,
        reactor: Any,
        number: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        backoff: Backoff,
        sockets: Mapping[int, int],
    ) -> None:
        self._user = user
        self._reactor = reactor
        self.number = number
        self._command = list(command)
        self._environ = dict(environ)
        self._backoff = backoff
        self._sockets = dict(sockets)
        self._transport: Any = None
        self._channel: Channel | None = None
        self._lines = _Lines(self._say)
        self._level = LogLevel.info
        self._missed = 0
        self._watch: Any = None
        self._again: Any = None
        self._stopping = False
        self._gone: Deferred[None] | None = None
        self._questions: dict[int, Deferred[Any]] = {}
        self._asked = 0
        self._began_s = 0.0
        #: It serves clients.
        self.ready = False
        #: It was ready at least once: whatever ends it later is no error of the start.
        self.was_ready = False
        self.restarts = 0

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it."""
        self._again = None
        self._began_s = self._reactor.seconds()
        self._missed = 0
        ours, its = socket.socketpair()
        with its:
            self._channel = Channel(self._heard, self._channel_lost)
            adopt(self._reactor, ours.detach(), self._channel)
            self._transport = self._reactor.spawnProcess(
                self,
                self._command[0],
                self._command,
                env=self._environ,
                childFDs={0: "w", 1: "r", 2: "r", CHANNEL: its.fileno(), **self._sockets},
            )
        self._transport.closeStdin()

    def stop(self) -> Deferred[None]:
        """
        Let it drain and end; start it no more.

        :returns: fires when it is gone.
        """
        self._stopping = True
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._transport is None or not self._transport.pid:
            return succeed(None)
        self._gone = Deferred()
        self.signal("TERM")
        return self._gone

    def signal(self, name: str) -> None:
        """Send it a signal, when it lives."""
        if self._transport is not None and self._transport.pid:
            self._transport.signalProcess(name)

    # -- its life -----------------------------------------------------------------------------------------------------------

    def _heard(self, message: dict[str, Any]) -> None:
        self._missed = 0
        if message.get("ready"):
            self.ready = self.was_ready = True
            self._watch = self._reactor.callLater(BEAT_S, self._look)
            self._user.worker_ready(self)
        elif "id" in message:
            question = self._questions.pop(message["id"], None)
            if question is not None:
                question.callback(message["answer"])

    def _look(self) -> None:
        """Beats are counted, not timed: a machine that slept is no reason to kill anybody."""
        self._watch = self._reactor.callLater(BEAT_S, self._look)
        self._missed += 1
        if self._missed > MISSED_MAXIMUM:
            self.log.error("worker {number} is silent, and is killed", number=self.number)
            self.signal("KILL")

    def _channel_lost(self) -> None:
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self._lines.end()
        self.ready = False
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        if self._channel is not None and self._channel.transport is not None:
            self._channel.transport.loseConnection()
        if self._gone is not None:
            gone, self._gone = self._gone, None
            if not reason.check(ProcessDone):
                self.log.error("worker {number} ended: {why}", number=self.number, why=_why(reason))
            gone.callback(None)
        elif not self._stopping:
            self._start_again(reason)
        self._user.worker_ended(self)

    def _start_again(self, reason: Failure) -> None:
        if self._reactor.seconds() - self._began_s >= STABLE_S:
            self._backoff.reset()
        wait_s = self._backoff.next()
        self.restarts += 1
        self.log.error(
            "worker {number} ended: {why}; it is started again in {wait_s:.1f} s",
            number=self.number,
            why=_why(reason),
            wait_s=wait_s,
        )
        self._again = self._reactor.callLater(wait_s, self.start)

    # -- asking -------------------------------------------------------------------------------------------------------------

    def ask(self, page: str) -> Deferred[Any]:
        """
        Ask it for one of its pages.

        :returns: fires with the page; with None when there is no answer in time.
        """
        if not self.ready or self._channel is None:
            return succeed(None)
        self._asked += 1
        number, answer = self._asked, Deferred[Any]()
        self._questions[number] = answer
        timer = self._reactor.callLater(ANSWER_S, self._unanswered, number)
        self._channel.say({"ask": page, "id": number})

        def answered(found: Any) -> Any:
            if timer.active():
                timer.cancel()
            return found

        return answer.addCallback(answered)

    def _unanswered(self, number: int) -> None:
        question = self._questions.pop(number, None)
        if question is not None:
            question.callback(None)

    # -- its log ------------------------------------------------------------------------------------------------------------

    def outReceived(self, data: bytes) -> None:
        """Lines of its log."""
        self._lines.receive(data)

    def errReceived(self, data: bytes) -> None:
        """What it says when it cannot start, for one."""
        self._lines.receive(data)

    def _say(self, line: str) -> None:
        """A line of its log becomes one of ours; what follows a line below it keeps its level."""
        word, _, text = line.partition(" ")
        level = _LEVELS.get(word)
        if level is None:
            text = line
        else:
            self._level = level
        self.log.emit(self._level, "worker {number}: {text}", number=self.number, text=text.strip())


class _Lines:
    """
    Cuts bytes into lines.

    :param say: takes each.
    """

    def __init__(self, say: Any) -> None:
        self._say = say
        self._rest = b""

    def receive(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line.decode(errors="replace"))
        if len(self._rest) > LINE_MAXIMUM_BYTES:
            self.end()

    def end(self) -> None:
        rest, self._rest = self._rest, b""
        if rest:
            self._say(rest.decode(errors="replace"))


def _why(reason: Failure) -> str:
    """How a process ended, for an operator."""
    number = getattr(reason.value, "signal", None)
    if number is not None:
        return f"killed by signal {number}"
    return f"status {getattr(reason.value, 'exitCode', '?')}"


def environment(environ: Mapping[str, str], path: Sequence[str]) -> dict[str, str]:
    """
    The environment of a worker: ours, and where our packages are.

    :param environ: ours.
    :param path: where our packages are looked for.
    """
    places = os.pathsep.join(str(Path(place).absolute()) for place in path)
    return {**environ, "PYTHONPATH": places, "PYTHONUNBUFFERED": "1"}
