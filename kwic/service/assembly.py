"""
Builds the services of one gateway from its configuration: objects first, then what they need of each other, then the service tree.

    Gateway (MultiService)
      Membership            the other members of the cluster
      Uplink …              one per address that is dialled for tunnels; has a Peer per tunnel
      Listener …            one per socket

Modules that few gateways need – clusters, etcd, workers – are imported where a configuration asks for one: the others hold none of them in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from kwic.config.ends import End, Side, accept_ends, connect_ends, local_pipes, rendezvous_key
from kwic.config.listen import listeners
from kwic.config.model import GatewayConfig, Service
from kwic.config.problem import ConfigError, Report
from kwic.errors import SetupError
from kwic.service.balancer import BalanceOffer, Balancer, Balances
from kwic.service.context import Context
from kwic.service.echo import Echo
from kwic.service.entrances import Entrances
from kwic.service.gateway import Gateway
from kwic.service.listening import Listening
from kwic.service.local import LocalSource
from kwic.service.membership import Alone, Membership
from kwic.service.needed_keys import missing_keys
from kwic.service.neighbourly import Neighbourly
from kwic.service.path import EndpointPath, PathSource
from kwic.service.proxy import Proxy
from kwic.service.recovery import Recovery
from kwic.service.reverse import Names
from kwic.service.socks_uplink import SocksUplink
from kwic.service.source_endpoint import SourceEndpoint
from kwic.service.sources import FixedSource, ReverseSource, SocksSource, UplinkSource, one_source
from kwic.service.uplink import Uplink, UplinkOptions
from kwic.transport.endpoints import connect_endpoint


def assemble(config: GatewayConfig, context: Context) -> Gateway:
    """
    Build a gateway.

    :raises ConfigError: keys are missing, or names cannot be resolved: all of them, each with its place.
    :raises SetupError: when something else that was asked for cannot work.
    """
    report = Report()
    if context.credentials is not None:
        report.extend(missing_keys(config, context.credentials))
    try:
        gateway = Assembly(config, context).build()
    except ConfigError as error:
        report.extend(error.problems)
    except SetupError:
        # It is about one of these keys, or is said when they are there.
        if not report.failed:
            raise
    if report.failed:
        raise ConfigError(report.problems())
    return gateway


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
        self._uplinks: dict[Any, Uplink | SocksUplink] = {}
        self._servers: dict[str, Any] = {}
        self._local: dict[str, Any] = {}

    def _make_membership(self) -> Membership:
        worker, cluster = self._context.worker, self._make_cluster()
        if worker is None:
            return cluster or Alone()
        from kwic.service.joint import Joint
        from kwic.service.siblings import Siblings

        siblings = Siblings(self._context, worker, self._neighbourly.request)
        return siblings if cluster is None else Joint(siblings, cluster)

    def _make_cluster(self) -> Membership | None:
        if self._config.cluster is None:
            return None
        if any(connect.is_etcd for connect in self._config.cluster.connects):
            from kwic.service.etcd_cluster import EtcdCluster as Cluster
        else:
            from kwic.service.cluster import Cluster  # type: ignore[assignment]
        cluster = Cluster(
            self._context, self._config.cluster, self._neighbourly.request, self._config.liveness
        )
        cluster.check()
        return cluster

    def build(self) -> Gateway:
        """Objects, then sockets, then the tree."""
        for service in self._config.services:
            server = self._servers[service.name] = self._server(service)
            for pipe in local_pipes(service, Side.ACCEPT):
                self._local[pipe.name] = server
        for service in self._config.services:
            self._offer(service)
        self._neighbourly.services = {
            key: service
            for service in self._config.services
            for end in connect_ends(service)
            if end.is_tunnel and end.listens
            for key in end.keys
        }
        entrances = Entrances(self._config, self._context, self._servers, self._names, self._membership)
        return Gateway(
            self._config,
            self._context,
            membership=self._membership,
            names=self._names,
            servers=self._servers,
            uplinks=tuple(self._uplinks.values()),
            balances=self._balances,
            entrances=entrances,
            listening=Listening(self._context, listeners(self._config), entrances.listener),
        )

    # -- what serves clients ------------------------------------------------------------------------------------------------

    def _server(self, service: Service) -> Any:
        if service.type == "echo":
            return Echo(service, self._context)
        if service.type == "balancer":
            return Balancer(service, self._membership, self._context, draw=self._context.random)
        return Proxy(service, self._source(service), self._context)

    def _source(self, service: Service) -> PathSource:
        """Where the clients of a service go: its `<connect>`s, in order."""
        ends, local = connect_ends(service), local_pipes(service, Side.CONNECT)
        sources: list[PathSource] = []
        for priority, address in enumerate(service.connects):
            if address in local:
                sources.append(LocalSource(address.name, self._local, priority))
            else:
                key = rendezvous_key(address)
                end = next(end for end in ends if end.address == address or key in end.keys)
                sources.append(self._source_of(end, key, priority))
        return one_source(sources)

    def _source_of(self, end: End, key: str, priority: int) -> PathSource:
        if end.is_tunnel and end.listens:
            return ReverseSource(
                self._names,
                self._context.far_instances,
                self._membership,
                key,
                end.options.socks_timeout_s,
                priority,
            )
        if end.is_tunnel:
            return self._dialled(end, key, priority)
        if end.address.is_websocket:
            return self._dialled(end, end.address.path, priority)
        return FixedSource([self._direct(end, priority)])

    def _dialled(self, end: End, name: str, priority: int) -> PathSource:
        uplink, timeout_s = self._uplink(end), end.options.socks_timeout_s
        if isinstance(uplink, Uplink):
            return UplinkSource(uplink, name, timeout_s, priority)
        return SocksSource(uplink, name, timeout_s, priority)

    def _direct(self, end: End, priority: int) -> EndpointPath:
        """:raises SetupError: TLS cannot be had."""
        made = self._connect(end, None)
        # Keys and trust may be others for the next connection; nothing else changes.
        stays = not (end.address.secure and end.tls.encryption)

        def endpoint() -> IStreamClientEndpoint:
            return made if stays else self._connect(end, None)

        return EndpointPath((end.service.name, priority), str(end.address), endpoint, priority=priority)

    def _connect(self, end: End, dial_address: str | None) -> IStreamClientEndpoint:
        """A connection to an end, wherever a transport has moved it."""
        return connect_endpoint(
            self._context.reactor,
            end.address,
            self._context.credentials,
            end.tls,
            dial_address=dial_address or end.socket.host,
            dial_port=end.socket.port,
        )

    # -- what is dialled for tunnels ----------------------------------------------------------------------------------------

    def _uplink(self, end: End) -> Uplink | SocksUplink:
        """The uplink of an end; those that dial the same address in the same way share one."""
        options = UplinkOptions.of(end)
        key = (str(end.address), options)
        if key not in self._uplinks:
            if end.address.is_websocket:
                self._uplinks[key] = Uplink(self._context, end.address, options)
            else:
                self._uplinks[key] = self._socks_uplink(end, options)
            self._uplinks[key].check()
        return self._uplinks[key]

    def _socks_uplink(self, end: End, options: UplinkOptions) -> SocksUplink:
        return SocksUplink(
            self._context,
            str(end.address),
            end.socket.host or end.address.host,
            lambda dial_address: self._connect(end, dial_address),
            prepared=options.prepared,
            retry_maximum_s=options.retry_maximum_s,
        )

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
        if isinstance(server, Proxy):
            server.recovery = self._recovery(service, server, offers)

    def _recovery(self, service: Service, server: Proxy, offers: Sequence[Any]) -> Recovery | None:
        """What turns clients away, and withdraws the offers of a service, while its back end cannot be reached."""
        if service.maximum_recovery_interval_s is None:
            return None
        ends, addresses = connect_ends(service), [str(connect) for connect in service.connects]
        endpoints: list[Callable[[], IStreamClientEndpoint]]
        all_direct = all(not end.is_tunnel and not end.address.is_websocket for end in ends)
        if all_direct and len(ends) == len(addresses):
            endpoints = [self._direct(end, index).endpoint for index, end in enumerate(ends)]
        else:
            # Through tunnels and pipes a probe goes the way of a client.
            endpoints = [lambda: SourceEndpoint(self._context, server.source)]

        def quiesce() -> None:
            for offer in offers:
                offer.withdraw()

        def start() -> None:
            for offer in offers:
                offer.renew()

        return Recovery(
            self._context.reactor,
            ", ".join(addresses),
            endpoints,
            service.maximum_recovery_interval_s,
            quiesce=quiesce,
            start=start,
        )
