"""
A path: one way to the far end that a client wants, and what is known of it.

    TunnelPath      a stream in a tunnel, opened with a name
    EndpointPath    a connection of its own: TCP, TLS, or a WebSocket to a far end that speaks no tunnels
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from kwic.errors import MisuseError
from kwic.policy.choice import Candidate
from kwic.transport.connect_error import Why, explain
from kwic.transport.ending import explain_end
from kwic.transport.lean_connect import LeanEndpoint
from kwic.transport.leg import Leg
from kwic.transport.negotiation import Opener
from kwic.transport.tunnel import Tunnel
from kwic.wire.socks5 import Command, Rep

# looked up for each client: a member of an enum costs ten times as much in Python 3.11
_SUCCEEDED = Rep.SUCCEEDED
_CONNECT = Command.CONNECT


class Attempt(Interface):
    """Whoever began to dial a path and waits for what comes of it."""

    @property
    def client(self) -> IAddress | None:
        """Where the client comes from, when that is known."""

    def acknowledged(self) -> None:
        """The peer lives and has begun to dial."""

    def connected(self, leg: Leg) -> None:
        """The far end was dialled."""

    def refused(self, rep: Rep, why: str) -> None:
        """The far end cannot be dialled on this path."""

    def lost(self, why: str) -> None:
        """The path broke before an answer came."""


class Path(Interface):
    """One way to the far end."""

    @property
    def facts(self) -> Candidate:
        """What the choice between paths is made by."""

    @property
    def label(self) -> str:
        """The path in a log line."""

    def dial(self, attempt: Attempt) -> Callable[[], None]:
        """
        Begin.

        :returns: what abandons the attempt.
        """

    def ask(self, answered: Callable[[], None]) -> None:
        """
        Ask whoever dials on our behalf for a sign of life.

        :param answered: called when it comes; at once when there is nobody who could be asked.
        """

    def suspect(self) -> None:
        """It did not answer in time."""


class PathSource(Interface):
    """Where the paths of a service come from."""

    @property
    def timeout_s(self) -> float:
        """Seconds that a client may wait for a path in all."""

    def paths(self) -> Sequence[Path]:
        """The paths there are now."""

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """
        Be called when paths may have come up.

        :returns: what ends it.
        """


class TunnelPath:
    """
    A stream in a tunnel.

    :param tunnel: the tunnel.
    :param name: what to ask for: the rendezvous key, or the path of a service.
    :param peer: the instance at its far end, when that is known.
    :param doubt: asks that instance for a sign of life, and prefers others until it comes; by default in this tunnel alone.
    :param local: whether the tunnel leads to the far side, and not to another member of our own.
    :param priority: lower goes first.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        name: str,
        *,
        peer: str | None = None,
        doubt: Callable[[], None] | None = None,
        local: bool = True,
        priority: int = 0,
    ) -> None:
        self._tunnel = tunnel
        self._name = name
        self._peer = peer
        self._doubt = doubt or tunnel.suspect_now
        self._local = local
        self._priority = priority

    @property
    def facts(self) -> Candidate:
        """A suspect or draining tunnel comes last or not at all."""
        tunnel = self._tunnel
        return Candidate(
            key=(tunnel, self._name),
            peer=self._peer,
            local=self._local,
            healthy=not tunnel.suspect,
            leaving=not tunnel.usable,
            load=len(tunnel.streams),
            priority=self._priority,
            delay_s=tunnel.delay_s,
        )

    @property
    def label(self) -> str:
        """Whose tunnel, and the name."""
        return f"{self._name} through {self._tunnel.peer}"

    def dial(self, attempt: Attempt) -> Callable[[], None]:
        """Open a stream and ask for the name."""

        def on_reply(opener: Opener, rep: Rep) -> None:
            if rep is _SUCCEEDED:
                attempt.connected(opener.leg())
            else:
                attempt.refused(rep, rep.meaning)

        opener = Opener(
            _CONNECT,
            self._name,
            on_acknowledged=attempt.acknowledged,
            on_reply=on_reply,
            on_lost=lambda opener: attempt.lost("the stream was reset"),
        )
        try:
            stream = self._tunnel.open(opener)
        except MisuseError as error:
            attempt.lost(str(error))
            return lambda: None
        return stream.abortConnection

    def ask(self, answered: Callable[[], None]) -> None:
        """Ping."""
        self._tunnel.ping(answered)

    def suspect(self) -> None:
        """Ask the peer for a sign of life, and prefer others until it comes."""
        self._doubt()


class EndpointPath:
    """
    A connection of its own.

    :param key: what it is, to be tried once for each client.
    :param label: for the log.
    :param endpoint: makes the endpoint for one attempt.
    :param priority: its place in the configuration.
    :param on_failed: called when an attempt failed.
    """

    def __init__(
        self,
        key: Hashable,
        label: str,
        endpoint: Callable[[], IStreamClientEndpoint],
        *,
        priority: int = 0,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._key = key
        self.label = label
        self.endpoint = endpoint
        self._priority = priority
        self._on_failed = on_failed
        #: The last attempt went wrong: others are tried first.
        self.failed = False

    @property
    def facts(self) -> Candidate:
        """In the order of the configuration, those that worked last first."""
        return Candidate(key=self._key, healthy=not self.failed, priority=self._priority)

    def dial(self, attempt: Attempt) -> Callable[[], None]:
        """Connect. There is nobody in between who could acknowledge: this process did."""
        attempt.acknowledged()
        try:
            endpoint = self.endpoint()
            if not isinstance(endpoint, LeanEndpoint):
                return self._wait(endpoint.connect(_LEGS), attempt)
        except Exception:  # noqa: BLE001 - whatever an endpoint's construction raises is a failed attempt
            self._not_connected(Failure(), attempt)
            return lambda: None
        return endpoint.dial(
            _LEGS.buildProtocol,
            lambda leg: self._connected(leg, attempt),
            lambda failure: self._not_connected(failure, attempt),
        )

    def _wait(self, waiting: Deferred[Any], attempt: Attempt) -> Callable[[], None]:
        waiting.addCallbacks(
            self._connected, self._not_connected, callbackArgs=(attempt,), errbackArgs=(attempt,)
        )
        return waiting.cancel

    def _connected(self, leg: Leg, attempt: Attempt) -> None:
        self.failed = False
        leg.when_ready(attempt.connected, lambda lost: attempt.lost(explain_end(lost)))

    def _not_connected(self, failure: Failure, attempt: Attempt) -> None:
        if not failure.check(CancelledError):
            self.failed = True
            problem = explain(failure, self.label)
            self._on_failed()
            attempt.refused(REPS.get(problem.why, Rep.GENERAL_FAILURE), str(problem))

    def ask(self, answered: Callable[[], None]) -> None:
        """Nobody is in between."""
        answered()

    def suspect(self) -> None:
        """Nobody is in between."""
        self.failed = True


class _Legs(Factory):
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Leg:
        return Leg()


_LEGS = _Legs()


#: What a failed dial is called in a SOCKS reply (RFC 1928 6).
REPS = {
    Why.REFUSED: Rep.CONNECTION_REFUSED,
    Why.TIMEOUT: Rep.TTL_EXPIRED,
    Why.NO_NAME: Rep.HOST_UNREACHABLE,
    Why.UNREACHABLE: Rep.NETWORK_UNREACHABLE,
}
