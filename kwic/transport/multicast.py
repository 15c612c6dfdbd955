"""
Joins a multicast group on the interface that has an address, for IPv4 and IPv6.

Twisted joins IPv4 groups; for IPv6 it hands the kernel an address where that wants the number of an interface (RFC 3493 5.2), so these are joined here.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import ifaddr
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import MulticastJoinError

#: How many routers an announcement may pass, as KWIC 5 had it.
HOPS = 32


def bind_address(group: str) -> str:
    """
    What to listen on for the datagrams of a group: the group itself, so that no others come.

    An IPv6 group means something on one interface only, which cannot be said to `listenMulticast`: there, every address.
    """
    return "::" if ":" in group else group


def join_group(port: Any, group: str, address: str) -> Deferred[None]:
    """
    Join a group on one interface, and send to it from there.

    :param port: what `listenMulticast` returned.
    :param group: the group's address.
    :param address: an address of the interface.
    :returns: fails with MulticastJoinError when the interface cannot.
    """
    if ":" in group:
        return execute(_join_ipv6, port.socket, group, address)
    port.setTTL(HOPS)
    port.setOutgoingInterface(address)
    joined: Deferred[None] = port.joinGroup(group, address)
    return joined


def _join_ipv6(sock: socket.socket, group: str, address: str) -> None:
    number = interface_number(address)
    request = socket.inet_pton(socket.AF_INET6, group.partition("%")[0]) + struct.pack("@I", number)
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
    except OSError as error:
        raise MulticastJoinError(group, address, *error.args) from error


def interface_number(address: str) -> int:
    """
    The number of the interface that has an IPv6 address.

    :raises MulticastJoinError: when none has it.
    """
    bare = address.partition("%")[0]
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            if text == bare and adapter.index is not None:
                return adapter.index
    raise MulticastJoinError(f"no interface has the address {address}")
