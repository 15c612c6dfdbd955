"""
Builds the services of one gateway from its configuration: objects first, then what they need of each other, then the service tree.

    Gateway (MultiService)
      Membership            the other members of the cluster
      Uplink …              one per address that is dialled for tunnels; has a Peer per tunnel
      Listener …            one per socket
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from kwic.config.ends import End, Side, accept_ends, connect_ends
from kwic.config.listen import Speech, listeners
from kwic.config.model import Address, GatewayConfig, Service
from kwic.errors import SetupError
from kwic.service.balancer import BalanceOffer, Balancer, Balances
from kwic.service.clients import ClientFactory, ClientRoute, TunnelRoute
from kwic.service.cluster import Cluster
from kwic.service.context import Context
from kwic.service.echo import Echo
from kwic.service.gateway import Gateway
from kwic.service.inbound import InboundTunnels
from kwic.service.listener import Listener
from kwic.service.membership import Alone, Membership
from kwic.service.neighbourly import Neighbourly
from kwic.service.path import EndpointPath, PathSource
from kwic.service.proxy import Proxy
from kwic.service.recovery import Recovery
from kwic.service.reverse import Names
from kwic.service.sockets import Socket, sockets
from kwic.service.sources import FixedSource, ReverseSource, UplinkSource, one_source
from kwic.service.switchboard import Switchboard
from kwic.service.uplink import LIVENESS, Uplink, UplinkOptions
from kwic.transport.endpoints import connect_endpoint
from kwic.transport.tls import peer_identity
from kwic.transport.websocket_server import WebSocketSite
from kwic.transport.whole_tls import tls_factory

#: The longest wait between two probes of a back end, where the configuration says nothing (configuration.md §7).
RECOVERY_S = 5.0


def assemble(config: GatewayConfig, context: Context) -> Gateway:
    """
    Build a gateway.

    :raises SetupError: when something that was asked for cannot work.
    """
    return Assembly(config, context).build()


def met_at(end: End) -> frozenset[str]:
    """The addresses behind which other nodes may be met that take the same tunnels: the balancers in front, else its own."""
    return frozenset(map(str, end.service.balances or (end.address,)))


class Assembly:
    """
    The gateway while it is being built.

    :param config: what was asked for.
    :param context: its surroundings.
    """

    def __init__(self, config: GatewayConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._names = Names()
        self._balances = Balances()
        self._neighbourly = Neighbourly(context, self._names)
        self._membership = self._make_membership()
        self._uplinks: dict[Any, Uplink] = {}
        self._servers: dict[str, Any] = {}
        self._inbound: dict[Any, InboundTunnels] = {}

    def _make_membership(self) -> Membership:
        if self._config.cluster is None:
            return Alone()
        cluster = Cluster(self._context, self._config.cluster, self._neighbourly.request)
        cluster.check()
        return cluster

    def build(self) -> Gateway:
        """Objects, then sockets, then the tree."""
        for service in self._config.services:
            self._servers[service.name] = self._server(service)
        for service in self._config.services:
            self._offer(service)
        self._neighbourly.services = {
            key: service
            for service in self._config.services
            for end in connect_ends(service)
            if end.is_tunnel and end.listens
            for key in end.keys
        }
        gateway = Gateway(
            self._config,
            self._context,
            membership=self._membership,
            names=self._names,
            servers=self._servers,
            uplinks=tuple(self._uplinks.values()),
            balances=self._balances,
            tunnels=[
                uri
                for service in self._config.services
                for end in (*accept_ends(service), *connect_ends(service))
                if end.listens and end.address.is_websocket
                for uri in met_at(end)
            ],
        )
        for socket in sockets(listeners(self._config), self._context.names):
            gateway.add_listener(self._listener(socket), socket)
        gateway.inbound = tuple(self._inbound.values())
        return gateway

    # -- what serves clients ------------------------------------------------------------------------------------------------

    def _server(self, service: Service) -> Any:
        if service.type == "echo":
            return Echo(service)
        if service.type == "balancer":
            return Balancer(service, self._membership, self._context, draw=self._context.random)
        return Proxy(service, self._source(service), self._context)

    def _source(self, service: Service) -> PathSource:
        """Where the clients of a service go."""
        sources = [
            source for index, end in enumerate(connect_ends(service)) for source in self._sources(end, index)
        ]
        if not sources:
            raise SetupError(f"service {service.name} connects to nothing that can be dialled")
        return one_source(sources)

    def _sources(self, end: End, priority: int) -> Iterable[PathSource]:
        timeout_s = end.options.socks_timeout_s
        if end.is_tunnel and end.listens:
            for key in end.keys:
                yield ReverseSource(self._names, self._membership, key, timeout_s, priority)
        elif end.is_tunnel:
            uplink = self._uplink(end)
            for key in end.keys:
                yield UplinkSource(uplink, key, timeout_s, priority)
        elif end.address.is_websocket:
            yield UplinkSource(self._uplink(end), end.address.path, timeout_s, priority)
        else:
            yield FixedSource([self._direct(end, priority)])

    def _direct(self, end: End, priority: int) -> EndpointPath:
        address = end.address
        return EndpointPath(
            (end.service.name, priority),
            str(address),
            lambda: connect_endpoint(self._context.reactor, address, self._context.credentials, end.tls),
            priority=priority,
        )

    # -- what is dialled for tunnels ----------------------------------------------------------------------------------------

    def _uplink(self, end: End) -> Uplink:
        """The uplink of an end; those that dial the same address in the same way share one."""
        options = UplinkOptions.of(end.options, end.tls, end.service.prepared_connection_count)
        key = (str(end.address), options)
        if key not in self._uplinks:
            self._uplinks[key] = Uplink(self._context, end.address, options)
        return self._uplinks[key]

    def _offer(self, service: Service) -> None:
        """Offer a service: to the balancers that it names, and on the tunnels that are dialled for it."""
        server = self._servers[service.name]
        offers: list[Any] = [
            BalanceOffer(self._balances, balance, accept)
            for balance in service.balances
            for accept in service.accepts
        ]
        for end in accept_ends(service):
            if end.is_tunnel and not end.listens:
                offers += [self._uplink(end).offer(key, server) for key in end.keys]
        if isinstance(server, Proxy) and offers:
            server.recovery = self._recovery(service, offers)

    def _recovery(self, service: Service, offers: Sequence[Any]) -> Recovery | None:
        """What withdraws the offers of a service while its back end cannot be reached."""
        back_ends = connect_ends(service)
        interval_s = service.maximum_recovery_interval_s
        if interval_s == 0 or any(end.is_tunnel or end.address.is_websocket for end in back_ends):
            return None

        def quiesce() -> None:
            for offer in offers:
                offer.withdraw()

        def start() -> None:
            for offer in offers:
                offer.renew()

        return Recovery(
            self._context.reactor,
            ", ".join(str(end.address) for end in back_ends),
            [self._direct(end, index).endpoint for index, end in enumerate(back_ends)],
            interval_s or RECOVERY_S,
            quiesce=quiesce,
            start=start,
        )

    # -- what listens -------------------------------------------------------------------------------------------------------

    def _listener(self, socket: Socket) -> Listener:
        reactor = self._context.reactor
        factory: IProtocolFactory
        if socket.speech is Speech.HTTP:
            factory = self._site(socket)
        elif socket.speech is Speech.BYTES:
            factory = ClientFactory(self._servers[socket.ends[0].service.name])
        else:
            raise SetupError(f"{socket.purpose}: SOCKS tunnels without WebSocket are not supported yet")
        if socket.secure:
            credentials = self._context.credentials
            if credentials is None or not credentials.has_key:
                raise SetupError(f"{socket.purpose}: TLS needs a keystore; add one under <security>")
            creator = credentials.server_options(socket.hosts, socket.tls)
            factory = tls_factory(creator, client=False, wrapped=factory, clock=reactor)
        return Listener(reactor, socket.host, socket.port, factory, socket.purpose)

    def _site(self, socket: Socket) -> WebSocketSite:
        site = WebSocketSite(
            self._context.reactor,
            secure=socket.ends[0].address.secure,
            identify=peer_identity,
            connection_log=self._context.connection_log,
        )
        served: set[Any] = set()
        for end in socket.ends:
            tunnels = self._inbound_for(end)
            if id(tunnels) in served:
                continue
            served.add(id(tunnels))
            site.add(
                end.address.authority,
                end.address.path,
                self._route(end, tunnels),
                owner=end.service.name,
                cross_sites=end.service.cross_sites,
                balances=[address.authority for address in end.service.balances],
            )
        return site

    def _route(self, end: End, tunnels: InboundTunnels) -> Any:
        if end.is_tunnel:
            return TunnelRoute(tunnels)
        server = self._servers[end.service.name]
        if isinstance(server, Balancer):
            return server
        return ClientRoute(server, end.options, tunnels if isinstance(server, Proxy) else None)

    def _inbound_for(self, end: End) -> InboundTunnels:
        """Who takes the tunnels at an address; the services that share the address share it."""
        key = (str(end.address), None if end.is_tunnel else end.service.name)
        if key not in self._inbound:
            self._inbound[key] = InboundTunnels(
                self._context,
                self._switchboard(end.address, end),
                partial(self._membership.nodes, met_at(end)),
                LIVENESS[end.options.liveness],
            )
        return self._inbound[key]

    def _switchboard(self, address: Address, end: End) -> Switchboard:
        """What may be reached and offered in the tunnels at an address."""
        shared = [
            other
            for service in self._config.services
            for other in (*accept_ends(service), *connect_ends(service))
            if other.is_tunnel and other.listens and str(other.address) == str(address)
        ]
        destinations: dict[str, Any] = {}
        offerable: dict[str, tuple[Service, ...]] = {}
        for other in shared:
            for key in other.keys:
                if other.side is Side.CONNECT:
                    offerable[key] = (*offerable.get(key, ()), other.service)
                else:
                    destinations[key] = self._servers[other.service.name]
        if not end.is_tunnel:
            destinations[address.path] = self._servers[end.service.name]
        return Switchboard(
            clock=self._context.reactor,
            destinations=destinations,
            names=self._names if end.is_tunnel and offerable else None,
            offerable=offerable,
            subscribe=partial(self._membership.tell_nodes, uris=met_at(end)),
        )
