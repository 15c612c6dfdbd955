"""What must be so across one file, beyond each value being right: names, shared sockets, balancers, pipes, keys.

Each check is a generator of problems and knows one rule. Those in :data:`ABSENCES` say that something is missing, and
are left out while addresses are unreadable: the missing thing may be there, misspelt, and is reported already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

from kwic.config.address import LONGEST_PIPE_NAME, parse_port
from kwic.config.ends import End, Side, accept_ends, address_socket, ends, local_pipes, socket_transport
from kwic.config.listen import WILDCARDS, conflicts, is_wildcard, listeners, silences
from kwic.config.model import Address, Cluster, GatewayConfig, Liveness, Service, VerifyClient
from kwic.config.problem import BadValueError, Place, Problem, Severity
from kwic.config.words import closest, shown

Check = Callable[[GatewayConfig], Iterator[Problem]]


def validate(config: GatewayConfig, *, is_whole: bool = True) -> Iterator[Problem]:
    """Applies every check to one file.

    :param is_whole: whether every address of the file could be read.
    """
    for check in (*CHECKS, *ABSENCES) if is_whole else CHECKS:
        yield from check(config)


def error(place: Place | None, message: str, hint: str = "") -> Problem:
    """:returns: what keeps the gateway from starting."""
    return Problem(place=place, message=message, hint=hint)


def warning(place: Place | None, message: str, hint: str = "") -> Problem:
    """:returns: what the operator should know."""
    return Problem(place=place, message=message, hint=hint, severity=Severity.WARNING)


def unique_names(config: GatewayConfig) -> Iterator[Problem]:
    """Service names are unique."""
    first: dict[str, Service] = {}
    for service in config.services:
        other = first.setdefault(service.name, service)
        if other is not service:
            message = f"service {shown(service.name)} is there already, on line {other.place.line}"
            yield error(service.place, message, "give it a name of its own")


def shared_sockets(config: GatewayConfig) -> Iterator[Problem]:
    """Whoever shares a socket can be told apart on it and agrees on TLS; the cluster shares with nobody."""
    found = listeners(config)
    for listener in found:
        yield from conflicts(listener.ends)
        yield from silences(listener.ends)
    if config.cluster is None:
        return
    taken = {listener.socket: listener.ends[0].service for listener in found}
    for address, place in zip(config.cluster.accepts, config.cluster.accept_places, strict=True):
        mine = address_socket(address)
        for socket, service in taken.items():
            if socket.port == mine.port and (mine == socket or is_wildcard(mine) or is_wildcard(socket)):
                yield error(
                    place, f"service {shown(service.name)} listens at {socket} already", "use another port"
                )


def sockets_told_once(config: GatewayConfig) -> Iterator[Problem]:
    """``*.bind`` and a transport do not contradict each other, nor the scheme."""
    for end in all_ends(config):
        below = socket_transport(end.address, end.options)
        if below is None:
            continue
        place = _option_place(end, "http.transport", "ssl.transport")
        if below.secure and not end.address.secure:
            yield error(
                place,
                f"{below} speaks TLS and {end.address} does not",
                f"use {end.address.scheme}s, or tcp below",
            )
        if end.listens and (end.socket.host or f"@{end.socket.interface}", end.socket.port) != (
            below.host,
            below.port,
        ):
            yield error(
                place,
                f"the socket is moved to {below.authority} here and to {end.socket} by a bind option",
                "keep one of both",
            )


def destinations(config: GatewayConfig) -> Iterator[Problem]:
    """What is dialled is a host, not an interface or a wildcard."""
    for end in all_ends(config):
        if end.listens:
            if end.address.query:
                yield warning(
                    end.place,
                    f"{shown('?' + end.address.query)} has no effect: listeners go by host and path",
                )
        elif end.address.interface is not None or end.address.host in WILDCARDS:
            yield error(end.place, f"{end.address} cannot be dialled", "write the name or address of a host")
        elif is_wildcard(end.socket) or end.socket.interface is not None:
            place = _option_place(end, "http.transport", "ssl.transport")
            yield error(place, f"{end.socket} cannot be dialled", "write the name or address of a host")


def tunnels_make_sense(config: GatewayConfig) -> Iterator[Problem]:
    """A ``socks+ssl`` tunnel is not carried in clear, and its keys fit into the protocol."""
    for end in all_ends(config):
        if end.socks is not None and end.socks.secure and not end.address.secure:
            hint = "use wss, wsn+ssl or ssl, or write socks:// where TLS is not wanted"
            yield error(end.place, f"{end.socks} asks for TLS and {end.address} has none", hint)
        for key in end.keys:
            if len(key) > LONGEST_PIPE_NAME:
                yield error(
                    end.place, f"{shown(key)} is too long for a tunnel", f"{LONGEST_PIPE_NAME} characters fit"
                )


def names_served_once(config: GatewayConfig) -> Iterator[Problem]:
    """A name is accepted once in a process: per tunnel endpoint, and among the pipes that stay inside."""
    first: dict[tuple[str, str], Service] = {}
    for service in config.services:
        names = [(key, str(end.address)) for end in accept_ends(service) for key in end.keys]
        names += [(pipe.name, "") for pipe in local_pipes(service, Side.ACCEPT)]
        for name in dict.fromkeys(names):
            other = first.setdefault(name, service)
            if other is not service:
                message = (
                    f"services {shown(other.name)} and {shown(service.name)} both accept {shown(name[0])}"
                )
                yield error(service.place, message, "give one of them another name")


def balances_fit(config: GatewayConfig) -> Iterator[Problem]:
    """A ``balance`` differs from one of the service's own accepts in nothing but the host."""
    for service in config.services:
        if not service.accepts:
            continue  # there are none, or none that could be read: that was said already
        accepted = {
            (accept.secure, accept.port, accept.path) for accept in service.accepts if accept.is_websocket
        }
        for balance, place in zip(service.balances, service.balance_places, strict=True):
            if (balance.secure, balance.port, balance.path) not in accepted:
                message = f"{balance} differs from every accept of service {shown(service.name)} in more than the host"
                yield error(place, message, "give both the same scheme, port and path")


def cluster_is_safe(config: GatewayConfig) -> Iterator[Problem]:
    """Without keys the cluster port opens on loopback only, unless the operator insists."""
    cluster = config.cluster
    if cluster is None or config.security.keystore is not None or cluster.insecure:
        return
    for address, place in zip(cluster.accepts, cluster.accept_places, strict=True):
        if not _may_be_loopback(address):
            yield error(
                place,
                f"members cannot be told from strangers at {address} without a keystore",
                'add <security><keystore>, or kwic:insecure="true" on <cluster> where the network is trusted',
            )


def cluster_connects(config: GatewayConfig) -> Iterator[Problem]:
    """Members are looked for at hosts and in at most one multicast group."""
    cluster = config.cluster
    if cluster is None:
        return
    groups = 0
    for address, place in zip(cluster.connects, cluster.connect_places, strict=True):
        if address.scheme == "udp":
            groups += 1
            if not _may_be_multicast(address.host):
                yield error(
                    place,
                    f"{address.host} is not a multicast group",
                    "use one like 224.34.0.1, or tcp:// for a host",
                )
            if groups == 2:
                yield error(place, "the cluster has more than one multicast group", "keep one of them")
        elif address.interface is not None or address.host in WILDCARDS:
            yield error(place, f"{address} cannot be dialled", "write the name or address of a host")


def cluster_takes_links(config: GatewayConfig) -> Iterator[Problem]:
    """Members are reached at an accept; only those that share nothing but what etcd holds may do without."""
    cluster = config.cluster
    if cluster is not None and not cluster.accepts and not _etcd_servers(cluster):
        yield error(cluster.place, "<cluster> has no <accept>", "add <accept>…</accept>")


def etcd_account(config: GatewayConfig) -> Iterator[Problem]:
    """A user of etcd has a password, which does not travel in clear."""
    cluster = config.cluster
    if cluster is None or (cluster.etcd_user is None and cluster.etcd_password_file is None):
        return
    servers = _etcd_servers(cluster)
    if cluster.etcd_password_file is None:
        yield error(
            cluster.place,
            "kwic:etcd-user has no kwic:etcd-password-file",
            "name the file whose first line is the password",
        )
    elif cluster.etcd_user is None:
        yield error(cluster.place, "kwic:etcd-password-file has no kwic:etcd-user", "name the user")
    elif not servers:
        yield warning(cluster.place, "kwic:etcd-user has no effect: no <connect> names an etcd")
    for address, place in servers:
        if not address.secure and not address.is_loopback:
            yield warning(
                place,
                f"the password of etcd goes to {address} in clear",
                "use etcd+ssl:// where etcd has TLS",
            )
            break


def proxy_ports(config: GatewayConfig) -> Iterator[Problem]:
    """The properties that name an HTTP proxy have a port that is one."""
    for name in ("http.proxyPort", "https.proxyPort"):
        port = config.properties.get(name)
        if port:
            try:
                parse_port(port)
            except BadValueError as mistake:
                yield error(None, f"the property {name}: {mistake.message}", mistake.hint)


def keys_are_there(config: GatewayConfig) -> Iterator[Problem]:
    """Whoever listens with TLS has a keystore."""
    if config.security.keystore is not None:
        return
    for end in all_ends(config):
        if end.listens and end.secure:
            yield error(
                end.place,
                f"{end.address} needs a certificate and there is no keystore",
                "add <security><keystore>",
            )


def balancers_exist(config: GatewayConfig) -> Iterator[Problem]:
    """A ``balance`` names a balancer of this file, if the file has any; a balancer has members somewhere."""
    balancers = [service for service in config.services if service.type == "balancer"]
    offered = {accept for service in balancers for accept in service.accepts}
    wanted = {balance for service in config.services for balance in service.balances}
    for service in config.services:
        for balance, place in zip(service.balances, service.balance_places, strict=True):
            if balance in offered:
                continue
            message = f"no balancer of this file accepts {balance}"
            guess = closest(str(balance), map(str, offered))
            if balancers:
                yield error(
                    place, message, f"did you mean {guess}?" if guess else "add a balancer service that does"
                )
            else:
                yield warning(place, message, "some other member of the cluster must")
    for service in balancers:
        if config.cluster is None and wanted.isdisjoint(service.accepts):
            message = (
                f"balancer {shown(service.name)} has no members: nothing in this file balances its address"
            )
            yield warning(service.place, message, "add <balance> to the services behind it, or a <cluster>")


def local_pipes_meet(config: GatewayConfig) -> Iterator[Problem]:
    """A pipe without a transport has both its ends in this file."""
    accepted = {pipe.name for service in config.services for pipe in local_pipes(service, Side.ACCEPT)}
    connected = {pipe.name for service in config.services for pipe in local_pipes(service, Side.CONNECT)}
    way = "to reach another gateway, add pipe.transport socks://host"
    for service in config.services:
        for pipe in local_pipes(service, Side.CONNECT):
            if pipe.name not in accepted:
                message = f"nothing in this file accepts {pipe}, and it has no pipe.transport"
                yield error(_place_of(pipe, service.connects, service.connect_places), message, way)
        for pipe in local_pipes(service, Side.ACCEPT):
            if pipe.name not in connected:
                message = f"nothing in this file connects to {pipe}, and it has no pipe.transport"
                yield error(_place_of(pipe, service.accepts, service.accept_places), message, way)


def local_pipes_lead_out(config: GatewayConfig) -> Iterator[Problem]:
    """Pipes without a transport do not lead back to where they began."""
    acceptors = {
        pipe.name: service for service in config.services for pipe in local_pipes(service, Side.ACCEPT)
    }
    told: set[str] = set()
    for service in config.services:
        seen, ahead = {service.name}, [service]
        while ahead and service.name not in told:
            for pipe in local_pipes(ahead.pop(), Side.CONNECT):
                following = acceptors.get(pipe.name)
                if following is service:
                    message = f"service {shown(service.name)} leads back to itself through {pipe}"
                    yield error(service.place, message, "connect one of them to a server")
                    told |= seen
                elif following is not None and following.name not in seen:
                    seen.add(following.name)
                    ahead.append(following)


def constraints_can_be_met(config: GatewayConfig) -> Iterator[Problem]:
    """A service that lets in certain certificates only has a listener that asks for them."""
    asking: set[str] = set()
    for listener in listeners(config):
        if listener.secure and listener.tls.verify_client not in {None, VerifyClient.NONE}:
            asking.update(end.service.name for end in listener.ends)
    for service in config.services:
        dials_with_tls = any(end.is_tunnel and not end.listens and end.secure for end in ends(service))
        if service.require_roles and service.name not in asking and not dials_with_tls:
            message = f"nobody can pass the <authorization-constraint> of service {shown(service.name)}"
            yield error(
                service.place,
                message,
                "ask for certificates: ssl.verify-client, or socks.ssl.verify-client, required",
            )


def settings_matter(config: GatewayConfig) -> Iterator[Problem]:
    """Settings of tunnels stand on services that have one."""
    for service in config.services:
        found = ends(service)
        dials = any(not end.listens and (end.is_tunnel or end.address.is_websocket) for end in found)
        if service.prepared_connection_count and not dials:
            yield warning(
                service.place, "prepared.connection.count has no effect: the service dials no tunnel"
            )
        takes = any(end.is_tunnel or (end.address.is_websocket and service.type == "proxy") for end in found)
        is_fast = service.accept_options.liveness is Liveness.FAST
        if is_fast and not dials and not takes and config.cluster is None:
            message = "kwic:liveness has no effect: the service has no tunnel, and there is no <cluster>"
            yield warning(service.place, message)
        if service.cross_sites and not any(end.listens and end.address.is_websocket for end in found):
            message = "<cross-site-constraint> has no effect: browsers open WebSockets, and the service accepts none"
            yield warning(service.place, message)


CHECKS: tuple[Check, ...] = (
    unique_names,
    shared_sockets,
    sockets_told_once,
    destinations,
    tunnels_make_sense,
    names_served_once,
    local_pipes_lead_out,
    cluster_is_safe,
    cluster_connects,
    etcd_account,
    proxy_ports,
)
ABSENCES: tuple[Check, ...] = (
    cluster_takes_links,
    keys_are_there,
    balances_fit,
    balancers_exist,
    local_pipes_meet,
    constraints_can_be_met,
    settings_matter,
)


def all_ends(config: GatewayConfig) -> Iterator[End]:
    """:returns: every end of every service."""
    for service in config.services:
        yield from ends(service)


def _option_place(end: End, *names: str) -> Place:
    return next((end.options.places[name] for name in names if name in end.options.places), end.place)


def _place_of(address: Address, addresses: tuple[Address, ...], places: tuple[Place, ...]) -> Place:
    return places[addresses.index(address)]


def _etcd_servers(cluster: Cluster) -> list[tuple[Address, Place]]:
    found = zip(cluster.connects, cluster.connect_places, strict=True)
    return [(address, place) for address, place in found if address.is_etcd]


def _may_be_loopback(address: Address) -> bool:
    """Whether an address is on loopback, or a name that may be."""
    if address.interface is not None:
        return address.interface == "lo"
    try:
        return ip_address(address.host).is_loopback
    except ValueError:
        return True


def _may_be_multicast(host: str) -> bool:
    try:
        return ip_address(host).is_multicast
    except ValueError:
        return True
