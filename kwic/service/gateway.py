"""
One gateway: the service that twistd starts and stops.

Starting binds every socket before anything is dialled; what cannot be bound is reported, all of it, and nothing stays up. Stopping is a drain: out of the
cluster and the rendezvous, sockets closed, the peers told, the clients' streams finished within the grace; a second signal ends it at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.logger import Logger

from kwic import __version__
from kwic.config.model import GatewayConfig
from kwic.errors import SetupError
from kwic.service.balancer import Balances
from kwic.service.clients import Server
from kwic.service.context import Context
from kwic.service.entrances import Entrances
from kwic.service.listener import AddressNotHereError, Listener
from kwic.service.membership import Membership
from kwic.service.own_offers import OwnOffers
from kwic.service.reverse import Names
from kwic.service.sockets import Socket
from kwic.service.socks_uplink import SocksUplink
from kwic.service.uplink import Uplink

#: Seconds between two looks at whether a store has changed.
CHANGED_S = 10.0
#: What closing every connection may take after the grace, before the process ends all the same.
CLOSING_S = 2.0


class Gateway(MultiService):
    """
    Everything that one configuration file asks for.

    :param config: the file.
    :param context: the surroundings.
    :param membership: the other members of our side.
    :param names: who holds which reverse name here.
    :param servers: what serves the clients, by service name.
    :param uplinks: the tunnels that we dial.
    :param balances: our services that answer for a balancer.
    :param entrances: what answers on the sockets.
    """

    log = Logger()

    def __init__(
        self,
        config: GatewayConfig,
        context: Context,
        *,
        membership: Membership,
        names: Names,
        servers: Mapping[str, Server],
        uplinks: Sequence[Uplink | SocksUplink],
        balances: Balances,
        entrances: Entrances,
    ) -> None:
        super().__init__()
        self.config = config
        self.context = context
        self.membership = membership
        self.names = names
        self.servers = servers
        self.uplinks = uplinks
        self.entrances = entrances
        self.listeners: list[tuple[Listener, Socket]] = []
        self.started_s = 0.0
        self.draining = False
        self._end_now: Callable[[], None] = lambda: None
        self._look: Any = None
        offers = OwnOffers(context, membership, names, balances, entrances.met_at())
        for child in (membership, offers, *uplinks):
            child.setServiceParent(self)

    def add_listener(self, listener: Listener, socket: Socket) -> None:
        """Listen there, too."""
        self.listeners.append((listener, socket))

    # -- starting -----------------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Bind every socket.

        :raises SystemExit: when one cannot be bound; every reason is logged.
        """
        began = time.monotonic()
        self.log.info("KWIC {version}", version=__version__)
        self.log.info("Configuration file: {file}", file=self.config.file)
        for warning in self.config.warnings:
            self.log.warn("{warning}", warning=warning.render())
        for text in self.context.warnings():
            self.log.warn("{text}", text=text)
        self.log.info("Starting server")
        self.log.info("Starting services")
        self._bind()
        try:
            super().privilegedStartService()
        except SetupError as error:
            self.log.critical("{problem}", problem=error)
            raise SystemExit(1) from error
        self._say_accepts()
        self.log.info("Started services")
        self.log.info(
            "Started server successfully in {took:.3f} secs at {at}",
            took=time.monotonic() - began,
            at=time.strftime("%Y-%m-%d %H:%M:%S"),
        )

    def _bind(self) -> None:
        problems: list[SetupError] = []
        elsewhere: list[tuple[Listener, Socket, AddressNotHereError]] = []
        for listener, socket in self.listeners:
            try:
                listener.privilegedStartService()
            except AddressNotHereError as error:
                elsewhere.append((listener, socket, error))
            except SetupError as error:
                problems.append(error)
        for listener, socket, foreign in elsewhere:
            # A name may have addresses of other machines beside ours: one that is ours is enough.
            if not all(self._served_elsewhere(end, socket) for end in socket.ends):
                problems.append(foreign)
            else:
                self.listeners.remove((listener, socket))
        if problems:
            for problem in problems:
                self.log.critical("{problem}", problem=problem)
            for listener, _ in self.listeners:
                listener.stop_listening()
            raise SystemExit(1)

    def _served_elsewhere(self, end: Any, socket: Socket) -> bool:
        return any(
            end in other.ends and listener.listening
            for listener, other in self.listeners
            if other is not socket
        )

    def _say_accepts(self) -> None:
        for listener, socket in self.listeners:
            for accept in dict.fromkeys(end.address for end in socket.ends):
                where = "" if str(listener) == accept.authority else f" @ {listener}"
                self.log.info("  {accept}{where}", accept=accept, where=where)
        for service in self.config.services:
            for accept in service.accepts:
                if accept.scheme == "pipe":
                    self.log.info("  {accept}", accept=accept)

    def startService(self) -> None:
        """Dial, and join the cluster."""
        self.started_s = self.context.reactor.seconds()
        self.draining = False
        for listener, _ in self.listeners:
            listener.startService()
        super().startService()
        self._look = self.context.reactor.callLater(CHANGED_S, self._reload_if_changed)

    # -- stopping -----------------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[Any]:
        """
        Drain, then end everything.

        :returns: fires when nothing of ours is open.
        """
        self.log.info("Stopping server")
        self.draining = True
        if self._look is not None and self._look.active():
            self._look.cancel()
        done = DeferredList([maybeDeferred(listener.stopService) for listener, _ in self.listeners])
        self.membership.leave()
        for uplink in self.uplinks:
            uplink.drain()
        for tunnels in self.entrances.tunnels:
            tunnels.drain()
        for socks in self.entrances.socks:
            socks.drain()
        done.addCallback(lambda _: self._wait_for_clients())
        done.addCallback(lambda _: self._close())
        return done

    def hurry(self) -> None:
        """Wait for the clients no longer."""
        self._end_now()

    def reload(self) -> None:
        """Read the stores again: new connections use what is there now, open ones stay."""
        credentials = self.context.credentials
        if credentials is None:
            return
        try:
            credentials.reload()
        except SetupError as error:
            self.log.error("the stores were not read again, the old ones stay in use: {error}", error=error)
        else:
            self.log.info("the stores were read again")

    def _reload_if_changed(self) -> None:
        self._look = self.context.reactor.callLater(CHANGED_S, self._reload_if_changed)
        credentials = self.context.credentials
        if credentials is not None and credentials.changed():
            self.reload()

    def _wait_for_clients(self) -> Deferred[None]:
        """Until no client is left, the grace is over, or we are told not to wait."""
        relays, reactor = self.context.relays, self.context.reactor
        if not relays.clients:
            return succeed(None)
        waited: Deferred[None] = Deferred()
        timer: Any = None

        def end(why: str) -> None:
            if timer.active():
                timer.cancel()
            if not waited.called:
                if relays.clients:
                    self.log.warn("{why}: {count} connections are cut", why=why, count=relays.clients)
                waited.callback(None)

        self.log.info(
            "waiting up to {grace:.0f} s for {count} connections to finish; a second signal ends them at once",
            grace=self.context.grace_s,
            count=relays.clients,
        )
        timer = reactor.callLater(self.context.grace_s, end, "the grace is over")
        self._end_now = lambda: end("told again to stop")
        relays.when_empty(lambda: end("done"))
        return waited

    def _close(self) -> Deferred[Any]:
        self.log.info("Stopping services")
        for server in self.servers.values():
            server.stop()
        self.context.relays.abort()
        for tunnels in self.entrances.tunnels:
            tunnels.close()
        stopped = maybeDeferred(super().stopService)
        stopped.addCallback(lambda _: self._settle())
        stopped.addCallback(lambda _: self.log.info("Stopped server successfully"))
        return stopped

    def _settle(self) -> Deferred[None]:
        """Let the farewells leave: until every tunnel is gone, for a bounded time."""
        reactor = self.context.reactor
        end_s = reactor.seconds() + CLOSING_S
        settled: Deferred[None] = Deferred()

        def look() -> None:
            if not any(tunnels.tunnels for tunnels in self.entrances.tunnels) or reactor.seconds() >= end_s:
                for tunnels in self.entrances.tunnels:
                    for tunnel in tunnels.tunnels:
                        tunnel.abort("stopped")
                settled.callback(None)
            else:
                reactor.callLater(0.02, look)

        look()
        return settled
