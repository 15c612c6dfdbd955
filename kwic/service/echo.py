"""The echo service: says back what it hears, `repeat` times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import Service
from kwic.service.context import Context
from kwic.service.relays import Relays
from kwic.transport.leg import can_half_close, tune
from kwic.transport.paced import PacedTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol):
    """
    One client of it; it is read no faster than it reads.

    :param repeat: how often it hears itself.
    :param relays: the clients of the gateway, of which it is one while it is connected.
    :param rate: bytes per second that it is sent; None for as fast as it reads.
    :param clock: for the rate.
    """

    transport: Any

    def __init__(self, repeat: int, relays: Relays, rate: int | None = None, clock: Any = None) -> None:
        self._repeat = repeat
        self._relays = relays
        self._rate = rate
        self._clock = clock
        #: Called when the client has left.
        self.on_gone: Callable[[Failure], None] | None = None

    def connectionMade(self) -> None:
        """The transport is its own consumer."""
        tune(self.transport)
        if self._rate is not None:
            self.transport = PacedTransport(self.transport, self._rate, self._clock)
        self.transport.registerProducer(self, True)
        self._relays.add(self)

    def abort(self) -> None:
        """Reset it."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Say it back."""
        for _ in range(self._repeat):
            self.transport.write(data)

    def pauseProducing(self) -> None:
        """The client does not read: it is not read either."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It reads again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """It is gone; `connectionLost` follows."""

    def readConnectionLost(self) -> None:
        """The client has said everything; so have we, when it is sent."""
        self.transport.unregisterProducer()
        if can_half_close(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Both directions are over."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left."""
        self._relays.remove(self)
        if self.on_gone is not None:
            self.on_gone(reason)
        if isinstance(self.transport, PacedTransport):
            self.transport.stop()


class Echo:
    """
    What an echo service does with its clients.

    :param service: what was asked for.
    :param context: the gateway's surroundings.
    """

    def __init__(self, service: Service, context: Context) -> None:
        self.service = service
        self._clock = context.reactor
        self._relays = context.relays
        self._rate = service.accept_options.tcp_maximum_outbound_rate

    @property
    def quiesced(self) -> bool:
        """There is nothing behind it that could be missing."""
        return False

    def stop(self) -> None:
        """Nothing goes on by itself."""

    def protocol(self, peer: IAddress | None) -> EchoProtocol:
        """For one client."""
        return EchoProtocol(self.service.repeat, self._relays, self._rate, self._clock)
