"""What must be true of the gateways at every look, whatever has happened to them, and what must be true again when all is well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kwic.service.proxy import Proxy
from kwic.transport.tunnel import Tunnel
from kwic.wire.window import WINDOW_MAXIMUM_BYTES
from test.sim.instance import Instance, carrier, peer_host
from test.sim.ledger import host, way
from test.sim.network import SimReactor
from test.sim.tcp import READ_BYTES, SimTransport
from test.sim.world import World


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how long silence may go unsuspected, and unnoticed (protocol.md, Liveness)."""

    suspect_s: float
    dead_s: float


#: Of tunnels and of links, each without and with `kwic:liveness="fast"`.
TUNNELS = {False: Patience(suspect_s=3.5, dead_s=5.0), True: Patience(suspect_s=1.05, dead_s=1.5)}
LINKS = {False: Patience(suspect_s=1.0, dead_s=4.0), True: Patience(suspect_s=1.0, dead_s=1.5)}
#: What was sent before the silence may come so much later, and a check is as late as the machine is slow.
MARGIN_S = 1.0
#: When nothing has been broken for so long nobody is silent any more.
QUIET_S = 10.0
#: One more read than the mark at which the opposite leg is paused.
STREAM_BYTES = 65_536 + 4 * READ_BYTES
#: One message carries at most so much (protocol.md, Session).
MESSAGE_BYTES = 262_144
#: What a full link still takes: its own buffer, and the message that was being written.
LINK_BYTES = 65_536 + 2 * MESSAGE_BYTES
#: What a session may want to say before the link takes it.
SESSION_BYTES = 2 * MESSAGE_BYTES


def look(world: World) -> None:
    """Everything that is true always."""
    fast = world.topology.fast
    # What is silent since something broke has been found out by then.
    quiet = world.ledger.quiet_s() > QUIET_S
    for instance in world.instances.values():
        if instance.alive:
            for tunnel in instance.agent_tunnels():
                _look_at(world, instance, tunnel, TUNNELS[fast], quiet)
            for link in instance.links():
                _look_at(world, instance, link.tunnel, LINKS[fast], quiet)


def _look_at(world: World, instance: Instance, tunnel: Tunnel, patience: Patience, quiet: bool) -> None:
    connection = carrier(tunnel)
    if not quiet and tunnel.up and not instance.reactor.frozen:
        _silence(world, instance, tunnel, connection.other.reactor, patience)
    _bounds(world, instance, tunnel, connection)


# -- silence ---------------------------------------------------------------------------------------------------------------


def _silence(world: World, instance: Instance, tunnel: Tunnel, other: SimReactor, patience: Patience) -> None:
    """Silence is suspicious, then death."""
    silent_s = _silent_s(world, instance, tunnel, other)
    if silent_s > patience.dead_s + MARGIN_S:
        world.wrong(
            f"{instance.name} believes in its tunnel to {other.name} after {silent_s:.1f} s of silence"
        )
    elif silent_s > patience.suspect_s + MARGIN_S and not tunnel.suspect:
        world.wrong(
            f"{instance.name} does not suspect its tunnel to {other.name} after {silent_s:.1f} s of silence"
        )


def _silent_s(world: World, instance: Instance, tunnel: Tunnel, other: SimReactor) -> float:
    """For how long nothing can have come, as far as the present silence goes; 0 when something may come now."""
    since_s = world.ledger.since(way(other.name, instance.name))
    if other.died_s is not None:
        since_s = other.died_s if since_s is None else min(since_s, other.died_s)
    elif other.frozen:
        frozen_s = world.ledger.since(host(other.name))
        assert frozen_s is not None, other
        since_s = frozen_s if since_s is None else min(since_s, frozen_s)
    if since_s is None:
        return 0.0
    # Whoever slept himself begins to listen when he wakes.
    woke_s = world.woke_s.get(instance.name, 0.0)
    now_s = world.clock.seconds()
    return now_s - max(since_s, woke_s, tunnel.up_since_s or now_s)


# -- bounds ----------------------------------------------------------------------------------------------------------------


def _bounds(world: World, instance: Instance, tunnel: Tunnel, connection: SimTransport) -> None:
    """A slow reader costs a bounded buffer."""
    session = tunnel.session
    if connection.out_bytes > LINK_BYTES:
        _too_much(world, instance, tunnel, "link", connection.out_bytes)
    if session.output_bytes > SESSION_BYTES:
        _too_much(world, instance, tunnel, "session", session.output_bytes)
    for number, stream in tunnel.streams.items():
        if stream.queued_bytes > STREAM_BYTES:
            _too_much(world, instance, tunnel, f"stream {number}", stream.queued_bytes)
        if stream._held:
            held = sum(map(len, stream._held))
            entry = session._streams.get(number)
            # A stream that both sides have finished is known to the tunnel only.
            if held > (WINDOW_MAXIMUM_BYTES if entry is None else entry.window.size_bytes):
                _too_much(world, instance, tunnel, f"what stream {number} holds", held)


def _too_much(world: World, instance: Instance, tunnel: Tunnel, what: str, size: int) -> None:
    world.wrong(f"{instance.name}, tunnel to {tunnel.peer}: {what} has {size} bytes")


# -- when all is well ------------------------------------------------------------------------------------------------------


def missing(world: World) -> Iterator[str]:
    """What is not redundant yet."""
    clouds, agents = set(world.topology.cloud_nodes), set(world.topology.agent_nodes)
    down = [name for name, instance in world.instances.items() if not instance.serving]
    if down:
        yield f"{down} do not serve"
        return
    for agent in world.agents:
        for uplink in agent.uplinks():
            own = uplink.address.host.split(".")[0]
            wanted = {own} if own in clouds else clouds
            reached = [
                peer_host(peer.tunnel)
                for peer in uplink.tunnels
                if peer.tunnel is not None and not peer.tunnel.suspect
            ]
            if set(reached) != wanted or len(reached) < len(wanted) * world.topology.prepared:
                yield f"{agent.name} reaches {sorted(reached)} by {uplink.address}"
    for cloud in world.clouds:
        for listener in world.topology.listeners:
            if listener.host == cloud.name:
                holders = {
                    peer_host(tunnel)
                    for tunnel in cloud.gateway.names.holders(listener.key)
                    if not tunnel.suspect
                }
                if holders != agents:
                    yield f"{cloud.name} holds {listener.key} of {sorted(holders)}"
        members = {member.node for member in cloud.gateway.membership.members() if member.counts}
        if members != clouds - {cloud.name}:
            yield f"{cloud.name} sees {sorted(members)}"
        own_state = cloud.gateway.membership.own
        if not own_state.balances:
            yield f"{cloud.name} does not serve its balancer"


def unsettled(world: World) -> Iterator[str]:
    """What is left of clients when all have gone."""
    for instance in world.instances.values():
        if len(instance.context.relays):
            yield f"{instance.name} counts {len(instance.context.relays)} relays"
        for name, server in instance.gateway.servers.items():
            if isinstance(server, Proxy) and server.waiting:
                yield f"{instance.name}, {name}: {server.waiting} clients wait"
        for tunnel in instance.tunnels():
            if tunnel.clients:
                yield f"{instance.name}: {tunnel.clients} clients in the tunnel to {tunnel.peer}"
            if tunnel.session.streams != len(tunnel.streams):
                yield f"{instance.name}: {tunnel.session.streams} streams in the session with {tunnel.peer}, {len(tunnel.streams)} in the tunnel"
