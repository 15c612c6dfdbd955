"""The connection log: one line when a layer of a connection opens, one when it closes, in the shape KWIC 5 wrote them.

    [tcp#7 172.34.0.2:38192] OPENED: (#00000007: kwic tcp, client, /172.34.0.2:38192 => /172.34.0.6:443)
    [wsn#9 172.34.0.2:38192] OPENED: (#00000009: kwic wsn, client, ws://cloud1.example.com:443/kwic => wss://cloud1.example.com/kwic)
    [wsn#9 172.34.0.2:38192] CLOSED: (#00000009: kwic wsn, client, …): the WebSocket closed (1000)

What identifies a connection is the far address for one that was accepted and our own for one that was dialled. Connections
that come to nothing (probes, refused requests) never open here: they are not logged above debug.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.logger import Logger, LogLevel

_DEFAULT_PORTS = {"ws": ":80", "wss": ":443"}


class Role(Enum):
    """Which side of a connection we are."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a connection, the lowest first: tcp, ssl, wsn."""

    name: str
    ours: str
    theirs: str


class ConnectionEntry:
    """The layers of one connection that were logged as opened."""

    def __init__(self, log: ConnectionLog, labels: Sequence[tuple[str, str]]) -> None:
        self._log = log
        self._labels = tuple(labels)
        self._open = True

    @property
    def label(self) -> str:
        """The topmost layer's, ``wsn#9 172.34.0.2:38192``, for other lines about this connection."""
        return self._labels[-1][0]

    def closed(self, reason: str) -> None:
        """All layers are gone; said once, the topmost first."""
        if self._open:
            self._open = False
            for label, detail in reversed(self._labels):
                self._log.say(
                    "[{label}] CLOSED: {detail}: {reason}", label=label, detail=detail, reason=reason
                )


class ConnectionLog:
    """Numbers connections and says when they open and close.

    :param enabled: whether the lines are of level info, or of debug: for connections that nobody has asked to be told of.
    """

    log = Logger()

    def __init__(self, *, enabled: bool = True) -> None:
        self._level = LogLevel.info if enabled else LogLevel.debug
        self._ids = count(1)

    def opened(self, role: Role, address: str, layers: Sequence[Layer]) -> ConnectionEntry:
        """A connection is open, with all its layers.

        :param role: which side we are.
        :param address: what identifies it, see above.
        :param layers: the lowest first.
        :returns: to be told when it closes.
        """
        labels = []
        for layer in layers:
            number = next(self._ids)
            ends = (layer.theirs, layer.ours) if role is Role.SERVER else (layer.ours, layer.theirs)
            detail = f"(#{number:08d}: kwic {layer.name}, {role.value}, {ends[0]} => {ends[1]})"
            labels.append((f"{layer.name}#{number} {address}", detail))
        for label, detail in labels:
            self.say("[{label}] OPENED: {detail}", label=label, detail=detail)
        return ConnectionEntry(self, labels)

    def say(self, message: str, **fields: object) -> None:
        """Write one line."""
        self.log.emit(self._level, message, **fields)


def socket_layers(transport: Any) -> list[Layer]:
    """:returns: the layers of a connection that was accepted: TCP, and TLS where it is spoken."""
    ours, theirs = address_text(transport.getHost()), address_text(transport.getPeer())
    layers = [Layer(name="tcp", ours=f"/{ours}", theirs=f"/{theirs}")]
    if ISSLTransport.providedBy(transport):
        layers.append(Layer(name="ssl", ours=f"ssl://{ours}", theirs=f"ssl://{theirs}"))
    return layers


def websocket_layer(role: Role, uri: str) -> Layer:
    """:returns: the layer of a WebSocket: what is spoken on the connection, with its port, and what was asked for, as one writes it.

    :param role: which side we are; what was asked for stands on the right in either case.
    :param uri: that, with its port.
    """
    scheme, _, rest = uri.partition("://")
    authority, _, target = rest.partition("/")
    below = f"ws://{authority}/{target.partition('?')[0]}"
    asked = f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS[scheme])}/{target}"
    ours, theirs = (asked, below) if role is Role.SERVER else (below, asked)
    return Layer(name="wsn", ours=ours, theirs=theirs)


def client_text(address: IAddress | None) -> str:
    """:returns: a client by its address, which may not be known."""
    return "?" if address is None else address_text(address)


def address_text(address: IAddress) -> str:
    """:returns: ``host:port`` of an IPv4 or IPv6 address, brackets around the latter; whatever else says of itself."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or port is None:
        return str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
