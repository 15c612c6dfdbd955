"""Tests of TCP to addresses, on a network in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.leg import Leg
from kwic.transport.name_endpoint import address_endpoint
from test.sim.network import SimNetwork


class Finisher(Protocol):
    """A back end that finishes first and hears the client out."""

    heard = b""
    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(b"that is all")
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


class AddressEndpointTests(SynchronousTestCase):
    """A connection to a literal address."""

    def connect(self, factory: Any) -> tuple[Any, Finisher]:
        """A client of a back end that finishes first."""
        self.network = SimNetwork()
        near, far = self.network.host("near", "10.0.0.1"), self.network.host("far", "10.0.0.2")
        back_end = Finisher()
        listener = Factory()
        listener.noisy = False
        listener.buildProtocol = lambda addr: back_end
        far.listenTCP(80, listener)
        connected = address_endpoint(near, "10.0.0.2", 80, 5).connect(factory)
        self.network.run_until(lambda: connected.called)
        return self.successResultOf(connected), back_end

    def test_half_close(self) -> None:
        """When the back end has finished, the leg hears of it and may still send."""
        ends: list[Leg] = []
        factory = Factory.forProtocol(Leg)
        factory.noisy = False
        leg, back_end = self.connect(factory)
        leg.on_end = ends.append
        heard: list[bytes] = []
        leg.sink = heard.append
        leg.transport.resumeProducing()
        self.network.run(1)
        self.assertEqual((heard, ends, leg.lost), ([b"that is all"], [leg], None))
        leg.transport.write(b"thank you")
        leg.transport.loseConnection()
        self.network.run(1)
        self.assertEqual(back_end.heard, b"thank you")

    def test_refused(self) -> None:
        """Nobody listens: the connect fails."""
        network = SimNetwork()
        near = network.host("near", "10.0.0.1")
        network.host("far", "10.0.0.2")
        refused = address_endpoint(near, "10.0.0.2", 80, 5).connect(Factory.forProtocol(Leg))
        network.run(1)
        self.failureResultOf(refused)
