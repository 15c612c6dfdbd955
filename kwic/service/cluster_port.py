"""
Where a member takes links, and how they are secured.

With a keystore every link is mutual TLS (configuration.md, Cluster and liveness). Without one the port opens, and links are dialled, on loopback only, unless the
operator has said that the network is to be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import ifaddr
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from kwic.config.address import parse_address
from kwic.config.model import Address, Cluster, bracketed
from kwic.config.problem import BadValueError
from kwic.errors import SetupError
from kwic.service.context import Context
from kwic.service.dialling import Place
from kwic.service.listener import AddressNotHereError, Listener
from kwic.transport.resolver import is_ip

#: Seconds between two looks at an interface that has no address yet.
INTERFACE_S = 2.0


class ClusterPort:
    """
    The sockets on which members dial us.

    :param context: the gateway's surroundings.
    :param cluster: what was asked for.
    """

    log = Logger()

    def __init__(self, context: Context, cluster: Cluster) -> None:
        self._context = context
        self._cluster = cluster
        self._listeners: dict[Place, Listener] = {}
        self._factory: IProtocolFactory | None = None
        self._server_tls: Any = None
        self._client_tls: Any = None
        self._timer: Any = None

    # -- security -----------------------------------------------------------------------------------------------------------

    @property
    def secure(self) -> bool:
        """Whether members prove who they are."""
        return self._context.credentials is not None and self._context.credentials.has_key

    def check(self) -> None:
        """
        Find out before the start what cannot work.

        :raises SetupError: one line that says what, and what to do.
        """
        if self.secure:
            assert self._context.credentials is not None
            self._server_tls = self._context.credentials.cluster_server_options()
            self._client_tls = self._context.credentials.cluster_client_options()
        for accept, host in self._hosts():
            if not self.permits(host):
                raise SetupError(
                    f"cluster {self._cluster.name}: {accept} would take everyone for a member, as there is no keystore to tell them "
                    'apart; add one under <security>, or write kwic:insecure="true" on <cluster> if the whole network is to be trusted'
                )

    def permits(self, host: str) -> bool:
        """Whether links with an address may be opened."""
        return self.secure or self._cluster.insecure or is_loopback(host)

    def client_tls(self) -> Any:
        """What makes TLS connections to other members; None where TLS is not spoken."""
        return self._client_tls

    # -- listening ----------------------------------------------------------------------------------------------------------

    def _hosts(self) -> Iterator[tuple[Address, str]]:
        """The accepts and their addresses."""
        names = self._context.names
        for accept in self._cluster.accepts:
            if accept.interface is None:
                found = names.host_addresses(accept.host)
            else:
                found = names.interface_addresses(accept.interface)
            for host in found:
                yield accept, host

    def listen(self, factory: IProtocolFactory) -> None:
        """
        Take links from now on. An interface that has no address yet is waited for.

        :raises SetupError: when an address cannot be listened on.
        """
        if self._factory is not None:
            return
        self.check()
        self._factory = factory
        if self._server_tls is not None:
            reactor = self._context.reactor
            self._factory = TLSMemoryBIOFactory(self._server_tls, False, factory, reactor)
        try:
            self._listen()
        except SetupError:
            self.stop()
            raise

    def _listen(self) -> None:
        missing = set(self._cluster.accepts)
        elsewhere: dict[Address, AddressNotHereError] = {}
        for accept, host in self._hosts():
            try:
                if not self._is_bound(accept, host) and self.permits(host):
                    self._bind(accept, (host, self._port_of(accept)))
                missing.discard(accept)
            except AddressNotHereError as error:
                elsewhere[accept] = error
        for accept in missing & set(elsewhere):
            # A name may have addresses of other machines beside ours: one that is ours is enough.
            raise elsewhere[accept]
        if missing:
            self._timer = self._context.reactor.callLater(INTERFACE_S, self._listen_again)

    def _port_of(self, accept: Address) -> int:
        """Of several workers only the first can have it; the others have any, and tell it."""
        worker = self._context.worker
        return (accept.port or 0) if worker is None or worker.is_first else 0

    def _is_bound(self, accept: Address, host: str) -> bool:
        port = self._port_of(accept)
        return any(place[0] == host and port in (0, place[1]) for place in self._listeners)

    def _bind(self, accept: Address, place: Place) -> None:
        assert self._factory is not None
        purpose = f"cluster {self._cluster.name}: {accept}"
        listener = Listener(self._context.reactor, *place, self._factory, purpose)
        listener.privilegedStartService()
        self._listeners[listener.host, listener.port] = listener
        self._say(listener)

    def _listen_again(self) -> None:
        try:
            self._listen()
        except SetupError as error:
            self.log.error("{error}", error=error)
            self._timer = self._context.reactor.callLater(INTERFACE_S, self._listen_again)

    def _say(self, listener: Listener) -> None:
        self.log.info(
            "Cluster Member started: IP Address: {host}; Port: {port}; id: {instance}",
            host=listener.host,
            port=listener.port,
            instance=self._context.instance,
        )

    def stop(self) -> Deferred[Any]:
        """
        Take no more links.

        :returns: fires when the sockets are closed.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._factory = None
        listeners, self._listeners = tuple(self._listeners.values()), {}
        return DeferredList([maybeDeferred(listener.stop_listening) for listener in listeners])

    # -- addresses ----------------------------------------------------------------------------------------------------------

    @property
    def places(self) -> tuple[Place, ...]:
        """Where we listen, in the order of the configuration."""
        return tuple(self._listeners)

    @property
    def accept(self) -> str:
        """
        Where others reach us, as a URI. Empty when we take no links.

        A wildcard stands for the address that they know us by; so do addresses that mean something on one network link only.
        """
        found = sorted(self._listeners, key=lambda place: is_link_local(place[0]))
        return self.accept_at(found[0][0]) if found else ""

    def accept_at(self, host: str) -> str:
        """Where those who reach us at one of our addresses find us, as a URI."""
        port = dict(self._listeners.keys()).get(host)
        if port is None:
            return self.accept
        return accept_uri("::" if is_link_local(host) else host, port)

    def accept_from(self, local_host: str) -> str:
        """
        Where others reach us, as a URI that means the same to everyone. Empty when we take no links.

        :param local_host: our address on the way to somewhere that all reach: it stands for a wildcard, unless it means something here only; then that of
            an interface does.
        """
        address = parse_address(self.accept) if self._listeners else None
        if address is None or address.port is None or not ip_address(address.host).is_unspecified:
            return self.accept
        hosts = [local_host, *interface_hosts(address.host)]
        fitting = [host for host in hosts if is_ip(host) and same_family(host, address.host)]
        fitting.sort(key=lambda host: (is_loopback(host), is_link_local(host)))
        return accept_uri(fitting[0], address.port) if fitting else ""

    def place_of(self, accept: str, peer_host: str) -> Place | None:
        """
        Where another member takes links.

        :param accept: what it says.
        :param peer_host: its address as we see it, which stands for a wildcard.
        :returns: None when it takes none, or none that can be dialled from here.
        """
        try:
            address = parse_address(accept)
        except BadValueError:
            return None
        if address.scheme != "tcp" or not address.port or not is_ip(address.host):
            return None
        host = peer_host if ip_address(address.host).is_unspecified else address.host
        if not is_ip(host) or (is_loopback(host) and not is_loopback(peer_host)):
            return None
        return host, address.port


def accept_uri(host: str, port: int) -> str:
    """An address as members tell it to each other."""
    return f"tcp://{bracketed(host)}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return is_ip(host) and ip_address(host).is_loopback


def is_link_local(host: str) -> bool:
    """Whether an address means something on one link only."""
    return is_ip(host) and ip_address(host).is_link_local


def same_family(host: str, other: str) -> bool:
    """Whether both are IPv4 addresses, or both IPv6."""
    return (":" in host) == (":" in other)


def interface_hosts(like: str) -> Iterator[str]:
    """
    An address of each interface of this machine; loopback only when there is nothing else.

    :param like: an address of the family that is wanted.
    """
    found = []
    for adapter in ifaddr.get_adapters():
        texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips]
        fitting = [text for text in texts if same_family(text, like)]
        found.extend(fitting[:1])
    yield from [host for host in found if not is_loopback(host)] or found
