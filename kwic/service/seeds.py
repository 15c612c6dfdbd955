"""The members that the configuration names (`connect` with tcp): their host names, resolved again and again, as one may stand for all members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

from kwic.config.model import Address
from kwic.policy.backoff import Backoff
from kwic.service.context import Context
from kwic.service.dialling import Place
from kwic.transport.addresses import AddressLookup

#: Seconds between two resolutions of a name that has addresses, and the longest wait while it has none.
RESOLVE_S = 5.0
#: How long an answer may take before the operator is told that there is none.
ANSWER_S = 2.0


class Seeds(Service):
    """
    Keeps the addresses of the configured members up to date.

    :param context: the gateway's surroundings.
    :param connects: the configured members.
    :param configure: called with all addresses whenever they change.
    """

    log = Logger()

    def __init__(
        self, context: Context, connects: Iterable[Address], configure: Callable[[set[Place]], None]
    ) -> None:
        self._reactor = context.reactor
        self._configure = configure
        self._names = [_Name(self, context, connect) for connect in connects]
        self._told: set[Place] | None = None

    def startService(self) -> None:
        """Resolve, from now on."""
        Service.startService(self)
        self._told = None
        for name in self._names:
            name.start()

    def stopService(self) -> None:
        """Resolve no more."""
        Service.stopService(self)
        for name in self._names:
            name.stop()

    def resolved(self) -> None:
        """A name has addresses, or others than before."""
        places = {place for name in self._names for place in name.places}
        if self.running and places != self._told:
            self._told = places
            self._configure(places)


class _Name:
    """One of them."""

    def __init__(self, seeds: Seeds, context: Context, connect: Address) -> None:
        self._seeds = seeds
        self._reactor = context.reactor
        self._connect = connect
        self._lookup = AddressLookup(context.reactor, connect.host)
        self._backoff = Backoff(context.random, maximum_s=RESOLVE_S)
        self._timer: Any = None
        self._asked_s = 0.0
        self._complained = False
        self.places: tuple[Place, ...] = ()

    def start(self) -> None:
        self._asked_s = self._reactor.seconds()
        self._ask()

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._lookup.cancel()

    def _ask(self) -> None:
        self._lookup.look_up(self._answered)
        if not self.places:
            self._complain()
        delay_s = RESOLVE_S if self.places else self._backoff.next()
        self._timer = self._reactor.callLater(delay_s, self._ask)

    def _answered(self, addresses: Sequence[str]) -> None:
        self.places = tuple((address, self._connect.port or 0) for address in addresses)
        self._complained = False
        self._seeds.resolved()

    def _complain(self) -> None:
        """Say once that a name has no addresses."""
        if not self._complained and self._reactor.seconds() - self._asked_s >= ANSWER_S:
            self._complained = True
            self._seeds.log.warn(
                "cluster: {connect} cannot be resolved; it is tried until it can", connect=str(self._connect)
            )
