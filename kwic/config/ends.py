"""The ends of a service: every address at which it listens or which it dials, once the options have had their say.

This is where ``pipe over socks over wss``, ``socks.mode`` and ``*.bind`` turn into "listens at", "dials" and
"by these names". The validation, ``kwic explain`` and the running gateway all read it here, so that what is checked and
shown is what happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from kwic.config.model import Address, Bind, Options, Service, SocksMode, TlsOptions, socks_transport
from kwic.config.problem import Place


class Side(Enum):
    """The two sides of a service."""

    ACCEPT = "accept-options"
    CONNECT = "connect-options"


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """One address that a service listens at or dials."""

    service: Service
    side: Side
    address: Address
    """What Host, path, certificate name and redirects are about: an accept, a connect, or a ``socks.transport``."""
    listens: bool
    keys: tuple[str, ...] = ()
    """For a tunnel: the rendezvous keys that travel in it, in order. Empty for what is no tunnel."""
    socks: Address | None = None
    """For a tunnel: the ``socks://`` address that both sides name."""
    options: Options
    tls: TlsOptions
    """What counts for this end: for a tunnel ``socks.ssl.*`` over ``ssl.*``."""
    place: Place

    @property
    def is_tunnel(self) -> bool:
        """Whether it carries the clients of :attr:`keys`, not a client of its own."""
        return self.socks is not None

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken on the socket."""
        return self.address.secure and self.tls.encryption

    @property
    def socket(self) -> Bind:
        """Where the socket is, or is dialled: ``*.bind`` before the layer's transport before the address."""
        if self.listens:
            for scheme in (self.address.scheme, "tcp"):
                if scheme in self.options.bind:
                    return self.options.bind[scheme]
        return address_socket(socket_transport(self.address, self.options) or self.address)


def address_socket(address: Address) -> Bind:
    """:returns: where the socket of an address is that nothing moves."""
    assert address.port is not None, "only pipes have no port, and they have no socket"
    host = None if address.interface is not None else address.host
    return Bind(host=host, interface=address.interface, port=address.port)


def ends(service: Service) -> tuple[End, ...]:
    """:returns: every end of a service, the accept side first; a tunnel once, with all the names in it."""
    return (*accept_ends(service), *connect_ends(service))


def accept_ends(service: Service) -> tuple[End, ...]:
    """:returns: where the clients of a service come in."""
    return tuple(_ends(service, Side.ACCEPT))


def connect_ends(service: Service) -> tuple[End, ...]:
    """:returns: where they leave."""
    return tuple(_ends(service, Side.CONNECT))


def local_pipes(service: Service, side: Side) -> tuple[Address, ...]:
    """:returns: the pipes of one side that stay in this process: they have no ``pipe.transport``."""
    addresses, _, options = _written(service, side)
    return tuple(
        address
        for address in addresses
        if address.scheme == "pipe" and socks_transport(address, options) is None
    )


def rendezvous_key(address: Address) -> str:
    """:returns: the name by which both sides of a tunnel know a service: a pipe's name, else the whole URI."""
    return address.name if address.scheme == "pipe" else str(address)


def tunnel_address(socks: Address, options: Options) -> Address:
    """:returns: what carries the tunnel: ``socks.transport``, else plain TCP or TLS to the socks address itself."""
    scheme = "ssl" if socks.secure else "tcp"
    plain = Address(text=socks.text, scheme=scheme, host=socks.host, port=socks.port)
    return options.transport.get("socks", plain)


def socket_transport(address: Address, options: Options) -> Address | None:
    """:returns: the address that an ``http.transport`` or ``ssl.transport`` puts below another one, if any does."""
    for layer in address.layers:
        transport = options.transport.get(layer)
        if transport is not None and not transport.is_socks:
            return transport
    return None


def _written(service: Service, side: Side) -> tuple[tuple[Address, ...], tuple[Place, ...], Options]:
    if side is Side.ACCEPT:
        return service.accepts, service.accept_places, service.accept_options
    return service.connects, service.connect_places, service.connect_options


def _ends(service: Service, side: Side) -> Iterator[End]:
    """In the order of the file; a tunnel stands where the first of its names does."""
    addresses, places, options = _written(service, side)
    tunnels: dict[Address, list[str]] = {}
    for address in addresses:
        socks = socks_transport(address, options)
        if socks is not None:
            tunnels.setdefault(socks, []).append(rendezvous_key(address))
    for address, place in zip(addresses, places or [service.place] * len(addresses), strict=True):
        socks = socks_transport(address, options)
        if socks in tunnels:
            yield _tunnel(service, side, socks, tuple(tunnels.pop(socks)))
        elif socks is None and address.scheme != "pipe":
            yield End(
                service=service,
                side=side,
                address=address,
                listens=side is Side.ACCEPT,
                options=options,
                tls=options.tls,
                place=place,
            )


def _tunnel(service: Service, side: Side, socks: Address, keys: tuple[str, ...]) -> End:
    _, _, options = _written(service, side)
    # Reverse: the side that connects its clients waits for the tunnel, the side that accepts them dials it.
    listening_side = Side.CONNECT if options.socks_mode is SocksMode.REVERSE else Side.ACCEPT
    return End(
        service=service,
        side=side,
        address=tunnel_address(socks, options),
        listens=side is listening_side,
        keys=keys,
        socks=socks,
        options=options,
        tls=_tunnel_tls(options),
        place=options.places.get("socks.transport", service.place),
    )


def _tunnel_tls(options: Options) -> TlsOptions:
    own, general = options.socks_tls, options.tls
    return TlsOptions(
        verify_client=general.verify_client if own.verify_client is None else own.verify_client,
        protocols=general.protocols if own.protocols is None else own.protocols,
        ciphers=general.ciphers if own.ciphers is None else own.ciphers,
        encryption=own.encryption and general.encryption,
    )
