"""Addresses, and the places that ``*.bind`` options move sockets to (configuration.md §2).

The grammar is read by hand, not with urllib: interface names, pipes and the scheme aliases of KWIC 5 are not URIs
to it, and what it lets pass (blanks, user names, ports without digits) is what an operator wants to hear about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from kwic.config.model import Address, Bind
from kwic.config.problem import BadValueError
from kwic.config.words import did_you_mean, listed, shown

LONGEST_ADDRESS = 2048
"""Characters; longer than any browser or proxy lets through."""
LONGEST_PIPE_NAME = 255
"""Bytes: a rendezvous key travels as a SOCKS 5 domain name, whose length is one byte (RFC 1928 §5)."""


class Scheme(NamedTuple):
    """What may follow one scheme."""

    port: int | None
    """The default port; None: the port must be written."""
    has_path: bool = False
    has_interface: bool = False


SCHEMES: Mapping[str, Scheme] = {
    "tcp": Scheme(None, has_interface=True),
    "ssl": Scheme(None, has_interface=True),
    "ws": Scheme(80, has_path=True),
    "wss": Scheme(443, has_path=True),
    "http": Scheme(80, has_path=True),
    "https": Scheme(443, has_path=True),
    "pipe": Scheme(None),
    "socks": Scheme(1080),
    "socks+ssl": Scheme(1443),
    "udp": Scheme(None),
    "etcd": Scheme(2379),
    "etcd+ssl": Scheme(2379),
}
ALIASES: Mapping[str, str] = {"tls": "ssl", "wsn": "ws", "wsn+ssl": "wss"}
REFUSED: Mapping[str, str] = {
    "ws+ssl": "use wss or wsn+ssl",
    "tcp+ssl": "use ssl",
    "wss+ssl": "use wss or wsn+ssl",
    "wse": "emulated WebSocket is not spoken here: use ws",
    "wse+ssl": "emulated WebSocket is not spoken here: use wss",
    "wsx": "extended WebSocket is not spoken here: use ws",
    "wsx+ssl": "extended WebSocket is not spoken here: use wss",
    "wsr": "WebSocket over RTMP is not spoken here: use ws",
    "wsr+ssl": "WebSocket over RTMP is not spoken here: use wss",
    "ws-draft-75": "only RFC 6455 is spoken here: use ws",
    "ws-draft-75+ssl": "only RFC 6455 is spoken here: use wss",
    "sse": "server-sent events are not served here: use ws",
    "sse+ssl": "server-sent events are not served here: use wss",
    "http+ssl": "use https",
    "mcp": "multicast services are not carried here: use tcp",
    "rtmp": "RTMP is a TCP protocol: use tcp with port 1935",
    "aws": "use tcp, udp or etcd to find the other members",
}
_HTTPX = ("emulation over HTTP is not spoken here: use ws", "emulation over HTTP is not spoken here: use wss")
"""What replaces the schemes that begin with httpx, and those of them that end in +ssl: there were several."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_INTERFACE = re.compile(r"[A-Za-z0-9_.: -]{1,64}")
_PIPE_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+")
_TARGET = re.compile(r"[!-~]*")
_PORT = re.compile(r"[0-9]{1,6}")
_IPV4_LIKE = re.compile(r"[0-9.]+")


def parse_address(text: str) -> Address:
    """One address: ``wss://cloud1.example.com/kwic``, ``tcp://@eth0:5551``, ``pipe://serviceA``.

    :raises BadValueError: it is none.
    """
    scheme, rest = _split_scheme(text)
    if scheme == "pipe":
        return Address(text=text, scheme=scheme, host=_pipe_name(rest), port=None)
    rules = SCHEMES[scheme]
    authority, target = _split_authority(rest)
    host, interface, port = _split_port(authority)
    if interface is not None and not rules.has_interface:
        raise BadValueError(
            f"{shown('@' + interface)} cannot stand in a {scheme} address",
            f"name the host here, and choose the interface with tcp.bind @{interface}:port",
        )
    if port is None and rules.port is None:
        raise BadValueError(f"{shown(text)} has no port", f"write {scheme}://host:port")
    path, query = _split_target(target, scheme, has_path=rules.has_path)
    return Address(
        text=text,
        scheme=scheme,
        host=host,
        port=port if port is not None else rules.port,
        path=path,
        query=query,
        interface=interface,
    )


def address_of(*schemes: str) -> Callable[[str], Address]:
    """:returns: a parser of addresses of these schemes only."""

    def parse(text: str) -> Address:
        address = parse_address(text)
        if address.scheme not in schemes:
            raise BadValueError(
                f"{shown(text)} has the scheme {address.scheme}", f"here it must be {listed(schemes)}"
            )
        return address

    return parse


def parse_etcd(text: str) -> tuple[Address, ...]:
    """The servers of one etcd: ``etcd://host:2379[,host2:2379…]``, one address each."""
    scheme, rest = _split_scheme(text)
    return tuple(parse_address(f"{scheme}://{authority}") for authority in rest.split(","))


def parse_bind(text: str) -> Bind:
    """Where a socket listens instead: ``443``, ``host:443``, ``[::1]:443``, ``@eth0:443``, ``[@if name]:443``."""
    if "/" in text:
        raise BadValueError(f"{shown(text)} is not host:port", "leave out the scheme and the path")
    if _PORT.fullmatch(text):
        return Bind(port=parse_port(text))
    host, interface, port = _split_port(text)
    if port is None:
        raise BadValueError(
            f"{shown(text)} has no port", "write port, host:port, [v6]:port or @interface:port"
        )
    return Bind(host=None if interface is not None else host, interface=interface, port=port)


def _split_scheme(text: str) -> tuple[str, str]:
    if len(text) > LONGEST_ADDRESS:
        raise BadValueError(f"the address is longer than {LONGEST_ADDRESS} characters")
    written, separator, rest = text.partition("://")
    if not separator:
        raise BadValueError(
            f"{shown(text)} is not an address", "write scheme://host:port, for example tcp://@eth0:5551"
        )
    scheme = ALIASES.get(written.lower(), written.lower())
    refused = _HTTPX[scheme.endswith("+ssl")] if scheme.startswith("httpx") else REFUSED.get(scheme)
    if refused is not None:
        raise BadValueError(f"the scheme {shown(written)} is not supported", refused)
    if scheme not in SCHEMES:
        hint = did_you_mean(scheme, [*SCHEMES, *ALIASES])
        raise BadValueError(f"{shown(written)} is not a scheme", hint or "use tcp, ssl, ws, wss or pipe")
    return scheme, rest


def _pipe_name(name: str) -> str:
    stem, _, path = name.partition("/")
    if stem != name:
        raise BadValueError(
            f"a pipe has no path: {shown('/' + path)}",
            f"use pipe://{stem}: a pipe is a name and nothing else",
        )
    stem, colon, port = name.rpartition(":")
    if colon and _PORT.fullmatch(port):
        raise BadValueError(
            f"a pipe has no port: {shown(port)}", f"use pipe://{stem}: a pipe is a name and nothing else"
        )
    if not name:
        raise BadValueError("a pipe needs a name", "write for example pipe://serviceA")
    if _PIPE_NAME.fullmatch(name) is None:
        raise BadValueError(
            f"{shown(name)} is not a pipe's name", "use letters, digits, dots, dashes and underscores"
        )
    if len(name) > LONGEST_PIPE_NAME:
        raise BadValueError(
            f"a pipe's name is at most {LONGEST_PIPE_NAME} bytes long, this one has {len(name)}"
        )
    return name


def _split_authority(rest: str) -> tuple[str, str]:
    end = min((rest.index(mark) for mark in "/?#" if mark in rest), default=len(rest))
    return rest[:end], rest[end:]


def _split_port(authority: str) -> tuple[str, str | None, int | None]:
    """:returns: host (lower case), interface and port of ``host:port``, ``[v6]:port``, ``@if:port``, ``[@if]:port``."""
    if authority.startswith("["):
        inner, bracket, after = authority[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise BadValueError(f"{shown(authority)} is not [address]:port")
        host, colon, port = inner, after[:1], after[1:]
    else:
        host, colon, port = authority.rpartition(":")
        if not colon:
            host, port = authority, ""
    number = parse_port(port) if colon else None
    if host.startswith("@"):
        return host, _interface(host[1:]), number
    if authority.startswith("["):
        return _ipv6(host), None, number
    return _host(host, authority), None, number


def parse_port(text: str) -> int:
    """:returns: a port number."""
    if not text:
        raise BadValueError("there is no port after the colon", "write a number from 1 to 65535")
    if _PORT.fullmatch(text) is None or not 1 <= int(text) <= 65535:
        raise BadValueError(f"{shown(text)} is not a port", "a port is a number from 1 to 65535")
    return int(text)


def _interface(name: str) -> str:
    if _INTERFACE.fullmatch(name) is None:
        raise BadValueError(
            f"{shown('@' + name)} is not an interface", "write @name:port, for example @eth0:5551"
        )
    return name


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text.replace("%25", "%", 1)))
    except AddressValueError as error:
        raise BadValueError(f"{shown('[' + text + ']')} is not an IPv6 address") from error


def _host(text: str, authority: str) -> str:
    host = text.lower()
    if not host:
        raise BadValueError(
            "the host is missing", "write host:port, @interface:port, or 0.0.0.0:port for every address"
        )
    if ":" in host:
        raise BadValueError(
            f"{shown(authority)} is not host:port", "put an IPv6 address in brackets: [::1]:443"
        )
    if "@" in host:
        raise BadValueError(
            f"{shown(text)} has a user name", "leave it out; peers are known by their certificates"
        )
    if host == "*":
        raise BadValueError(
            "“*” is not a host", "use 0.0.0.0 for every IPv4 address and [::] for every IPv6 address"
        )
    if _IPV4_LIKE.fullmatch(host):
        return _ipv4(host)
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadValueError(f"{shown(text)} is not a host name", "use letters, digits, dashes and dots")
    return host


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise BadValueError(f"{shown(text)} is not an IPv4 address") from error


def _split_target(target: str, scheme: str, *, has_path: bool) -> tuple[str, str]:
    if not has_path:
        if target:
            raise BadValueError(
                f"a {scheme} address has no path: {shown(target)}", f"leave {shown(target)} out"
            )
        return "", ""
    if "#" in target:
        raise BadValueError(f"{shown(target)} has a fragment", "leave out the # and what follows it")
    if _TARGET.fullmatch(target) is None:
        raise BadValueError(
            f"{shown(target)} is not a path", "write blanks and letters beyond ASCII as %20 and the like"
        )
    path, _, query = target.partition("?")
    return path or "/", query
