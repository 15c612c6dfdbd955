"""Tests of names whose servers are late or silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from kwic.transport.remembered_names import (
    LATE_S,
    NAMES_MAXIMUM,
    REMEMBER_S,
    Question,
    RememberingResolver,
    Waiter,
)


@implementer(IHostnameResolver)
class Servers:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def resolveHostName(
        self, resolutionReceiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"
    ):
        self.asked.append((hostName, resolutionReceiver))

    def answer(self, *addresses: str) -> None:
        """Answer the oldest question."""
        _, receiver = self.asked.pop(0)
        for address in addresses:
            receiver.addressResolved(IPv4Address("TCP", address, 0))
        receiver.resolutionComplete()


@implementer(IResolutionReceiver)
class Asker:
    """Somebody who asks."""

    def __init__(self) -> None:
        self.resolution: IHostResolution | None = None
        self.found: list[str] = []
        self.completed = 0

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address) -> None:
        self.found.append(address.host)

    def resolutionComplete(self) -> None:
        self.completed += 1


class RememberingResolverTests(SynchronousTestCase):
    """Who gets which addresses, and when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.servers = Servers()
        self.resolver = RememberingResolver(self.clock, self.servers)

    def ask(self, host: str = "example.com") -> Asker:
        """One more question."""
        asker = Asker()
        self.resolver.resolveHostName(asker, host)
        return asker

    def learn(self, *addresses: str) -> None:
        """A good answer."""
        self.ask()
        self.servers.answer(*addresses)

    def assert_answered(self, asker: Asker, addresses: Sequence[str]) -> None:
        """It has been answered, once, with these."""
        self.assertEqual((asker.found, asker.completed), (list(addresses), 1))

    def test_interfaces(self) -> None:
        """It is what a reactor takes for a resolver."""
        verifyObject(IHostnameResolver, self.resolver)
        verifyObject(IHostResolution, Waiter("example.com", Asker()))
        verifyObject(IResolutionReceiver, Question(0.0, print))

    def test_every_connection_asks_anew(self) -> None:
        """A good answer is not kept while the servers answer."""
        self.learn("192.0.2.1")
        asker = self.ask("Example.com")
        self.assertEqual(asker.completed, 0)
        self.servers.answer("192.0.2.2", "192.0.2.3")
        self.assert_answered(asker, ["192.0.2.2", "192.0.2.3"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """While an answer is late the last one serves; the late one is remembered when it comes."""
        self.learn("192.0.2.1")
        asker = self.ask()
        self.clock.advance(LATE_S)
        self.assert_answered(asker, ["192.0.2.1"])
        self.servers.answer("192.0.2.2")
        self.assert_answered(asker, ["192.0.2.1"])
        later = self.ask()
        self.clock.advance(LATE_S)
        self.assert_answered(later, ["192.0.2.2"])

    def test_one_question_at_a_time(self) -> None:
        """Silent servers are asked once, and those who come while the answer is late do not wait at all."""
        self.learn("192.0.2.1")
        askers = [self.ask(), self.ask()]
        self.clock.advance(LATE_S)
        askers.append(self.ask())
        for asker in askers:
            self.assert_answered(asker, ["192.0.2.1"])
        self.assertEqual(len(self.servers.asked), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_joins_waits_no_longer_than_the_first(self) -> None:
        """The time counts from the question."""
        self.learn("192.0.2.1")
        self.ask()
        self.clock.advance(LATE_S * 0.9)
        asker = self.ask()
        self.clock.advance(LATE_S * 0.2)
        self.assert_answered(asker, ["192.0.2.1"])

    def test_failure(self) -> None:
        """Where no address is found the last ones serve."""
        self.learn("192.0.2.1")
        asker = self.ask()
        self.servers.answer()
        self.assert_answered(asker, ["192.0.2.1"])

    def test_never_known(self) -> None:
        """What never had an answer waits for one, and hears when there is none."""
        askers = [self.ask("nowhere.example"), self.ask("nowhere.example")]
        self.clock.advance(60)
        self.assertEqual([asker.completed for asker in askers], [0, 0])
        self.servers.answer()
        for asker in askers:
            self.assert_answered(asker, [])

    def test_too_old(self) -> None:
        """After a day a remembered address is none."""
        self.learn("192.0.2.1")
        self.clock.advance(REMEMBER_S + 1)
        asker = self.ask()
        self.clock.advance(LATE_S)
        self.assertEqual(asker.completed, 0)
        self.servers.answer()
        self.assert_answered(asker, [])

    def test_names_are_bounded(self) -> None:
        """The names asked for longest ago are forgotten first."""
        self.learn("192.0.2.1")
        for number in range(NAMES_MAXIMUM):
            self.ask(f"host{number}.example")
            self.servers.answer("192.0.2.9")
        asker = self.ask()
        self.clock.advance(LATE_S)
        self.assertEqual(asker.completed, 0)

    def test_cancel(self) -> None:
        """Who waits no longer leaves no timer behind."""
        self.learn("192.0.2.1")
        asker = self.ask()
        assert asker.resolution is not None
        asker.resolution.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.servers.answer("192.0.2.2")
        self.assertEqual((asker.found, asker.completed), ([], 0))
