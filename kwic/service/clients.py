"""How clients come in: a factory for TCP and TLS listeners, a route for WebSockets."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IAddress, IHandshakeListener, IProtocol
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import Options, Service
from kwic.service.inbound import InboundTunnels
from kwic.service.inbound_socks import REFUSAL_LOG_S, InboundSocks
from kwic.service.switchboard import permitted
from kwic.transport.connection_log import address_text
from kwic.transport.handshakes import Handshake, Handshakes
from kwic.transport.tls import CertificateRefused, PeerIdentity, peer_identity
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
    :param clock: for handshakes that are not finished, and for the log.
    :param secure: whether TLS is spoken.
    """

    log = Logger()
    noisy = False

    def __init__(self, server: Server, clock: Any, *, secure: bool) -> None:
        self._server = server
        self._clock = clock
        self._secure = secure
        self._refusal_logged_s = -REFUSAL_LOG_S
        self.handshakes = Handshakes(clock)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A client came."""
        who = "?" if addr is None else address_text(addr)
        return Doorway(self, who) if self._secure else self.admit(who, None)

    def admit(self, who: str, identity: PeerIdentity | None) -> IProtocol | None:
        """
        Let a client in.

        :param who: the client, in log lines.
        :param identity: its certificate.
        :returns: what talks to it; None when it may not use the service.
        """
        if permitted(self._server.service, identity):
            return self._server.protocol(who)
        holder = "no certificate" if identity is None else f"the certificate of CN={identity.common_name}"
        self.refused(who, f"{holder} may not use service {self._server.service.name}")
        return None

    def refused(self, who: str, why: str) -> None:
        """Say that a client was turned away; not more often than somebody reads it."""
        level, now_s = LogLevel.debug, self._clock.seconds()
        if now_s - self._refusal_logged_s >= REFUSAL_LOG_S:
            level, self._refusal_logged_s = LogLevel.warn, now_s
        self.log.emit(level, "{who} is refused: {why}", who=who, why=why)

    def doStop(self) -> None:
        """The socket was closed: who has not finished the handshake is let go."""
        super().doStop()
        self.handshakes.give_up()


@implementer(IHandshakeListener)
class Doorway(Protocol):
    """
    Stands on a TLS connection until the handshake is over, and has then the service's own protocol take its place.

    :param clients: let it in, or do not.
    :param who: the client, in log lines.
    """

    transport: Any

    def __init__(self, clients: ClientFactory, who: str) -> None:
        self._clients = clients
        self._who = who
        self._handshake: Handshake | None = None

    def connectionMade(self) -> None:
        """TLS begins."""
        self._handshake = self._clients.handshakes.began(self.transport.abortConnection)

    def handshakeCompleted(self) -> None:
        """We know who it is."""
        self._done()
        protocol: Any = self._clients.admit(self._who, peer_identity(self.transport))
        if protocol is None:
            self.transport.abortConnection()
            return
        self.transport.wrappedProtocol = protocol
        protocol.makeConnection(self.transport)
        if IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It left, or was not let in."""
        self._done()
        if reason.check(CertificateRefused):
            self._clients.refused(self._who, reason.getErrorMessage())

    def _done(self) -> None:
        if self._handshake is not None:
            self._handshake.done()


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
