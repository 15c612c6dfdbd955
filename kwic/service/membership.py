"""
The members of our own side, as the services see them: who is there, what each has to offer, and how to reach a name through it.

    Alone       no <cluster>: there is nobody else
    Cluster     members find each other and talk over links of their own (`cluster`)

What a member says is soft state: a stale entry costs a retry, never a failure. So nothing here waits for agreement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from twisted.application.service import Service

from kwic.service.nodes import tell_nodes
from kwic.service.path import Path
from kwic.service.watch import Watched
from kwic.transport.negotiation import Acceptor
from kwic.wire.kwic_headers import Nodes


@dataclass(frozen=True, kw_only=True)
class Member:
    """Another instance of our side, as of now."""

    instance: str
    """The UUID of its process start."""

    node: str
    """What it calls itself, for people."""

    accept: str = ""
    """Where it takes links, as a URI; empty when it takes none."""

    suspect: bool = False
    """It has been silent for longer than it should: others are chosen first."""

    leaving: bool = False
    """It stops soon: nothing new is sent there."""

    load: int = 0
    """Its open client connections."""

    names: Mapping[str, int] = field(default_factory=dict)
    """The reverse names that it can reach, and through how many tunnels it trusts; 0 = through suspected ones only."""

    balances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Its accept URIs that answer for a balancer, by the balancer's URI."""

    tunnels: frozenset[str] = frozenset()
    """The URIs at which it takes tunnels, balancers that send it tunnels included."""

    @property
    def counts(self) -> bool:
        """Whether it is one of those that clients and agents are sent to."""
        return not self.suspect and not self.leaving


@dataclass(frozen=True, kw_only=True)
class OwnState:
    """What we have to offer to the other members; the fields mean what they mean in `Member`."""

    balances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, int] = field(default_factory=dict)
    tunnels: tuple[str, ...] = ()
    load: int = 0
    leaving: bool = False


class Membership(Service, Watched):
    """
    Knows the other members. Whoever watches is called when one comes, goes, is suspected or trusted again, or offers something else; not when
    only its load changes.
    """

    def __init__(self) -> None:
        Watched.__init__(self)
        #: What we have to offer, as it was published last.
        self.own = OwnState()
        #: Grows whenever the members that count are others than before (protocol.md, `Kwic-Nodes`).
        self.version = 0
        self._counted: frozenset[str] = frozenset()

    def check(self) -> None:
        """
        Find out before the start what cannot work.

        :raises SetupError: one line that says what, and what to do.
        """

    def members(self) -> Sequence[Member]:
        """The other members that are there, suspected and leaving ones marked."""
        raise NotImplementedError

    def path(self, member: Member, name: str) -> Path | None:
        """The way to a reverse name that a member can reach; None when there is no link to the member."""
        raise NotImplementedError

    @property
    def count(self) -> int | None:
        """How many members count, this one included unless it is leaving; None when there is no cluster that could say."""
        return sum(member.counts for member in self.members()) + (not self.own.leaving)

    def nodes(self, uris: frozenset[str]) -> Nodes | None:
        """
        How many nodes there are to meet, for those who dial us; None when nobody knows.

        :param uris: the addresses at which they may be met: that of the tunnel, or those of the balancers in front of it.
        """
        if self.count is None:
            return None
        others = sum(member.counts and bool(uris & member.tunnels) for member in self.members())
        return Nodes(version=self.version, count=others + (not self.own.leaving))

    def tell_nodes(self, acceptor: Acceptor, uris: frozenset[str]) -> None:
        """Answer a stream that asks to be told which nodes there are to meet at some addresses."""
        tell_nodes(acceptor, lambda: self.nodes(uris), self.watch)

    def publish(self, state: OwnState) -> None:
        """Tell the others what we have to offer now: at most a few times a second, the last word counts. Leaving is told at once."""
        left = state.leaving and not self.own.leaving
        self.own = state
        if left:
            self.version += 1
            Watched.changed(self)

    def leave(self) -> None:
        """Tell the others to send nothing new here."""
        self.publish(replace(self.own, leaving=True))

    def changed(self) -> None:
        """Something happened to a member: see whether they are others than before, and tell whoever watches."""
        counted = frozenset(member.instance for member in self.members() if member.counts)
        if counted != self._counted:
            self._counted = counted
            self.version += 1
        Watched.changed(self)


class Alone(Membership):
    """The membership of an instance without a cluster."""

    def members(self) -> Sequence[Member]:
        """Nobody."""
        return ()

    def path(self, member: Member, name: str) -> Path | None:
        """There is nobody in between."""
        return None

    @property
    def count(self) -> int | None:
        """There is no cluster that could say."""
        return None
