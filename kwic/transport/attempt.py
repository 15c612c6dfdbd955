"""One attempt to get somewhere: a connection, something to be agreed on it, and one outcome.

What is agreed is the connection's business (an upgrade, a CONNECT); here is only that exactly one outcome is reported and
that nothing is left behind when nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Interface
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from kwic.transport.connect_error import ConnectError, Why, explain

T = TypeVar("T")


class Dialled(Interface):
    """The protocol of a connection on which something is agreed; it tells its :class:`Attempt` how that went."""

    def abandon(self) -> None:
        """Drop the connection: nobody waits for it any more."""


@implementer(IProtocolFactory)
class Attempt(Factory):
    """A factory for one connection.

    :param where: what is dialled, for error texts.
    :param build: makes the protocol of the connection.
    """

    noisy = False

    def __init__(self, where: str, build: Callable[[Attempt], Dialled]) -> None:
        self.where = where
        self._build = build
        self._result: Deferred[IProtocol] | None = Deferred(lambda _: self._cancelled())
        self._connecting: Deferred[IProtocol] | None = None
        self._connection: Dialled | None = None

    @property
    def is_connected(self) -> bool:
        """Whether TCP got through."""
        return self._connection is not None

    def run(self, endpoint: IStreamClientEndpoint, through: IProtocolFactory) -> Deferred[IProtocol]:
        """Go.

        :param endpoint: connects.
        :param through: this factory, or what wraps it in TLS.
        :returns: fires with what :meth:`succeeded` is given, or fails with a :class:`ConnectError`. Cancelling it drops
            everything.
        """
        result = self._result
        assert result is not None
        self._connecting = endpoint.connect(through)
        self._connecting.addCallbacks(lambda _: None, self.lost)
        return result

    def buildProtocol(self, addr: IAddress | None) -> Dialled:  # type: ignore[override]
        """Called when TCP is connected."""
        self._connection = self._build(self)
        return self._connection

    def succeeded(self, protocol: IProtocol) -> None:
        """It was agreed, and this is connected."""
        result, self._result = self._result, None
        if result is not None:
            result.callback(protocol)

    def failed(self, problem: ConnectError) -> None:
        """It was not agreed."""
        result, self._result = self._result, None
        if result is not None:
            result.errback(Failure(problem))

    def lost(self, failure: Failure) -> None:
        """There is no connection, or no longer."""
        self.failed(explain(failure, self.where))

    def _cancelled(self) -> None:
        # The Deferred fails by itself.
        self._result = None
        if self._connection is not None:
            self._connection.abandon()
        elif self._connecting is not None:
            self._connecting.cancel()


def within(clock: IReactorTime, timeout_s: float, outcome: Deferred[T], what: str) -> Deferred[T]:
    """:returns: the same Deferred, which is cancelled after a time and fails with a :class:`ConnectError` then.

    :param what: did not come in time.
    """

    def too_late(result: T | Failure, _: float) -> T | Failure:
        if isinstance(result, Failure):
            raise ConnectError(f"{what} within {timeout_s:g} s", Why.TIMEOUT)
        return result

    return outcome.addTimeout(timeout_s, clock, onTimeoutCancel=too_late)
