"""How clients come in: a factory for TCP and TLS listeners, a route for WebSockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IAddress, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import Options, Service, TlsOptions, VerifyClient
from kwic.service.context import Context
from kwic.service.inbound import InboundTunnels
from kwic.service.inbound_socks import InboundSocks
from kwic.service.refusals import Refusals
from kwic.service.switchboard import admitted, who
from kwic.transport.connection_log import Role, client_text, socket_layers
from kwic.transport.ending import explain_end
from kwic.transport.handshakes import Handshake, Handshakes
from kwic.transport.tls import CertificateRefused, peer_identity
from kwic.transport.websocket_server import Accept, Refuse, UpgradeRequest
from kwic.wire.kwic_headers import SOCKS_SUBPROTOCOL, TUNNEL_SUBPROTOCOL

_BAD_REQUEST = 400
_FORBIDDEN = 403
_UNAVAILABLE = 503

#: What a WebSocket client is told while the back end cannot be reached: it is probed about as often.
RETRY_AFTER_S = 1


class Server(Interface):
    """A service that has clients."""

    service: Service

    @property
    def quiesced(self) -> bool:
        """Whether clients are turned away at once: the back end cannot be reached."""

    def protocol(self, peer: IAddress | None) -> Any:
        """
        What talks to one client; its `on_gone` is called with the reason when the client has left.

        :param peer: where the client comes from, when that is known.
        """

    def stop(self) -> None:
        """Nothing of it is to go on by itself."""


def asks_for_certificates(tls: TlsOptions) -> bool:
    """:returns: whether clients can show who they are."""
    return tls.verify_client not in (None, VerifyClient.NONE)


class ClientFactory(ServerFactory):
    """
    The clients of one service on a TCP or TLS listener.

    :param server: the service.
    :param context: the gateway's surroundings.
    :param asked: whether the listener asks its clients for certificates.
    :param secure: whether it speaks TLS.
    """

    noisy = False

    def __init__(
        self, server: Server, context: Context, *, asked: bool = False, secure: bool = False
    ) -> None:
        self.server = server
        self.asked = asked
        self.handshakes = Handshakes(context.reactor)
        self.refusals = Refusals(context.reactor)
        self.connection_log = context.client_log
        # A client on plain TCP that is not logged and may come in needs nobody at the door.
        self._open = (
            not secure and self.connection_log is None and admitted(server.service, None, asked=False)
        )

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A client came."""
        if self.server.quiesced:
            return TurnedAway()
        return self.server.protocol(addr) if self._open else Door(self, addr)

    def doStop(self) -> None:
        """The socket was closed: whoever is not through yet is let go."""
        super().doStop()
        self.handshakes.give_up()


class TurnedAway(Protocol):
    """A client that is reset at once."""

    transport: Any

    def connectionMade(self) -> None:
        """There is nothing to be had."""
        self.transport.abortConnection()


@implementer(IHandshakeListener)
class Door(Protocol):
    """
    A client until it is through: TLS is agreed on, its certificate fits, and it is noted in the log.

    :param factory: whose client.
    :param addr: where it comes from, when that is known.
    """

    transport: Any

    def __init__(self, factory: ClientFactory, addr: IAddress | None) -> None:
        self._factory = factory
        self._addr = addr
        self._client = client_text(addr)
        self._handshake: Handshake | None = None

    def connectionMade(self) -> None:
        """TCP is connected."""
        if ISSLTransport.providedBy(self.transport):
            self._handshake = self._factory.handshakes.began(self.transport.abortConnection)
        else:
            self._through()

    def handshakeCompleted(self) -> None:
        """TLS is agreed on."""
        self._done()
        self._through()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It left before it was through, or was let go."""
        self._done()
        if reason.check(CertificateRefused):
            self._factory.refusals.say(self._client, explain_end(reason))
        else:
            self._factory.refusals.left(self._client, explain_end(reason))

    def _done(self) -> None:
        if self._handshake is not None:
            self._handshake.done()

    def _through(self) -> None:
        factory, identity = self._factory, peer_identity(self.transport)
        service = factory.server.service
        if not admitted(service, identity, asked=factory.asked):
            factory.refusals.say(self._client, f"{who(identity)} may not use service {service.name}")
            self.transport.abortConnection()
            return
        protocol = factory.server.protocol(self._addr)
        if factory.connection_log is not None:
            entry = factory.connection_log.opened(Role.SERVER, self._client, socket_layers(self.transport))
            protocol.on_gone = lambda reason: entry.closed(explain_end(reason))
        hand_over(self.transport, protocol)


def hand_over(transport: Any, protocol: Any) -> None:
    """
    Give a connection another protocol. The old one is not told.

    :param transport: TCP, or TLS when the handshake is over.
    """
    below_tls = hasattr(transport, "wrappedProtocol")
    setattr(transport, "wrappedProtocol" if below_tls else "protocol", protocol)
    protocol.makeConnection(transport)
    if below_tls and IHandshakeListener.providedBy(protocol):
        protocol.handshakeCompleted()


@dataclass(frozen=True, kw_only=True)
class Inbound:
    """Who takes peers at one address."""

    tunnels: InboundTunnels
    """Those that send many clients in a tunnel."""

    socks: InboundSocks
    """Those that cannot, or do not want to."""


class ClientRoute:
    """
    The clients of one service on a WebSocket address: one each on a WebSocket of its own, or many in a tunnel.

    :param server: the service.
    :param options: its accept-options.
    :param inbound: takes peers that bring clients; None when the service takes none.
    :param asked: whether the listener asks its clients for certificates.
    :param logged: whether each client is noted in the connection log.
    """

    def __init__(
        self,
        server: Server,
        options: Options,
        inbound: Inbound | None = None,
        *,
        asked: bool = False,
        logged: bool = False,
    ) -> None:
        self._server = server
        self._options = options
        self._inbound = inbound
        self._asked = asked
        self._logged = logged

    def answer(self, request: UpgradeRequest) -> Accept | Refuse:
        """A client came."""
        if not admitted(self._server.service, request.identity, asked=self._asked):
            return Refuse(status=_FORBIDDEN, reason="this certificate may not use the service")
        if self._inbound is not None and TUNNEL_SUBPROTOCOL in request.protocols:
            return self._inbound.tunnels.accept(request)
        if self._server.quiesced:
            return Refuse(
                status=_UNAVAILABLE,
                reason="the service cannot be reached now",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        if self._inbound is not None and SOCKS_SUBPROTOCOL in request.protocols:
            return self._inbound.socks.accept(request)
        return Accept(
            protocol=self._server.protocol(request.peer),
            message_limit_bytes=self._options.ws_maximum_message_bytes,
            inactivity_timeout_s=self._options.ws_inactivity_timeout_s,
            logged=self._logged,
        )


class TunnelRoute:
    """
    An address at which only tunnels are taken, and peers that cannot multiplex.

    :param inbound: takes both.
    """

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound

    def answer(self, request: UpgradeRequest) -> Accept | Refuse:
        """Somebody dialled."""
        if TUNNEL_SUBPROTOCOL in request.protocols:
            return self._inbound.tunnels.accept(request)
        if SOCKS_SUBPROTOCOL in request.protocols:
            return self._inbound.socks.accept(request)
        return Refuse(
            status=_BAD_REQUEST,
            reason=f"only the subprotocols {TUNNEL_SUBPROTOCOL} and {SOCKS_SUBPROTOCOL} are spoken here",
        )
