"""How many connections a listener takes at once."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.transport.listen import MORE_ACCEPTS, SHARED_ACCEPTS, TLS_ACCEPTS, listen
from kwic.transport.whole_tls import tls_factory

COMING = 8


@implementer(IOpenSSLServerConnectionCreator)
class Creator:
    """Makes TLS connections that nobody answers."""

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)


class Counting(Factory):
    """Counts the connections that were made."""

    noisy = False
    made = 0

    def buildProtocol(self, addr: Any) -> Protocol:
        self.made += 1
        return Protocol()


class Full:
    """A socket that can let nobody in."""

    def accept(self) -> Any:
        raise OSError(errno.ENFILE, "too many open files in the system")

    _accept = accept


class AcceptTests(SynchronousTestCase):
    """Clients that come at one moment."""

    def setUp(self) -> None:
        """A reactor that runs only when it is told to."""
        self.reactor = EPollReactor()
        self.addCleanup(self.close)
        self.counting = Counting()

    def close(self) -> None:
        for open_ in self.reactor.removeAll():
            open_.socket.close()
        self.reactor._poller.close()
        for number in (self.reactor.waker.i, self.reactor.waker.o):
            os.close(number)

    def taken(self, factory: Any, **how: Any) -> list[int]:
        """How many have been taken after each look of a listener to which several come."""
        port: Any = listen(self.reactor, "127.0.0.1", 0, factory, **how)
        for _ in range(COMING):
            client = socket.create_connection(("127.0.0.1", port.getHost().port))
            self.addCleanup(client.close)
        found = []
        for _ in range(2):
            port.doRead()
            found.append(self.counting.made)
        return found

    def test_all(self) -> None:
        """Who comes over TCP is taken at once."""
        self.assertEqual(self.taken(self.counting), [COMING, COMING])

    def test_as_many_as_come(self) -> None:
        """More are taken at once when as many came as were taken, and fewer when fewer came."""
        port: Any = listen(self.reactor, "127.0.0.1", 0, self.counting)
        took = []
        for coming in (0, 1, 30, 30, 0):
            clients = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(coming)]
            before = self.counting.made
            port.doRead()
            took.append((self.counting.made - before, port.numberAccepts))
            for client in clients:
                client.close()
        self.assertEqual(took, [(0, 1), (1, 1 + MORE_ACCEPTS), (21, 41), (39, 39), (0, 1)])

    def test_everybody(self) -> None:
        """Who stops listening takes everybody whom the kernel has let in."""
        port: Any = listen(self.reactor, "127.0.0.1", 0, self.counting, shared=True)
        for _ in range(COMING):
            self.addCleanup(socket.create_connection(("127.0.0.1", port.getHost().port)).close)
        port.take_all()
        self.assertEqual(self.counting.made, COMING)

    def test_no_more_files(self) -> None:
        """When nobody can be let in, that is no end of the listener."""
        port: Any = listen(self.reactor, "127.0.0.1", 0, self.counting)
        self.addCleanup(socket.create_connection(("127.0.0.1", port.getHost().port)).close)
        real = port.socket
        port.socket = Full()
        port.doRead()
        port.socket = real
        self.assertEqual(self.counting.made, 0)
        port.doRead()
        self.assertEqual(self.counting.made, 1)

    def test_some_for_others(self) -> None:
        """Where other processes take some too, some are left for them."""
        self.assertEqual(self.taken(self.counting, shared=True), [SHARED_ACCEPTS, 2 * SHARED_ACCEPTS])

    def test_little_by_little(self) -> None:
        """Where each begins with a handshake, they are taken little by little."""
        factory = tls_factory(Creator(), client=False, wrapped=self.counting, clock=self.reactor)
        self.assertEqual(self.taken(factory), [TLS_ACCEPTS, 2 * TLS_ACCEPTS])
