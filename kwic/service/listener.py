"""A listening socket and what answers on it."""

from __future__ import annotations

import errno
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from kwic.config.model import bracketed
from kwic.errors import SetupError
from kwic.transport.listen import listen


class AddressNotHereError(SetupError):
    """The address belongs to another machine."""


class Listener(Service):
    """
    Listens on one address and port. Bound while the process is still privileged; a bind that fails is an error of the start.

    :param reactor: listens.
    :param host: an IP address.
    :param port: the port; 0 for any.
    :param factory: makes the protocols.
    :param purpose: the accepts that it serves, for the error.
    :param shared: whether other workers of ours listen there too.
    :param inherited: the file descriptor of a socket that listens there already.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        factory: IProtocolFactory,
        purpose: str,
        *,
        shared: bool = False,
        inherited: int | None = None,
    ) -> None:
        self._reactor = reactor
        self.host = host
        self.port = port
        self._factory = factory
        self._purpose = purpose
        self._shared = shared
        self._inherited = inherited
        self._listening: Any = None
        self._parked = False

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def listening(self) -> bool:
        """Whether clients can connect."""
        return self._listening is not None

    def privilegedStartService(self) -> None:
        """
        Bind.

        :raises SetupError: when the address cannot be listened on.
        """
        if self._listening is not None:
            return
        try:
            self._listening = listen(
                self._reactor,
                self.host,
                self.port,
                self._factory,
                shared=self._shared,
                inherited=self._inherited,
            )
            self._inherited = None
        except CannotListenError as error:
            raise self._explain(error.socketError) from error
        if not self.port:
            self.port = self._listening.getHost().port

    def _explain(self, error: Any) -> SetupError:
        number = getattr(error, "errno", None)
        if number == errno.EADDRNOTAVAIL:
            return AddressNotHereError(
                f"{self._purpose}: {self} is not an address of this machine; name one, or move the socket with tcp.bind"
            )
        if number == errno.EADDRINUSE:
            return SetupError(
                f"{self._purpose}: {self} is in use by another program; stop it or change the port"
            )
        if number == errno.EACCES:
            return SetupError(
                f"{self._purpose}: {self} needs a privilege (ports below 1024): start as root, or grant CAP_NET_BIND_SERVICE"
            )
        return SetupError(
            f"{self._purpose}: cannot listen on {self}: {getattr(error, 'strerror', None) or error}"
        )

    def park(self) -> int:
        """
        Keep the socket, and leave those who come there to others.

        :returns: its file descriptor.
        """
        self._parked = True
        self._listening.stopReading()
        number: int = self._listening.fileno()
        return number

    def startService(self) -> None:
        """Listen, where it was not done while privileged."""
        Service.startService(self)
        self.privilegedStartService()

    def stop_listening(self) -> Deferred[None] | None:
        """Take no more clients; those that the kernel has taken for us are still served."""
        if self._listening is None:
            return None
        listening, self._listening = self._listening, None
        take_all = getattr(listening, "take_all", None)
        if take_all is not None and not self._parked:
            take_all()
        return maybeDeferred(listening.stopListening)

    def stopService(self) -> Deferred[None] | None:
        """Take no more clients."""
        Service.stopService(self)
        return self.stop_listening()
