"""
The last known addresses of names, for the time when the name servers answer late or not at all.

Every connection asks for its name anew. While an answer is late, or there is none, those who ask get the addresses of the last good answer
(RFC 8767, "Serving Stale Data to Improve DNS Resiliency"); one question for a name is under way at a time, so that silent name servers cannot
use up the reactor's threads. What never had an answer waits for one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

#: Seconds after which an answer is late. RFC 8767 proposes 1.8 s, which a client of ours would have to wait each time.
LATE_S = 0.3
#: Seconds for which addresses are remembered (RFC 8767: 1 to 3 days).
REMEMBER_S = 86_400.0
#: Names that are remembered: more than any configuration has.
NAMES_MAXIMUM = 1000

Key = tuple[Any, ...]


@implementer(IHostResolution)
@dataclass(eq=False)
class Waiter:
    """Somebody who asked."""

    name: str
    receiver: IResolutionReceiver
    late: IDelayedCall | None = None
    waiting: bool = True

    def cancel(self) -> None:
        """Wait no longer; the question itself cannot be taken back."""
        if self.late is not None and self.late.active():
            self.late.cancel()
        self.late = None
        self.waiting = False

    def answer(self, addresses: Sequence[IAddress]) -> None:
        """Tell the addresses."""
        if not self.waiting:
            return
        self.cancel()
        for address in addresses:
            self.receiver.addressResolved(address)
        self.receiver.resolutionComplete()


@implementer(IResolutionReceiver)
@dataclass(eq=False)
class Question:
    """
    A question that is under way.

    :param asked_s: since when.
    :param done: called with what was answered.
    """

    asked_s: float
    done: Callable[[Question], None]
    waiters: list[Waiter] = field(default_factory=list)
    addresses: list[IAddress] = field(default_factory=list)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It is on its way."""

    def addressResolved(self, address: IAddress) -> None:
        """One address."""
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        """That was all."""
        self.done(self)


@implementer(IHostnameResolver)
class RememberingResolver:
    """
    Asks another resolver, and remembers.

    :param clock: for what is late and what is old.
    :param below: who is asked.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, below: IHostnameResolver) -> None:
        self._clock = clock
        self._below = below
        self._under_way: dict[Key, Question] = {}
        self._remembered: OrderedDict[Key, tuple[float, tuple[IAddress, ...]]] = OrderedDict()
        self._said: set[Key] = set()

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Resolve a name (see `IHostnameResolver`)."""
        key = (hostName.lower(), portNumber, tuple(addressTypes or ()), transportSemantics)
        waiter = Waiter(hostName, resolutionReceiver)
        resolutionReceiver.resolutionBegan(waiter)
        question = self._under_way.get(key)
        if question is not None:
            self._join(key, question, waiter)
            return waiter
        question = Question(self._clock.seconds(), lambda question: self._answered(key, question))
        self._under_way[key] = question
        question.waiters.append(waiter)
        if self._known(key):
            waiter.late = self._clock.callLater(LATE_S, self._late, key, question)
        self._below.resolveHostName(question, hostName, portNumber, addressTypes, transportSemantics)
        return waiter

    def _join(self, key: Key, question: Question, waiter: Waiter) -> None:
        """Wait for an answer that another is waiting for, but not for a late one."""
        question.waiters.append(waiter)
        if self._known(key):
            wait_s = question.asked_s + LATE_S - self._clock.seconds()
            if wait_s <= 0:
                self._late(key, question)
            else:
                waiter.late = self._clock.callLater(wait_s, self._late, key, question)

    def _known(self, key: Key) -> tuple[IAddress, ...]:
        """The addresses of the last good answer, unless it is too old."""
        at_s, addresses = self._remembered.get(key, (0.0, ()))
        return addresses if self._clock.seconds() - at_s <= REMEMBER_S else ()

    def _late(self, key: Key, question: Question) -> None:
        """Whoever waits gets what is remembered."""
        known = self._known(key)
        if not known:
            return
        self._say(key, "the name servers are slow to answer for {host}: its last known addresses are used")
        self._tell(question, known)

    def _answered(self, key: Key, question: Question) -> None:
        """An answer, or none."""
        del self._under_way[key]
        if question.addresses:
            self._remembered[key] = (self._clock.seconds(), tuple(question.addresses))
            self._remembered.move_to_end(key)
            while len(self._remembered) > NAMES_MAXIMUM:
                self._said.discard(self._remembered.popitem(last=False)[0])
            if self._clock.seconds() - question.asked_s < LATE_S:
                self._said.discard(key)
            self._tell(question, question.addresses)
            return
        known = self._known(key)
        if known:
            self._say(key, "no address was found for {host}: its last known ones are used")
        self._tell(question, known)

    def _tell(self, question: Question, addresses: Sequence[IAddress]) -> None:
        waiters, question.waiters = question.waiters, []
        for waiter in waiters:
            waiter.answer(addresses)

    def _say(self, key: Key, text: str) -> None:
        """Once, until the name is answered in time again."""
        if key not in self._said:
            self._said.add(key)
            self.log.warn(text, host=key[0])
