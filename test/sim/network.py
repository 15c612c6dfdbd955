"""
A network in memory with its hosts: each has a reactor of its own, all share one clock, and everything that can happen to a network can happen to it.

    network = SimNetwork()
    cloud1 = network.host("cloud1", "10.0.0.7")        a reactor: IReactorTCP, IReactorTime, IReactorMulticast, names
    network.run(5)                                     five seconds pass
    network.cut("cloud1", "onprem1")                   packets between them are lost, both ways
    network.freeze("cloud1"); network.thaw("cloud1")   SIGSTOP and SIGCONT
    network.crash("cloud1")                            kill -9: its peers get resets
    network.power_off("cloud1")                        the machine is gone, nobody is told
    cloud1 = network.host("cloud1", "10.0.0.8")        a new start, here with another address

Nothing here is random, unless `jitter` draws it: a simulation that draws its faults from a seed replays exactly.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, MulticastJoinError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)
from zope.interface import implementer

from test.sim.clock import SimCall, SimClock
from test.sim.tcp import Item, Mark, SimConnector, SimPort, SimTransport

#: A packet from one host to another, in seconds, unless a pair has its own.
LATENCY_S = 0.0005
#: A connect that got no answer is sent again after so long, as TCP does.
SYN_AGAIN_S = 1.0
#: Bytes that were not acknowledged are sent again after so long.
SEND_AGAIN_S = 1.0
#: What a resolver does when no name server answers, unless it is told otherwise (resolv.conf(5)).
ASK_AGAIN_S = 5.0
QUESTIONS = 2
#: What the kernel keeps for a process that does not read.
DATAGRAMS_KEPT = 64


class SimNetwork:
    """The network: hosts, what is between them, and what time it is."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.hosts: dict[str, SimReactor] = {}
        #: Host names and their addresses, for everyone.
        self.names: dict[str, tuple[str, ...]] = {}
        #: How long the name servers take to answer; None: they do not, and whoever asks gives up in the end.
        self.resolve_s: float | None = 0.0
        self.latency_s = LATENCY_S
        #: What a packet takes longer than it must: drawn for each, evenly from [0, 1), in units of so many seconds.
        self.jitter: Callable[[], float] | None = None
        self.jitter_s = 0.0
        self._numbers = count()
        self._latencies: dict[tuple[str, str], float] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._held: dict[tuple[str, str], list[tuple[SimTransport, Sequence[Item]]]] = {}
        #: Every TCP connect that was begun: who, and where.
        self.dialled: list[tuple[str, tuple[str, int]]] = []

    # -- time
    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run(seconds)

    def run_until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> float:
        """Let time pass until something is so; how long it took."""
        return self.clock.run_until(condition, timeout_s)

    # -- hosts
    def host(self, name: str, *addresses: str) -> SimReactor:
        """A machine and the process on it; one of that name that is still there is gone without a word."""
        if name in self.hosts:
            self.power_off(name)
        reactor = self.hosts[name] = SimReactor(self, name, addresses)
        self.clock.at(self.clock.seconds() + SEND_AGAIN_S, self._send_again, reactor)
        return reactor

    def _send_again(self, reactor: SimReactor) -> None:
        """Whoever has sent something to an earlier start of a machine sends it again, and learns that nobody knows of the connection."""
        for sender in self._connections() if reactor.powered else ():
            receiver = sender.other
            is_gone = receiver.reactor.name == reactor.name and not receiver.reactor.powered
            if (
                is_gone
                and sender.waits_for_answer
                and set(receiver.reactor.addresses) & set(reactor.addresses)
            ):
                receiver.tell(Mark.RESET)

    def _connections(self) -> list[SimTransport]:
        """Every end of a connection that is there."""
        ends = [transport for reactor in self.hosts.values() for transport in reactor.transports]
        return sorted(ends, key=lambda one: one.number)

    def at(self, address: str) -> SimReactor | None:
        """The host that has an address now."""
        for reactor in self.hosts.values():
            if address in reactor.addresses and reactor.powered:
                return reactor
        return None

    # -- what happens to them
    def freeze(self, name: str) -> None:
        """The process does nothing any more; its kernel still answers."""
        self.hosts[name].frozen = True

    def thaw(self, name: str) -> None:
        """The process goes on."""
        self.hosts[name].thaw()

    def crash(self, name: str) -> None:
        """The process is killed; its kernel tells the others."""
        reactor = self.hosts[name]
        for transport in sorted(reactor.transports, key=lambda one: one.number):
            transport.tell(Mark.RESET)
        reactor.die()

    def power_off(self, name: str) -> None:
        """The machine is gone."""
        reactor = self.hosts[name]
        reactor.powered = False
        reactor.die()

    def latency(self, a: str, b: str, seconds: float) -> None:
        """Packets between two hosts take so long from now on."""
        self._latencies[a, b] = self._latencies[b, a] = seconds

    def cut(self, a: str, b: str, *, both: bool = True) -> None:
        """Packets from a to b, and unless told otherwise from b to a, are lost."""
        self._cuts.add((a, b))
        if both:
            self._cuts.add((b, a))

    def isolate(self, name: str) -> None:
        """Pull the cable of a host."""
        for other in self.hosts:
            if other != name:
                self.cut(name, other)

    def heal(self, a: str | None = None, b: str | None = None, *, both: bool = True) -> None:
        """Packets between two hosts (or only those from a to b), or between any, get through again; TCP sends what was lost."""
        for pair in sorted(self._cuts):
            if a is None or pair == (a, b) or (both and pair == (b, a)):
                self._cuts.discard(pair)
                for receiver, items in self._held.pop(pair, ()):
                    # A machine that is gone sends nothing again.
                    if receiver.other.reactor.powered:
                        self._arrive(pair, receiver, items)

    # -- what travels
    def between(self, a: str, b: str) -> float:
        """How long a packet takes."""
        if a == b:
            return 0.0
        latency_s = self._latencies.get((a, b), self.latency_s)
        return latency_s if self.jitter is None else latency_s + self.jitter() * self.jitter_s

    @property
    def slowest_s(self) -> float:
        """What a packet may take at most, between any two hosts."""
        return max(self._latencies.values(), default=self.latency_s) + self.jitter_s

    def next_number(self) -> int:
        """Every connection's end has one: sets of them are gone through in that order."""
        return next(self._numbers)

    def is_cut(self, a: str, b: str) -> bool:
        """Whether packets from a to b are lost."""
        return (a, b) in self._cuts

    def carry(self, sender: SimTransport, item: Item) -> None:
        """Something of a connection is on its way: with what was sent before and arrives at the same moment, or by itself."""
        receiver = sender.other
        a, b = way = sender.reactor.name, receiver.reactor.name
        at_s, items = sender.arrival(self.between(a, b))
        items.append(item)
        if len(items) == 1:
            self.clock.at(at_s, self._land, way, receiver, items)

    def _land(self, pair: tuple[str, str], receiver: SimTransport, items: list[Item]) -> None:
        landed = tuple(items)
        items.clear()
        self._arrive(pair, receiver, landed)

    def _arrive(self, pair: tuple[str, str], receiver: SimTransport, items: Sequence[Item]) -> None:
        if pair in self._cuts:
            self._held.setdefault(pair, []).append((receiver, items))
        elif receiver.reactor.powered:
            receiver.arrived(items)
        elif any(isinstance(item, bytes) for item in items):
            receiver.other.unheard = True
            # Another start of the machine knows nothing of the connection.
            successor = self.hosts.get(receiver.reactor.name)
            if (
                successor is not None
                and successor.powered
                and set(successor.addresses) & set(receiver.reactor.addresses)
            ):
                receiver.tell(Mark.RESET)

    def dial(self, connector: SimConnector, source: tuple[str, int], place: tuple[str, int]) -> None:
        """A connect is on its way."""
        caller = connector.reactor
        self.dialled.append((caller.name, place))
        target = self.at(place[0])
        latency_s = self.latency_s if target is None else self.between(caller.name, target.name)
        self.clock.at(self.clock.seconds() + latency_s, self._dialled, connector, source, place)

    def _dialled(self, connector: SimConnector, source: tuple[str, int], place: tuple[str, int]) -> None:
        caller, target = connector.reactor, self.at(place[0])
        if connector.state != "connecting" or not caller.alive:
            return
        if target is None or self.is_cut(caller.name, target.name) or self.is_cut(target.name, caller.name):
            self.clock.at(self.clock.seconds() + SYN_AGAIN_S, self._dialled, connector, source, place)
            return
        back_s = self.between(target.name, caller.name)
        port = target.port_for(place)
        if port is None:
            self.clock.callLater(back_s, caller.callLater, 0, connector.refused)
            return
        near, far = SimTransport(caller, source, place), SimTransport(target, place, source)
        near.other, far.other = far, near
        target.transports.add(far)
        target.callLater(0, _accept, port, far)
        self.clock.callLater(back_s, caller.callLater, 0, connector.connected, near)

    def multicast(self, sender: SimMulticastPort, datagram: bytes, group: tuple[str, int]) -> None:
        """A datagram to a group."""
        for reactor in self.hosts.values():
            for port in reactor.multicast_ports:
                same_side = (":" in sender.outgoing) == (":" in group[0])
                if port.port == group[1] and group[0] in port.groups and same_side:
                    delay_s = self.between(sender.reactor.name, reactor.name)
                    self.clock.callLater(delay_s, self._datagram, sender, port, datagram)

    def _datagram(self, sender: SimMulticastPort, port: SimMulticastPort, datagram: bytes) -> None:
        if not self.is_cut(sender.reactor.name, port.reactor.name) and port.reactor.powered:
            port.arrived(datagram, (sender.outgoing, sender.port))


def _accept(port: SimPort, transport: SimTransport) -> None:
    """The process takes a connection that its kernel took."""
    listening = port.reactor.ports.get((port.host, port.port)) is port
    peer = transport.getPeer()
    protocol = port.factory.buildProtocol(peer) if listening and transport.connected else None
    if protocol is None:
        port.reactor.transports.discard(transport)
        transport.refuse()
    else:
        transport.open(protocol)


def _every(host: str) -> str:
    """Where those listen who take every address of a family."""
    return "::" if ":" in host else ""


@implementer(IReactorTCP, IReactorTime, IReactorPluggableNameResolver)
class SimReactor:
    """A host and the one process on it."""

    running = True

    def __init__(self, network: SimNetwork, name: str, addresses: Sequence[str]) -> None:
        self.network = network
        self._clock = network.clock
        # Nothing is asked as often as the time.
        self.seconds = network.clock.seconds
        self.name = name
        self.addresses = tuple(addresses)
        self.alive = True
        self.died_s: float | None = None
        self.powered = True
        self.frozen = False
        self.calls: set[SimCall] = set()
        self.ports: dict[tuple[str, int], SimPort] = {}
        self.multicast_ports: list[SimMulticastPort] = []
        self.transports: set[SimTransport] = set()
        self._late: deque[SimCall] = deque()
        self._next_port = 32768
        self.nameResolver: IHostnameResolver = SimResolver(self)

    def __repr__(self) -> str:
        return f"<{self.name} {'/'.join(self.addresses)}>"

    # -- IReactorTime and what goes with it
    def callLater(self, delay: float, callable: Callable, *args: Any, **kwargs: Any) -> SimCall:  # noqa: A002
        call = self._clock.call_for(self, delay, callable, args, kwargs)
        if self.alive:
            self.calls.add(call)
        return call

    def getDelayedCalls(self) -> list[SimCall]:
        return sorted(self.calls, key=SimCall.getTime)

    def callFromThread(self, callable: Callable, *args: Any, **kwargs: Any) -> None:  # noqa: A002
        # Not one of `getDelayedCalls`, as in Twisted.
        self.network.clock.call_for(self, 0, callable, args, kwargs)

    callWhenRunning = callFromThread

    def addSystemEventTrigger(self, *args: Any, **kwargs: Any) -> None:
        """Nothing ends here."""

    def put_off(self, call: SimCall) -> None:
        """Something is to happen in this process, but cannot yet."""
        self._late.append(call)

    @property
    def runs(self) -> bool:
        """Whether the process does at once what it has to do."""
        return self.alive and not self.frozen and not self._late

    def thaw(self) -> None:
        """Go on with what has waited, in its order."""
        self.frozen = False
        if self._late:
            self.network.clock.callLater(0, self._catch_up)

    def _catch_up(self) -> None:
        while self._late and not self.frozen:
            call = self._late.popleft()
            if call.is_due():
                self.network.clock.acting = self
                call.run()

    def die(self) -> None:
        """The process is no more."""
        if self.alive:
            self.died_s = self.seconds()
        self.alive = False
        for transport in self.transports:
            transport.vanish()
        self.calls.clear()
        self.ports.clear()
        self.multicast_ports.clear()
        self.transports.clear()
        self._late.clear()

    # -- IReactorPluggableNameResolver
    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        before, self.nameResolver = self.nameResolver, resolver
        return before

    # -- IReactorTCP
    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> SimPort:
        wildcard = interface in ("", "0.0.0.0", "::")
        if not wildcard and interface not in self.addresses:
            raise CannotListenError(interface, port, OSError(errno.EADDRNOTAVAIL, "not an address of ours"))
        every = _every(interface)
        host = every if wildcard else interface
        number = port or self._free_port()
        if (host, number) in self.ports or (every, number) in self.ports:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "in use"))
        listening = SimPort(self, host, number, factory)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> SimConnector:
        connector = SimConnector(self, (host, port), factory, timeout, bindAddress)
        connector.connect()
        return connector

    def port_for(self, place: tuple[str, int]) -> SimPort | None:
        """The socket that listens at an address of ours."""
        return self.ports.get(place) or self.ports.get((_every(place[0]), place[1]))

    def source_for(self, host: str, bind: tuple[str, int] | None) -> tuple[str, int] | None:
        """The address that a connection to a host comes from."""
        if bind is not None and bind[0]:
            return bind[0], bind[1] or self._free_port()
        if host in self.addresses:
            return host, self._free_port()
        fitting = [address for address in self.addresses if (":" in address) == (":" in host)]
        return (fitting[0], self._free_port()) if fitting else None

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    # -- IReactorMulticast
    def listenMulticast(
        self,
        port: int,
        protocol: Any,
        interface: str = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> SimMulticastPort:
        if not listenMultiple and any(one.port == port for one in self.multicast_ports):
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "in use"))
        listening = SimMulticastPort(self, port, protocol, maxPacketSize)
        self.multicast_ports.append(listening)
        protocol.makeConnection(listening)
        return listening


@implementer(IListeningPort)
class SimMulticastPort:
    """A socket in multicast groups."""

    def __init__(self, reactor: SimReactor, port: int, protocol: Any, maximum_bytes: int) -> None:
        self.reactor, self.port, self.protocol = reactor, port, protocol
        self.groups: set[str] = set()
        self.outgoing = ""
        self._maximum_bytes = maximum_bytes
        self._waiting = 0

    def startListening(self) -> None:
        """It does."""

    def stopListening(self) -> Deferred[None]:
        if self in self.reactor.multicast_ports:
            self.reactor.multicast_ports.remove(self)
            self.protocol.doStop()
        return succeed(None)

    def getHost(self) -> Any:
        kind = IPv6Address if ":" in self.outgoing else IPv4Address
        return kind("UDP", self.outgoing, self.port)

    def joinGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        if interface and interface not in self.reactor.addresses:
            return fail(MulticastJoinError(addr, interface, errno.ENODEV, "No such device"))
        self.groups.add(addr)
        return succeed(None)

    def leaveGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        self.groups.discard(addr)
        return succeed(None)

    def setOutgoingInterface(self, addr: str) -> Deferred[int]:
        self.outgoing = addr
        return succeed(1)

    def getOutgoingInterface(self) -> str:
        return self.outgoing

    def getLoopbackMode(self) -> bool:
        return True

    def setLoopbackMode(self, mode: bool) -> None:
        """Always on."""

    def getTTL(self) -> int:
        return 1

    def setTTL(self, ttl: int) -> None:
        """Nothing is far here."""

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.reactor.network.multicast(self, datagram, addr)

    def arrived(self, datagram: bytes, sender: tuple[str, int]) -> None:
        """The kernel has a datagram for the process."""
        if self._waiting < DATAGRAMS_KEPT:
            self._waiting += 1
            self.reactor.callLater(0, self._deliver, datagram[: self._maximum_bytes], sender)

    def _deliver(self, datagram: bytes, sender: tuple[str, int]) -> None:
        self._waiting -= 1
        if self in self.reactor.multicast_ports:
            self.protocol.datagramReceived(datagram, sender)


@implementer(IHostnameResolver)
class SimResolver:
    """Asks the name servers of the network."""

    def __init__(self, reactor: SimReactor) -> None:
        self._reactor = reactor

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        network = self._reactor.network

        def tell(known: bool) -> None:
            if resolution.cancelled:
                return
            for address in network.names.get(hostName.lower(), ()) if known else ():
                kind = IPv6Address if ":" in address else IPv4Address
                if addressTypes is None or kind in addressTypes:
                    resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
            resolutionReceiver.resolutionComplete()

        def ask(questions_left: int) -> None:
            # A thread waits for it, and not the reactor; it asks twice, and gives up.
            if network.resolve_s is not None:
                network.clock.callLater(network.resolve_s, self._reactor.callFromThread, tell, True)
            elif questions_left:
                network.clock.callLater(ASK_AGAIN_S, ask, questions_left - 1)
            else:
                self._reactor.callFromThread(tell, False)

        ask(QUESTIONS)
        return resolution


@implementer(IHostResolution)
class _Resolution:
    """A question to the name servers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
