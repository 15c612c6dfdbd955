"""
What is dialled for peers that speak SOCKS 5 with a connection for each client: over plain TCP or TLS, or over WebSockets on which `socks` was agreed.

As an agent we keep, at each address of the peer's name and for each name that we serve, some connections that wait for a client
(`prepared.connection.count`, 1 unless told otherwise); one that was taken is replaced at once. For clients of our own a connection is dialled when one comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic.policy.backoff import Backoff
from kwic.service.complaints import Complaints
from kwic.service.context import Context
from kwic.service.path import Path
from kwic.service.peer import STABLE_S
from kwic.service.socks_path import AskingPath
from kwic.service.switchboard import Destination, Switchboard
from kwic.service.watch import Watched
from kwic.transport.addresses import AddressLookup
from kwic.transport.connect_error import explain
from kwic.transport.ending import explain_end
from kwic.transport.leg import Leg
from kwic.transport.socks_leg import SocksOpener
from kwic.transport.tls import peer_identity
from kwic.wire.socks5 import Command, Rep

#: Seconds between two resolutions of the name.
RESOLVE_S = 10.0

DialAddress = str | None
"""One address of the host; None to resolve its name anew for each attempt."""


class SocksUplink(Service, Watched):
    """
    The connections to one peer.

    :param context: the gateway's surroundings.
    :param where: the peer, for the log.
    :param host: its name or address.
    :param endpoint: what is dialled for one connection, to one address of the host or to whichever.
    :param prepared: connections that wait for a client, for each name and address.
    :param retry_maximum_s: the longest wait between two attempts.
    :param on_unreachable: called when the peer could not be reached while no connection waits there.
    """

    log = Logger()

    def __init__(
        self,
        context: Context,
        where: str,
        host: str,
        endpoint: Callable[[DialAddress], IStreamClientEndpoint],
        *,
        prepared: int = 1,
        retry_maximum_s: float = 30.0,
        on_unreachable: Callable[[], None] = lambda: None,
    ) -> None:
        Watched.__init__(self)
        self.clock: Any = context.reactor
        self.draw = context.random
        self.where = where
        self.endpoint = endpoint
        self.prepared = prepared
        self.retry_maximum_s = retry_maximum_s
        self._on_unreachable = on_unreachable
        self._destinations: dict[str, Destination] = {}
        self._switchboard = Switchboard(requests=context.requests, destinations=self._destinations)
        self._offers: dict[str, SocksOffer] = {}
        self._asking: dict[tuple[str, DialAddress, int], AskingPath] = {}
        self._lookup = AddressLookup(context.reactor, host)
        #: Those that are dialled.
        self.addresses: tuple[DialAddress, ...] = (None,)
        self._timer: Any = None

    # -- for the services ---------------------------------------------------------------------------------------------------

    @property
    def names(self) -> Sequence[str]:
        """The names that are offered."""
        return tuple(self._offers)

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many connections wait for a client, for each name."""
        return {name: offer.waiting for name, offer in self._offers.items()}

    def check(self) -> None:
        """
        Find out before the start what cannot work.

        :raises SetupError: when the TLS options or stores do not allow to dial.
        """
        self.endpoint(None)

    def offer(self, name: str, destination: Destination) -> SocksOffer:
        """Wait for clients for a name, from now on, and bring them to a destination."""
        self._destinations[name] = destination
        offer = self._offers[name] = SocksOffer(self, name)
        return offer

    def paths(self, name: str, priority: int = 0) -> Sequence[Path]:
        """A path for each address of the peer."""
        return [self._path(name, address, priority) for address in self.addresses]

    def _path(self, name: str, address: DialAddress, priority: int) -> AskingPath:
        key = (name, address, priority)
        if key not in self._asking:
            label = f"{self.where} at {address}" if address else self.where
            self._asking[key] = AskingPath(
                self.clock,
                (self, *key),
                name,
                label,
                lambda: self.endpoint(address),
                priority=priority,
                on_failed=self.failed,
            )
        return self._asking[key]

    # -- Service ------------------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Dial."""
        super().startService()
        self._look_up()
        self._spread()

    def drain(self) -> None:
        """Wait for no more clients; those that came stay."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._lookup.cancel()
        for offer in self._offers.values():
            offer.stop()

    def stopService(self) -> None:
        """Wait for no more clients."""
        super().stopService()
        self.drain()

    def _look_up(self) -> None:
        self._timer = self.clock.callLater(RESOLVE_S, self._look_up)
        self._lookup.look_up(self._resolved)

    def _resolved(self, addresses: Sequence[str]) -> None:
        """The name has these addresses now: one address is dialled by its name, several each by itself."""
        if self.running:
            self.addresses = tuple(addresses) if len(addresses) > 1 else (None,)
            for key in [key for key in self._asking if key[1] not in self.addresses]:
                del self._asking[key]
            self._spread()

    def _spread(self) -> None:
        for offer in self._offers.values():
            offer.spread(self.addresses)
        self.changed()

    # -- called by the connections ------------------------------------------------------------------------------------------

    def client_came(self, opener: SocksOpener) -> None:
        """A client came for one of our names."""
        self._switchboard.reach(opener, opener.name, peer_identity(opener.transport), self.where)

    def failed(self) -> None:
        """An attempt failed."""
        if not any(self.waiting.values()):
            self._on_unreachable()


class SocksOffer:
    """
    One name, and the connections on which its clients are waited for.

    :param uplink: whose.
    :param name: the rendezvous key.
    """

    def __init__(self, uplink: SocksUplink, name: str) -> None:
        self._uplink = uplink
        self._name = name
        self._standing = True
        self._waits: list[Wait] = []

    @property
    def waiting(self) -> int:
        """How many connections wait now."""
        return sum(wait.registered for wait in self._waits)

    def withdraw(self) -> None:
        """Wait for no clients, for now."""
        self._standing = False
        self.stop()

    def renew(self) -> None:
        """Wait for them again."""
        self._standing = True
        if self._uplink.running:
            self.spread(self._uplink.addresses)

    def stop(self) -> None:
        """Give up the connections that wait."""
        waits, self._waits = self._waits, []
        for wait in waits:
            wait.stop()

    def spread(self, addresses: Sequence[DialAddress]) -> None:
        """Wait at these addresses; what waits there already stays."""
        if not self._standing:
            return
        wanted = [address for address in addresses for _ in range(self._uplink.prepared)]
        for wait in tuple(self._waits):
            if wait.address in wanted:
                wanted.remove(wait.address)
            else:
                self._waits.remove(wait)
                wait.stop()
        for address in wanted:
            wait = Wait(self._uplink, self._name, address)
            self._waits.append(wait)
            wait.start()


class Wait:
    """
    Keeps one connection on which a client is waited for.

    :param uplink: dials, and takes the clients.
    :param name: the rendezvous key.
    :param address: which address is dialled.
    """

    log = Logger()

    def __init__(self, uplink: SocksUplink, name: str, address: DialAddress) -> None:
        self.address = address
        #: A client can come now.
        self.registered = False
        self._uplink = uplink
        self._name = name
        self._label = f"{uplink.where} at {address}" if address else uplink.where
        self._backoff = Backoff(uplink.draw, maximum_s=uplink.retry_maximum_s)
        self._opener: SocksOpener | None = None
        self._attempt: Deferred[Any] | None = None
        #: Until the next attempt, or until the connection counts as up.
        self._timer: Any = None
        self._stopped = False
        self._complaints = Complaints()

    def start(self) -> None:
        """Dial."""
        self._timer = None
        try:
            self._attempt = self._uplink.endpoint(self.address).connect(Factory.forProtocol(self._build))
        except Exception:  # noqa: BLE001 - whatever an endpoint's construction raises is a failed attempt
            self._failed(Failure())
            return
        self._attempt.addErrback(self._failed)

    def stop(self) -> None:
        """Give up. A client that came stays."""
        self._stopped = True
        self._cancel()
        opener, self._opener, self.registered = self._opener, None, False
        if opener is not None:
            opener.on_lost = None
            opener.transport.loseConnection()
        elif self._attempt is not None:
            self._attempt.cancel()

    def _build(self) -> SocksOpener:
        opener = SocksOpener(
            self._uplink.clock,
            Command.BIND,
            self._name,
            on_registered=self._registered,
            on_reply=self._answered,
        )
        opener.on_lost = self._lost
        self._opener = opener
        return opener

    def _registered(self) -> None:
        self.registered = True
        self._timer = self._uplink.clock.callLater(STABLE_S, self._stands)

    def _stands(self) -> None:
        self._timer = None
        self._works()

    def _works(self) -> None:
        """Clients can come, or one has been served: the back-off starts anew."""
        self._backoff.reset()
        if self._complaints.settle():
            self.log.info("{where} takes the name {name} again", where=self._label, name=self._name)

    def _answered(self, opener: SocksOpener, rep: Rep) -> None:
        """A client came, or the name was refused."""
        self._opener, self.registered = None, False
        self._cancel()
        if rep is Rep.SUCCEEDED:
            opener.on_served = self._works
            self.start()
            self._uplink.client_came(opener)
        else:
            self._again(f"{self._label} refuses the name {self._name}: {rep.meaning}")

    def _failed(self, failure: Failure) -> None:
        """There is no connection."""
        if not failure.check(CancelledError) and not self._stopped:
            self._again(str(explain(failure, self._label)))
            self._uplink.failed()

    def _lost(self, leg: Leg, reason: Failure) -> None:
        """There is no connection any more."""
        was_registered, self._opener, self.registered = self.registered, None, False
        if not was_registered:
            self._failed(reason)
        elif self._cancel():
            self._again(
                f"{self._label} takes the name {self._name} and does not keep it: {explain_end(reason)}"
            )
        else:
            self._again("")

    def _again(self, error: str) -> None:
        """Dial again when the back-off says so; say each reason once."""
        if error and self._complaints.is_new(error):
            self.log.warn("{error}; dialling again until it answers", error=error)
        self._timer = self._uplink.clock.callLater(self._backoff.next(), self.start)

    def _cancel(self) -> bool:
        """:returns: whether there was a timer."""
        timer, self._timer = self._timer, None
        if timer is None or not timer.active():
            return False
        timer.cancel()
        return True
