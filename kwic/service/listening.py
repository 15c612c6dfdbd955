"""
The sockets of a gateway: bound at the start, looked at again when the operator says so or an interface gets its address.

An interface that has no address yet – at boot the network may come up after us – is looked at again and again, and everything else is served meanwhile. What
was resolved anew and is the same stays as it is, with its clients; what is gone is not listened on any more, and its clients stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic.config.ends import End
from kwic.config.listen import Listener as Wanted
from kwic.config.model import Bind
from kwic.config.problem import reasons
from kwic.errors import KwicError, SetupError
from kwic.policy.backoff import Backoff
from kwic.service.context import Context
from kwic.service.listener import AddressNotHereError, Listener
from kwic.service.sockets import Socket, missing, sockets

#: The first and the longest wait before an interface is looked at again.
FIRST_S = 0.5
LONGEST_S = 10.0

Place = tuple[str, int]


class Listening:
    """
    Every listener of a gateway.

    :param context: the gateway's surroundings.
    :param wanted: what the configuration asks for.
    :param make: makes the listener for a socket.
    :raises SetupError: when a name or an interface cannot be resolved, or TLS cannot be had.
    """

    log = Logger()

    def __init__(
        self, context: Context, wanted: Sequence[Wanted], make: Callable[[Socket], Listener]
    ) -> None:
        self._context = context
        self._wanted = tuple(wanted)
        self._make = make
        # Nobody else waits for these addresses: no need to be polite.
        self._backoff = Backoff(lambda: 1.0, initial_s=FIRST_S, maximum_s=LONGEST_S)
        self._timer: Any = None
        self._running = False
        self._refreshing = False
        #: The interfaces that have no address.
        self._lacking: set[Bind] = set()
        #: Addresses of interfaces that cannot be bound yet: IPv6 looks first whether somebody else has them (RFC 4862 5.4).
        self._tentative = False
        #: What is listened on, and what is served there.
        self.listeners: list[tuple[Listener, Socket]] = [
            (make(socket), socket) for socket in sockets(self._wanted, context.names)
        ]

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    def bind(self) -> tuple[SetupError, ...]:
        """
        Bind every socket that there is an address for.

        :returns: why it could not be done; nothing is bound then.
        """
        problems: list[SetupError] = []
        elsewhere: list[tuple[Listener, Socket, AddressNotHereError]] = []
        for listener, socket in self.listeners:
            try:
                listener.privilegedStartService()
            except AddressNotHereError as error:
                elsewhere.append((listener, socket, error))
            except SetupError as error:
                problems.append(error)
        for listener, socket, foreign in elsewhere:
            # A name may have addresses of other machines beside ours: one that is ours is enough.
            # One of an interface may be usable in a moment.
            self._tentative = self._tentative or of_interface(socket)
            if of_interface(socket) or all(map(self._served, socket.ends)):
                self.listeners.remove((listener, socket))
            else:
                problems.append(foreign)
        if problems:
            for listener, _ in self.listeners:
                listener.stop_listening()
        return tuple(problems)

    def start(self) -> None:
        """Listen, and wait for the interfaces that have no address yet."""
        self._running = True
        for listener, _ in self.listeners:
            listener.startService()
        for wanted in self._missing():
            self._lacking.add(wanted.socket)
            self.log.warn(
                "{accepts}: the interface {interface} has no address yet, and is waited for",
                accepts=", ".join(dict.fromkeys(str(end.address) for end in wanted.ends)),
                interface=wanted.socket.interface,
            )
        self._wait()

    def stop(self) -> Deferred[Any]:
        """
        Take no more clients.

        :returns: fires when all sockets are closed.
        """
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return DeferredList([maybeDeferred(listener.stopService) for listener, _ in self.listeners])

    def _served(self, end: End) -> bool:
        return any(end in socket.ends and listener.listening for listener, socket in self.listeners)

    def _missing(self) -> Sequence[Wanted]:
        try:
            return missing(self._wanted, self._context.names)
        except SetupError:
            # An interface that is no more has no address either.
            return [wanted for wanted in self._wanted if wanted.socket in self._lacking]

    # -- looking again ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        if self._running and (self._lacking or self._tentative):
            self._timer = self._context.reactor.callLater(self._backoff.next(), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._tentative or {wanted.socket for wanted in self._missing()} != self._lacking:
            self.refresh()
        else:
            self._wait()

    def refresh(self) -> Deferred[None]:
        """
        Resolve every name and interface again, and listen on what there is now.

        :returns: fires when that is done; it never fails.
        """
        if self._refreshing or not self._running:
            return maybeDeferred(lambda: None)
        self._refreshing = True
        resolved: Deferred[Any] = self._context.in_thread(sockets, self._wanted, self._context.names)
        resolved.addCallbacks(self._adopt, self._not_resolved)
        resolved.addBoth(self._refreshed)
        return resolved

    def _not_resolved(self, failure: Failure) -> None:
        failure.trap(KwicError)
        error = failure.value
        assert error is not None
        for why in reasons(error):
            self.log.error("the listeners stay as they are: {why}", why=why)

    def _refreshed(self, result: Any) -> Any:
        self._refreshing = False
        self._lacking = {wanted.socket for wanted in self._missing()}
        if self._timer is None or not self._timer.active():
            self._wait()
        return result

    def _adopt(self, found: Sequence[Socket]) -> Deferred[Any] | None:
        """Stop what is not wanted any more, then begin what is new."""
        if not self._running:
            return None
        old = {(socket.host, socket.port): (listener, socket) for listener, socket in self.listeners}
        new = {(socket.host, socket.port): socket for socket in found}
        gone = [pair for place, pair in old.items() if place not in new or new[place].ends != pair[1].ends]
        self.listeners = [pair for pair in self.listeners if pair not in gone]
        kept = {(socket.host, socket.port) for _, socket in self.listeners}
        for listener, socket in gone:
            self.log.info("no longer at {listener}: {purpose}", listener=listener, purpose=socket.purpose)
        stopped = DeferredList([maybeDeferred(listener.stopService) for listener, _ in gone])
        return stopped.addCallback(
            lambda _: self._begin([socket for place, socket in new.items() if place not in kept])
        )

    def _begin(self, added: Sequence[Socket]) -> None:
        self._tentative = False
        for socket in added if self._running else ():
            try:
                listener = self._make(socket)
                listener.startService()
            except AddressNotHereError as error:
                self._tentative = self._tentative or of_interface(socket)
                if not of_interface(socket) and not all(map(self._served, socket.ends)):
                    self.log.error("{problem}", problem=error)
            except SetupError as error:
                self.log.error("{problem}", problem=error)
            else:
                self.listeners.append((listener, socket))
                self.log.info("now at {listener}: {purpose}", listener=listener, purpose=socket.purpose)


def of_interface(socket: Socket) -> bool:
    """:returns: whether the address of a socket is that of an interface."""
    return any(end.socket.interface is not None for end in socket.ends)
