"""How clients come in: a factory for TCP and TLS listeners, a route for WebSockets."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import ServerFactory

from kwic.config.model import Options, Service
from kwic.service.inbound import InboundTunnels
from kwic.service.inbound_socks import InboundSocks
from kwic.service.switchboard import permitted
from kwic.transport.connection_log import address_text
from kwic.transport.websocket_server import Accept, Refuse, UpgradeRequest
from kwic.wire.kwic_headers import SOCKS_SUBPROTOCOL, TUNNEL_SUBPROTOCOL

_FORBIDDEN = 403
_BAD_REQUEST = 400


class Server(Interface):
    """A service that has clients."""

    service: Service

    def protocol(self, who: str) -> IProtocol:
        """
        What talks to one client.

        :param who: the client, in log lines.
        """


class ClientFactory(ServerFactory):
    """
    The clients of one service on a TCP or TLS listener.

    :param server: the service.
    """

    noisy = False

    def __init__(self, server: Server) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A client came."""
        return self._server.protocol("?" if addr is None else address_text(addr))


class ClientRoute:
    """
    The clients of one service on a WebSocket address: one each on a WebSocket of its own, or many in a tunnel.

    :param server: the service.
    :param options: its accept-options.
    :param tunnels: takes those that want to send many clients; None when the service takes none.
    :param socks: takes those that want to be told whether the service was reached; None when the service takes none.
    """

    def __init__(
        self,
        server: Server,
        options: Options,
        tunnels: InboundTunnels | None = None,
        socks: InboundSocks | None = None,
    ) -> None:
        self._server = server
        self._options = options
        self._tunnels = tunnels
        self._socks = socks

    def answer(self, request: UpgradeRequest) -> Accept | Refuse:
        """A client came."""
        if not permitted(self._server.service, request.identity):
            return Refuse(status=_FORBIDDEN, reason="this certificate may not use the service")
        if self._tunnels is not None and TUNNEL_SUBPROTOCOL in request.protocols:
            return self._tunnels.accept(request)
        if self._socks is not None and SOCKS_SUBPROTOCOL in request.protocols:
            return self._socks.accept(request)
        return Accept(
            protocol=self._server.protocol(address_text(request.peer)),
            message_limit_bytes=self._options.ws_maximum_message_bytes,
            inactivity_timeout_s=self._options.ws_inactivity_timeout_s,
        )


class TunnelRoute:
    """
    An address at which only tunnels are taken, and peers that cannot multiplex.

    :param tunnels: takes the former.
    :param socks: takes the latter.
    """

    def __init__(self, tunnels: InboundTunnels, socks: InboundSocks) -> None:
        self._tunnels = tunnels
        self._socks = socks

    def answer(self, request: UpgradeRequest) -> Accept | Refuse:
        """Somebody dialled."""
        if TUNNEL_SUBPROTOCOL in request.protocols:
            return self._tunnels.accept(request)
        if SOCKS_SUBPROTOCOL in request.protocols:
            return self._socks.accept(request)
        return Refuse(
            status=_BAD_REQUEST,
            reason=f"only the subprotocols {TUNNEL_SUBPROTOCOL} and {SOCKS_SUBPROTOCOL} are spoken here",
        )
