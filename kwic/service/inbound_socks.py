"""
Peers that speak SOCKS 5 to us, one connection for each client: on a socket of their own, or on a WebSocket on which `socks` was agreed.

Agents leave connections here that wait for a client (BIND), and dial another one as soon as one was taken; or a peer brings a client (CONNECT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure

from kwic.policy.liveness import NORMAL, Timing
from kwic.service.context import Context
from kwic.service.refusals import Refusals
from kwic.service.switchboard import Switchboard
from kwic.transport.connection_log import address_text
from kwic.transport.ending import explain_end
from kwic.transport.handshakes import Handshakes
from kwic.transport.socks_leg import SocksAcceptor
from kwic.transport.tls import CertificateRefused, PeerIdentity, peer_identity
from kwic.transport.websocket_server import Accept, UpgradeRequest
from kwic.wire.kwic_headers import SOCKS_SUBPROTOCOL
from kwic.wire.socks5 import Rep, Request

#: Connections that may wait for clients at one address: a bound on what peers can make us keep.
MAXIMUM_WAITING = 4096


class InboundSocks(ServerFactory):
    """
    Takes SOCKS connections at one address.

    :param context: the gateway's surroundings.
    :param switchboard: what they may reach and offer.
    :param timing: silence on a WebSocket is answered and taken for death as in a tunnel, unless `inactivity_timeout_s` says otherwise.
    :param inactivity_timeout_s: `ws.inactivity.timeout`.
    """

    noisy = False

    def __init__(
        self,
        context: Context,
        switchboard: Switchboard,
        timing: Timing = NORMAL,
        inactivity_timeout_s: float | None = None,
    ) -> None:
        self._switchboard = switchboard
        self._reactor = context.reactor
        self._inactivity_timeout_s = inactivity_timeout_s or timing.dead_after_s
        self._handshakes = Handshakes(context.reactor)
        self._draining = False
        self._refusals = Refusals(context.reactor)
        #: Those that are not joined yet.
        self._acceptors: set[SocksAcceptor] = set()

    # -- a socket of its own ------------------------------------------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A peer came."""
        return self._acceptor(addr, lambda acceptor: peer_identity(acceptor.transport))

    def doStop(self) -> None:
        """The socket was closed: whoever has not asked for anything yet is let go."""
        super().doStop()
        self._handshakes.give_up()

    # -- a WebSocket --------------------------------------------------------------------------------------------------------

    def accept(self, request: UpgradeRequest) -> Accept:
        """A peer opened a WebSocket and offers `socks`."""
        return Accept(
            protocol=self._acceptor(request.peer, lambda acceptor: request.identity),
            subprotocol=SOCKS_SUBPROTOCOL,
            message_limit_bytes=None,
            inactivity_timeout_s=self._inactivity_timeout_s,
        )

    # -- stopping -----------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let those go that wait for a client: they are wanted elsewhere. Clients that are joined stay."""
        self._draining = True
        for acceptor in self.waiting:
            acceptor.close()

    # -- one of them --------------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> Sequence[SocksAcceptor]:
        """The connections that wait for a client."""
        return [acceptor for acceptor in self._acceptors if acceptor.usable]

    def waiting_for(self) -> Iterator[str]:
        """The name of each."""
        for acceptor in self.waiting:
            yield from self._switchboard.names.of(acceptor) if self._switchboard.names is not None else ()

    def _acceptor(
        self, addr: IAddress | None, identify: Callable[[SocksAcceptor], PeerIdentity | None]
    ) -> SocksAcceptor:
        def on_request(acceptor: SocksAcceptor, request: Request) -> None:
            acceptor.on_lost = None
            self._request(acceptor, request, identify(acceptor))

        peer = "?" if addr is None else address_text(addr)
        acceptor = SocksAcceptor(self._reactor, on_request, self._acceptors.discard, peer)
        acceptor.handshake = self._handshakes.began(acceptor.reset)
        acceptor.on_lost = lambda leg, reason: self._left(peer, reason)
        self._acceptors.add(acceptor)
        return acceptor

    def _request(self, acceptor: SocksAcceptor, request: Request, identity: PeerIdentity | None) -> None:
        if self._draining or len(self._acceptors) > MAXIMUM_WAITING:
            acceptor.refuse(Rep.GENERAL_FAILURE)
        else:
            self._switchboard.request(identity, acceptor, acceptor, request)

    def _left(self, peer: str, reason: Failure) -> None:
        """A peer left, or was let go, before it has asked for anything."""
        tell = self._refusals.say if reason.check(CertificateRefused) else self._refusals.left
        tell(peer, explain_end(reason))
