"""
The other workers of our own instance, as members: found in a private folder, linked over its sockets.

Whoever can open a socket there is one of us: the folder belongs to our user and nobody else may enter it. So there is neither TLS nor a search.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory

from kwic.config.model import Cluster as ClusterConfig
from kwic.config.model import Liveness
from kwic.config.problem import Place as Written
from kwic.service.cluster import Cluster, OnRequest
from kwic.service.context import Context
from kwic.service.dialling import Place
from kwic.service.neighbour import Neighbour
from kwic.service.worker import Worker


class SiblingPort:
    """
    Where a worker takes the links of the others (see `ClusterPort`).

    :param context: the gateway's surroundings.
    :param worker: which one we are.
    """

    def __init__(self, context: Context, worker: Worker) -> None:
        self._reactor = context.reactor
        self._worker = worker
        self._listening: Any = None

    accept = ""
    """Others need not be told where we are: all know it."""

    def check(self) -> None:
        """Nothing can be wrong with it."""

    def permits(self, host: str) -> bool:
        """Whether links with an address may be opened."""
        return True

    def client_tls(self) -> None:
        """There is no TLS."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where we listen."""
        return (self.place(self._worker.number),)

    def place(self, number: int) -> Place:
        """Where one of the workers is found."""
        return self._worker.socket_of(number), 0

    def place_of(self, accept: str, peer_host: str) -> None:
        """They say nothing of where they are."""

    def listen(self, factory: IProtocolFactory) -> None:
        """Take links; a socket of an earlier start in our place is removed."""
        if self._listening is None:
            path = self._worker.socket_of(self._worker.number)
            self._listening = self._reactor.listenUNIX(path, factory, mode=0o600, wantPID=True)

    def stop(self) -> Deferred[Any]:
        """Take no more links."""
        listening, self._listening = self._listening, None
        return maybeDeferred(lambda: None if listening is None else listening.stopListening())


class Siblings(Cluster):
    """
    The other workers.

    :param context: the gateway's surroundings.
    :param worker: which one we are.
    :param on_request: takes the clients that others send here.
    """

    def __init__(self, context: Context, worker: Worker, on_request: OnRequest) -> None:
        self._worker = worker
        self._sockets = SiblingPort(context, worker)
        nowhere = Written(file="", line=0, column=0, path="")
        config = ClusterConfig(name="workers", accepts=(), connects=(), place=nowhere)
        super().__init__(context, config, on_request, Liveness.FAST, port=self._sockets)

    def startService(self) -> None:
        """Find the others."""
        super().startService()
        others = (number for number in range(1, self._worker.count + 1) if number != self._worker.number)
        self._mesh.configure(self._sockets.place(number) for number in others)

    def _say_members(self) -> None:
        """The supervisor tells of workers that come and go."""

    def _say_balances(self) -> None:
        """They all have the same."""

    def _say_up(self, neighbour: Neighbour) -> None:
        self.log.debug("linked with worker {node}", node=neighbour.node)

    def _say_down(self, neighbour: Neighbour, why: str) -> None:
        self.log.debug("no longer linked with worker {node}: {why}", node=neighbour.node, why=why)
