"""
What this instance has to offer, gathered from where it is known and published to the other members whenever it changes.

Names, balances and drains tell when they change; the load is looked at once in a while, as it changes with every client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

from kwic.service.balancer import Balances
from kwic.service.context import Context
from kwic.service.membership import Membership, OwnState
from kwic.service.reverse import Names

#: Seconds between two looks at the load.
LOAD_S = 0.5


class Presence(Service):
    """
    Publishes our own state.

    :param context: the gateway's surroundings: clock and load.
    :param membership: whom it is published to.
    :param names: the reverse names that are held here.
    :param balances: the services here that answer for balancers.
    """

    def __init__(self, context: Context, membership: Membership, names: Names, balances: Balances) -> None:
        self._context = context
        self._membership = membership
        self._names = names
        self._balances = balances
        self._stops: list[Callable[[], None]] = []
        self._timer: Any = None

    def startService(self) -> None:
        """Publish from now on."""
        Service.startService(self)
        self._stops = [self._names.watch(self.publish), self._balances.watch(self.publish)]
        self._look()

    def stopService(self) -> None:
        """Publish no more; what was published stands."""
        Service.stopService(self)
        for stop in self._stops:
            stop()
        self._stops = []
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def publish(self) -> None:
        """Publish what there is now; once leaving was said, it stays said."""
        names = {
            name: sum(not tunnel.suspect for tunnel in tunnels)
            for name, tunnels in self._names.held().items()
        }
        self._membership.publish(
            OwnState(
                balances=self._balances.offered(),
                names=names,
                load=len(self._context.relays),
                leaving=self._membership.own.leaving,
            )
        )

    def _look(self) -> None:
        self._timer = self._context.reactor.callLater(LOAD_S, self._look)
        self.publish()
