"""Tells the other members what this one has to offer: the names that its tunnels hold, the balancers that its services answer for, its load."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import Service

from kwic.service.balancer import Balances
from kwic.service.context import Context
from kwic.service.membership import Membership, OwnState
from kwic.service.reverse import Names

#: Seconds between two looks at the load.
LOAD_S = 1.0
#: With more tunnels than this, changes are told together after a pause: a thousand tunnels that come back at once would be counted a thousand times.
MANY = 50
PAUSE_S = 0.1


class OwnOffers(Service):
    """
    Publishes our own state whenever it changes.

    :param context: has the load.
    :param membership: whom it is told.
    :param names: the names that are held here.
    :param balances: the balancers that are answered for here.
    :param tunnels: the addresses at which tunnels are taken here.
    """

    def __init__(
        self,
        context: Context,
        membership: Membership,
        names: Names,
        balances: Balances,
        tunnels: Iterable[str],
    ) -> None:
        self._context = context
        self._membership = membership
        self._names = names
        self._balances = balances
        self._tunnels = tuple(sorted(set(tunnels)))
        self._stops: list[Callable[[], None]] = []
        self._timer: Any = None
        self._soon: Any = None
        self._held = 0

    def startService(self) -> None:
        """Say what there is, and go on saying it."""
        super().startService()
        self._stops = [watched.watch(self._changed) for watched in (self._names, self._balances)]
        self._look()

    def _look(self) -> None:
        self._timer = self._context.reactor.callLater(LOAD_S, self._look)
        self._publish()

    def _changed(self) -> None:
        if self._held <= MANY:
            self._publish()
        elif self._soon is None:
            self._soon = self._context.reactor.callLater(PAUSE_S, self._publish)

    def _publish(self) -> None:
        self._forget_soon()
        held = self._names.held()
        self._held = sum(map(len, held.values()))
        state = OwnState(
            balances=self._balances.offered(),
            tunnels=self._tunnels,
            names={name: sum(not tunnel.suspect for tunnel in tunnels) for name, tunnels in held.items()},
            load=len(self._context.relays),
            leaving=self._membership.own.leaving,
        )
        if state != self._membership.own:
            self._membership.publish(state)

    def _forget_soon(self) -> None:
        soon, self._soon = self._soon, None
        if soon is not None and soon.active():
            soon.cancel()

    def stopService(self) -> None:
        """Say no more."""
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._forget_soon()
        for stop in self._stops:
            stop()
        self._stops = []
