"""Tests of names that are being looked up when what needs them stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostResolution
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.config.address import parse_address
from kwic.service.context import Context
from kwic.service.socks_uplink import SocksUplink
from kwic.service.uplink import RESOLVE_S, Uplink, UplinkOptions
from kwic.transport.name_endpoint import resolve
from kwic.transport.remembered_names import RememberingResolver


@implementer(IHostResolution)
class Unstoppable:
    """Twisted's: it cannot be taken back."""

    name = "cloud.example.com"

    def cancel(self) -> None:
        raise NotImplementedError


class Servers:
    """Answer when the test says so."""

    def __init__(self) -> None:
        self.asking: list[Any] = []

    def resolveHostName(self, receiver: Any, host: str, *rest: Any) -> None:
        receiver.resolutionBegan(Unstoppable())
        self.asking.append(receiver)

    def answer(self) -> None:
        for receiver in self.asking:
            receiver.addressResolved(IPv4Address("TCP", "10.0.0.1", 0))
            receiver.resolutionComplete()
        self.asking.clear()


class Nowhere:
    """An endpoint that does not get through."""

    def connect(self, factory: Any) -> Deferred[Any]:
        return Deferred()


class TunnelUplink(Uplink):
    """One whose dials do not get through."""

    def endpoint(self, peer: Any) -> Any:
        return Nowhere()


class StoppingTests(SynchronousTestCase):
    """Whoever stops waits for no answer."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.servers = Servers()
        self.clock.nameResolver = RememberingResolver(self.clock, self.servers)  # type: ignore[arg-type]
        self.context = Context(reactor=self.clock, node="agent", random=lambda: 0.5)

    def uplinks(self) -> list[Any]:
        """Both kinds."""
        address = parse_address("ws://cloud.example.com/kwic")
        socks = SocksUplink(self.context, "cloud", "cloud.example.com", lambda address: Nowhere())
        return [TunnelUplink(self.context, address, UplinkOptions()), socks]

    def ask_again(self, uplink: Any) -> None:
        """It knows the addresses, and asks for them again."""
        self.clock.nameResolver = RememberingResolver(self.clock, self.servers)  # type: ignore[arg-type]
        uplink.startService()
        self.servers.answer()
        for _ in range(20 * int(RESOLVE_S)):
            if not self.servers.asking:
                self.clock.advance(0.1)
        self.assertEqual(len(self.servers.asking), 1)

    def test_stop(self) -> None:
        """Nothing is scheduled when it has stopped, and an answer that comes then harms nobody."""
        for uplink in self.uplinks():
            self.ask_again(uplink)
            uplink.stopService()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.servers.answer()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain(self) -> None:
        """Nothing is scheduled either when it dials no more because it leaves."""
        for uplink in self.uplinks():
            self.ask_again(uplink)
            uplink.drain()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            uplink.stopService()
            self.servers.answer()

    def test_again(self) -> None:
        """What is started again asks again."""
        for uplink in self.uplinks():
            uplink.startService()
            uplink.stopService()
            self.servers.answer()
            uplink.startService()
            self.assertEqual(len(self.servers.asking), 1)
            uplink.stopService()
            self.servers.answer()

    def test_dial(self) -> None:
        """A dial that is given up waits for no answer, even of a resolver that cannot take a question back."""
        for resolver in (self.servers, RememberingResolver(self.clock, self.servers)):  # type: ignore[arg-type]
            self.clock.nameResolver = resolver
            self.successResultOf(self._answered(resolve(self.clock, "cloud.example.com")))
            given_up = resolve(self.clock, "cloud.example.com")
            given_up.addErrback(lambda failure: None)
            given_up.cancel()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.servers.answer()

    def _answered(self, asked: Deferred[Any]) -> Deferred[Any]:
        self.servers.answer()
        return asked
