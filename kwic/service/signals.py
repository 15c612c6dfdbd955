"""
What signals mean to a running gateway.

    SIGTERM, SIGINT     stop, draining; once more: end at once
    SIGHUP              read the stores again, and look at the addresses to listen on

Twisted's own handlers stop the reactor and then let the process end by the signal, and a second one would be an error in the log: they are replaced. What
comes while the gateway starts waits until ours are in place.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

#: Those that mean something.
HEEDED = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


class Signals:
    """
    The handlers of one process.

    :param reactor: it is stopped.
    :param hurry: ends a drain.
    :param reload: takes over what has changed around us.
    """

    log = Logger()

    def __init__(self, reactor: Any, *, hurry: Callable[[], None], reload: Callable[[], object]) -> None:
        self._reactor = reactor
        self._hurry = hurry
        self._reload = reload
        self._stopping = False

    def hold(self) -> None:
        """Let them wait from now on, where the system can."""
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)

    def install(self) -> None:
        """Take over, once the reactor has its own in place; those that wait come now."""
        for number in HEEDED:
            signal.signal(number, self._received)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)

    def _received(self, number: int, frame: object) -> None:
        # In a signal handler nothing may be done but to wake the reactor.
        self._reactor.callFromThread(self._act, signal.Signals(number))

    def _act(self, number: signal.Signals) -> None:
        self.log.info("Received {name}", name=number.name)
        if number.name == "SIGHUP":
            self._reload()
        elif self._stopping:
            self._hurry()
        else:
            self._stopping = True
            self._reactor.stop()
