"""The echo service: says back what it hears, `repeat` times."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.config.model import Service
from kwic.transport.leg import can_half_close, tune
from kwic.transport.relay import Source


@implementer(IHalfCloseableProtocol)
class EchoProtocol(Protocol):
    """One client of it; it is read no faster than it reads."""

    transport: Any

    def __init__(self, repeat: int) -> None:
        self._repeat = repeat

    def connectionMade(self) -> None:
        """The transport is its own consumer."""
        tune(self.transport)
        self.transport.registerProducer(Source(self.transport), True)

    def dataReceived(self, data: bytes) -> None:
        """Say it back."""
        for _ in range(self._repeat):
            self.transport.write(data)

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


class Echo:
    """
    What an echo service does with its clients.

    :param service: what was asked for.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    def protocol(self, who: str) -> Protocol:
        """For one client."""
        return EchoProtocol(self.service.repeat)
