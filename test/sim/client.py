"""
A client, and the verdict on what became of it.

It may be turned away, or lose its connection, only for a reason: its listener did not live, no way to its back end was there all the time that it waited, or
something on its way broke. Reasons are looked up in the ledger, which knows the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from test.sim.instance import GRACE_S
from test.sim.ledger import NAMES, cut_off, host, leaving, link
from test.sim.network import SimReactor
from test.sim.topology import Listener
from test.sim.traffic import ClientEnd, Script, ServerEnd
from test.sim.ways import Way, established, possible

if TYPE_CHECKING:
    from test.sim.world import World

#: The gateway gives up after 10 s (`socks.timeout`): a client that has no answer by then was forgotten.
WAIT_S = 11.0
#: TCP to the listener.
CONNECT_S = 3.0
#: A way along which nothing has failed for so long must be open, whatever happened before and elsewhere, in seconds: the longest back-off
#: of a forward service (30 s) and one dial.
RECOVERY_S = 36.0
#: A back end that could not be reached, or found, is probed so often, and probing takes a moment (`maximum.recovery.interval`, 5 s).
PROBED_S = 6.0
#: A connection is not blamed for what broke on its way so shortly before it was joined.
BEFORE_S = 1.0
#: While one thing is broken nobody waits for longer to be joined with a way, beside what the network needs.
STALL_S = 2.0
#: Unless a back end cannot be reached from everywhere: a far dial may take so long before another path is tried.
DIAL_S = 5.0
#: So many trips from one host to another are in that.
TRIPS = 12
#: What a reset of one end may take to reach the other, beside what the network does, in seconds.
RESET_S = 2.0


class Client:
    """
    A client.

    :param world: where it lives.
    :param listener: where it connects.
    :param script: what it does then.
    """

    def __init__(self, world: World, listener: Listener, script: Script) -> None:
        self._world = world
        self.listener = listener
        self.script = script
        self.began_s = world.clock.seconds()
        self.end = ClientEnd(world.clock, world.wrong, script)
        self.end.on_over = self._over
        self.end.on_served = self._served
        self.session: ServerEnd | None = None
        self.joined_s: float | None = None
        self.over = False
        self.verdict = ""
        #: The hosts on its way as far as they are known, from the listener on.
        self._chain: list[str] = [listener.host]
        self._ways: tuple[Way, ...] = ()
        self._deadline: Any = None
        self._connector: Any = None

    def __str__(self) -> str:
        return f"client {self.script.number} of {self.listener.host}:{self.listener.port}"

    # -- what happens
    def begin(self, reactor: SimReactor) -> None:
        """Connect."""
        world, name = self._world, self.listener.host
        if world.instances[name].serving:
            self._ways = tuple(established(self.listener, world.instances))
        self._deadline = world.clock.callLater(WAIT_S, self._forgotten)
        self._connector = reactor.connectTCP(
            world.topology.address(name), self.listener.port, _Connect(self), timeout=CONNECT_S
        )

    def not_connected(self, why: str) -> None:
        """TCP said no."""
        self.over = True
        self._cancel()
        self._turned_away(why)

    def joined(self, next_host: str | None) -> None:
        """The gateway has joined it with a way."""
        self.joined_s = self._world.clock.seconds()
        if next_host is not None:
            self._chain.append(next_host)
        most_s = self._most_s()
        if most_s is not None and self.joined_s - self.began_s > most_s:
            self._world.wrong(
                f"{self} ({' - '.join(self._chain)}) was joined after {self.joined_s - self.began_s:.3f} s, and not within {most_s:.1f} s"
            )

    def reached(self, session: ServerEnd, last_host: str) -> None:
        """The back end has its connection."""
        self.session = session
        session.on_over = self._session_over
        if self._chain[-1] != last_host:
            self._chain.append(last_host)
        self._chain.append(self.listener.server)

    def _served(self) -> None:
        self._cancel()
        self._world.say(f"{self} is served by way of {' - '.join(self._chain)}")

    def _forgotten(self) -> None:
        """It has waited for longer than any client has to."""
        if self.joined_s is None:
            self._turned_away("nobody answered")
        else:
            self._cut_short("nobody answered")
        self.give_up()

    def give_up(self) -> None:
        """Go."""
        self.over = True
        self._cancel()
        if self.end.transport is not None:
            self.end.transport.abortConnection()
        elif self._connector.state == "connecting":
            self._connector.stopConnecting()

    def _over(self) -> None:
        """The connection has ended."""
        if self.over:
            return
        self.over = True
        self._cancel()
        has_reset = self.end.has_reset or (self.session is not None and self.session.has_reset)
        if self.end.complete or has_reset:
            self.verdict = "well"
        elif self.joined_s is None:
            self._turned_away("it was turned away")
        else:
            self._cut_short("it was cut")

    def _session_over(self) -> None:
        """The back end's connection has ended."""
        session = self.session
        assert session is not None
        if session.complete or session.has_reset:
            return
        if not self.end.has_reset:
            if not self.over or self.end.complete:
                self._cut_short("its back end's connection was cut")
            return
        assert self.end.over_s is not None
        took_s = self._world.clock.seconds() - self.end.over_s
        if took_s > RESET_S and self._chain_broke() is None:
            self._world.wrong(f"the reset of {self} took {took_s:.1f} s to reach the back end")

    def _cancel(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()

    @property
    def orphaned(self) -> bool:
        """The machine at the other end of its connection, or of the back end's, lost power: nobody tells it."""
        transport, session = self.end.transport, self.session
        if session is not None and not session.transport.reactor.alive:
            return True
        return transport is not None and not transport.other.reactor.alive

    # -- the verdict
    @property
    def stall_s(self) -> float | None:
        """How long it took to be served."""
        return None if self.end.served_s is None else self.end.served_s - self.began_s

    def _most_s(self) -> float | None:
        """How long it may wait to be joined with a way; None when something is the matter that has no such bound."""
        world, ledger = self._world, self._world.ledger
        bounded = (
            world.one_at_a_time
            and self._listener_broke() is None
            and ledger.clean(cut_off(self.listener.host), self.began_s)
            and ledger.clean(NAMES, self.began_s - PROBED_S)
        )
        if not bounded:
            return None
        most_s = STALL_S + TRIPS * world.network.slowest_s
        far_ends = [link(node, self.listener.server) for node in world.topology.nodes]
        return (
            most_s if all(ledger.clean(one, self.began_s - BEFORE_S) for one in far_ends) else most_s + DIAL_S
        )

    def _turned_away(self, why: str) -> None:
        reason = self._listener_broke() or self._ways_broke()
        self._judge(why, reason)

    def _cut_short(self, why: str) -> None:
        self._judge(why, self._chain_broke())

    def _judge(self, what: str, reason: str | None) -> None:
        waited_s = self._world.clock.seconds() - self.began_s
        if reason is None:
            self.verdict = "wronged"
            self._world.wrong(f"{self} ({' - '.join(self._chain)}) after {waited_s:.3f} s: {what}")
        else:
            self.verdict = reason
            self._world.say(f"{self} after {waited_s:.3f} s: {what}, as {reason}")

    def _listener_broke(self) -> str | None:
        """Why its listener owes it nothing."""
        ledger, name = self._world.ledger, self.listener.host
        for thing in (host(name), leaving(name)):
            if not ledger.clean(thing, self.began_s):
                return f"its listener was broken ({' '.join(thing)})"
        return None

    def _ways_broke(self) -> str | None:
        """Why there was no way for it."""
        world = self._world
        if not world.ledger.clean(host(self.listener.server), self.began_s - PROBED_S):
            return "its back end was broken"
        if world.strict and world.ledger.clean(NAMES, self.began_s - PROBED_S):
            if world.ledger.clean(cut_off(self.listener.host), self.began_s):
                return None
            return "its listener was cut off"
        for way in self._ways:
            if way.connected and self._whole(way, self.began_s):
                return None
        long_ago = self.began_s - RECOVERY_S
        for way in possible(self.listener, world.topology.cloud_nodes, world.topology.agent_nodes):
            if long_ago > world.began_s and self._whole(way, long_ago):
                return None
        return "no way was whole while it waited"

    def _whole(self, way: Way, since_s: float) -> bool:
        """Whether nothing on a way was broken since then, and its end can be found."""
        ledger = self._world.ledger
        return (
            all(ledger.clean(host(name), since_s) for name in way.hosts)
            and all(ledger.clean(leaving(name), since_s) for name in way.hosts)
            and all(ledger.clean(link(*pair), since_s) for pair in way.links)
            and ledger.clean(link(*way.hosts[-2:]), since_s - PROBED_S)
            and (ledger.clean(NAMES, since_s - PROBED_S) or self._world.knows(*way.hosts[-2:]))
        )

    def _chain_broke(self) -> str | None:
        """What broke on the way that it was given."""
        world = self._world
        since_s = (self.joined_s or self.began_s) - BEFORE_S
        chain = self._chain
        if chain[-1] != self.listener.server:
            return self._unknown_chain_broke(since_s)
        return self._broke(chain, pairwise(chain), since_s) or self._left(world, chain)

    def _unknown_chain_broke(self, since_s: float) -> str | None:
        """The back end never heard of it: anything on the last part of the way may have broken."""
        topology = self._world.topology
        others = topology.agent_nodes if self.listener.reverse else topology.cloud_nodes
        hosts = [*self._chain, *others, self.listener.server]
        pairs = [(a, b) for a in hosts for b in hosts if a < b]
        return self._broke(hosts, pairs, since_s) or self._left(self._world, hosts)

    def _broke(self, hosts: Iterable[str], pairs: Iterable[tuple[str, str]], since_s: float) -> str | None:
        ledger = self._world.ledger
        for thing in [*map(host, hosts), *(link(*pair) for pair in pairs)]:
            if not ledger.clean(thing, since_s):
                return f"something on its way was broken ({' '.join(thing)})"
        return None

    def _left(self, world: World, hosts: Iterable[str]) -> str | None:
        """An orderly stop cuts nothing before its grace is over."""
        now_s = world.clock.seconds()
        for name in hosts:
            since_s = world.ledger.since(leaving(name))
            if since_s is not None and now_s - since_s >= GRACE_S:
                return f"the grace of {name} was over"
        return None


class _Connect(ClientFactory):
    """Makes the client's end."""

    noisy = False

    def __init__(self, client: Client) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> ClientEnd:
        return self._client.end

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        if not self._client.over:
            self._client.not_connected(reason.getErrorMessage())
