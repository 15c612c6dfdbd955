"""
One link between this instance and another member: a tunnel, and in it a control stream with the messages of the cluster.

The first stream that the dialler opens is the control stream. Either side says hello on it, the listener only after it has heard one: a stranger gets
nothing. Every later stream asks for a name (protocol.md, Between cluster members).
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from kwic.config.model import Liveness
from kwic.errors import ProtocolError
from kwic.policy.liveness import Timing
from kwic.service.context import Context
from kwic.transport.negotiation import Acceptor
from kwic.transport.stream import Stream
from kwic.transport.tls_failures import explain_tls_failure
from kwic.transport.tunnel import Tunnel
from kwic.wire.cluster_messages import Hello, Leaving, Message, MessageReader, encode
from kwic.wire.socks5 import Command, Rep, Request

#: From the TCP connect until the hello: TCP, TLS and the first message together.
HELLO_S = 5.0
#: What a stranger may send before its hello is whole: a hello has a few hundred bytes.
HELLO_MAXIMUM_BYTES = 16_384
#: How long a goodbye may take before the link is cut.
GOODBYE_S = 1.0

#: How long a link that is not needed any more stays when no stream uses it: the other end may just be opening one.
RETIRE_S = 1.0


class LinkTiming(Timing):
    """Suspicion is cheap and is taken back, death cuts streams: the one comes early, the other late."""

    @property
    def suspect_after_s(self) -> float:
        """Silence before suspicion: two pings unanswered."""
        return 2 * self.ping_after_s


TIMING = LinkTiming(ping_after_s=0.5, dead_after_s=4.0)
FAST_TIMING = LinkTiming(ping_after_s=0.5, dead_after_s=1.5)
#: By the `kwic:liveness` of the most impatient service.
TIMINGS = {Liveness.NORMAL: TIMING, Liveness.FAST: FAST_TIMING}


class LinkUser(Interface):
    """Whoever keeps the links."""

    def link_opened(self, link: Link) -> None:
        """A link that we dialled can be spoken on: say hello."""

    def link_greeted(self, link: Link, hello: Hello) -> None:
        """The other end has said who it is: answer, close, or `adopt` it."""

    def link_said(self, link: Link, message: Message) -> None:
        """A message of an adopted link."""

    def link_asked(self, link: Link, acceptor: Acceptor, name: str) -> None:
        """The other end of an adopted link asks for a name on behalf of a client."""

    def link_changed(self, link: Link) -> None:
        """An adopted link became suspect, is trusted again, or drains."""

    def link_down(self, link: Link, why: str) -> None:
        """The link is gone; called once for each that was up."""


class Link:
    """
    A link to another member, or to somebody who has yet to say that he is one.

    :param user: whoever keeps the links.
    :param context: the gateway's surroundings.
    :param dialled: whether we dialled it.
    :param where: the far address, for logs.
    :param timing: when silence is suspicious, and when it is death.
    """

    def __init__(
        self, user: LinkUser, context: Context, *, dialled: bool, where: str, timing: Timing = TIMING
    ) -> None:
        self._user = user
        self._clock: Any = context.reactor
        self._requests = context.requests
        self.dialled = dialled
        self.where = where
        self.tunnel = Tunnel(
            self, self._clock, dialer=dialled, timing=timing, limits=context.limits, peer=where
        )
        #: What the other end said of itself.
        self.hello: Hello | None = None
        #: It is one of ours: its streams are served.
        self.adopted = False
        self.adopted_s: float | None = None
        #: The rule that the other end broke, or why TLS failed.
        self.fault = ""
        #: It is not needed any more.
        self.retired = False
        #: We have said goodbye; what still comes is not listened to.
        self.closing = False
        self._control: _Control | None = None
        self._deadline: Any = None
        self._why = ""

    @property
    def usable(self) -> bool:
        """Whether streams may be opened."""
        return self.adopted and not self.retired and not self.closing and self.tunnel.usable

    @property
    def peer_host(self) -> str:
        """The far address of the connection."""
        return str(getattr(self.tunnel.transport.getPeer(), "host", ""))

    # -- speaking -----------------------------------------------------------------------------------------------------------

    def greet(self, hello: Hello) -> None:
        """Say who we are."""
        if self._control is not None:
            self._control.write(encode(hello))

    def adopt(self, name: str) -> None:
        """
        Trust the other end from now on.

        :param name: what it is called in logs.
        """
        self.adopted = True
        self.adopted_s = self._clock.seconds()
        self.tunnel.peer = name
        self.tunnel.known = True
        self._cancel()

    def tell(self, news: bytes) -> None:
        """Send an encoded message that replaces what was told before: while the link is full, only the last one waits."""
        if self._control is not None and self.adopted and not self.closing:
            self._control.tell(news)

    def say(self, message: Message) -> None:
        """Send a message; not for news that are told often."""
        if self._control is not None and self.adopted and not self.closing:
            self._control.write(encode(message))

    def goodbye(self, message: Leaving) -> None:
        """Say that we stop, and close."""
        self.say(message)
        self.close("we are leaving")

    # -- ending -------------------------------------------------------------------------------------------------------------

    def close(self, why: str) -> None:
        """Send what was said, and close."""
        if self.closing:
            return
        self.closing = True
        self._why = self._why or why
        self._cancel()
        if self.tunnel.up:
            self._deadline = self._clock.callLater(GOODBYE_S, self.tunnel.abort, why)
            self.tunnel.close()

    def retire(self, why: str) -> None:
        """
        Close as soon as no stream has used the link for a moment; new ones go elsewhere.

        The other end has another link too and prefers it, so it is not told to open nothing here.
        """
        if not self.retired and not self.closing:
            self.retired = True
            self._deadline = self._clock.callLater(RETIRE_S, self._retire, why)

    def _retire(self, why: str) -> None:
        if self.tunnel.clients:
            self._deadline = self._clock.callLater(RETIRE_S, self._retire, why)
        else:
            self.close(why)

    def abort(self, why: str) -> None:
        """Cut it."""
        self.closing = True
        self._why = self._why or why
        self._cancel()
        self.tunnel.abort(why)

    def _cancel(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    # -- TunnelUser ---------------------------------------------------------------------------------------------------------

    def tunnel_up(self, tunnel: Tunnel) -> None:
        """TCP is connected; TLS, where there is any, is not yet. It may be a stranger's."""
        tunnel.known = False
        self._deadline = self._clock.callLater(HELLO_S, self.abort, "it did not say hello in time")
        if self.dialled:
            self._control = _Control(self)
            tunnel.open(self._control).housekeeping = True

    def stream_opened(self, tunnel: Tunnel, stream: Stream) -> None:
        """The other end opened a stream: the control stream first, then streams for clients."""
        if self._control is None:
            self._control = _Control(self)
            stream.housekeeping = True
            stream.attach(self._control)
        elif self.adopted and not self.closing:
            stream.attach(Acceptor(self._requests, self._requested))
        else:
            stream.abortConnection()

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """Suspect, trusted or draining."""
        if self.adopted:
            self._user.link_changed(self)

    def tunnel_down(self, tunnel: Tunnel, reason: Failure) -> None:
        """The link is gone."""
        self._cancel()
        self.closing = True
        why = _explain(reason)
        self.fault = self.fault or tunnel.fault
        if not reason.check(ConnectionDone, ConnectionLost, ConnectionAborted):
            self.fault = self.fault or why
        self._user.link_down(self, self._why or why)

    def _requested(self, acceptor: Acceptor, request: Request) -> None:
        if request.command is Command.CONNECT:
            self._user.link_asked(self, acceptor, request.host)
        else:
            acceptor.refuse(Rep.COMMAND_NOT_SUPPORTED)

    # -- called by the control stream ---------------------------------------------------------------------------------------

    def control_open(self) -> None:
        """The control stream of a link that we dialled is open."""
        if self.dialled:
            self._user.link_opened(self)

    def heard(self, message: Message) -> None:
        """The other end said something."""
        if self.closing:
            return
        if self.hello is None:
            if isinstance(message, Hello):
                self.hello = message
                self._user.link_greeted(self, message)
            else:
                self.broken("it did not say hello first")
        elif self.adopted:
            self._user.link_said(self, message)

    def broken(self, why: str) -> None:
        """The other end broke a rule."""
        self.fault = why
        self.abort(why)

    def control_lost(self) -> None:
        """A link without its control stream is of no use."""
        if self.tunnel.up and not self.closing:
            self.abort("the control stream ended")


class _Control(Protocol):
    """The control stream at one end of a link."""

    transport: Stream

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reader = MessageReader()
        self._heard_bytes = 0
        self._full = False
        self._news: bytes | None = None

    def connectionMade(self) -> None:
        """Messages can be sent."""
        self.transport.registerProducer(self, True)
        self._link.control_open()

    def dataReceived(self, data: bytes) -> None:
        """Cut out the messages."""
        self._heard_bytes += len(data)
        try:
            messages = self._reader.receive(data)
        except ProtocolError as error:
            self._link.broken(str(error))
            return
        for message in messages:
            self._link.heard(message)
        if self._link.hello is None and self._heard_bytes > HELLO_MAXIMUM_BYTES:
            self._link.broken("it says much and no hello")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is over."""
        self._link.control_lost()

    def write(self, message: bytes) -> None:
        """Send a message."""
        self.transport.write(message)

    def tell(self, news: bytes) -> None:
        """Send news, or keep it until there is room."""
        if self._full:
            self._news = news
        else:
            self.transport.write(news)

    # -- IPushProducer ------------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The other end does not keep up."""
        self._full = True

    def resumeProducing(self) -> None:
        """There is room again: send what is the news by now."""
        self._full = False
        if self._news is not None:
            news, self._news = self._news, None
            self.tell(news)

    def stopProducing(self) -> None:
        """The stream is gone; `connectionLost` follows."""


def _explain(reason: Failure) -> str:
    """Why a connection ended, in one line."""
    if reason.check(ConnectionLost) and reason.value is not None and reason.value.args:
        return str(reason.value.args[0])
    return explain_tls_failure(reason)
