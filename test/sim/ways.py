"""The ways from a listener to its back end that the gateways have now, as far as they are what they seem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from test.sim.instance import Instance, carrier, peer_host
from test.sim.tcp import SimTransport
from test.sim.topology import Listener


@dataclass(frozen=True, kw_only=True)
class Way:
    """A chain of hosts, the listener's first and the back end last, and the connections between the gateways among them."""

    hosts: tuple[str, ...]
    carriers: tuple[SimTransport, ...] = ()

    @property
    def links(self) -> Iterator[tuple[str, str]]:
        """What is between them."""
        yield from pairwise(self.hosts)

    @property
    def connected(self) -> bool:
        """Whether the same connections are still there, at both ends."""
        return all(one.connected and one.other.connected for one in self.carriers)

    def __str__(self) -> str:
        return " - ".join(self.hosts)


def established(listener: Listener, instances: Mapping[str, Instance]) -> Iterator[Way]:
    """The ways that a client of a listener could be sent now."""
    instance = instances[listener.host]
    if listener.reverse:
        yield from _reverse(listener, instance, instances)
    else:
        yield from _forward(listener, instance)


def _forward(listener: Listener, agent: Instance) -> Iterator[Way]:
    for uplink in agent.uplinks():
        if uplink.address.path == listener.key:
            for peer in uplink.tunnels:
                assert peer.tunnel is not None
                yield Way(
                    hosts=(agent.name, peer_host(peer.tunnel), listener.server),
                    carriers=(carrier(peer.tunnel),),
                )


def _reverse(listener: Listener, cloud: Instance, instances: Mapping[str, Instance]) -> Iterator[Way]:
    for agent, connection in _holders(cloud, listener.key):
        yield Way(hosts=(cloud.name, agent, listener.server), carriers=(connection,))
    for link in cloud.links():
        if not link.usable:
            continue
        member = instances[peer_host(link.tunnel)]
        if member.serving and carrier(link.tunnel).other.reactor is member.reactor:
            for agent, connection in _holders(member, listener.key):
                yield Way(
                    hosts=(cloud.name, member.name, agent, listener.server),
                    carriers=(carrier(link.tunnel), connection),
                )


def _holders(cloud: Instance, key: str) -> Iterator[tuple[str, SimTransport]]:
    for tunnel in cloud.gateway.names.holders(key):
        yield peer_host(tunnel), carrier(tunnel)


def possible(listener: Listener, clouds: tuple[str, ...], agents: tuple[str, ...]) -> Iterator[Way]:
    """The ways that a client of a listener could be sent when every gateway does what it should."""
    if not listener.reverse:
        for cloud in clouds:
            yield Way(hosts=(listener.host, cloud, listener.server))
        return
    for agent in agents:
        yield Way(hosts=(listener.host, agent, listener.server))
