"""
A proxy service: each client that comes is joined with a connection that is dialled for it.

Clients come on a listener (a leg), or in a tunnel (an acceptor); where they are to go, the service's path source says. A client is not read before the
far end has answered, and is reset when there is no way to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from kwic.config.ends import accept_ends, connect_ends
from kwic.config.model import Service
from kwic.policy.attempts import Reason
from kwic.service.context import Context
from kwic.service.dial import Dial
from kwic.service.path import PathSource
from kwic.service.recovery import Recovery, State
from kwic.service.refusals import Refusals
from kwic.service.switchboard import Asker
from kwic.transport.bound import set_bound
from kwic.transport.connection_log import client_text
from kwic.transport.leg import Leg
from kwic.transport.paced import PacedTransport
from kwic.transport.relay import Relay
from kwic.wire.socks5 import Rep

#: The close code for a far end that could not be dialled (IANA WebSocket close code registry).
BAD_GATEWAY = 1014


class Proxy:
    """
    What a proxy service does with its clients.

    :param service: what was asked for.
    :param source: where its paths come from.
    :param context: the gateway's surroundings.
    """

    def __init__(self, service: Service, source: PathSource, context: Context) -> None:
        self.service = service
        self.source = source
        self._clock = context.reactor
        self._closing = context.closing
        self._dials = context.dials
        self._relays = context.relays
        self._draw = context.random
        self._refusals = Refusals(context.reactor)
        #: Clients that wait for a path.
        self.waiting = 0
        self.served = 0
        self.failed = 0
        #: Watches the back end, where the service can be taken out of a balancer or a rendezvous.
        self.recovery: Recovery | None = None
        #: Bytes per second to each client that comes over the network.
        self._rate = outbound_rate(service)
        #: One for all relays.
        self._relay_done = self._relays.remove if self._rate is None else self._done

    @property
    def quiesced(self) -> bool:
        """Whether the back end could not be reached, and is being probed."""
        return self.recovery is not None and self.recovery.state is State.QUIESCED

    def protocol(self, peer: IAddress | None) -> Leg:
        """
        What talks to a client on a listener.

        :param peer: where the client comes from, when that is known.
        """
        return Leg(on_ready=partial(self._came, peer))

    def _came(self, peer: IAddress | None, near: Leg) -> None:
        """A client on a listener: its leg is ready and paused."""

        def on_failure(rep: Rep, why: str) -> None:
            self._gave_up(client_text(peer), why)
            near.on_lost = None
            turn_away(near)

        dial = self._dial(partial(self._join, near), on_failure, peer)
        near.on_lost = partial(self._left, dial)
        dial.start()

    def request(self, acceptor: Asker, sender: str) -> None:
        """
        Serve a client that a peer brought.

        :param acceptor: its stream in a tunnel, or its connection.
        :param sender: the peer, in log lines.
        """

        def on_failure(rep: Rep, why: str) -> None:
            self._gave_up(f"a client from {sender}", why)
            acceptor.refuse(rep)

        if self.quiesced:
            acceptor.refuse(Rep.HOST_UNREACHABLE)
            return
        dial = self._dial(lambda far: self._join(acceptor.accept(), far), on_failure)
        acceptor.on_lost = partial(self._left, dial)
        dial.start()

    def stop(self) -> None:
        """Probe the back end no more."""
        if self.recovery is not None:
            self.recovery.stop()

    def _dial(
        self,
        on_success: Callable[[Leg], None],
        on_failure: Callable[[Rep, str], None],
        client: IAddress | None = None,
    ) -> Dial:
        self.waiting += 1
        dial = Dial(
            self._clock,
            self.source,
            on_success=on_success,
            on_failure=on_failure,
            client=client,
            draw=self._draw,
            on_over=self._relays.decided,
            first=self._dials,
        )
        self._relays.expect(dial)
        return dial

    def _left(self, dial: Dial, *gone: Leg | Failure) -> None:
        """The client went before it was served."""
        self.waiting -= 1
        dial.cancel()

    def _join(self, near: Leg, far: Leg) -> None:
        self.waiting -= 1
        self.served += 1
        if self._rate is not None:
            # What waits for its time is all that waits: nothing more behind it.
            set_bound(near.transport, 0)
            near.transport = PacedTransport(near.transport, self._rate, self._clock)
        for leg in (near, far):
            set_bound(leg.transport, self.service.maximum_pending_bytes)
        relay = Relay(near, far, self._clock, on_done=self._relay_done, closing=self._closing)
        self._relays.add(relay)
        relay.start()

    def _done(self, relay: Relay) -> None:
        """A client that was sent at a limited rate has left."""
        self._relays.remove(relay)
        relay.near.transport.stop()

    def _gave_up(self, who: str, why: str) -> None:
        self.waiting -= 1
        self.failed += 1
        if self.recovery is not None:
            self.recovery.failed()
        if why == Reason.NO_PATH.value:
            why = self._no_path()
        self._refusals.unserved(who, self.service.name, " or ".join(map(str, self.service.connects)), why)

    def _no_path(self) -> str:
        """What it means that there was nothing to try, all the time."""
        waited = f"for {self.source.timeout_s:g} s"
        tunnels = [end for end in connect_ends(self.service) if end.is_tunnel]
        offered = [key for end in tunnels if end.listens for key in end.keys]
        if offered:
            return f"nobody has offered {' or '.join(offered)} {waited}; is an instance of the other side connected?"
        return f"no tunnel there was up {waited}; earlier lines say why"


def turn_away(leg: Leg) -> None:
    """Reset a client that cannot be served; one on a WebSocket is told so (close code 1014, Bad Gateway)."""
    close = getattr(leg.transport, "close", None)
    if close is None:
        leg.reset()
    else:
        close(BAD_GATEWAY, "the service cannot be reached")


def outbound_rate(service: Service) -> int | None:
    """:returns: `tcp.maximum.outbound.rate` of a service to which clients come over the network."""
    from_network = any(end.listens and not end.is_tunnel for end in accept_ends(service))
    return service.accept_options.tcp_maximum_outbound_rate if from_network else None
