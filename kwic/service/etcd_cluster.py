"""
A cluster whose members find each other in etcd, over any distance; where etcd is gone, what they have found stays.

    EtcdCluster (Cluster)
      EtcdRegister      our entry there, and those of the others

An entry says who a member is, where it takes links, and what it has to offer. Members that take links are dialled, and are there for as long as a link to them is:
a link notices death sooner than a lease, its other end has proved who it is, and what it says there of itself outranks what etcd says of it. So etcd may be down, and
all that it tells may be old: those who have met go on as in the embedded cluster. Where neither side takes links, the entry is all there is: such a member is there
for as long as its entry is, shares balancers and is counted, and no client goes through it.

Multicast groups and hosts may be named beside etcd: whoever is found in any way is one member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred

from kwic.config.model import Cluster as ClusterConfig
from kwic.config.model import Liveness
from kwic.errors import ProtocolError
from kwic.service.cluster import Cluster, OnRequest
from kwic.service.cluster_port import is_loopback
from kwic.service.context import Context
from kwic.service.etcd_entries import ENTRIES_MAXIMUM
from kwic.service.etcd_register import EtcdRegister
from kwic.service.membership import Member, OwnState
from kwic.service.mesh import REMEMBER_S
from kwic.service.neighbour import Neighbour
from kwic.transport.etcd_client import Account
from kwic.wire.cluster_messages import Hello, State
from kwic.wire.etcd_messages import decode_entry, encode_entry, members_prefix

#: Seconds between two looks at members that have no link: their addresses stay known for so long as their entries do.
LOOK_S = 5.0
#: A member that has no link for so long is told of, once.
LINK_S = 10.0
#: Seconds between two entries of which only the load differs: each is kept in etcd's history, until somebody compacts that.
LOAD_S = 10.0


@dataclass(kw_only=True)
class Known:
    """What etcd says of another member."""

    hello: Hello
    state: State
    unlinked_s: float
    """Since when there has been no link to it, if there is none."""
    told: bool = False
    """The operator knows that there is none."""

    @property
    def member(self) -> Member:
        """As the services see it."""
        return Member(
            instance=self.hello.instance,
            node=self.hello.node,
            leaving=self.state.leaving,
            load=self.state.load,
            names=self.state.names,
            balances=self.state.balances,
            tunnels=frozenset(self.state.tunnels),
        )


class EtcdCluster(Cluster):
    """
    The members of one cluster that keeps a register in etcd.

    :param context: the gateway's surroundings.
    :param config: what was asked for; at least one `connect` is an etcd's.
    :param on_request: takes the clients that other members send here.
    :param liveness: how soon silence on a link is taken for death.
    """

    def __init__(
        self,
        context: Context,
        config: ClusterConfig,
        on_request: OnRequest,
        liveness: Liveness = Liveness.NORMAL,
    ) -> None:
        super().__init__(context, config, on_request, liveness)
        self._name = config.name
        self._takes_links = bool(config.accepts)
        account = None
        if config.etcd_user is not None and config.etcd_password_file is not None:
            account = Account(user=config.etcd_user, password_file=config.etcd_password_file)
        self._register = EtcdRegister(
            context,
            [connect for connect in config.connects if connect.is_etcd],
            account,
            members_prefix(config.name),
            self,
        )
        self._known: dict[str, Known] = {}
        self._broken: set[str] = set()
        self._entered: tuple[Hello, OwnState] | None = None
        self._entry = b""
        self._entered_s = float("-inf")
        self._look_timer: Any = None

    # -- Service ------------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """See `Membership`."""
        super().check()
        self._register.check()

    def startService(self) -> None:
        """Find the others."""
        self._known.clear()
        self._entered = None
        super().startService()
        self._register.startService()
        self._look_timer = self._reactor.callLater(LOOK_S, self._look)

    def stopService(self) -> Deferred[Any]:
        """
        Say goodbye.

        :returns: fires when nothing of ours is open.
        """
        stopped = super().stopService()
        if self._look_timer is not None and self._look_timer.active():
            self._look_timer.cancel()
        self._known.clear()
        return DeferredList([stopped, maybeDeferred(self._register.stopService)])

    # -- Membership ---------------------------------------------------------------------------------------------------------

    def members(self) -> Sequence[Member]:
        """The other members that are there, suspected and leaving ones marked."""
        return (
            *super().members(),
            *(known.member for known in self._known.values() if self._is_by_entry(known)),
        )

    def publish(self, state: OwnState) -> None:
        """Tell the others, soon: those that we have links to there, all of them in etcd."""
        leaves = state.leaving and not self.own.leaving
        super().publish(state)
        self._register.renew(at_once=leaves)

    def _is_by_entry(self, known: Known) -> bool:
        """Whether a member is there because its entry is: no link with it is meant to be, and none is."""
        meant = self._takes_links or bool(known.hello.accept)
        return not meant and known.hello.instance not in self._mesh.neighbours

    # -- RegisterUser -------------------------------------------------------------------------------------------------------

    def own_entry(self, local_host: str) -> bytes:
        """What is to stand in our entry now."""
        hello = replace(self._mesh.hello, accept=self._port.accept_from(local_host))
        if self._entered is None or not self._is_entered(hello, self.own):
            self._entered = hello, self.own
            self._entered_s = self._reactor.seconds()
            self._entry = self._fit(self.own, lambda state: encode_entry(hello, state))
        return self._entry

    def _is_entered(self, hello: Hello, own: OwnState) -> bool:
        """Whether our entry is good enough: links tell the load, and where there are none it is told now and then."""
        assert self._entered is not None
        entered_hello, entered = self._entered
        if hello != entered_hello or replace(own, load=entered.load) != entered:
            return False
        is_old = self._reactor.seconds() >= self._entered_s + LOAD_S
        return own.load == entered.load or self._takes_links or not is_old

    def entry_written(self, name: str, value: bytes) -> None:
        """Another member enters itself, or says something else than before."""
        if name == self._context.instance:
            return
        try:
            hello, state = decode_entry(value)
            if hello.instance != name or hello.cluster != self._name:
                raise ProtocolError("it is the entry of somebody else")
        except ProtocolError as error:
            self._complain_of(name, error)
            self.entry_gone(name)
            return
        before = self._known.get(name)
        if before is None:
            self._known[name] = Known(hello=hello, state=state, unlinked_s=self._reactor.seconds())
            self._met(self._known[name])
        else:
            old, before.hello, before.state = before.state, hello, state
            self._heard(before, old)
        self._dial(self._known[name])

    def entry_gone(self, name: str) -> None:
        """An entry is there no more."""
        known = self._known.pop(name, None)
        if known is not None and self._is_by_entry(known) and self.running:
            why = "it has left" if known.state.leaving else "its entry in etcd is gone"
            self.log.info("Cluster member {member} has gone down: {why}", member=known.hello.node, why=why)
            self._say_members()
            self.changed()

    def _met(self, known: Known) -> None:
        if self._is_by_entry(known):
            self.log.info("Cluster member {member} is now online", member=known.hello.node)
            self._say_members()
            self.changed()

    def _heard(self, known: Known, before: State) -> None:
        """What it has to offer may be something else."""
        if not self._is_by_entry(known):
            return
        if known.state.balances != before.balances:
            self._say_balances()
        if replace(known.state, counter=0, load=0) != replace(before, counter=0, load=0):
            self.changed()

    def _complain_of(self, name: str, error: ProtocolError) -> None:
        """Say once that something else stands where members do."""
        if name not in self._broken and len(self._broken) < ENTRIES_MAXIMUM:
            self._broken.add(name)
            self.log.warn(
                "cluster: the entry {name} in etcd is not looked at: {error}", name=name, error=error
            )

    def _labels(self) -> list[str]:
        """What the other members are called."""
        by_entry = [known.hello.node for known in self._known.values() if self._is_by_entry(known)]
        return [*super()._labels(), *by_entry]

    # -- links --------------------------------------------------------------------------------------------------------------

    def _dial(self, known: Known) -> None:
        """See that there is a link, or will be."""
        # Loopback means something to us when etcd itself is reached over it: all are on this machine then.
        ours = self._register.local_host
        place = self._port.place_of(known.hello.accept, ours if is_loopback(ours) else "")
        if place is not None:
            self._mesh.learn(place, known.hello.instance)

    def _look(self) -> None:
        """Go on dialling those that have no link."""
        self._look_timer = self._reactor.callLater(LOOK_S, self._look)
        now_s = self._reactor.seconds()
        for known in self._known.values():
            if known.hello.instance in self._mesh.neighbours or self._is_by_entry(known):
                known.unlinked_s, known.told = now_s, False
                continue
            self._dial(known)
            if now_s - known.unlinked_s >= LINK_S and not known.told:
                known.told = True
                self._say_unlinked(known)

    def _say_unlinked(self, known: Known) -> None:
        self.log.warn(
            "cluster: etcd knows of member {node}, and there is no link with it{where}; until there is, it is not counted",
            node=known.hello.node,
            where=f" at {known.hello.accept}" if known.hello.accept else ", which is to dial us",
        )

    def neighbour_down(self, neighbour: Neighbour, why: str) -> None:
        """See `MeshUser`."""
        known = self._known.get(neighbour.instance)
        if known is not None:
            known.unlinked_s = self._reactor.seconds()
        if neighbour.place is not None and self.running and not self._register.server:
            # Even one that has left may start again, and nobody could tell us.
            self._mesh.learn(neighbour.place, for_s=REMEMBER_S)
        super().neighbour_down(neighbour, why)
