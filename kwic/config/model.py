"""What one configuration file asks for, with every value parsed: the only thing the floors above see of it.

Everything here is frozen and made once by :mod:`kwic.config.reader`; nothing above this package parses or checks
a configuration value again. Names carry their units. Order is the order of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from pathlib import Path

from kwic.config.problem import Place, Problem

SECURE_SCHEMES = frozenset({"ssl", "wss", "https", "socks+ssl", "etcd+ssl"})
WEBSOCKET_SCHEMES = frozenset({"ws", "wss"})
SOCKS_SCHEMES = frozenset({"socks", "socks+ssl"})
ETCD_SCHEMES = frozenset({"etcd", "etcd+ssl"})

# The layers of an address, from the top down: an option like "http.transport" or "tcp.bind" speaks of one of them.
LAYERS: Mapping[str, tuple[str, ...]] = {
    "pipe": ("pipe",),
    "tcp": ("tcp",),
    "ssl": ("ssl", "tcp"),
    "http": ("http", "tcp"),
    "https": ("https", "http", "ssl", "tcp"),
    "ws": ("ws", "http", "tcp"),
    "wss": ("wss", "http", "ssl", "tcp"),
}

ANY_USER = "*"
"""The role that any verified client certificate has (``require-valid-user``)."""


class VerifyClient(Enum):
    """Whether a TLS listener asks its clients for a certificate."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class SocksMode(Enum):
    """Who dials the connection that carries the clients: the side of the clients (forward) or the other (reverse)."""

    FORWARD = "forward"
    REVERSE = "reverse"


class StoreKind(Enum):
    """The declared type of a keystore or truststore; what counts is what the file turns out to be."""

    JKS = "JKS"
    JCEKS = "JCEKS"
    PKCS12 = "PKCS12"
    PEM = "PEM"


class Liveness(Enum):
    """How soon silence is taken for death: 5 s (normal) or 1.5 s (fast)."""

    NORMAL = "normal"
    FAST = "fast"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A URI of an accept, a connect, a balance or a transport."""

    text: str = field(compare=False)
    """As written, after substitution."""
    scheme: str
    """Canonical: tcp ssl ws wss http https pipe socks socks+ssl udp etcd etcd+ssl."""
    host: str
    """Lower case, without brackets; ``@eth0`` for an interface; the name, as written, of a pipe."""
    port: int | None
    """None for a pipe only."""
    path: str = ""
    """Begins with a slash for ws, wss, http and https; empty for the others."""
    query: str = ""
    """What follows the question mark."""
    interface: str | None = None
    """The network interface of ``@eth0``, without the @."""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme in SECURE_SCHEMES

    @property
    def is_websocket(self) -> bool:
        """Whether it is ws or wss."""
        return self.scheme in WEBSOCKET_SCHEMES

    @property
    def is_socks(self) -> bool:
        """Whether it is socks or socks+ssl."""
        return self.scheme in SOCKS_SCHEMES

    @property
    def is_etcd(self) -> bool:
        """Whether it is a server of an etcd, with TLS or without."""
        return self.scheme in ETCD_SCHEMES

    @property
    def is_loopback(self) -> bool:
        """Whether its host is this machine's own for certain."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def authority(self) -> str:
        """``host:port`` with the port explicit, brackets around IPv6 and interface names with blanks; a pipe's name."""
        if self.port is None:
            return self.host
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query, as they stand in a request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def name(self) -> str:
        """The name of a pipe: its whole authority."""
        return self.authority

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that options may speak of, from the top down: ``("wss", "http", "ssl", "tcp")``."""
        return LAYERS.get(self.scheme, ())

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """Where a listening socket is moved to by a ``*.bind`` option. Neither host nor interface: every address."""

    host: str | None = None
    interface: str | None = None
    port: int

    def __str__(self) -> str:
        host = f"@{self.interface}" if self.interface is not None else self.host
        return str(self.port) if host is None else f"{bracketed(host)}:{self.port}"


def bracketed(host: str) -> str:
    """:returns: a host as it stands before ``:port``: in brackets when it has colons or blanks."""
    return f"[{host}]" if ":" in host or " " in host else host


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsOptions:
    """What was asked of TLS on one side of a service; None where nothing was."""

    verify_client: VerifyClient | None = None
    protocols: tuple[str, ...] | None = None
    """Canonical names, ascending: ``("TLSv1.2", "TLSv1.3")``."""
    ciphers: tuple[str, ...] | None = None
    """The elements of an OpenSSL cipher string, or JSSE suite names, as written."""
    encryption: bool = True
    """False: something in front of us has taken the TLS off already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The accept-options or the connect-options of a service, service-defaults filled in option by option."""

    bind: Mapping[str, Bind] = field(default_factory=dict, hash=False)
    """By the scheme whose listening socket moves: tcp ssl ws wss http https."""
    transport: Mapping[str, Address] = field(default_factory=dict, hash=False)
    """By the layer that rides on something else than usual: pipe http tcp ssl socks."""
    socks_mode: SocksMode = SocksMode.FORWARD
    socks_timeout_s: float = 10.0
    socks_retry_maximum_interval_s: float = 30.0
    tls: TlsOptions = TlsOptions()
    socks_tls: TlsOptions = TlsOptions()
    ws_inactivity_timeout_s: float | None = None
    """None: off."""
    ws_maximum_message_bytes: int = 131072
    http_maximum_redirects: int = 3
    http_keepalive_timeout_s: float | None = None
    tcp_maximum_outbound_rate: int | None = None
    """Bytes per second and client connection, gateway to client; None: unlimited."""
    liveness: Liveness = Liveness.NORMAL
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)
    """Where each option that was written stands, by its canonical name (``ssl.`` for ``tls.``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossSite:
    """A ``cross-site-constraint``: pages of this origin may open WebSockets here."""

    allow_origin: str
    """``*`` or an origin with its port explicit: ``https://www.example.com:443``."""
    allow_methods: tuple[str, ...] = ("GET", "POST")
    allow_headers: tuple[str, ...] = ()
    maximum_age_s: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One ``service``: what it accepts, and what becomes of what it accepted."""

    name: str
    description: str = ""
    type: str
    """``proxy``, ``echo`` or ``balancer``."""
    accepts: tuple[Address, ...] = ()
    connects: tuple[Address, ...] = ()
    """Candidates, in order."""
    balances: tuple[Address, ...] = ()
    """The balancer addresses that this service answers for."""
    accept_options: Options = Options()
    connect_options: Options = Options()
    maximum_pending_bytes: int = 64000
    """Per direction."""
    maximum_recovery_interval_s: float | None = None
    """Longest wait between two probes of a back end that cannot be reached; None: no probing."""
    prepared_connection_count: int | None = None
    """Tunnels kept to each address of the other side; None: as many as usual, one."""
    repeat: int = 1
    """How often an echo service says what it heard."""
    require_roles: tuple[frozenset[str], ...] = ()
    """One set per authorization-constraint; a set is met by one of its names, or any certificate for :data:`ANY_USER`."""
    cross_sites: tuple[CrossSite, ...] = ()
    place: Place
    accept_places: tuple[Place, ...] = field(default=(), compare=False)
    """Where each of :attr:`accepts` stands; the same for the two below."""
    connect_places: tuple[Place, ...] = field(default=(), compare=False)
    balance_places: tuple[Place, ...] = field(default=(), compare=False)

    def permits(self, names: frozenset[str] | None) -> bool:
        """Whether a peer may offer or reach this service.

        :param names: the subject CN and the SAN names of its verified certificate; None when it has none.
        """
        if not self.require_roles:
            return True
        return names is not None and any(ANY_USER in roles or roles & names for roles in self.require_roles)

    @property
    def is_reverse_acceptor(self) -> bool:
        """The cloud side of a reverse connection: its clients leave through tunnels that the agents dialled."""
        return _rides_socks(self.connects, self.connect_options, SocksMode.REVERSE)

    @property
    def is_reverse_agent(self) -> bool:
        """The on-prem side of a reverse connection: dials out, and accepts what comes back through the tunnel."""
        return _rides_socks(self.accepts, self.accept_options, SocksMode.REVERSE)

    @property
    def is_forward_dialler(self) -> bool:
        """The clients' side of ``socks.mode forward``: dials the tunnel that its clients leave through."""
        return _rides_socks(self.connects, self.connect_options, SocksMode.FORWARD)

    @property
    def is_forward_listener(self) -> bool:
        """The servers' side of ``socks.mode forward``: listens for tunnels and accepts what comes through them."""
        return _rides_socks(self.accepts, self.accept_options, SocksMode.FORWARD)


def socks_transport(address: Address, options: Options) -> Address | None:
    """:returns: the ``socks://`` address that the topmost layer with a transport of its own rides on, if it is one."""
    for layer in address.layers:
        transport = options.transport.get(layer)
        if transport is not None:
            return transport if transport.is_socks else None
    return None


def _rides_socks(addresses: tuple[Address, ...], options: Options, mode: SocksMode) -> bool:
    return options.socks_mode is mode and any(socks_transport(address, options) for address in addresses)


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """A keystore or a truststore."""

    kind: StoreKind
    file: Path
    """Absolute; for PEM it may be a directory."""
    password_file: Path | None = None
    place: Place
    """Where its file is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Security:
    """Our own keys and those we trust; without a truststore, the system's."""

    keystore: Store | None = None
    truststore: Store | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """The members of our own side and how they find each other."""

    name: str
    accepts: tuple[Address, ...]
    connects: tuple[Address, ...]
    """udp (multicast group), tcp (unicast), etcd and etcd+ssl, one address per host."""
    insecure: bool = False
    """``kwic:insecure="true"``: open the cluster port without a keystore, on any address."""
    etcd_user: str | None = None
    etcd_password_file: Path | None = None
    place: Place
    accept_places: tuple[Place, ...] = field(default=(), compare=False)
    """Where each of :attr:`accepts` stands; the same for :attr:`connects` below."""
    connect_places: tuple[Place, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConfig:
    """Everything that one file asks for."""

    file: str
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Those of the command line over those of the file."""
    services: tuple[Service, ...] = ()
    security: Security = Security()
    cluster: Cluster | None = None
    warnings: tuple[Problem, ...] = ()

    @property
    def liveness(self) -> Liveness:
        """That of the most impatient service: the links between members serve all of them."""
        services = [service.accept_options.liveness for service in self.services]
        return Liveness.FAST if Liveness.FAST in services else Liveness.NORMAL
