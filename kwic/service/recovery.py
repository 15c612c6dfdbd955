"""
Back-end probing (`maximum.recovery.interval`): a service whose back end cannot be reached is taken out of the balancer and of the rendezvous until it
can be again, so that clients are sent to an instance that serves them.

    serving     offered; the first client whose dial fails at every address quiesces it
    quiesced    not offered; probed after 1, 2, 4 … seconds, up to the interval, until a probe connects
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

#: The first wait between two probes, in seconds; it doubles.
FIRST_S = 1.0
#: How long a probe may take.
PROBE_S = 5.0


class State(Enum):
    """What is true of the service."""

    SERVING = "its back end was reached, or was not asked for yet"
    QUIESCED = "its back end could not be reached"
    STOPPED = "it is not running"


class Recovery:
    """
    Watches the back end of one service.

    :param clock: for the waits.
    :param name: the addresses of the back end, for the log.
    :param endpoints: make an endpoint for each address.
    :param interval_s: the longest wait between two probes.
    :param quiesce: takes the service out of the balancer and of the rendezvous.
    :param start: puts it back.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        name: str,
        endpoints: Sequence[Callable[[], IStreamClientEndpoint]],
        interval_s: float,
        *,
        quiesce: Callable[[], None],
        start: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._name = name
        self._endpoints = tuple(endpoints)
        self._interval_s = interval_s
        self._quiesce = quiesce
        self._start = start
        self._wait_s = FIRST_S
        self._timer: Any = None
        self._probe: Deferred[Any] | None = None
        self.state = State.SERVING

    def failed(self) -> None:
        """No address of the back end could be dialled for a client."""
        if self.state is State.SERVING:
            self.state = State.QUIESCED
            self.log.warn("Quiescing service with connect uri '{name}'.", name=self._name)
            self._wait_s = FIRST_S
            self._quiesce()
            self._schedule()

    def stop(self) -> None:
        """Probe no more."""
        self.state = State.STOPPED
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._probe is not None:
            self._probe.cancel()

    def _schedule(self) -> None:
        self._timer = self._clock.callLater(min(self._wait_s, self._interval_s), self._ask, 0)
        self._wait_s *= 2

    def _ask(self, index: int) -> None:
        """Probe one address, then the next."""
        if self.state is not State.QUIESCED:
            return
        if index >= len(self._endpoints):
            self._schedule()
            return
        self._probe = self._endpoints[index]().connect(Factory.forProtocol(Protocol))
        self._probe.addTimeout(PROBE_S, self._clock)
        self._probe.addCallbacks(self._reached, self._not_reached, errbackArgs=(index,))

    def _reached(self, protocol: Any) -> None:
        self._probe = None
        protocol.transport.loseConnection()
        if self.state is State.QUIESCED:
            self.state = State.SERVING
            self.log.info("Starting service with connect uri '{name}'.", name=self._name)
            self._start()

    def _not_reached(self, failure: Failure, index: int) -> None:
        self._probe = None
        self.log.debug("{name} is still not there: {why}", name=self._name, why=failure.getErrorMessage())
        self._ask(index + 1)
