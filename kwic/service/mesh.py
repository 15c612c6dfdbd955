"""
The mesh: a link between this instance and every other member that it knows an address of.

Either side may dial. Where both did, both keep the link that the smaller instance (by its UUID) dialled, and the one who dialled the other link closes that
as soon as no stream uses it; so the two never disagree, and a link that only one side believes in is not what is kept. A second link dialled by the
same side replaces its first: the dialler knows best whether that one is of use.

A member is told apart from a later start of the same node by its instance; the later one (its `incarnation` is larger) takes the earlier one's place at once
when it answers at the same address, and has it doubted when only the node's name is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from kwic.policy.liveness import Timing
from kwic.service.context import Context
from kwic.service.dialling import INITIAL_S, Dialling, Place
from kwic.service.link import Link
from kwic.service.neighbour import Neighbour
from kwic.transport.connection_log import address_text
from kwic.transport.negotiation import Acceptor
from kwic.wire.cluster_messages import Hello, Leaving, Message

#: Links whose other end has not said hello yet and that others dialled: beyond it the oldest goes.
STRANGERS_MAXIMUM = 64
#: Addresses that are remembered beside those of the configuration: far more than a cluster has members.
LEARNT_MAXIMUM = 128
#: Seconds for which the address of a member that is gone is dialled, and one that a datagram or another member spoke of.
REMEMBER_S = 3600.0
HINT_S = 30.0
#: How often the same complaint about the same host is repeated, in seconds.
COMPLAIN_S = 60.0
#: Hosts that complaints are remembered of.
COMPLAINTS_MAXIMUM = 256


class MeshUser(Interface):
    """Whoever wants the mesh."""

    def neighbour_up(self, neighbour: Neighbour) -> None:
        """A member can be talked to now."""

    def link_added(self, neighbour: Neighbour, link: Link) -> None:
        """There is a link to a member, its first or another one: what it must know is to be told there."""

    def neighbour_said(self, neighbour: Neighbour, message: Message) -> None:
        """A message from a member."""

    def neighbour_asked(self, neighbour: Neighbour, acceptor: Acceptor, name: str) -> None:
        """A member asks for a name on behalf of a client."""

    def neighbour_changed(self, neighbour: Neighbour) -> None:
        """A member is suspected, trusted again, or leaving."""

    def neighbour_down(self, neighbour: Neighbour, why: str) -> None:
        """A member cannot be talked to any more."""


class Port(Interface):
    """Where links are taken, and how they are secured (`ClusterPort`, `SiblingPort`)."""

    @property
    def accept(self) -> str:
        """Where others reach us, as a URI; empty when they need not be told."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where we listen."""

    def check(self) -> None:
        """Find out before the start what cannot work."""

    def permits(self, host: str) -> bool:
        """Whether links with an address may be opened."""

    def client_tls(self) -> Any:
        """What makes TLS connections to other members; None where TLS is not spoken."""

    def place_of(self, accept: str, peer_host: str) -> Place | None:
        """Where another member takes links."""

    def listen(self, factory: IProtocolFactory) -> None:
        """Take links from now on."""

    def stop(self) -> Deferred[Any]:
        """Take no more links."""


class Mesh(Service):
    """
    Keeps the links.

    :param context: the gateway's surroundings.
    :param cluster: the name of the cluster: others are not ours.
    :param port: where we take links, and how they are secured.
    :param user: whoever wants the mesh.
    :param timing: when silence on a link is suspicious, and when it is death.
    """

    log = Logger()

    def __init__(self, context: Context, cluster: str, port: Port, user: MeshUser, timing: Timing) -> None:
        self._context = context
        self._reactor = context.reactor
        self._cluster = cluster
        self._port = port
        self._user = user
        self._timing = timing
        #: Grows with each start of this node, as far as clocks go forward.
        self.incarnation = 0
        self.neighbours: dict[str, Neighbour] = {}
        self.diallings: dict[Place, Dialling] = {}
        self._links: dict[Link, Dialling | None] = {}
        self._complaints: dict[tuple[str, str], float] = {}
        self._refused: set[Place] = set()
        self._when_empty: Deferred[None] | None = None

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises SetupError: when that cannot be done.
        """
        self._port.listen(_Door(self))

    def startService(self) -> None:
        """Listen and dial."""
        Service.startService(self)
        self.incarnation = int(self._reactor.seconds() * 1000)
        self.privilegedStartService()
        for dialling in self.diallings.values():
            dialling.wake()

    def stopService(self) -> Deferred[Any]:
        """
        Say goodbye to everyone.

        :returns: fires when every link is gone.
        """
        Service.stopService(self)
        for dialling in self.diallings.values():
            dialling.stop()
        self.diallings.clear()
        stopped = maybeDeferred(self._port.stop)
        gone: Deferred[None] = Deferred()
        self._when_empty = gone
        for link in tuple(self._links):
            if link.adopted:
                link.goodbye(Leaving(incarnation=self.incarnation))
            else:
                link.abort("we are leaving")
        self._check_empty()
        return DeferredList([stopped, gone])

    def _check_empty(self) -> None:
        if self._when_empty is not None and not self._links:
            done, self._when_empty = self._when_empty, None
            done.callback(None)

    @property
    def hello(self) -> Hello:
        """What we say of ourselves."""
        return Hello(
            cluster=self._cluster,
            instance=self._context.instance,
            node=self._context.node,
            incarnation=self.incarnation,
            accept=self._port.accept,
        )

    # -- addresses ----------------------------------------------------------------------------------------------------------

    def configure(self, places: Iterable[Place]) -> None:
        """Dial these from now on, for ever; those that were configured and are not among them become learnt ones."""
        wanted = sorted(set(places))
        for dialling in self.diallings.values():
            if dialling.configured and dialling.place not in wanted:
                dialling.configured = False
                dialling.expires_s = self._reactor.seconds() + REMEMBER_S
        for place in wanted:
            if not self._port.permits(place[0]):
                self._refuse(place)
                continue
            dialling = self.diallings.get(place) or self._new_dialling(place)
            dialling.configured = True
            self._wake(dialling)

    def learn(self, place: Place, instance: str = "", *, for_s: float = HINT_S) -> bool:
        """
        Somebody says that a member lives at an address: dial it for a while.

        :param instance: who is said to live there; not dialled when we have a link to it, or are it.
        :returns: whether that was news.
        """
        if instance == self._context.instance or instance in self.neighbours:
            return False
        if place in self._port.places or not self._port.permits(place[0]):
            return False
        if any(neighbour.place == place for neighbour in self.neighbours.values()):
            return False
        expires_s = self._reactor.seconds() + for_s
        dialling = self.diallings.get(place)
        if dialling is not None:
            dialling.expires_s = max(dialling.expires_s, expires_s)
            self._wake(dialling)
            return False
        if not self._room_to_learn():
            return False
        dialling = self._new_dialling(place)
        dialling.expires_s = expires_s
        self._wake(dialling)
        return True

    def _room_to_learn(self) -> bool:
        """Whether one more address can be remembered; those that nobody needs are forgotten."""
        for dialling in tuple(self.diallings.values()):
            if dialling.expired and dialling.link is None:
                self.forget(dialling)
        return sum(not dialling.configured for dialling in self.diallings.values()) < LEARNT_MAXIMUM

    def told_of(self, accepts: Sequence[str], teller: Neighbour) -> None:
        """A member says where others take links."""
        host = teller.links[0].peer_host
        for accept in accepts[:LEARNT_MAXIMUM]:
            place = self._port.place_of(accept, host)
            if place is not None:
                self.learn(place)

    def _new_dialling(self, place: Place) -> Dialling:
        """An address to dial; the caller has seen to it that links with it may be opened."""
        dialling = self.diallings[place] = Dialling(self, self._context, place, self._port.client_tls())
        return dialling

    def _refuse(self, place: Place) -> None:
        """Clear links beyond loopback were not asked for."""
        if place not in self._refused:
            self._refused.add(place)
            self.log.error(
                "cluster: {host} is not dialled, as there is no keystore to tell members from others; add one under <security>, or write "
                'kwic:insecure="true" on <cluster> if the whole network is to be trusted',
                host=place[0],
            )

    def _wake(self, dialling: Dialling) -> None:
        if self.running:
            dialling.wake()

    def reaches(self, dialling: Dialling) -> bool:
        """Whether there is nothing to dial for (see `DiallingUser`)."""
        if dialling.place in self._port.places:
            return True
        return any(
            neighbour.usable and (neighbour.instance == dialling.met or neighbour.place == dialling.place)
            for neighbour in self.neighbours.values()
        )

    def forget(self, dialling: Dialling) -> None:
        """Nobody has spoken of an address for a while."""
        dialling.stop()
        self.diallings.pop(dialling.place, None)

    # -- new links ----------------------------------------------------------------------------------------------------------

    def new_link(self, dialling: Dialling) -> Link:
        """A connection that we dialled."""
        link = Link(self, self._context, dialled=True, where=str(dialling), timing=self._timing)
        self._links[link] = dialling
        return link

    def accept_link(self, addr: IAddress) -> Link:
        """A connection that somebody dialled to us."""
        strangers = [link for link in self._links if not link.dialled and not link.adopted]
        if len(strangers) >= STRANGERS_MAXIMUM:
            strangers[0].abort("too many strangers are at the door")
        link = Link(self, self._context, dialled=False, where=address_text(addr), timing=self._timing)
        self._links[link] = None
        return link

    def link_opened(self, link: Link) -> None:
        """We dialled: we speak first."""
        link.greet(self.hello)

    def link_greeted(self, link: Link, hello: Hello) -> None:
        """The other end has said who it is."""
        dialling = self._links.get(link)
        if not link.dialled:
            link.greet(self.hello)
        if dialling is not None:
            dialling.link_greeted(hello.instance)
        if hello.cluster != self._cluster:
            why = f"it belongs to another cluster, {hello.cluster}"
            if not link.dialled:
                self._complain(link, why)
            link.close(why)
        elif hello.instance == self._context.instance:
            link.close("it leads to ourselves")
        else:
            self._welcome(link, hello)

    def _welcome(self, link: Link, hello: Hello) -> None:
        """A member: give it its place."""
        place = self._port.place_of(hello.accept, link.peer_host)
        for other in tuple(self.neighbours.values()):
            if other.instance == hello.instance:
                continue
            if place is not None and other.place == place:
                if other.incarnation > hello.incarnation:
                    why = "a later start of the same node is here already"
                    self._complain(link, why)
                    link.close(why)
                    return
                self._replace(other)
            elif other.node == hello.node:
                other.doubt()
        neighbour = self.neighbours.get(hello.instance)
        is_new = neighbour is None
        if neighbour is None:
            neighbour = Neighbour(self._context.instance, hello, place)
            self.neighbours[hello.instance] = neighbour
        link.adopt(neighbour.label)
        neighbour.add(link)
        if is_new:
            self._user.neighbour_up(neighbour)
        self._user.link_added(neighbour, link)

    def _replace(self, neighbour: Neighbour) -> None:
        for link in tuple(neighbour.links):
            link.abort("a later start of the same node took its place")
            self._drop(link, neighbour, "the node has started anew")

    def _complain(self, link: Link, why: str) -> None:
        """Say why somebody was turned away, but not for each of his attempts."""
        host = link.where.rpartition(":")[0]
        now = self._reactor.seconds()
        for key in [key for key, until in self._complaints.items() if until <= now]:
            del self._complaints[key]
        if (host, why) not in self._complaints and len(self._complaints) < COMPLAINTS_MAXIMUM:
            self._complaints[host, why] = now + COMPLAIN_S
            self.log.warn("cluster: the link with {where} is closed: {why}", where=link.where, why=why)

    # -- LinkUser -----------------------------------------------------------------------------------------------------------

    def _neighbour(self, link: Link) -> Neighbour | None:
        neighbour = self.neighbours.get(link.hello.instance) if link.hello is not None else None
        return neighbour if neighbour is not None and link in neighbour.links else None

    def link_said(self, link: Link, message: Message) -> None:
        """A member said something."""
        neighbour = self._neighbour(link)
        if neighbour is None:
            return
        if isinstance(message, Leaving):
            neighbour.leaving = True
            self._user.neighbour_changed(neighbour)
        else:
            self._user.neighbour_said(neighbour, message)

    def link_asked(self, link: Link, acceptor: Acceptor, name: str) -> None:
        """A member asks for a name."""
        neighbour = self._neighbour(link)
        if neighbour is not None:
            self._user.neighbour_asked(neighbour, acceptor, name)

    def link_changed(self, link: Link) -> None:
        """A member is suspected or trusted again."""
        neighbour = self._neighbour(link)
        if neighbour is not None:
            self._user.neighbour_changed(neighbour)

    def link_down(self, link: Link, why: str) -> None:
        """A link is gone."""
        dialling = self._links.pop(link, None)
        neighbour = self._neighbour(link)
        if neighbour is not None:
            self._drop(link, neighbour, why)
        elif link.fault and not link.dialled:
            self._complain(link, link.fault)
        if dialling is not None:
            since_s = link.adopted_s
            dialling.link_down(link, why, None if since_s is None else self._reactor.seconds() - since_s)
        self._check_empty()

    def _drop(self, link: Link, neighbour: Neighbour, why: str) -> None:
        """A member has a link less."""
        was_suspect = neighbour.suspect
        neighbour.links.remove(link)
        if neighbour.links:
            if neighbour.suspect != was_suspect:
                self._user.neighbour_changed(neighbour)
        else:
            del self.neighbours[neighbour.instance]
            self._remember(neighbour)
            self._user.neighbour_down(neighbour, why)
        if not neighbour.usable and self.running:
            for dialling in tuple(self.diallings.values()):
                dialling.wake(self._context.random() * INITIAL_S)

    def _remember(self, neighbour: Neighbour) -> None:
        """Dial the address of a member that is gone, unless it said that it goes."""
        if neighbour.place is None or not self.running:
            return
        dialling = self.diallings.get(neighbour.place)
        if not neighbour.leaving:
            self.learn(neighbour.place, for_s=REMEMBER_S)
        elif dialling is not None and not dialling.configured:
            self.forget(dialling)


class _Door(Factory):
    """Takes the connections that others dial."""

    noisy = False

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The tunnel of a new link."""
        assert addr is not None
        return self._mesh.accept_link(addr).tunnel
