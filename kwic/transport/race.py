"""Several ways to the same end, tried a moment apart; the first that succeeds wins (RFC 8305, Happy Eyeballs).

1. The next way is tried as soon as one has failed.
2. It is also tried when the last one is not connected after ``STAGGER_S``, or is connected and not done after
   ``PATIENCE_S``: a host that drops packets and a process that is stopped are not waited for.
3. When one has succeeded, the others are cancelled. When all have failed, the one that got furthest says why.

Twisted's HostnameEndpoint does not do the first, so that a refusal costs a third of a second for each address; and it is
content with TCP, which the kernel accepts on behalf of a process that is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

STAGGER_S = 0.3
"""RFC 8305 recommends 0.25 s."""
PATIENCE_S = 1.5
"""For TLS and HTTP, which take three round trips."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way that is being tried."""

    outcome: Deferred[Any]
    is_connected: Callable[[], bool] = lambda: False


class Race:
    """Tries several ways.

    :param clock: for the moments between them.
    :param ways: each starts one, in order of preference.
    """

    def __init__(self, clock: IReactorTime, ways: Iterable[Callable[[], Contender]]) -> None:
        self._clock = clock
        self._ways = iter(ways)
        self._outcome: Deferred[Any] = Deferred(lambda _: self._stop())
        self._running: list[Contender] = []
        self._failure: Failure | None = None
        self._furthest = -1
        self._over = False
        self._timer: IDelayedCall | None = None

    def run(self) -> Deferred[Any]:
        """Go.

        :returns: the first success, or the most telling failure. Cancelling it cancels all.
        """
        self._next()
        return self._outcome

    def _next(self) -> None:
        self._cancel_timer()
        way = next(self._ways, None)
        if way is None:
            if not self._running:
                self._finish(lambda: self._outcome.errback(self._failure or Failure(CancelledError())))
            return
        try:
            contender = way()
        except Exception:  # noqa: BLE001 - a way that cannot even begin is one that failed
            contender = Contender(outcome=fail())
        self._running.append(contender)
        self._timer = self._clock.callLater(STAGGER_S, self._look, contender)
        contender.outcome.addCallbacks(
            self._won, self._lost, callbackArgs=(contender,), errbackArgs=(contender,)
        )

    def _look(self, contender: Contender) -> None:
        """Decide whether it is worth waiting for this one alone."""
        self._timer = None
        if contender.is_connected():
            self._timer = self._clock.callLater(PATIENCE_S - STAGGER_S, self._next)
        else:
            self._next()

    def _won(self, result: Any, contender: Contender) -> None:
        self._running.remove(contender)
        if not self._over:
            self._finish(lambda: self._outcome.callback(result))

    def _lost(self, failure: Failure, contender: Contender) -> None:
        self._running.remove(contender)
        if self._over:
            return
        if contender.is_connected() > self._furthest:
            self._furthest, self._failure = contender.is_connected(), failure
        self._next()

    def _finish(self, tell: Callable[[], None]) -> None:
        self._stop()
        tell()

    def _stop(self) -> None:
        self._over = True
        self._cancel_timer()
        for contender in tuple(self._running):
            contender.outcome.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
