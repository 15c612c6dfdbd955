"""The addresses that a host name has now, found without blocking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from kwic.transport.resolver import is_ip, take_back


@implementer(IResolutionReceiver)
class AddressLookup:
    """
    Looks a name up again and again.

    :param reactor: whose name resolver is asked.
    :param host: a name; an IP address is its own answer.
    """

    def __init__(self, reactor: Any, host: str) -> None:
        self._reactor = reactor
        self._host = host
        self._found: list[str] = []
        self._tell: Callable[[Sequence[str]], None] | None = None
        self._question: IHostResolution | None = None
        #: The last answer that had an address in it.
        self.addresses: tuple[str, ...] = (host,) if is_ip(host) else ()

    def look_up(self, tell: Callable[[Sequence[str]], None]) -> None:
        """
        Ask once, unless an answer is being waited for already.

        :param tell: called with the addresses when there are some.
        """
        if is_ip(self._host):
            tell(self.addresses)
        elif self._tell is None:
            self._tell = tell
            self._found = []
            self._reactor.nameResolver.resolveHostName(self, self._host)

    def cancel(self) -> None:
        """Wait for no answer any more."""
        question, self._question, self._tell = self._question, None, None
        take_back(question)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The question is on its way."""
        self._question = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        """One address."""
        self._found.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """That was all; a name that has none for now keeps those it had."""
        tell, self._tell, self._question = self._tell, None, None
        if self._found and tell is not None:
            self.addresses = tuple(sorted(set(self._found)))
            tell(self.addresses)
