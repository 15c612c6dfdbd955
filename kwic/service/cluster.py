"""
The embedded cluster: members find each other by unicast or multicast, and tell each other over a full mesh of links what they have to offer.

    Cluster (Membership)
      Mesh              a link to every member; ClusterPort listens, each Dialling dials one address
      Seeds             the addresses behind the names of the configuration
      Discovery …       one for each multicast group

Each member speaks for itself, and what it said is gone with its link: there is nothing to agree on and nothing to repair. A split leaves each half with what it can see;
dialling goes on, so the halves find each other again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from kwic.config.model import Cluster as ClusterConfig
from kwic.config.model import Liveness
from kwic.errors import MisuseError
from kwic.policy.choice import Candidate
from kwic.service.cluster_port import ClusterPort, accept_uri
from kwic.service.context import Context
from kwic.service.discovery import Discovery
from kwic.service.link import TIMINGS, Link
from kwic.service.membership import Member, Membership, OwnState
from kwic.service.mesh import Mesh, Port
from kwic.service.neighbour import Neighbour
from kwic.service.path import Path, TunnelPath
from kwic.service.seeds import Seeds
from kwic.transport.negotiation import Acceptor
from kwic.wire.cluster_messages import Known, Message, State, encode

#: Seconds between two states that are told.
PUBLISH_S = 0.25

OnRequest = Callable[[Acceptor, str, Member], None]
"""Called with a client that a member sends here: it is to be joined to a tunnel of this instance for the name, or refused; never sent on."""


class Cluster(Membership):
    """
    The members of one cluster.

    :param context: the gateway's surroundings.
    :param config: what was asked for.
    :param on_request: takes the clients that other members send here.
    :param liveness: how soon silence on a link is taken for death.
    :param port: where links are taken; None for what was asked for.
    """

    log = Logger()

    def __init__(
        self,
        context: Context,
        config: ClusterConfig,
        on_request: OnRequest,
        liveness: Liveness = Liveness.NORMAL,
        port: Port | None = None,
    ) -> None:
        super().__init__()
        self._context = context
        self._reactor = context.reactor
        self._on_request = on_request
        takes_links: Any = port or ClusterPort(context, config)
        self._port = takes_links
        self._mesh = Mesh(context, config.name, self._port, self, TIMINGS[liveness])
        unicast = [connect for connect in config.connects if connect.scheme == "tcp"]
        groups = [connect for connect in config.connects if connect.scheme == "udp"]
        self._seeds = Seeds(context, unicast, self._mesh.configure)
        self._discoveries = [
            Discovery(context, config.name, group, self._port, self._mesh.learn) for group in groups
        ]
        self._counter = 0
        self._told: OwnState | None = None
        self._told_s = float("-inf")
        self._timer: Any = None

    # -- Service ------------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """See `Membership`."""
        self._port.check()

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises SetupError: when that cannot be done.
        """
        self._mesh.privilegedStartService()

    def startService(self) -> None:
        """Find the others."""
        super().startService()
        self.own = replace(self.own, leaving=False)
        self._told = None
        self._mesh.startService()
        self._seeds.startService()
        for discovery in self._discoveries:
            discovery.startService()
        self._say_members()

    def stopService(self) -> Deferred[Any]:
        """
        Say goodbye.

        :returns: fires when nothing of ours is open.
        """
        super().stopService()
        self.leave()
        self._cancel()
        services = [*self._discoveries, self._seeds, self._mesh]
        return DeferredList([maybeDeferred(service.stopService) for service in services])

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    # -- Membership ---------------------------------------------------------------------------------------------------------

    def members(self) -> Sequence[Member]:
        """The other members that are there, suspected and leaving ones marked."""
        return tuple(_member(neighbour) for neighbour in self._mesh.neighbours.values())

    def path(self, member: Member, name: str) -> Path | None:
        """A stream to a member, which has a tunnel for the name."""
        neighbour = self._mesh.neighbours.get(member.instance)
        link = None if neighbour is None else neighbour.best
        if neighbour is None or link is None:
            return None
        return MemberPath(neighbour, link, name, trusted=member.names.get(name, 0) > 0)

    def publish(self, state: OwnState) -> None:
        """Tell the others, soon."""
        super().publish(state)
        if not self.running and not state.leaving:
            return
        if state.leaving:
            for discovery in self._discoveries:
                discovery.hush()
            if self._told is None or not self._told.leaving:
                self._tell_all()
        elif self._timer is None and state != self._told:
            wait_s = self._told_s + PUBLISH_S - self._reactor.seconds()
            if wait_s <= 0:
                self._tell_all()
            else:
                self._timer = self._reactor.callLater(wait_s, self._tell_all)

    # -- telling ------------------------------------------------------------------------------------------------------------

    def _tell_all(self) -> None:
        """Tell every member what we have to offer."""
        self._cancel()
        if self.own == self._told:
            return
        before, self._told = self._told or OwnState(), self.own
        self._told_s = self._reactor.seconds()
        self._counter += 1
        if self.own.balances != before.balances:
            self._say_balances()
        news = self._news()
        for neighbour in self._mesh.neighbours.values():
            for link in neighbour.links:
                link.tell(news)

    def _news(self) -> bytes:
        """What we told last, as a message."""
        return self._fit(self._told or OwnState(), encode)

    def _fit(self, own: OwnState, write: Callable[[State], bytes]) -> bytes:
        """What we have to offer, written; names that there is no room for are left out."""
        state = State(
            incarnation=self._mesh.incarnation,
            counter=self._counter,
            balances=own.balances,
            names=own.names,
            tunnels=own.tunnels,
            load=own.load,
            leaving=own.leaving,
        )
        while True:
            try:
                return write(state)
            except MisuseError:
                kept = dict(list(state.names.items())[: len(state.names) // 2])
                self.log.error(
                    "cluster: {count} names are more than one message holds; only {kept} are told to the other members",
                    count=len(state.names),
                    kept=len(kept),
                )
                state = replace(state, names=kept)

    # -- MeshUser -----------------------------------------------------------------------------------------------------------

    def neighbour_up(self, neighbour: Neighbour) -> None:
        """A member is there."""
        self._say_up(neighbour)
        self._say_members()
        self._introduce(neighbour)
        self.changed()

    def _introduce(self, newcomer: Neighbour) -> None:
        """Tell a member where the others are, and them where it is: whoever knows one finds all."""
        others = [one for one in self._mesh.neighbours.values() if one is not newcomer]
        for other in others:
            _tell_of(other, [newcomer])
        _tell_of(newcomer, others)

    def link_added(self, neighbour: Neighbour, link: Link) -> None:
        """A new link begins with what was told on the others."""
        if self._told is None:
            self._told = self.own
            self._told_s = self._reactor.seconds()
        link.tell(self._news())

    def neighbour_said(self, neighbour: Neighbour, message: Message) -> None:
        """A member says what it has to offer, or where others are."""
        if isinstance(message, Known):
            self._mesh.told_of(message.accepts, neighbour)
        if not isinstance(message, State) or message.incarnation != neighbour.incarnation:
            return
        before = neighbour.state
        if before is not None and message.counter <= before.counter:
            return
        neighbour.state = message
        neighbour.leaving = neighbour.leaving or message.leaving
        before = before or State(incarnation=0, counter=0)
        if message.balances != before.balances:
            self._say_balances()
        if replace(message, incarnation=0, counter=0, load=0) != replace(
            before, incarnation=0, counter=0, load=0
        ):
            self.changed()

    def neighbour_asked(self, neighbour: Neighbour, acceptor: Acceptor, name: str) -> None:
        """A member sends a client here."""
        self._on_request(acceptor, name, _member(neighbour))

    def neighbour_changed(self, neighbour: Neighbour) -> None:
        """A member is suspected, trusted again, or leaving."""
        self.changed()

    def neighbour_down(self, neighbour: Neighbour, why: str) -> None:
        """A member is gone."""
        if not self.running:
            return
        self._say_down(neighbour, "it has left" if neighbour.leaving else why)
        self._say_members()
        self.changed()

    def _say_up(self, neighbour: Neighbour) -> None:
        self.log.info("Cluster member {member} is now online", member=neighbour.label)

    def _say_down(self, neighbour: Neighbour, why: str) -> None:
        self.log.info("Cluster member {member} has gone down: {why}", member=neighbour.label, why=why)

    def _say_members(self) -> None:
        self.log.info("Current cluster members:")
        self.log.info("      member: {node} (this one)", node=self._context.node)
        for label in self._labels():
            self.log.info("      member: {member}", member=label)

    def _labels(self) -> list[str]:
        """What the other members are called."""
        return [neighbour.label for neighbour in self._mesh.neighbours.values()]

    def _say_balances(self) -> None:
        self.log.info("Current shared balancer map:")
        found: dict[str, list[str]] = {}
        offers = [self.own.balances, *(member.balances for member in self.members())]
        for balances in offers:
            for balance, accepts in balances.items():
                found.setdefault(balance, []).extend(accepts)
        for balance, targets in found.items():
            self.log.info(
                "     balance URI: {balance}    target list: {targets}",
                balance=balance,
                targets=", ".join(targets),
            )


class MemberPath(TunnelPath):
    """
    The way to a reverse name through another member.

    :param neighbour: the member.
    :param link: the link to it.
    :param name: the rendezvous key.
    :param trusted: the member trusts a tunnel for it.
    """

    def __init__(self, neighbour: Neighbour, link: Link, name: str, *, trusted: bool) -> None:
        # Whatever link leads there, the member is the same.
        super().__init__(link.tunnel, name, peer=neighbour.instance, doubt=neighbour.doubt, local=False)
        self._neighbour = neighbour
        self._link = link
        self._trusted = trusted

    @property
    def facts(self) -> Candidate:
        """It is as good as the link and the member's own way from there."""
        facts = super().facts
        return replace(
            facts,
            key=(Neighbour, self._neighbour.instance, self._name),
            healthy=facts.healthy and self._trusted,
            leaving=facts.leaving or self._neighbour.leaving,
            load=self._link.tunnel.clients,
        )


def _tell_of(listener: Neighbour, others: Sequence[Neighbour]) -> None:
    """Tell a member where others take links."""
    accepts = tuple(accept_uri(*other.place) for other in others if other.place is not None)
    if accepts and listener.best is not None:
        listener.best.say(Known(accepts=accepts))


def _member(neighbour: Neighbour) -> Member:
    """A neighbour as the services see it."""
    state = neighbour.state or State(incarnation=0, counter=0)
    return Member(
        instance=neighbour.instance,
        node=neighbour.node,
        accept="" if neighbour.place is None else accept_uri(*neighbour.place),
        suspect=neighbour.suspect,
        leaving=neighbour.leaving,
        load=state.load,
        names=state.names,
        balances=state.balances,
        tunnels=frozenset(state.tunnels),
    )
