"""What two instances say to each other in the HTTP upgrade: subprotocols and the `Kwic-` headers.

    Kwic-Instance: <uuid of this process start> <node name>      request and response
    Kwic-Nodes: <version> <count>                                response: how many nodes there are to meet, and of which view
    Kwic-Met: <uuid>[, <uuid>…]                                  request: the instances to which the dialler has a tunnel already

A header that cannot be read is taken for absent: the tunnel works without any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

TUNNEL_SUBPROTOCOL = "kwic.1"
"""The multiplexed tunnel."""

SOCKS_SUBPROTOCOL = "socks"
"""One stream for each WebSocket, RFC 1928 to the letter."""

INSTANCE_HEADER = "Kwic-Instance"
NODES_HEADER = "Kwic-Nodes"
MET_HEADER = "Kwic-Met"

NODE_NAME_MAXIMUM_CHARACTERS = 255
"""The longest node name: the longest host name."""

MET_MAXIMUM = 128
"""Instances named in one header: 5 KiB of the 16 KiB that a head may have. The first are kept."""

NUMBER_MAXIMUM_DIGITS = 18
"""The longest number read: fits 64 bits."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Who is at the other end."""

    uuid: str
    """Of this process start; canonical, lower case."""

    node: str
    """The node's name, for people."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """How many nodes stand behind the address that was dialled."""

    version: int
    """Grows whenever nodes come or go."""

    count: int
    """How many there are."""


def format_instance(instance: Instance) -> str:
    """The value of `Kwic-Instance`."""
    return f"{instance.uuid} {instance.node}"


def parse_instance(value: str | None) -> Instance | None:
    """Read `Kwic-Instance`.

    :param value: the header's value; None when it was absent.
    :returns: the instance, or None when there is none to be read.
    """
    uuid, _, node = (value or "").strip().partition(" ")
    canonical = _uuid(uuid)
    node = node.strip()
    if canonical is None or len(node) > NODE_NAME_MAXIMUM_CHARACTERS or not node.isprintable():
        return None
    return Instance(uuid=canonical, node=node)


def format_nodes(nodes: Nodes) -> str:
    """The value of `Kwic-Nodes`."""
    return f"{nodes.version} {nodes.count}"


def parse_nodes(value: str | None) -> Nodes | None:
    """Read `Kwic-Nodes`.

    :param value: the header's value; None when it was absent.
    :returns: version and count, or None when there are none to be read.
    """
    words = (value or "").split()
    if len(words) != 2 or not all(_is_number(word) for word in words):
        return None
    return Nodes(version=int(words[0]), count=int(words[1]))


def format_met(uuids: Iterable[str]) -> str:
    """The value of `Kwic-Met`; at most 128 instances are named."""
    return ", ".join(list(uuids)[:MET_MAXIMUM])


def parse_met(value: str | None) -> frozenset[str]:
    """Read `Kwic-Met`.

    :param value: the header's value; None when it was absent.
    :returns: the instances that can be read; others are left out.
    """
    words = (value or "").split(",", MET_MAXIMUM)[:MET_MAXIMUM]
    return frozenset(uuid for word in words if (uuid := _uuid(word.strip())) is not None)


def _uuid(text: str) -> str | None:
    """A UUID in its canonical form, or None."""
    try:
        canonical = str(UUID(text))
    except ValueError:
        return None
    return canonical if canonical == text.lower() else None


def _is_number(word: str) -> bool:
    """Whether it is a short number in ASCII digits."""
    return word.isascii() and word.isdigit() and len(word) <= NUMBER_MAXIMUM_DIGITS
