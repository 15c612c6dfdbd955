"""Dialled TCP connections: real ones, over loopback."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import defer, error, main, reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from kwic.transport.lean_connect import Connecting, LeanEndpoint
from kwic.transport.lean_tcp import LeanConnection
from kwic.transport.listen import listen
from test.transport.real_tcp import Reactor, Recording


@implementer(IHalfCloseableProtocol)
class HalfClosing(Recording):
    """Closes when it was told that nothing more comes."""

    def readConnectionLost(self) -> None:
        self.transport.end_at_once()

    def writeConnectionLost(self) -> None:
        pass


class ConnectTests(TestCase):
    """Dialling, with the real reactor."""

    def setUp(self) -> None:
        self.made: list[Any] = []

    def build(self, kind: type[Protocol] = Recording) -> Factory:
        made = self.made

        class Building(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                protocol = kind()
                protocol.address = addr
                made.append(protocol)
                return protocol

        return Building()

    def dial(self, host: str, port: int, factory: Factory | None = None, timeout_s: float = 5.0) -> Any:
        return LeanEndpoint(reactor, host, port, timeout_s).connect(factory or self.build())

    def listen(self, host: str, kind: type[Protocol] = Recording) -> int:
        port = listen(reactor, host, 0, self.build(kind))
        self.addCleanup(port.stopListening)
        return port.getHost().port

    def silent(self) -> tuple[str, int]:
        """An address whose queue of connections is full, so that nobody answers there."""
        server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(server.close)
        for _ in range(4):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        return server.getsockname()

    @defer.inlineCallbacks
    def test_there_and_back(self) -> Any:
        """Both sides are lean, know each other's address, and send small writes at once."""
        for host in ("127.0.0.1", "::1"):
            self.made.clear()
            where = self.listen(host)
            ours = yield self.dial(host, where)
            self.assertEqual((ours.address.host, ours.address.port), (host, where))
            self.assertEqual(ours.transport.getPeer(), ours.address)
            while len(self.made) < 2:
                yield pause()
            theirs = next(one for one in self.made if one is not ours)
            for one in (ours, theirs):
                self.assertIsInstance(one.transport, LeanConnection)
                self.assertTrue(one.transport.getTcpNoDelay())
                self.assertTrue(one.transport.getTcpKeepAlive())
            self.assertEqual(theirs.address, ours.transport.getHost())
            ours.transport.write(b"hello")
            while not theirs.received:
                yield pause()
            self.assertEqual(theirs.received, [b"hello"])
            ours.transport.end_at_once()
            while theirs.lost is None:
                yield pause()
            self.assertTrue(theirs.lost.check(error.ConnectionDone))

    @defer.inlineCallbacks
    def test_ends_within_its_own_end(self) -> Any:
        """A connection may be ended at once by whoever is told that nothing more comes."""
        where = self.listen("127.0.0.1", HalfClosing)
        ours = yield self.dial("127.0.0.1", where)
        ours.transport.loseConnection()
        while any(one.lost is None for one in self.made) or len(self.made) < 2:
            yield pause()

    def test_refused(self) -> Any:
        """A port where nobody listens refuses."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        return self.assertFailure(self.dial("127.0.0.1", port), error.ConnectionRefusedError)

    def test_no_such_address(self) -> Any:
        """What is no address of any kind fails, and leaves nothing behind."""
        return self.assertFailure(self.dial("fe80::1%none0", 1), error.ConnectError)

    def test_slow(self) -> Any:
        """Who does not answer is given up in time."""
        return self.assertFailure(self.dial(*self.silent(), timeout_s=0.2), error.TimeoutError)

    def test_cancelled(self) -> Any:
        """An attempt can be given up."""
        attempt = self.dial(*self.silent())
        attempt.cancel()
        return self.assertFailure(attempt, defer.CancelledError)

    def test_not_wanted(self) -> Any:
        """A factory that wants no connection, or fails, is a failed attempt."""
        where = self.listen("127.0.0.1")
        unwanted = Factory()
        unwanted.buildProtocol = lambda addr: None
        broken = Factory()
        broken.buildProtocol = lambda addr: 1 / 0
        return defer.gatherResults(
            [
                self.assertFailure(self.dial("127.0.0.1", where, unwanted), error.ConnectError),
                self.assertFailure(self.dial("127.0.0.1", where, broken), ZeroDivisionError),
            ]
        )

    def test_lost_while_connecting(self) -> None:
        """When the reactor says that it came to nothing, the socket says why, or nobody does."""
        clock = Reactor()
        outcome: list[Any] = []
        endpoint = LeanEndpoint(clock, *self.silent(), 5.0)
        attempt = Connecting(endpoint, Recording, outcome.append, outcome.append)
        attempt.begin()
        self.assertIn(attempt, clock.writers)
        attempt.doRead()
        attempt.doWrite()
        self.assertEqual(outcome, [])
        attempt.connectionLost(Failure(main.CONNECTION_LOST))
        self.assertTrue(outcome.pop().check(error.ConnectError))
        self.assertEqual((clock.writers, clock.getDelayedCalls()), (set(), []))
        self.assertEqual((attempt.fileno(), attempt.logPrefix()), (-1, "TCP"))
        attempt.connectionLost(Failure(main.CONNECTION_LOST))
        attempt.doWrite()
        attempt.stop()
        self.assertEqual(outcome, [])

    def test_given_up(self) -> None:
        """Who gives up hears nothing any more."""
        clock = Reactor()
        outcome: list[Any] = []
        endpoint = LeanEndpoint(clock, *self.silent(), 5.0)
        endpoint.dial(Recording, outcome.append, outcome.append)()
        clock.advance(10)
        self.assertEqual((outcome, clock.writers, clock.getDelayedCalls()), ([], set(), []))

    @defer.inlineCallbacks
    def test_what_cannot_be_used(self) -> Any:
        """When whoever dialled fails, it is logged and the connection is reset, and nobody above hears of it."""
        where = self.listen("127.0.0.1")
        made: list[Recording] = []

        def build(address: Any) -> Recording:
            made.append(Recording())
            return made[0]

        LeanEndpoint(reactor, "127.0.0.1", where, 5.0).dial(build, lambda protocol: 1 / 0, self.fail)
        while not made or made[0].lost is None:
            yield pause()
        self.assertTrue(made[0].lost.check(error.ConnectionAborted))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @defer.inlineCallbacks
    def test_not_served(self) -> Any:
        """A client for whom there is no protocol, or not without a fault, is let go; the next one is served."""
        answers = [None, ZeroDivisionError(), Recording()]

        class Choosing(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer

        served = answers[-1]
        port = listen(reactor, "127.0.0.1", 0, Choosing())
        self.addCleanup(port.stopListening)
        for _ in range(2):
            ours = yield self.dial("127.0.0.1", port.getHost().port)
            while ours.lost is None:
                yield pause()
            self.assertTrue(ours.lost.check(error.ConnectionDone))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        ours = yield self.dial("127.0.0.1", port.getHost().port)
        ours.transport.write(b"hello")
        while not served.received:
            yield pause()
        ours.transport.loseConnection()
        while ours.lost is None or served.lost is None:
            yield pause()


def pause() -> defer.Deferred:
    """A few turns of the reactor."""
    waiting: defer.Deferred = defer.Deferred()
    reactor.callLater(0.005, waiting.callback, None)
    return waiting
