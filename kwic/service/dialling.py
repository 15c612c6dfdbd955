"""
One address where a member lives or may live: dialled with back-off while no link leads to whoever lives there.

An address of the configuration is dialled for ever. One that was learnt – from a member, or from a datagram – is forgotten when nobody has spoken of it for
a while.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from kwic.config.model import bracketed
from kwic.policy.backoff import Backoff
from kwic.service.complaints import Complaints
from kwic.service.context import Context
from kwic.service.link import Link
from kwic.transport.connect_error import explain

#: The first and the longest wait between two attempts: a member that comes back is met within two seconds.
INITIAL_S = 0.25
MAXIMUM_S = 2.0
#: How long a TCP connect may take.
CONNECT_S = 3.0
#: A link that lived so long was a good one: the back-off starts anew.
STABLE_S = 1.0
#: An address where we met ourselves is looked at again after so long: it may lead elsewhere by then.
OURSELVES_S = 30.0

Place = tuple[str, int]
"""IP address and port; or the path of a socket, and 0."""


class DiallingUser(Interface):
    """Whoever keeps the addresses."""

    def new_link(self, dialling: Dialling) -> Link:
        """The link for a connection that was made."""

    def reaches(self, dialling: Dialling) -> bool:
        """Whether there is nothing to dial for: who lives there is linked, or is ourselves."""

    def forget(self, dialling: Dialling) -> None:
        """Nobody has spoken of the address for a while."""


class Dialling(ClientFactory):
    """
    Keeps dialling one address.

    :param user: whoever keeps the addresses.
    :param context: the gateway's surroundings.
    :param place: the address.
    :param tls: makes TLS connections; None for plain TCP.
    """

    noisy = False
    log = Logger()

    def __init__(self, user: DiallingUser, context: Context, place: Place, tls: Any) -> None:
        self._user = user
        self._reactor = context.reactor
        self._instance = context.instance
        self._tls = tls
        self.place = place
        #: It stands in the configuration.
        self.configured = False
        #: A learnt address is forgotten then.
        self.expires_s = 0.0
        #: Who was met there last.
        self.met = ""
        self.link: Link | None = None
        self._backoff = Backoff(context.random, initial_s=INITIAL_S, maximum_s=MAXIMUM_S)
        self._connector: Any = None
        self._timer: Any = None
        self._stopped = False
        self._complaints = Complaints()

    def __str__(self) -> str:
        return f"{bracketed(self.place[0])}:{self.place[1]}"

    @property
    def expired(self) -> bool:
        """Whether nobody needs it any more."""
        return not self.configured and self._reactor.seconds() >= self.expires_s

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    def wake(self, delay_s: float = 0.0) -> None:
        """Dial, unless that is being done already or is not needed."""
        if not self._stopped and self.link is None and self._connector is None and self._timer is None:
            self._timer = self._reactor.callLater(delay_s, self._dial)

    def stop(self) -> None:
        """Dial no more. A link that is up stays."""
        self._stopped = True
        self._cancel()
        if self._connector is not None:
            connector, self._connector = self._connector, None
            connector.stopConnecting()

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _dial(self) -> None:
        self._timer = None
        if self._user.reaches(self):
            return
        if self.expired:
            self._user.forget(self)
            return
        host, port = self.place
        factory = self if self._tls is None else TLSMemoryBIOFactory(self._tls, True, self, self._reactor)
        if host.startswith("/"):
            self._connector = self._reactor.connectUNIX(host, factory, timeout=CONNECT_S)
        else:
            self._connector = self._reactor.connectTCP(host, port, factory, timeout=CONNECT_S)

    # -- ClientFactory ------------------------------------------------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """TCP is connected."""
        self._connector = None
        self.link = self._user.new_link(self)
        return self.link.tunnel

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Nobody is there now."""
        self._connector = None
        if not self._stopped:
            self._failed(str(explain(reason, str(self))))

    def link_greeted(self, instance: str) -> None:
        """Somebody lives there."""
        self.met = instance

    def link_down(self, link: Link, why: str, lived_s: float | None) -> None:
        """
        The link that we dialled is gone.

        :param lived_s: for how long it was a link to a member; None when it never was.
        """
        if self.link is not link:
            return
        self.link = None
        if lived_s is not None and lived_s >= STABLE_S:
            self._backoff.reset()
            self._complaints.settle()
        if self.met == self._instance:
            self.wake(OURSELVES_S)
        elif lived_s is None:
            self._failed(f"no link to {self}: {why}")
        else:
            self.wake(self._backoff.next())

    def _failed(self, error: str) -> None:
        """Say each reason once, when the operator has asked for this address, and dial again."""
        # Of a worker that is not there its supervisor tells.
        told = self.configured and not self.place[0].startswith("/")
        if told and not self._stopped and self._complaints.is_new(error):
            self.log.warn("cluster: {error}; it is dialled again until a member answers", error=error)
        self.wake(self._backoff.next())
