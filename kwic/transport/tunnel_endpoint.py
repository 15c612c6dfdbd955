"""A WebSocket on which the far end has agreed to a subprotocol: to `kwic.1`, what a tunnel is built on, or to `socks`, for a single client."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from kwic.transport.connect_error import ConnectError, WebSocketRefusedError, Why
from kwic.wire.kwic_headers import SOCKS_SUBPROTOCOL, TUNNEL_SUBPROTOCOL

_BAD_REQUEST = 400


class NoTunnelError(ConnectError):
    """The far end is a WebSocket server that does not speak what is wanted."""


class OnlySocksError(NoTunnelError):
    """The far end speaks no tunnels, but SOCKS."""


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """
    Opens a WebSocket, and builds the factory's protocol on it when a subprotocol is spoken there.

    :param websocket: the WebSocket; it offers the subprotocol.
    :param wanted: the subprotocol.
    """

    def __init__(self, websocket: IStreamClientEndpoint, wanted: str = TUNNEL_SUBPROTOCOL) -> None:
        self._websocket = websocket
        self._wanted = wanted

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open.

        :returns: the factory's protocol; fails with `NoTunnelError` when the far end did not pick the subprotocol, or called the
            offer a bad request.
        """
        opened: Deferred[Any] = self._websocket.connect(_Greeters())
        opened.addCallbacks(self._agreed, self._refused, callbackArgs=(protocolFactory,))
        return opened

    def _agreed(self, greeter: _Greeter, factory: IProtocolFactory) -> IProtocol:
        transport = greeter.transport
        if transport.subprotocol != self._wanted:
            transport.loseConnection()
            kind = OnlySocksError if transport.subprotocol == SOCKS_SUBPROTOCOL else NoTunnelError
            raise kind(f"{transport.uri} does not speak {self._wanted}", Why.HTTP)
        protocol = factory.buildProtocol(transport.getPeer())
        assert protocol is not None
        transport.protocol = protocol
        protocol.makeConnection(transport)
        for piece in greeter.early:
            protocol.dataReceived(piece)
        return protocol

    def _refused(self, failure: Any) -> Any:
        if failure.check(WebSocketRefusedError) and failure.value.status == _BAD_REQUEST:
            raise NoTunnelError(str(failure.value), Why.HTTP) from failure.value
        return failure


class _Greeter(Protocol):
    """Waits to learn what is spoken."""

    transport: Any

    def __init__(self) -> None:
        self.early: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        """The session may begin in the same read as the answer to the upgrade."""
        self.early.append(data)


class _Greeters(Factory):
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Greeter()
