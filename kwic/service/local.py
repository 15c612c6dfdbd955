"""Pipes that stay in the process: a service connects to a name that another service of the same file accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kwic.policy.choice import Candidate
from kwic.service.path import Attempt, Path, PathSource
from kwic.service.proxy import Proxy
from kwic.service.switchboard import permitted
from kwic.transport.leg import Leg
from kwic.transport.pipe import connect
from kwic.wire.socks5 import Rep


class LocalSource:
    """
    The service that accepts a pipe.

    :param name: of the pipe.
    :param accepted: the services, by the pipes that they accept.
    :param priority: lower goes first.
    """

    def __init__(self, name: str, accepted: Mapping[str, Proxy], priority: int = 0) -> None:
        self._name = name
        self._accepted = accepted
        self._priority = priority

    @property
    def _far(self) -> PathSource:
        return self._accepted[self._name].source

    @property
    def timeout_s(self) -> float:
        """As long as the other service takes."""
        return self._far.timeout_s

    def paths(self) -> Sequence[Path]:
        """There is one."""
        return (LocalPath(self._name, self._accepted[self._name], self._priority),)

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """The pipe is always there; whether the other service waits is its own affair."""
        return lambda: None


class LocalPath:
    """
    A pipe to the service that accepts it; the dial of that service decides.

    :param name: of the pipe.
    :param destination: the service.
    :param priority: lower goes first.
    """

    def __init__(self, name: str, destination: Proxy, priority: int) -> None:
        self.label = f"pipe://{name}"
        self._destination = destination
        self._priority = priority

    @property
    def facts(self) -> Candidate:
        """It is always there."""
        return Candidate(key=(self.label, self._priority), priority=self._priority)

    def dial(self, attempt: Attempt) -> Callable[[], None]:
        """Let the other service dial."""
        attempt.acknowledged()
        asker = _Asker(self.label, attempt)
        if permitted(self._destination.service, None):
            self._destination.request(asker, self.label)
        else:
            asker.refuse(Rep.NOT_ALLOWED)
        return lambda: asker.on_lost()  # noqa: PLW0108 - it is set when the dial has begun

    def ask(self, answered: Callable[[], None]) -> None:
        """Nobody is in between."""
        answered()

    def suspect(self) -> None:
        """Nobody is in between."""


class _Asker:
    """Asks the other service, and is answered."""

    def __init__(self, label: str, attempt: Attempt) -> None:
        self._label = label
        self._attempt = attempt
        self.on_lost: Any = lambda: None

    def accept(self) -> Leg:
        """The far end was dialled: the two services are joined by a pipe."""
        self.on_lost = lambda: None
        near, far = Leg(), Leg()
        connect(self._label, near, far)
        self._attempt.connected(near)
        return far

    def refuse(self, rep: Rep) -> None:
        """It was not."""
        self.on_lost = lambda: None
        self._attempt.refused(rep, rep.meaning)
