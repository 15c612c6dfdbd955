"""One gateway on a simulated host: the whole of it, built from its file as `twistd kwic` builds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kwic.config.model import GatewayConfig
from kwic.service.assembly import assemble
from kwic.service.cluster import Cluster
from kwic.service.context import Context
from kwic.service.gateway import Gateway
from kwic.service.link import Link
from kwic.service.relays import Relays
from kwic.service.uplink import Uplink
from kwic.transport.relay import Relay
from kwic.transport.remembered_names import RememberingResolver
from kwic.transport.resolver import FixedNames
from kwic.transport.tunnel import Tunnel
from test.sim.network import SimNetwork
from test.sim.tcp import SimTransport

#: How long open streams may run on at an orderly stop, in seconds.
GRACE_S = 3.0


class SeenRelays(Relays):
    """
    Says who is joined.

    :param joined: called with each new relay.
    """

    def __init__(self, joined: Callable[[Relay], None]) -> None:
        super().__init__()
        self._joined = joined

    def add(self, relay: Relay) -> None:
        super().add(relay)
        self._joined(relay)


class Instance:
    """
    A process, started and ended as often as it takes.

    :param network: where it lives.
    :param name: its host.
    :param address: of that host.
    :param config: its file.
    :param draw: its own random numbers.
    :param joined: called with it and each client that is joined.
    """

    def __init__(
        self,
        network: SimNetwork,
        name: str,
        address: str,
        config: GatewayConfig,
        draw: Callable[[], float],
        joined: Callable[[Instance, Relay], None],
    ) -> None:
        self._network = network
        self.name = name
        self.address = address
        self._config = config
        self._draw = draw
        self._joined = joined
        self.starts = 0
        self.gateway: Gateway
        self.context: Context
        self.reactor = network.host(name)
        self.reactor.die()
        self.stopping = False

    def start(self) -> None:
        """Start the process anew."""
        self.starts += 1
        self.stopping = False
        reactor = self.reactor = self._network.host(self.name, self.address)
        self._network.clock.acting = reactor
        reactor.installNameResolver(RememberingResolver(reactor, reactor.nameResolver))
        self.context = Context(
            reactor=reactor,
            names=FixedNames({}, {"eth0": (self.address,)}),
            node=self.name,
            instance=f"{int(self._draw() * 2**32):08x}-0000-4000-8000-{self.starts:012x}",
            grace_s=GRACE_S,
            relays=SeenRelays(lambda relay: self._joined(self, relay)),
            random=self._draw,
        )
        self.gateway = assemble(self._config, self.context)
        self.gateway.privilegedStartService()
        self.gateway.startService()

    def stop(self, stopped: Callable[[Any], None]) -> None:
        """
        Stop in order.

        :param stopped: called when that is done.
        """
        self.stopping = True
        self.gateway.stopService().addBoth(stopped)

    @property
    def alive(self) -> bool:
        return self.reactor.alive

    @property
    def serving(self) -> bool:
        """It is there, runs, and was not told to stop."""
        return self.reactor.alive and not self.reactor.frozen and not self.stopping

    # -- what it has
    def uplinks(self) -> Iterator[Uplink]:
        """The addresses that it dials for tunnels."""
        yield from self.gateway.uplinks

    def links(self) -> Iterator[Link]:
        """Its links to other members."""
        membership = self.gateway.membership
        if isinstance(membership, Cluster):
            for neighbour in membership._mesh.neighbours.values():
                yield from neighbour.links

    def tunnels(self) -> Iterator[Tunnel]:
        """Every tunnel that it has, links to members included."""
        yield from self.agent_tunnels()
        for link in self.links():
            yield link.tunnel

    def agent_tunnels(self) -> Iterator[Tunnel]:
        """Its tunnels to the other side."""
        for uplink in self.gateway.uplinks:
            for peer in uplink._all_peers():
                if peer.tunnel is not None:
                    yield peer.tunnel
        for inbound in self.gateway.entrances.tunnels:
            yield from inbound.tunnels


def carrier(tunnel: Tunnel) -> SimTransport:
    """Our end of the TCP connection below a tunnel."""
    transport = tunnel.transport
    return getattr(transport, "_carrier", transport)


def peer_host(tunnel: Tunnel) -> str:
    """Where a tunnel leads."""
    return carrier(tunnel).other.reactor.name
