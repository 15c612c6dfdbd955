"""The tunnels that others dialled to us, at one address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic.policy.liveness import NORMAL, Timing
from kwic.service.context import Context
from kwic.service.switchboard import Switchboard
from kwic.transport.ending import explain_end
from kwic.transport.stream import Stream
from kwic.transport.tls import PeerIdentity
from kwic.transport.tunnel import Tunnel
from kwic.transport.websocket_server import Accept, UpgradeRequest
from kwic.wire.kwic_headers import (
    INSTANCE_HEADER,
    NODES_HEADER,
    TUNNEL_SUBPROTOCOL,
    Nodes,
    format_nodes,
    parse_instance,
)


class InboundTunnels:
    """
    Takes tunnels.

    :param context: the gateway's surroundings.
    :param switchboard: what the streams that come in them may reach.
    :param nodes: how many nodes there are to meet; None where nobody knows.
    """

    def __init__(
        self,
        context: Context,
        switchboard: Switchboard,
        nodes: Callable[[], Nodes | None],
        timing: Timing = NORMAL,
    ) -> None:
        self._context = context
        self._switchboard = switchboard
        self._nodes = nodes
        self._timing = timing
        self._draining = False
        self.guests: dict[Guest, None] = {}

    @property
    def tunnels(self) -> Sequence[Tunnel]:
        """Those that are up."""
        return [guest.tunnel for guest in self.guests]

    def accept(self, request: UpgradeRequest) -> Accept:
        """Open a tunnel with whoever asks for one."""
        who = parse_instance(request.headers.get(INSTANCE_HEADER.lower()))
        guest = Guest(self, self._context, self._switchboard, request.identity, self._timing)
        host = getattr(request.peer, "host", "?")
        guest.node = who.node if who is not None else ""
        guest.instance = who.uuid if who is not None else ""
        guest.tunnel.peer = f"{guest.node or '?'} at {host}"
        headers = {INSTANCE_HEADER: self._context.identity}
        nodes = self._nodes()
        if nodes is not None:
            headers[NODES_HEADER] = format_nodes(nodes)
        return Accept(
            protocol=guest.tunnel,
            subprotocol=TUNNEL_SUBPROTOCOL,
            headers=headers,
            message_limit_bytes=None,
            reject_text=True,
        )

    def drain(self) -> None:
        """Ask for no new streams: whoever dialled finds another node."""
        self._draining = True
        for tunnel in self.tunnels:
            tunnel.drain()

    def close(self) -> None:
        """End them all."""
        for tunnel in self.tunnels:
            tunnel.close()

    def came(self, guest: Guest) -> None:
        """A tunnel is up."""
        self.guests[guest] = None
        self._context.far_instances.came(guest.tunnel, guest.instance)
        if self._draining:
            guest.tunnel.drain()

    def went(self, guest: Guest) -> None:
        """A tunnel is gone."""
        self.guests.pop(guest, None)
        self._context.far_instances.went(guest.tunnel)


class Guest:
    """One of them, and who is at its other end."""

    log = Logger()

    def __init__(
        self,
        inbound: InboundTunnels,
        context: Context,
        switchboard: Switchboard,
        identity: PeerIdentity | None,
        timing: Timing,
    ) -> None:
        self._inbound = inbound
        self._switchboard = switchboard
        self.identity = identity
        self.node = ""
        self.instance = ""
        self.tunnel = Tunnel(self, context.reactor, dialer=False, timing=timing, limits=context.limits)

    def tunnel_up(self, tunnel: Tunnel) -> None:
        """The session can begin."""
        self._inbound.came(self)
        self.log.info("tunnel from {peer} is up", peer=tunnel.peer)

    def stream_opened(self, tunnel: Tunnel, stream: Stream) -> None:
        """The dialler opened a stream."""
        self._switchboard.connect(tunnel, stream, self.identity)

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """Suspect, trusted, or draining: whoever holds its names looks at it himself."""
        names: Any = self._switchboard.names
        if names is not None:
            names.changed()

    def tunnel_down(self, tunnel: Tunnel, reason: Failure) -> None:
        """It is gone."""
        self._inbound.went(self)
        self.log.info("tunnel from {peer} is gone: {reason}", peer=tunnel.peer, reason=explain_end(reason))
