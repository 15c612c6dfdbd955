"""A name that is offered to the other side on every tunnel: registered when one comes up, and again when a registration is refused or lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as Interface

from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from kwic.errors import MisuseError
from kwic.transport.negotiation import Opener, Registration
from kwic.transport.tunnel import Tunnel
from kwic.wire.socks5 import Command, Rep

#: Seconds until a name that was refused or lost is offered again on the same tunnel.
AGAIN_S = 5.0
#: Seconds until a name is offered that had to wait because as many opens as may be were unanswered: there are more names than that.
SOON_S = 0.1


class Withdrawable(Interface):
    """Something that is offered to others."""

    def withdraw(self) -> None:
        """Offer it no more, for now."""

    def renew(self) -> None:
        """Offer it again."""


class Offer:
    """
    One name on all tunnels of an uplink.

    :param clock: for offering again.
    :param name: the rendezvous key.
    :param tunnels: the tunnels there are now.
    """

    log = Logger()

    def __init__(self, clock: Any, name: str, tunnels: Callable[[], list[Tunnel]]) -> None:
        self._clock = clock
        self._name = name
        self._tunnels = tunnels
        self._registered: dict[Tunnel, Protocol] = {}
        self._standing = True

    @property
    def registrations(self) -> int:
        """How many tunnels the name is registered on."""
        return sum(isinstance(protocol, Registration) for protocol in self._registered.values())

    def tunnel_up(self, tunnel: Tunnel) -> None:
        """Offer the name on a tunnel, unless it is there already or not to be offered now."""
        if not self._standing or not tunnel.up or tunnel.draining or tunnel in self._registered:
            return
        if not tunnel.usable:
            self._clock.callLater(SOON_S, self.tunnel_up, tunnel)
            return
        opener = Opener(
            Command.BIND,
            self._name,
            on_reply=lambda opener, rep: self._answered(tunnel, opener, rep),
            on_lost=lambda opener: self._lost(tunnel),
        )
        self._registered[tunnel] = opener
        try:
            tunnel.open(opener).housekeeping = True
        except MisuseError:
            self._lost(tunnel)

    def withdraw(self) -> None:
        """Offer the name no more, for now: new clients are sent elsewhere."""
        self._standing = False
        registered, self._registered = self._registered, {}
        for protocol in registered.values():
            if protocol.transport is not None:
                protocol.transport.loseConnection()

    def renew(self) -> None:
        """Offer the name again."""
        self._standing = True
        for tunnel in self._tunnels():
            self.tunnel_up(tunnel)

    def _answered(self, tunnel: Tunnel, opener: Opener, rep: Rep) -> None:
        if rep is Rep.SUCCEEDED and self._standing:
            registration = Registration(lambda: self._lost(tunnel))
            self._registered[tunnel] = registration
            opener.transport.hand_over(registration)
            opener.transport.resumeProducing()
        elif rep is Rep.SUCCEEDED:
            opener.transport.loseConnection()
        else:
            self.log.error(
                "{peer} refuses the name {name}: {why}; it is offered again every {again:.0f} s",
                peer=tunnel.peer,
                name=self._name,
                why=rep.meaning,
                again=AGAIN_S,
            )
            self._lost(tunnel)

    def _lost(self, tunnel: Tunnel) -> None:
        self._registered.pop(tunnel, None)
        if self._standing and tunnel.up:
            self._clock.callLater(AGAIN_S, self.tunnel_up, tunnel)


class Offers:
    """
    The same name, offered in several ways.

    :param offers: each can be withdrawn and renewed.
    """

    def __init__(self, *offers: Withdrawable) -> None:
        self._offers = offers

    def withdraw(self) -> None:
        """Offer it no more, for now."""
        for offer in self._offers:
            offer.withdraw()

    def renew(self) -> None:
        """Offer it again."""
        for offer in self._offers:
            offer.renew()
