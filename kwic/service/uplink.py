"""
The tunnels kept to every node behind one address.

Each address of the name gets a peer (or as many as `prepared.connection.count` says). Where one address hides several nodes – a load balancer, a
redirecting balancer – a scout dials until the missing node was met, and until no node has two tunnels less than another; when there are more tunnels than
wanted then, one to the node that has most is given up: it takes no new streams, and ends when those in it have. So a node that comes back is covered again within
seconds, whoever stands in between, and has its share of the tunnels soon.

A far end that speaks no `kwic.1` is *plain*: every client gets a WebSocket of its own there. Where tunnels are meant, it may choose `socks` instead: the same
with a name (`socks_uplink`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic.config.ends import End, socket_transport
from kwic.config.model import Address, Bind, Liveness, TlsOptions
from kwic.policy.backoff import Backoff
from kwic.policy.coverage import Coverage, Missing, surplus, welcome
from kwic.policy.liveness import FAST, NORMAL
from kwic.service.context import Context
from kwic.service.nodes import ask_nodes
from kwic.service.offer import Offer, Offers
from kwic.service.peer import Peer
from kwic.service.socks_uplink import SocksUplink
from kwic.service.switchboard import Destination, Switchboard
from kwic.service.watch import Watched
from kwic.transport.addresses import AddressLookup
from kwic.transport.ending import explain_end
from kwic.transport.stream import Stream
from kwic.transport.tls import peer_identity
from kwic.transport.tunnel import Tunnel
from kwic.transport.tunnel_endpoint import NoTunnelError, OnlySocksError, TunnelEndpoint
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.wire.kwic_headers import (
    INSTANCE_HEADER,
    MET_HEADER,
    NODES_HEADER,
    SOCKS_SUBPROTOCOL,
    TUNNEL_SUBPROTOCOL,
    Nodes,
    format_met,
    parse_instance,
    parse_nodes,
)

#: Seconds between two looks at whether something is missing.
TEND_S = 1.0
#: Seconds between two resolutions of the name, while tunnels are up; attempts resolve anew by themselves.
RESOLVE_S = 10.0
#: The longest wait between two dials for a node that is known to be missing, and for one that may be or has too few tunnels.
SCOUT_KNOWN_S = 2.0
SCOUT_PERHAPS_S = 30.0
#: So many scouts for each announced node may meet nobody new; then the door leads to no other node, and they go on at leisure until
#: the other side announces another number.
FRUITLESS = 8
#: Seconds that the goodbyes may take when we stop.
CLOSING_S = 2.0
#: Silence is answered and taken for death after these times.
LIVENESS = {Liveness.NORMAL: NORMAL, Liveness.FAST: FAST}


@dataclass(frozen=True, kw_only=True)
class UplinkOptions:
    """How an uplink dials."""

    tls: TlsOptions = TlsOptions()
    maximum_redirects: int = 3
    retry_maximum_s: float = 30.0
    prepared: int = 1
    liveness: Liveness = Liveness.NORMAL
    inactivity_timeout_s: float | None = None
    maximum_message_bytes: int = 131072
    dial: Bind | None = None
    """Another host and port that are dialled instead, where a transport says so."""
    is_tunnel: bool = False
    """It is a `socks.transport`, not a service of its own: what is asked for has a name."""

    @classmethod
    def of(cls, end: End) -> UplinkOptions:
        """From the options of a service."""
        options, prepared = end.options, end.service.prepared_connection_count
        return cls(
            tls=end.tls,
            dial=end.socket if socket_transport(end.address, end.options) is not None else None,
            is_tunnel=end.is_tunnel,
            maximum_redirects=options.http_maximum_redirects,
            retry_maximum_s=options.socks_retry_maximum_interval_s,
            prepared=max(1, prepared or 1),
            liveness=options.liveness,
            inactivity_timeout_s=options.ws_inactivity_timeout_s,
            maximum_message_bytes=options.ws_maximum_message_bytes,
        )


class Uplink(Service, Watched):
    """
    Keeps tunnels to every node behind an address.

    :param context: the gateway's surroundings.
    :param address: where to dial.
    :param options: how.
    """

    log = Logger()

    def __init__(self, context: Context, address: Address, options: UplinkOptions) -> None:
        Watched.__init__(self)
        self.context = context
        self.address = address
        self.options = options
        self._destinations: dict[str, Destination] = {}
        self._switchboard = Switchboard(requests=context.requests, destinations=self._destinations)
        #: The far end speaks no tunnels: each client gets a WebSocket of its own.
        self.plain = False
        #: The far end cannot multiplex: each client gets a WebSocket of its own, and says a name on it.
        self.by_socks = False
        self.peers: list[Peer] = []
        self._offers: dict[str, Offer] = {}
        self._scout: Peer | None = None
        self._scout_for = Missing.NONE
        self._coverage = Coverage(options.prepared)
        host = address.host if options.dial is None else options.dial.host
        assert host is not None, "the configuration has been checked"
        self._lookup = AddressLookup(context.reactor, host)
        self.socks = SocksUplink(
            context,
            str(address),
            host,
            self._socks_endpoint,
            prepared=options.prepared,
            retry_maximum_s=options.retry_maximum_s,
            on_unreachable=self.try_tunnels_again,
        )
        self._timer: Any = None
        self._resolved_s = float("-inf")
        self._redirected = False
        self._leaving = False
        #: Every tunnel that is up, also those whose peers have been retired.
        self._open: dict[Tunnel, None] = {}
        #: How many nodes there are, as the other side says.
        self._announced: int | None = None
        #: Scouts that have met nobody new since the last change.
        self._fruitless = 0
        self._unwatch: Callable[[], None] | None = None
        self._gone: Deferred[None] | None = None

    # -- for the services ---------------------------------------------------------------------------------------------------

    @property
    def tunnels(self) -> Sequence[Peer]:
        """The peers whose tunnels take new streams; that of a scout does not, for a scout that meets a known node leaves at once."""
        return [peer for peer in self.peers if peer.tunnel is not None and peer.tunnel.usable]

    def offer(self, name: str, destination: Destination) -> Offers:
        """Offer a name on every tunnel, from now on, and let the other side reach it."""
        self._destinations[name] = destination
        offer = self._offers[name] = Offer(self.context.reactor, name, lambda: list(self._up().values()))
        return Offers(offer, self.socks.offer(name, destination))

    @property
    def names(self) -> Sequence[str]:
        """The names that are offered."""
        return tuple(self._offers)

    def check(self) -> None:
        """
        Find out before the start what cannot work.

        :raises SetupError: when the TLS options or stores do not allow to dial.
        """
        needs_tls = self.address.secure and self.options.tls.encryption
        if needs_tls and self.context.credentials is not None:
            self.context.credentials.client_options(self.address.host, self.options.tls)

    # -- Service ------------------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Dial."""
        Service.startService(self)
        self._leaving = False
        self._unwatch = self.context.came_back.watch(self._hurry)
        self._set_peers([None] * self.options.prepared)
        self._tend()

    def drain(self) -> None:
        """Offer nothing more, and let the streams finish: the other side sends new ones elsewhere."""
        self._leaving = True
        self._forget_news()
        for offer in self._offers.values():
            offer.withdraw()
        for peer in self._all_peers():
            if peer.tunnel is not None:
                peer.tunnel.drain()
            peer.stopTrying()
        self.socks.drain()
        self._rest()

    def stopService(self) -> Deferred[None]:
        """
        End every tunnel.

        :returns: fires when all are gone and what their streams said last has left, or after a bounded time.
        """
        Service.stopService(self)
        self._leaving = True
        self._forget_news()
        self._rest()
        for peer in self._all_peers():
            peer.stop()
        self._stop_socks()
        self.peers.clear()
        self._scout = None
        gone = self._gone = Deferred()
        self._timer = self.context.reactor.callLater(CLOSING_S, self._abort_open)
        self._check_gone()
        return gone

    def _abort_open(self) -> None:
        for tunnel in tuple(self._open):
            tunnel.abort("it did not end in time")

    def _check_gone(self) -> None:
        self._open = {tunnel: None for tunnel in self._open if tunnel.up}
        if self._gone is not None and not self._open:
            self._cancel()
            gone, self._gone = self._gone, None
            gone.callback(None)

    def _forget_news(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _rest(self) -> None:
        """Look for no more addresses or nodes."""
        self._cancel()
        self._lookup.cancel()
        self._resolved_s = float("-inf")

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    # -- tending ------------------------------------------------------------------------------------------------------------

    def _all_peers(self) -> list[Peer]:
        return [*self.peers, self._scout] if self._scout is not None else list(self.peers)

    def _up(self) -> Mapping[Peer, Tunnel]:
        return {peer: peer.tunnel for peer in self._all_peers() if peer.tunnel is not None}

    def _wanted(self) -> int:
        return max(1, len(self._lookup.addresses)) * self.options.prepared

    def _tend(self) -> None:
        """See to it, once a second, that every node is reached."""
        reactor = self.context.reactor
        self._timer = reactor.callLater(TEND_S, self._tend)
        now = reactor.seconds()
        if now - self._resolved_s >= RESOLVE_S:
            self._resolved_s = now
            self._lookup.look_up(self._resolved)
        if not self.plain and not self.by_socks:
            self._send_scout(now)
            self._give_up_surplus()

    def _resolved(self, addresses: Sequence[str]) -> None:
        """The name has these addresses now: one address is dialled by its name, several each by itself."""
        if self.running and not self._leaving and not self.plain and not self.by_socks:
            several: list[str | None] = list(addresses) if len(addresses) > 1 else [None]
            self._set_peers([address for address in several for _ in range(self.options.prepared)])

    def _set_peers(self, wanted: list[str | None]) -> None:
        """Have one peer for each of these addresses; those that are right already stay."""
        left = list(wanted)
        for peer in tuple(self.peers):
            if peer.dial_address in left:
                left.remove(peer.dial_address)
            elif peer.tunnel is None:
                self.peers.remove(peer)
                peer.stop()
            else:
                # A tunnel that is up is not given up for the way it was dialled.
                for address in self._place_of(peer, wanted, left):
                    peer.dial_address = address
                    left.remove(address)
        for dial_address in left:
            peer = self._new_peer(dial_address, self.options.retry_maximum_s)
            self.peers.append(peer)
            peer.start()

    def _place_of(
        self, peer: Peer, wanted: Sequence[str | None], left: Sequence[str | None]
    ) -> Sequence[str | None]:
        """
        Which of the addresses that are left a tunnel counts for: the one that it leads to, or any, when something stands in between.

        :returns: none for a surplus tunnel; `_give_up_surplus` decides which one goes.
        """
        assert peer.tunnel is not None
        leads_to = getattr(peer.tunnel.transport.getPeer(), "host", None)
        if leads_to not in wanted:
            return left[:1]
        return [leads_to] if leads_to in left else []

    def _new_peer(self, dial_address: str | None, maximum_s: float) -> Peer:
        return Peer(self, Backoff(self.context.random, maximum_s=maximum_s), dial_address)

    def _missing(self, now: float) -> Missing:
        nodes = [peer.node or peer.instance for peer, tunnel in self._up().items() if not tunnel.draining]
        return self._coverage.missing(nodes, now)

    def _send_scout(self, now: float) -> None:
        """Dial on while nodes are missing that one of several tunnels through the same door may meet."""
        behind_a_door = len(self._lookup.addresses) <= 1 or self._redirected
        missing = self._missing(now)
        if (
            self._announced is not None
            and self._fruitless >= FRUITLESS * self._announced
            and missing is Missing.KNOWN
        ):
            missing = Missing.PERHAPS
        waiting = any(peer.tunnel is None for peer in self.peers)
        if missing is Missing.KNOWN and waiting:
            return
        if self._scout is not None and self._scout.tunnel is None and missing is not self._scout_for:
            # Its waits were meant for another need: one that dials at leisure is replaced when a node is known to be missing.
            self._scout.stop()
            self._scout = None
        if self._scout is None and behind_a_door and missing is not Missing.NONE and not waiting:
            maximum_s = SCOUT_KNOWN_S if missing is Missing.KNOWN else SCOUT_PERHAPS_S
            self._scout_for = missing
            self._scout = self._new_peer(None, maximum_s)
            self._scout.start()

    def _give_up_surplus(self) -> None:
        """Retire a doubled tunnel when there are more than wanted."""
        up = {
            peer: tunnel for peer, tunnel in self._up().items() if peer in self.peers and not tunnel.draining
        }
        if len(up) <= self._wanted():
            return
        instances = {peer: peer.instance for peer in up}
        streams = {peer: len(tunnel.streams) for peer, tunnel in up.items()}
        peer = surplus(instances, streams)
        if peer is not None:
            self.peers.remove(peer)
            self.log.info(
                "{peer}: there are enough tunnels, one to {node} is given up", peer=peer.label, node=peer.node
            )
            peer.retire()

    def nodes_announced(self, peer: Peer, nodes: Nodes) -> None:
        """
        A node says how many there are to meet here. When its view is another than before, a node may have come back, under whichever
        name: whoever waits to dial again may dial now.
        """
        news = peer.nodes is not None and peer.nodes.version != nodes.version
        peer.nodes = nodes
        if nodes.count != self._announced:
            self._fruitless = 0
        self._announced = nodes.count
        self._coverage.announced(nodes.count)
        if news:
            self.context.came_back.changed()

    def _hurry(self) -> None:
        for peer in self._all_peers():
            peer.hurry()

    # -- called by the peers ------------------------------------------------------------------------------------------------

    def endpoint(self, peer: Peer) -> IStreamClientEndpoint:
        """What a peer dials in one attempt."""
        met = [other.instance for other in self._up() if other is not peer and other.instance]
        headers = {INSTANCE_HEADER: self.context.identity}
        if met:
            headers[MET_HEADER] = format_met(met)
        return TunnelEndpoint(
            self._websocket(
                protocols=(TUNNEL_SUBPROTOCOL, SOCKS_SUBPROTOCOL)
                if self.options.is_tunnel
                else (TUNNEL_SUBPROTOCOL,),
                headers=headers,
                dial_address=peer.dial_address,
                connection_log=self.context.connection_log,
                message_limit_bytes=None,
                reject_text=True,
            )
        )

    def websocket(self) -> WebSocketEndpoint:
        """A WebSocket for one client, to a far end that speaks no tunnels."""
        return self._websocket(
            message_limit_bytes=self.options.maximum_message_bytes,
            inactivity_timeout_s=self.options.inactivity_timeout_s,
            connection_log=self.context.client_log,
        )

    def _socks_endpoint(self, dial_address: str | None) -> IStreamClientEndpoint:
        """A WebSocket for one client, on which SOCKS is spoken."""
        websocket = self._websocket(
            protocols=(SOCKS_SUBPROTOCOL,),
            headers={INSTANCE_HEADER: self.context.identity},
            dial_address=dial_address,
            connection_log=self.context.client_log,
            message_limit_bytes=None,
            inactivity_timeout_s=self.options.inactivity_timeout_s
            or LIVENESS[self.options.liveness].dead_after_s,
        )
        return TunnelEndpoint(websocket, SOCKS_SUBPROTOCOL)

    def _websocket(self, *, dial_address: str | None = None, **how: Any) -> WebSocketEndpoint:
        moved = self.options.dial
        return WebSocketEndpoint(
            self.context.reactor,
            self.address,
            credentials=self.context.credentials,
            tls=self.options.tls,
            maximum_redirects=self.options.maximum_redirects,
            proxy=self.context.proxy_for,
            dial_address=dial_address if moved is None else dial_address or moved.host,
            dial_port=None if moved is None else moved.port,
            **how,
        )

    def build_tunnel(self, peer: Peer) -> Tunnel:
        """The tunnel for a link that a peer opened."""
        return Tunnel(
            peer,
            self.context.reactor,
            dialer=True,
            timing=LIVENESS[self.options.liveness],
            limits=self.context.limits,
            peer=peer.label,
        )

    def tunnel_up(self, peer: Peer) -> None:
        """A peer's tunnel is up: see who is there, offer our names, ask for the nodes."""
        assert peer.tunnel is not None
        self._open[peer.tunnel] = None
        transport: Any = peer.tunnel.transport
        headers = transport.response_headers
        who = parse_instance(headers.get(INSTANCE_HEADER.lower()))
        peer.instance, peer.node = (who.uuid, who.node) if who is not None else ("", "")
        self.context.far_instances.came(peer.tunnel, peer.instance)
        peer.identity = peer_identity(transport)
        peer.nodes = None
        peer.tunnel.peer = f"{peer.node or '?'} at {peer.label}"
        self._redirected = self._redirected or str(transport.uri) != str(self.address)
        others = [other.instance for other in self._up() if other is not peer]
        self._coverage.reached(peer.node or peer.instance, self.context.reactor.seconds())
        nodes = parse_nodes(headers.get(NODES_HEADER.lower()))
        if nodes is not None:
            self.nodes_announced(peer, nodes)
        if peer is self._scout:
            if not welcome(peer.instance, others):
                if self._scout_for is Missing.KNOWN:
                    self._fruitless += 1
                peer.tunnel.close()
                return
            self._fruitless = 0
            self.peers.append(peer)
            self._scout = None
        self.log.info("tunnel to {peer} is up", peer=peer.tunnel.peer)
        self.context.came_back.met(peer.node, peer.instance)
        for offer in self._offers.values():
            offer.tunnel_up(peer.tunnel)
        ask_nodes(peer.tunnel, partial(self.nodes_announced, peer))
        self.changed()

    def stream_opened(self, peer: Peer, stream: Stream) -> None:
        """The other side opened a stream."""
        assert peer.tunnel is not None
        self._switchboard.connect(peer.tunnel, stream, peer.identity)

    def peer_changed(self, peer: Peer) -> None:
        """A tunnel is suspect, trusted again, or draining."""
        if peer.tunnel is not None and peer.tunnel.draining and peer in self.peers and not self._leaving:
            # The node leaves: its place is dialled anew at once, while its streams run on.
            self.peers.remove(peer)
            self._set_peers([other.dial_address for other in self.peers] + [peer.dial_address])
            peer.retire()
        self.changed()

    def tunnel_down(self, peer: Peer, reason: Failure) -> None:
        """A tunnel is gone."""
        if peer.node or peer.instance:
            self._coverage.reached(peer.node or peer.instance, self.context.reactor.seconds())
        if peer is not self._scout:
            self.log.info(
                "tunnel to {peer} is gone: {reason}",
                peer=f"{peer.node or '?'} at {peer.label}",
                reason=explain_end(reason),
            )
        peer.instance = ""
        self.changed()
        self._check_gone()

    def attempt_failed(self, peer: Peer, reason: Failure) -> None:
        """An attempt to dial failed: perhaps because tunnels are not spoken there."""
        if self._up() or self.plain or self.by_socks:
            return
        if reason.check(OnlySocksError):
            self.by_socks = True
            self._give_up_tunnels("one WebSocket with SOCKS for each client")
            self.socks.startService()
        elif reason.check(NoTunnelError) and not self.options.is_tunnel:
            self.plain = True
            self._give_up_tunnels("one WebSocket for each client")

    def _give_up_tunnels(self, instead: str) -> None:
        self.log.info("{address} speaks no tunnels: {instead}", address=self.address, instead=instead)
        for peer in self._all_peers():
            peer.stop()
        self.peers.clear()
        self._scout = None
        self.changed()

    def try_tunnels_again(self) -> None:
        """A far end that speaks none failed: it may be another one next time."""
        if (self.plain or self.by_socks) and self.running and not self._leaving:
            self.plain = False
            self._stop_socks()
            self._set_peers([None] * self.options.prepared)

    def _stop_socks(self) -> None:
        if self.by_socks:
            self.by_socks = False
            self.socks.stopService()
