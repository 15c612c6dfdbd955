"""
One cloud peer: dials it, keeps one tunnel to it, and dials again with back-off when it is gone.

`ReconnectingClientFactory` wants a connector, an endpoint has none: `EndpointConnector` is that connector, so that the factory's hooks are reached
through name resolution, proxies, TLS, redirects and the WebSocket upgrade alike. The back-off starts anew when a tunnel has been *up* and has
carried a sign of life, not when a TCP connection was made: a peer that accepts and drops is not hammered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IConnector, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import ReconnectingClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.policy.backoff import Backoff
from kwic.service.complaints import Complaints
from kwic.transport.stream import Stream
from kwic.transport.tls import PeerIdentity
from kwic.transport.tunnel import Tunnel
from kwic.wire.kwic_headers import Nodes

if TYPE_CHECKING:
    from kwic.service.uplink import Uplink

#: A tunnel that lived so long was a good one: the back-off starts anew.
STABLE_S = 1.0
#: A peer that is said to be back is dialled at most so often on account of that: the word of others may change without end.
HURRY_S = 1.0


@implementer(IConnector)
class EndpointConnector:
    """
    A connector that dials an endpoint.

    :param endpoint: makes the endpoint for one attempt.
    :param factory: told how the attempt and its connection ended.
    """

    def __init__(
        self, endpoint: Callable[[], IStreamClientEndpoint], factory: ReconnectingClientFactory
    ) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._attempt: Deferred[IProtocol] | None = None
        self.protocol: Tunnel | None = None

    def connect(self) -> None:
        """Start an attempt, unless there is one or its connection lives."""
        if self._attempt is not None or self.protocol is not None:
            return
        self._factory.doStart()
        self._factory.startedConnecting(self)
        try:
            self._attempt = self._endpoint().connect(self._factory)
        except Exception:  # noqa: BLE001 - whatever an endpoint's construction raises is a failed attempt
            self._failed(Failure())
            return
        self._attempt.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: Tunnel) -> None:
        self._attempt = None
        # It may have come and gone within the attempt.
        self.protocol = protocol if protocol.up else None

    def _failed(self, reason: Failure) -> None:
        self._attempt = None
        if not reason.check(CancelledError):
            self._factory.clientConnectionFailed(self, reason)
        self._factory.doStop()

    def lost(self, reason: Failure) -> None:
        """The connection ended."""
        self.protocol = None
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()

    def stopConnecting(self) -> None:
        """Give up the attempt under way."""
        if self._attempt is not None:
            self._attempt.cancel()

    def disconnect(self) -> None:
        """End whatever there is."""
        self.stopConnecting()
        if self.protocol is not None:
            self.protocol.transport.loseConnection()

    def getDestination(self) -> Any:
        """Where the connection leads; None while there is none."""
        return None if self.protocol is None else self.protocol.transport.getPeer()


class Peer(ReconnectingClientFactory):
    """
    Keeps one tunnel.

    :param uplink: whom the tunnel is for; makes the endpoints, and is told of everything that happens to it.
    :param backoff: how long to wait between two attempts.
    :param dial_address: one address of the host; None to resolve its name anew for each attempt.
    """

    noisy = False
    log = Logger()

    def __init__(self, uplink: Uplink, backoff: Backoff, dial_address: str | None = None) -> None:
        self.uplink = uplink
        self.clock: Any = uplink.context.reactor
        self.dial_address = dial_address
        self.tunnel: Tunnel | None = None
        #: The process at the other end and what it calls itself (`Kwic-Instance`).
        self.instance = ""
        self.node = ""
        #: What its certificate says; decisions about streams are made from it.
        self.identity: PeerIdentity | None = None
        #: How many nodes there are, as it said last.
        self.nodes: Nodes | None = None
        self.label = f"{uplink.address}" + (f" at {dial_address}" if dial_address else "")
        self._backoff = backoff
        self._connector = EndpointConnector(self._endpoint, self)
        self._callID: Any = None
        self._complaints = Complaints()
        #: When it was dialled in a hurry last, or will be.
        self._hurried_s = float("-inf")

    def _endpoint(self) -> IStreamClientEndpoint:
        return self.uplink.endpoint(self)

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Dial now, and from now on."""
        self.continueTrying = 1
        self._connector.connect()

    def stop(self) -> None:
        """Dial no more, and end the tunnel."""
        self.stopTrying()
        self._connector.stopConnecting()
        if self.tunnel is not None:
            self.tunnel.close()

    def retire(self) -> None:
        """Dial no more; the tunnel ends when its streams have."""
        self.stopTrying()
        self._connector.stopConnecting()
        if self.tunnel is not None:
            self.tunnel.drain(self.tunnel.close)

    def hurry(self) -> None:
        """There is reason to believe that the peer is back: dial now instead of when the back-off says, or as soon as that may be done again."""
        if self._callID is None or not self._callID.active():
            return
        now_s = self.clock.seconds()
        due_s = max(now_s, self._hurried_s + HURRY_S)
        if due_s < self._callID.getTime():
            self._backoff.reset()
            self._hurried_s = due_s
            self._callID.reset(due_s - now_s)

    # -- ReconnectingClientFactory ------------------------------------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> Tunnel:
        """The tunnel for a link that was opened."""
        return self.uplink.build_tunnel(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """An attempt failed: say each reason once, and wait."""
        error = reason.getErrorMessage()
        self.uplink.attempt_failed(self, reason)
        if self.continueTrying and self._complaints.is_new(error):
            self.log.warn("{peer}: {error}; dialling again until it answers", peer=self.label, error=error)
        self.retry(connector)

    def clientConnectionLost(self, connector: IConnector, unused_reason: Failure) -> None:
        """The tunnel is gone: dial again."""
        self.retry(connector)

    def retry(self, connector: IConnector | None = None) -> None:
        """Dial again when the back-off says so."""
        if not self.continueTrying or (self._callID is not None and self._callID.active()):
            return
        delay = self._backoff.next()
        self.retries += 1
        self.log.debug("{peer}: dialling again in {delay:.1f} s", peer=self.label, delay=delay)
        self._callID = self.clock.callLater(delay, self._dial_again)

    def _dial_again(self) -> None:
        self._callID = None
        self._connector.connect()

    def resetDelay(self) -> None:
        """Start the back-off anew."""
        self.retries = 0
        self._complaints.settle()
        self._backoff.reset()

    # -- TunnelUser ---------------------------------------------------------------------------------------------------------

    def tunnel_up(self, tunnel: Tunnel) -> None:
        """The session can begin; the peer has said who it is."""
        self.tunnel = tunnel
        self.uplink.tunnel_up(self)

    def stream_opened(self, tunnel: Tunnel, stream: Stream) -> None:
        """The peer opened a stream."""
        self.uplink.stream_opened(self, stream)

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """Suspect, trusted, or draining."""
        self.uplink.peer_changed(self)

    def tunnel_down(self, tunnel: Tunnel, reason: Failure) -> None:
        """The tunnel is gone."""
        up_since, self.tunnel = tunnel.up_since_s, None
        self.uplink.context.far_instances.went(tunnel)
        if up_since is not None and self.clock.seconds() - up_since > STABLE_S:
            self.resetDelay()
        self.uplink.tunnel_down(self, reason)
        self._connector.lost(reason)
