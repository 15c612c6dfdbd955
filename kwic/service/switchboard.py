"""
What a peer may reach and offer: with the streams that it opens in a tunnel, or with a SOCKS connection for each client.

    CONNECT name   a destination of ours, when the peer may reach it
    BIND name      the peer offers a name, when it may
    kwic:nodes     the peer wants to be told which nodes there are

Who may is decided from the peer's certificate, anew for every request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from typing import Protocol as Interface

from twisted.logger import Logger, LogLevel

from kwic.config.model import Service
from kwic.service.reverse import Holder, Names
from kwic.transport.deadlines import Deadlines
from kwic.transport.leg import Leg
from kwic.transport.negotiation import Acceptor
from kwic.transport.stream import Stream
from kwic.transport.tls import PeerIdentity
from kwic.transport.tunnel import Tunnel
from kwic.wire.socks5 import Command, Rep, Request

#: The reserved name under which a dialler asks to be told which nodes there are (protocol.md).
NODES = "kwic:nodes"


# looked up for each client: a member of an enum costs ten times as much in Python 3.11
_CONNECT = Command.CONNECT


class Asker(Interface):
    """What a request came on and is answered on."""

    #: Called when the other end gives up before it has an answer, with whatever there is to say about that.
    on_lost: Any

    def accept(self) -> Leg:
        """The name was reached: say so; the leg of the client."""

    def refuse(self, rep: Rep) -> None:
        """It was not: say why."""


class Peer(Asker, Interface):
    """Whoever may also offer a name."""

    def register(self, on_lost: Callable[[], None]) -> None:
        """
        The name is registered: say so.

        :param on_lost: called when it is not offered any more.
        """


class Destination(Interface):
    """Something that a request can be connected to."""

    service: Service

    def request(self, acceptor: Asker, sender: str) -> None:
        """Dial, and accept or refuse."""


@dataclass(frozen=True, kw_only=True)
class Switchboard:
    """
    The exchange at the end of a tunnel.

    :param requests: the deadlines of requests.
    :param destinations: what may be reached, by rendezvous key or path.
    :param names: where the peer's offers go; None when it may offer nothing.
    :param offerable: the services here that connect to a name: they decide who may offer it.
    :param subscribe: takes the acceptor of a stream that asked for the nodes; None when there is nothing to tell.
    """

    requests: Deadlines
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    names: Names | None = None
    offerable: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    subscribe: Callable[[Acceptor], None] | None = None

    log = Logger()

    def connect(self, tunnel: Tunnel, stream: Stream, identity: PeerIdentity | None) -> None:
        """Take a stream that the peer opened."""
        stream.attach(Acceptor(self.requests, partial(self.request, identity, tunnel)))

    def request(self, identity: PeerIdentity | None, holder: Holder, asker: Peer, request: Request) -> None:
        """
        Answer a request.

        :param identity: who asks.
        :param holder: through what a name can be reached that is offered with this request.
        """
        if request.command is _CONNECT:
            if request.host == NODES and self.subscribe is not None and isinstance(asker, Acceptor):
                self.subscribe(asker)
            else:
                self.reach(asker, request.host, identity, holder.peer)
        elif request.command is Command.BIND and self.names is not None:
            self._offer(asker, request.host, identity, holder)
        else:
            asker.refuse(Rep.COMMAND_NOT_SUPPORTED)

    def reach(self, asker: Asker, name: str, identity: PeerIdentity | None, peer: str) -> None:
        """
        Connect a client of the peer's with what it asks for.

        :param peer: the other end, in log lines.
        """
        destination = self.destinations.get(name)
        if destination is None:
            self.log.warn("{peer} asked for {name}, which is not here", peer=peer, name=name)
            asker.refuse(Rep.HOST_UNREACHABLE)
        elif not permitted(destination.service, identity):
            self.log.warn(
                "{peer} ({who}) may not reach {service}: its certificate has none of the required names",
                peer=peer,
                who=who(identity),
                service=destination.service.name,
            )
            asker.refuse(Rep.NOT_ALLOWED)
        else:
            destination.request(asker, peer)

    def _offer(self, asker: Peer, name: str, identity: PeerIdentity | None, holder: Holder) -> None:
        services = self.offerable.get(name, ())
        refusing = [service for service in services if not permitted(service, identity)]
        if refusing:
            self.log.warn(
                "{peer} ({who}) may not offer {name}: service {service} requires another certificate",
                peer=holder.peer,
                who=who(identity),
                name=name,
                service=refusing[0].name,
            )
            asker.refuse(Rep.NOT_ALLOWED)
            return
        if not services:
            self.log.warn(
                "{peer} offers {name}, which no service here connects to", peer=holder.peer, name=name
            )
        assert self.names is not None
        withdraw = self.names.offer(name, holder)
        if withdraw is None:
            asker.refuse(Rep.NOT_ALLOWED)
            return
        # A connection is for one client: a line for each would be one for each client.
        level = LogLevel.info if isinstance(holder, Tunnel) else LogLevel.debug
        self.log.emit(level, "{peer} offers {name}", peer=holder.peer, name=name)
        asker.register(withdraw)
        self.names.changed()


def permitted(service: Service, identity: PeerIdentity | None) -> bool:
    """Whether a peer may offer or reach a service."""
    return service.permits(None if identity is None else identity.names)


def admitted(service: Service, identity: PeerIdentity | None, *, asked: bool) -> bool:
    """
    Whether a client may use a service.

    Where clients are not asked for certificates, the constraint of a service that leaves through tunnels is about those who dial
    them: it decides whose agent may offer the name. Every other one is about its clients, asked or not.

    :param asked: whether the listener asks for certificates.
    """
    return permitted(service, identity) or (not asked and service.is_reverse_acceptor)


def who(identity: PeerIdentity | None) -> str:
    """A peer as its certificate calls it."""
    return "no certificate" if identity is None else f"CN={identity.common_name}"
