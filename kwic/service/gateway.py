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
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic import __version__
from kwic.config.model import GatewayConfig
from kwic.config.problem import reasons
from kwic.errors import SetupError
from kwic.service.balancer import Balances
from kwic.service.clients import Server
from kwic.service.context import Context
from kwic.service.entrances import Entrances
from kwic.service.listening import Listening
from kwic.service.membership import Membership
from kwic.service.own_offers import OwnOffers
from kwic.service.reverse import Names
from kwic.service.socks_uplink import SocksUplink
from kwic.service.uplink import Uplink

#: Seconds between two looks at whether a store has changed.
CHANGED_S = 10.0
#: Seconds between two warnings about the same certificate.
REMIND_S = 86_400.0
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
    :param listening: the sockets.
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
        listening: Listening,
    ) -> None:
        super().__init__()
        self.config = config
        self.context = context
        self.membership = membership
        self.names = names
        self.servers = servers
        self.uplinks = uplinks
        self.entrances = entrances
        self.listening = listening
        self.started_s = 0.0
        self.draining = False
        self._end_now: Callable[[], None] = lambda: None
        self._look: Any = None
        self._remind: Any = None
        offers = OwnOffers(context, membership, names, balances, entrances.met_at())
        for child in (membership, offers, *uplinks):
            child.setServiceParent(self)

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
            self.log.warn("{problem}", problem=warning.render())
        self.log.info("Starting server")
        self.log.info("Starting services")
        problems = self.listening.bind()
        if problems:
            for problem in problems:
                self.log.critical("{problem}", problem=problem)
            raise SystemExit(1)
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

    def _say_accepts(self) -> None:
        for listener, socket in self.listening.listeners:
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
        self.listening.start()
        super().startService()
        self._look = self.context.reactor.callLater(CHANGED_S, self._reload_if_changed)
        self._remind = self.context.reactor.callLater(REMIND_S, self._say_warnings)

    def _say_warnings(self) -> None:
        """Certificates end while we run: say so once a day, as was said when they were read."""
        self._remind = self.context.reactor.callLater(REMIND_S, self._say_warnings)
        for text in self.context.warnings():
            self.log.warn("{text}", text=text)

    # -- stopping -----------------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[Any]:
        """
        Drain, then end everything.

        :returns: fires when nothing of ours is open.
        """
        self.log.info("Stopping server")
        self.draining = True
        for timer in (self._look, self._remind):
            if timer is not None and timer.active():
                timer.cancel()
        done = self.listening.stop()
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

    def reload(self) -> Deferred[None]:
        """
        Read the stores again, and look at the addresses of names and interfaces. What is open stays.

        :returns: fires when both are done; it never fails.
        """
        return self._read_stores().addCallback(lambda _: self.listening.refresh())

    def _read_stores(self) -> Deferred[None]:
        """New connections use what is in the stores now. Opening them takes a while: it is done in a thread."""
        credentials = self.context.credentials
        if credentials is None:
            return succeed(None)
        read = self.context.in_thread(credentials.read)
        adopted = read.addCallback(credentials.adopt)
        return adopted.addCallbacks(self._stores_read, self._stores_not_read)

    def _stores_read(self, result: None) -> None:
        self.log.info("the stores were read again")

    def _stores_not_read(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, SetupError):
            self.log.failure("the stores were not read again", failure=failure)
            return
        for why in reasons(error):
            self.log.error("the stores were not read again, the old ones stay in use: {why}", why=why)

    def _reload_if_changed(self) -> None:
        self._look = self.context.reactor.callLater(CHANGED_S, self._reload_if_changed)
        credentials = self.context.credentials
        if credentials is not None and credentials.changed():
            self._read_stores()

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

        # A turn later: what ends in this one has a last line in the log yet.
        reactor.callLater(0, look)
        return settled
