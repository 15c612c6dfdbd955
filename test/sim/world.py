"""
The simulated world: two sites with their gateways, back ends and clients, everything that can happen to them, and the truth about what did.

Whatever happens is told to the ledger, so that a client's fate can be judged by what was so, and not by what the gateways believed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from kwic.transport.relay import Relay
from kwic.transport.remembered_names import RememberingResolver
from test.sim.client import Client
from test.sim.etcd import EtcdStore
from test.sim.instance import Instance, peer_host
from test.sim.ledger import NAMES, Ledger, cut_off, host, leaving, link, way
from test.sim.network import SimNetwork, SimReactor
from test.sim.topology import (
    CLOUD_CLIENT,
    ETCD,
    PORT_A_OWN,
    PORT_B,
    PREM_CLIENT,
    SERVER_A,
    SERVER_B,
    Finding,
    Listener,
    Topology,
)
from test.sim.traffic import Script, ServerEnd

#: Where the back ends listen.
BACK_ENDS = {SERVER_A: PORT_A_OWN, SERVER_B: PORT_B}
#: What is due now may be followed so often by something that is due now, when a process ends.
TURNS = 10
#: Unless something slows it down.
LATENCY_S = 0.002


class World:
    """
    Everything.

    :param seed: all random numbers come from it.
    :param topology: which instances there are.
    :param trace: called with each line of the timeline.
    """

    def __init__(self, seed: int, topology: Topology, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.topology = topology
        self._trace = trace
        self._digest = hashlib.blake2b(digest_size=8)
        self.network = SimNetwork()
        self.network.latency_s = LATENCY_S
        self.network.names = topology.names
        self.clock = self.network.clock
        self.began_s = self.clock.seconds()
        self.ledger = Ledger(self.clock)
        self.wrongs: list[str] = []
        #: One thing is broken at a time, and everything is whole again before the next: nobody may be turned away.
        self.strict = False
        #: Nor is one thing on each side: nobody may wait for long.
        self.one_at_a_time = False
        self.clients: dict[int, Client] = {}
        self.sessions: dict[int, ServerEnd] = {}
        self.instances = {node: self._instance(node) for node in topology.nodes}
        #: When an instance was started or went on, last.
        self.woke_s: dict[str, float] = {}
        self._cuts: dict[tuple[str, str], int] = {}
        self._hosts = {topology.address(node): node for node in topology.nodes}
        #: The names that each instance remembered when the name servers failed last.
        self._known: dict[str, set[str]] = {}
        self._back_ends: dict[str, Any] = {}
        for name in (CLOUD_CLIENT, PREM_CLIENT):
            self.network.host(name, topology.address(name))
        for name in BACK_ENDS:
            self.begin_back_end(name)
        self._register = EtcdStore(self.network)
        if topology.finding is Finding.ETCD:
            self.begin_etcd()

    def dice(self, purpose: str) -> random.Random:
        """Random numbers for one purpose, the same for the same seed."""
        return random.Random(f"{self.seed} {purpose}")

    def _instance(self, node: str) -> Instance:
        return Instance(
            self.network,
            node,
            self.topology.address(node),
            self.topology.config(node),
            self.dice(node).random,
            self._joined,
        )

    # -- the timeline
    @property
    def now_s(self) -> float:
        """Since the beginning."""
        return self.clock.seconds() - self.began_s

    def say(self, text: str) -> None:
        """Add a line to the timeline."""
        self._digest.update(f"{self.now_s:9.4f}  {text}".encode())
        self.note(text)

    def note(self, text: str) -> None:
        """Add a line that is there for the reader only."""
        if self._trace is not None:
            self._trace(f"{self.now_s:9.4f}  {text}")

    @property
    def digest(self) -> str:
        """The same for two runs only when their timelines are."""
        return self._digest.hexdigest()

    def wrong(self, text: str) -> None:
        """Something is not as it must be."""
        self.say(f"WRONG: {text}")
        self.wrongs.append(f"at {self.now_s:.3f} s: {text}")

    # -- the instances
    @property
    def clouds(self) -> Iterator[Instance]:
        yield from (self.instances[node] for node in self.topology.cloud_nodes)

    @property
    def agents(self) -> Iterator[Instance]:
        yield from (self.instances[node] for node in self.topology.agent_nodes)

    def start(self, name: str) -> None:
        """Start an instance that does not run."""
        self.say(f"{name} starts")
        try:
            self.instances[name].start()
        except BaseException as error:
            self.wrong(f"{name} did not start: {error!r}")
            raise
        self.woke_s[name] = self.clock.seconds()
        self.ledger.mended(leaving(name))
        self.ledger.mended(host(name))

    def crash(self, name: str) -> None:
        """It is killed."""
        self.say(f"{name} is killed")
        self._gone(name)
        self.network.crash(name)

    def power_off(self, name: str) -> None:
        """The machine is gone."""
        self.say(f"{name} loses power")
        self._gone(name)
        self.network.power_off(name)

    def _gone(self, name: str) -> None:
        self.ledger.broke(host(name))

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self.say(f"{name} is frozen")
        self.ledger.broke(host(name))
        self.network.freeze(name)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.say(f"{name} goes on")
        self.network.thaw(name)
        self.woke_s[name] = self.clock.seconds()
        self.ledger.mended(host(name))

    def stop(self, name: str, stopped: Callable[[], None]) -> None:
        """
        SIGTERM.

        :param stopped: called when the process has ended.
        """
        self.say(f"{name} is told to stop")
        self.ledger.broke(leaving(name))
        instance = self.instances[name]
        start = instance.starts

        def done(result: Any) -> None:
            if isinstance(result, Failure):
                self.wrong(f"{name} failed to stop: {result.getErrorMessage()}")
            if instance.starts == start and instance.alive:
                self.clock.callLater(0, self._ended, name, start, stopped)

        instance.stop(done)

    def _ended(self, name: str, start: int, stopped: Callable[[], None], turns: int = TURNS) -> None:
        instance = self.instances[name]
        if instance.starts != start or not instance.alive:
            return
        due = any(call.getTime() <= self.clock.seconds() for call in instance.reactor.calls)
        if due and turns:
            # The process ends when the turn does.
            self.clock.callLater(0, self._ended, name, start, stopped, turns - 1)
        else:
            self.say(f"{name} has stopped")
            self.leftovers(instance)
            self.ledger.broke(host(name))
            self.network.crash(name)
            stopped()

    def leftovers(self, instance: Instance) -> None:
        """Nothing may be left of an instance that has stopped."""
        reactor, gateway, context = instance.reactor, instance.gateway, instance.context
        left = {
            "delayed calls": reactor.getDelayedCalls(),
            "connections": [f"{one.getHost()} - {one.getPeer()}" for one in reactor.transports],
            "sockets": [*reactor.ports, *reactor.multicast_ports],
            "names": gateway.names._holders,
            "holders": gateway.names._counts,
            "relays": [] if not len(context.relays) else [len(context.relays)],
            "tunnels": [tunnel.peer for tunnel in instance.tunnels()],
        }
        for what, them in left.items():
            if them:
                self.wrong(f"{instance.name} has stopped and left {what}: {them}")
        budget = context.limits.budget
        if budget.left_bytes != budget.total_bytes:
            self.wrong(
                f"{instance.name} has stopped and owes its budget {budget.total_bytes - budget.left_bytes} bytes"
            )

    # -- the network
    def cut(self, pairs: list[tuple[str, str]]) -> None:
        """Packets from one host to another are lost, for each of these pairs, until as many `mend`s."""
        for a, b in pairs:
            self._cuts[a, b] = self._cuts.get((a, b), 0) + 1
            self.network.cut(a, b, both=False)
            self.ledger.broke(way(a, b))
            self.ledger.broke(link(a, b))

    def mend(self, pairs: list[tuple[str, str]]) -> None:
        """They get through again, as far as nothing else is in the way."""
        for a, b in pairs:
            self._cuts[a, b] -= 1
            if not self._cuts[a, b]:
                self.ledger.mended(way(a, b))
                if not self.ledger.is_broken(way(b, a)):
                    self.ledger.mended(link(a, b))
                self.network.heal(a, b, both=False)

    def cut_off(self, name: str) -> None:
        """Say that a host reaches none of the others; `cut` does it."""
        self.ledger.broke(cut_off(name))

    def reaches_all(self, name: str) -> None:
        """It reaches them again."""
        self.ledger.mended(cut_off(name))

    def slow(self, a: str, b: str, latency_s: float | None) -> None:
        """Packets between two hosts take longer; None: no longer than ever."""
        self.say(f"{a} - {b}: {'as fast as ever' if latency_s is None else f'{latency_s * 1000:.0f} ms'}")
        self.network.latency(a, b, LATENCY_S if latency_s is None else latency_s)

    def names_fail(self, resolve_s: float | None, *, unknown: bool = False) -> None:
        """The name servers answer late, or not at all, or know nothing."""
        if not self.ledger.is_broken(NAMES):
            self._known = {name: self._remembered(name) for name in self.instances}
        self.ledger.broke(NAMES)
        self.network.resolve_s = resolve_s
        self.network.names = {} if unknown else self.topology.names

    def knows(self, name: str, wanted: str) -> bool:
        """Whether an instance could find a host's address in its memory when the name servers failed last, and since then."""
        return wanted in self._known.get(name, set()) & self._remembered(name)

    def _remembered(self, name: str) -> set[str]:
        resolver = self.instances[name].reactor.nameResolver
        return (
            {key[0] for key in resolver._remembered} if isinstance(resolver, RememberingResolver) else set()
        )

    def names_work(self) -> None:
        """They are well again."""
        self.network.resolve_s = 0.0
        self.network.names = self.topology.names
        self.ledger.mended(NAMES)

    # -- etcd
    def begin_etcd(self) -> None:
        """Start the etcd with what it knew."""
        self.say("etcd listens")
        self._register.serve(ETCD, self.topology.address(ETCD))
        self.ledger.mended(host(ETCD))

    def end_etcd(self, *, silently: bool) -> None:
        """Kill it, or its machine."""
        self.say("etcd loses power" if silently else "etcd is killed")
        self.ledger.broke(host(ETCD))
        (self.network.power_off if silently else self.network.crash)(ETCD)

    def stall_etcd(self) -> None:
        """SIGSTOP."""
        self.say("etcd is frozen")
        self.ledger.broke(host(ETCD))
        self.network.freeze(ETCD)

    def go_on_etcd(self) -> None:
        """SIGCONT."""
        self.say("etcd goes on")
        self.network.thaw(ETCD)
        self.ledger.mended(host(ETCD))

    # -- the back ends
    def begin_back_end(self, name: str) -> None:
        """Start a back end."""
        self.say(f"{name} listens")
        reactor = self.network.host(name, self.topology.address(name))
        self._back_ends[name] = reactor.listenTCP(BACK_ENDS[name], _BackEnd(self, reactor))
        self.ledger.mended(host(name))

    def end_back_end(self, name: str, *, silently: bool) -> None:
        """Kill a back end, or its machine."""
        self.say(f"{name} loses power" if silently else f"{name} is killed")
        self.ledger.broke(host(name))
        (self.network.power_off if silently else self.network.crash)(name)

    def session(self, end: ServerEnd) -> None:
        """A back end knows whose connection it has."""
        assert end.script is not None
        number = end.script.number
        if number in self.sessions:
            self.wrong(f"connection {number} reached a back end twice")
        self.sessions[number] = end
        client = self.clients[number]
        client.reached(end, self.host_at(end.transport.getPeer()))

    def host_at(self, address: IAddress) -> str:
        """Whose address it is."""
        return self._hosts[address.host]  # type: ignore[attr-defined]

    # -- the clients
    def connect(self, listener: Listener, script: Script) -> Client:
        """A client connects."""
        reactor = self.network.hosts[CLOUD_CLIENT if listener.reverse else PREM_CLIENT]
        client = Client(self, listener, script)
        self.clients[script.number] = client
        client.begin(reactor)
        return client

    def _joined(self, instance: Instance, relay: Relay) -> None:
        """A gateway has joined a client with what it dialled for it."""
        near, far = relay._legs
        end = getattr(getattr(near.transport, "other", None), "protocol", None)
        client = self.clients.get(getattr(getattr(end, "script", None), "number", -1))
        if client is None:
            return
        tunnel = getattr(far.transport, "tunnel", None)
        client.joined(None if tunnel is None else peer_host(tunnel))


class _BackEnd(Factory):
    """The connections of a back end."""

    noisy = False

    def __init__(self, world: World, reactor: SimReactor) -> None:
        self._world = world
        self._reactor = reactor

    def buildProtocol(self, addr: IAddress | None) -> ServerEnd:
        world = self._world
        return ServerEnd(self._reactor, world.wrong, self._script, world.session)

    def _script(self, number: int) -> Script | None:
        client = self._world.clients.get(number)
        return None if client is None else client.script
