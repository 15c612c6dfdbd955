"""
Paths on which a client has a SOCKS connection of its own.

    WaitingPath     a connection of an agent that waits for a client: the second reply to its BIND, and the client is through
    AskingPath      a connection that is dialled for the client, with CONNECT
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from kwic.policy.choice import Candidate
from kwic.service.path import REPS, Attempt
from kwic.transport.connect_error import explain
from kwic.transport.ending import explain_end
from kwic.transport.socks_leg import SocksAcceptor, SocksOpener
from kwic.wire.socks5 import Command, Rep


class WaitingPath:
    """
    A connection that waits for a client, and serves this one only.

    RFC 1928 has no answer to the second reply, so whether the agent reaches its server is not known before the first bytes flow.

    :param acceptor: the connection.
    :param name: what it waits for.
    :param priority: lower goes first.
    """

    def __init__(self, acceptor: SocksAcceptor, name: str, *, priority: int = 0) -> None:
        self._acceptor = acceptor
        self._name = name
        self._priority = priority

    @property
    def facts(self) -> Candidate:
        """All that wait are alike."""
        return Candidate(key=self._acceptor, leaving=not self._acceptor.usable, priority=self._priority)

    @property
    def label(self) -> str:
        """Whose connection, and the name."""
        return f"{self._name} through {self._acceptor.peer}"

    def dial(self, attempt: Attempt) -> Callable[[], None]:
        """Take it."""
        attempt.acknowledged()
        leg = self._acceptor.take(attempt.client)
        leg.when_ready(attempt.connected, lambda lost: attempt.lost(explain_end(lost)))
        return leg.reset

    def ask(self, answered: Callable[[], None]) -> None:
        """SOCKS has no question for that."""
        answered()

    def suspect(self) -> None:
        """It is taken, and never tried again."""


class AskingPath:
    """
    A connection that is made for one client.

    :param clock: for deadlines.
    :param key: what it is, to be tried once for each client.
    :param name: what to ask for.
    :param label: where, for the log.
    :param endpoint: makes the endpoint for one attempt.
    :param priority: its place in the configuration.
    """

    def __init__(
        self,
        clock: IReactorTime,
        key: Hashable,
        name: str,
        label: str,
        endpoint: Callable[[], IStreamClientEndpoint],
        *,
        priority: int = 0,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._key = key
        self._name = name
        self.label = f"{name} at {label}"
        self._where = label
        self._endpoint = endpoint
        self._priority = priority
        self._on_failed = on_failed
        #: The last attempt went wrong: others are tried first.
        self.failed = False

    @property
    def facts(self) -> Candidate:
        """In the order of the configuration, those that worked last first."""
        return Candidate(key=self._key, healthy=not self.failed, priority=self._priority)

    def dial(self, attempt: Attempt) -> Callable[[], None]:
        """Connect, and ask for the name. The peer has acknowledged when it has chosen the method."""
        return _Asking(self, attempt).begin(self._clock, self._name, self._endpoint)

    def worked(self) -> None:
        """The peer answered."""
        self.failed = False

    def unreachable(self, failure: Failure, attempt: Attempt) -> None:
        """There is no connection."""
        if failure.check(CancelledError):
            return
        self.failed = True
        problem = explain(failure, self._where)
        self._on_failed()
        attempt.refused(REPS.get(problem.why, Rep.GENERAL_FAILURE), str(problem))

    def ask(self, answered: Callable[[], None]) -> None:
        """SOCKS has no question for that."""
        answered()

    def suspect(self) -> None:
        """It did not acknowledge in time."""
        self.failed = True


class _Asking:
    """One attempt."""

    def __init__(self, path: AskingPath, attempt: Attempt) -> None:
        self._path = path
        self._attempt = attempt
        self._waiting: Deferred[Any] | None = None
        self._opener: SocksOpener | None = None

    def begin(
        self, clock: IReactorTime, name: str, endpoint: Callable[[], IStreamClientEndpoint]
    ) -> Callable[[], None]:
        """:returns: what abandons it."""

        def build() -> SocksOpener:
            self._opener = SocksOpener(
                clock, Command.CONNECT, name, on_reply=self._answered, on_acknowledged=self._acknowledged
            )
            self._opener.on_lost = lambda leg, reason: self._path.unreachable(reason, self._attempt)
            return self._opener

        try:
            self._waiting = endpoint().connect(Factory.forProtocol(build))
        except Exception:  # noqa: BLE001 - whatever an endpoint's construction raises is a failed attempt
            self._path.unreachable(Failure(), self._attempt)
        else:
            self._waiting.addErrback(self._path.unreachable, self._attempt)
        return self._abandon

    def _acknowledged(self) -> None:
        self._path.worked()
        self._attempt.acknowledged()

    def _answered(self, opener: SocksOpener, rep: Rep) -> None:
        if rep is Rep.SUCCEEDED:
            self._attempt.connected(opener)
        else:
            self._attempt.refused(rep, rep.meaning)

    def _abandon(self) -> None:
        if self._opener is not None:
            self._opener.on_lost = None
            self._opener.reset()
        elif self._waiting is not None:
            self._waiting.cancel()
