"""
What answers on each socket: WebSockets by host and path, raw clients, or SOCKS peers, with TLS below where it is asked for.

Sockets come and go with the addresses of the machine; what answers at one address of the configuration is the same on all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from kwic.config.ends import End, Side, accept_ends, connect_ends
from kwic.config.listen import WILDCARDS, Speech
from kwic.config.model import Address, GatewayConfig, Service
from kwic.errors import SetupError
from kwic.policy.liveness import Timing
from kwic.service.balancer import Balancer
from kwic.service.clients import ClientFactory, ClientRoute, Inbound, TunnelRoute, asks_for_certificates
from kwic.service.context import Context
from kwic.service.inbound import InboundTunnels
from kwic.service.inbound_socks import InboundSocks
from kwic.service.listener import Listener
from kwic.service.membership import Membership
from kwic.service.proxy import Proxy
from kwic.service.reverse import Names
from kwic.service.sockets import Socket
from kwic.service.switchboard import Switchboard
from kwic.service.uplink import LIVENESS
from kwic.transport.tls import peer_identity
from kwic.transport.websocket_server import ANY_HOST, WebSocketSite
from kwic.transport.whole_tls import tls_factory


def met_at(end: End) -> frozenset[str]:
    """The addresses behind which other nodes may be met that take the same tunnels: the balancers in front, else its own."""
    return frozenset(map(str, end.service.balances or (end.address,)))


def patience(ends: Iterable[End]) -> tuple[Timing, float | None]:
    """
    How long silence is borne at an address: as long as the most impatient of those that share it bears it.

    :returns: for tunnels, and for WebSockets where something else is asked for (`ws.inactivity.timeout`), in seconds.
    """
    options = [end.options for end in ends]
    timing = min((LIVENESS[one.liveness] for one in options), key=lambda timing: timing.dead_after_s)
    timeouts = [one.ws_inactivity_timeout_s for one in options if one.ws_inactivity_timeout_s is not None]
    return timing, min(timeouts, default=None)


class Entrances:
    """
    Makes the listeners of a gateway.

    :param config: what was asked for.
    :param context: the gateway's surroundings.
    :param servers: what serves the clients, by service name.
    :param names: the reverse names that are offered here.
    :param membership: the other members of our side.
    """

    def __init__(
        self,
        config: GatewayConfig,
        context: Context,
        servers: Mapping[str, Any],
        names: Names,
        membership: Membership,
    ) -> None:
        self._config = config
        self._context = context
        self._servers = servers
        self._names = names
        self._membership = membership
        self._inbound: dict[Any, Inbound] = {}
        self._raw: dict[frozenset[str], InboundSocks] = {}

    @property
    def tunnels(self) -> Collection[InboundTunnels]:
        """Who takes tunnels."""
        return [inbound.tunnels for inbound in self._inbound.values()]

    @property
    def socks(self) -> Collection[InboundSocks]:
        """Who takes SOCKS peers."""
        return [*(inbound.socks for inbound in self._inbound.values()), *self._raw.values()]

    def met_at(self) -> Iterable[str]:
        """The addresses at which we take tunnels, as others know them."""
        for service in self._config.services:
            for end in (*accept_ends(service), *connect_ends(service)):
                if end.listens and end.address.is_websocket:
                    yield from met_at(end)

    def listener(self, socket: Socket) -> Listener:
        """
        What listens on a socket.

        :raises SetupError: when TLS is asked for and cannot be had.
        """
        factory: IProtocolFactory
        if socket.speech is Speech.HTTP:
            factory = self._site(socket)
        elif socket.speech is Speech.BYTES:
            factory = ClientFactory(
                self._servers[socket.ends[0].service.name],
                self._context,
                asked=asks_for_certificates(socket.tls),
                secure=socket.secure,
            )
        else:
            factory = self._raw_socks(socket)
        if socket.secure:
            credentials = self._context.credentials
            if credentials is None or not credentials.has_key:
                raise SetupError(f"{socket.purpose}: TLS needs a keystore; add one under <security>")
            creator = credentials.server_options(socket.hosts, socket.tls)
            factory = tls_factory(creator, client=False, wrapped=factory, clock=self._context.reactor)
        worker = self._context.worker
        return Listener(
            self._context.reactor,
            socket.host,
            socket.port,
            factory,
            socket.purpose,
            shared=worker is not None,
            inherited=None if worker is None else worker.take(socket.host, socket.port),
        )

    def _site(self, socket: Socket) -> WebSocketSite:
        site = WebSocketSite(
            self._context.reactor,
            secure=socket.ends[0].address.secure,
            identify=peer_identity,
            connection_log=self._context.connection_log,
        )
        served: set[Any] = set()
        for end in socket.ends:
            inbound = self._inbound_for(end)
            if id(inbound) in served:
                continue
            served.add(id(inbound))
            site.add(
                served_as(end.address),
                end.address.path,
                self._route(end, inbound, asked=asks_for_certificates(socket.tls)),
                owner=end.service.name,
                cross_sites=end.service.cross_sites,
                balances=[address.authority for address in end.service.balances],
            )
        return site

    def _route(self, end: End, inbound: Inbound, *, asked: bool) -> Any:
        if end.is_tunnel:
            return TunnelRoute(inbound)
        server = self._servers[end.service.name]
        if isinstance(server, Balancer):
            return server
        return ClientRoute(
            server,
            end.options,
            inbound if isinstance(server, Proxy) else None,
            asked=asked,
            logged=self._context.log_clients,
        )

    # -- peers --------------------------------------------------------------------------------------------------------------

    def _inbound_for(self, end: End) -> Inbound:
        """Who takes the peers at an address; the services that share the address share it."""
        key = (str(end.address), None if end.is_tunnel else end.service.name)
        if key not in self._inbound:
            shared = [other for other in self._tunnel_ends() if str(other.address) == str(end.address)]
            timing, inactivity_timeout_s = patience([end, *shared])
            switchboard = self._switchboard(end, shared)
            nodes = partial(self._membership.nodes, met_at(end))
            self._inbound[key] = Inbound(
                tunnels=InboundTunnels(self._context, switchboard, nodes, timing),
                socks=InboundSocks(self._context, switchboard, timing, inactivity_timeout_s),
            )
        return self._inbound[key]

    def _raw_socks(self, socket: Socket) -> InboundSocks:
        """Who takes the peers on a socket that speaks SOCKS at once; the names at all its addresses share it."""
        key = frozenset(str(end.address) for end in socket.ends)
        if key not in self._raw:
            self._raw[key] = InboundSocks(self._context, self._switchboard(socket.ends[0], socket.ends))
        return self._raw[key]

    def _tunnel_ends(self) -> Iterable[End]:
        """Every end at which tunnels are taken."""
        for service in self._config.services:
            for end in (*accept_ends(service), *connect_ends(service)):
                if end.is_tunnel and end.listens:
                    yield end

    def _switchboard(self, end: End, shared: Iterable[End]) -> Switchboard:
        """What may be reached and offered at an end, and at those that share its address."""
        destinations: dict[str, Any] = {}
        offerable: dict[str, tuple[Service, ...]] = {}
        for other in shared:
            for key in other.keys:
                if other.side is Side.CONNECT:
                    offerable[key] = (*offerable.get(key, ()), other.service)
                else:
                    destinations[key] = self._servers[other.service.name]
        if not end.is_tunnel:
            destinations[end.address.path] = self._servers[end.service.name]
        return Switchboard(
            requests=self._context.requests,
            destinations=destinations,
            names=self._names if end.is_tunnel and offerable else None,
            offerable=offerable,
            subscribe=partial(self._membership.tell_nodes, uris=met_at(end)),
        )


def served_as(address: Address) -> str:
    """:returns: host and port as clients name them; any host where the address is a wildcard."""
    return f"{ANY_HOST}:{address.port}" if address.host in WILDCARDS else address.authority
