"""Reads ``<cluster>``: the other members of our side, and how they find each other (configuration.md §7)."""

from __future__ import annotations

from enum import Enum

from kwic.config.address import address_of, parse_address, parse_etcd
from kwic.config.document import Element
from kwic.config.model import Address, Cluster
from kwic.config.problem import BadValueError
from kwic.config.reading import Reading
from kwic.config.units import one_of
from kwic.config.words import shown

CONNECT_SCHEMES = ("udp", "tcp", "etcd", "etcd+ssl")


class Truth(Enum):
    """What an XML attribute calls true and false."""

    TRUE = "true"
    FALSE = "false"


def read_cluster(element: Element | None, reading: Reading) -> Cluster | None:
    """:returns: the cluster as far as it could be read; None when there is none."""
    if element is None:
        return None
    accepts = reading.values(element, "accept", address_of("tcp"))
    connects = [
        (address, place)
        for addresses, place in reading.values(element, "connect", _parse_connect)
        for address in addresses
    ]
    return Cluster(
        name=reading.value(element.first("name"), str) or "",
        accepts=tuple(address for address, _ in accepts),
        connects=tuple(address for address, _ in connects),
        insecure=reading.attribute(element, "insecure", one_of(Truth)) is Truth.TRUE,
        etcd_user=reading.attribute(element, "etcd-user", str),
        etcd_password_file=reading.attribute(element, "etcd-password-file", reading.path),
        place=element.place,
        accept_places=tuple(place for _, place in accepts),
        connect_places=tuple(place for _, place in connects),
    )


def _parse_connect(text: str) -> tuple[Address, ...]:
    if text.lower().startswith("etcd"):
        return parse_etcd(text)
    address = parse_address(text)
    if address.scheme not in CONNECT_SCHEMES:
        raise BadValueError(
            f"members cannot be found at {shown(text)}",
            "use udp://group:port, tcp://host:port or etcd://host:port",
        )
    return (address,)
