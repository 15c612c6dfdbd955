"""Tests of the client of one etcd server, against servers that answer anything."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.address import parse_address
from kwic.config.model import TlsOptions
from kwic.transport import etcd_client
from kwic.transport.etcd_client import CALL_S, Account, EtcdClient, EtcdError, EtcdRefusedError
from kwic.transport.whole_tls import tls_factory
from kwic.wire.etcd_messages import NOT_FOUND, Deleted, KeyValue, Lease, Snapshot, Written
from test.sim.etcd import EtcdStore
from test.sim.network import SimNetwork
from test.transport.tls_ends import Scene
from test.wire.pair import byte_by_byte

CREATED = b'{"result":{"header":{},"created":true}}\n'
WRITTEN = b'{"result":{"header":{},"events":[{"kv":{"key":"YQ==","value":"aGk=","mod_revision":"3"}}]}}\n'
DELETED = b'{"result":{"header":{},"events":[{"type":"DELETE","kv":{"key":"YQ==","mod_revision":"4"}}]}}\n'
CANCELED = b'{"result":{"header":{},"canceled":true}}\n'


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """An HTTP answer with a length."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def chunks(*bodies: bytes) -> bytes:
    """The beginning of an HTTP answer that goes on."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies)


class Scripted(Protocol):
    """A server that does what it is told when a request is whole."""

    def __init__(self, case: ClientCase) -> None:
        self._case = case
        self._heard = b""

    def dataReceived(self, data: bytes) -> None:
        self._heard += data
        head, separator, body = self._heard.partition(b"\r\n\r\n")
        sizes = [
            line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        if separator and len(body) >= int(sizes[0]):
            self._case.requests.append((head, body))
            self._heard = b""
            self._case.script(self.transport)


class ClientCase(SynchronousTestCase):
    """A client and a server on a network in memory."""

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.requests: list[tuple[bytes, bytes]] = []
        self.script: Callable[[Any], None] = lambda transport: None
        self.server = self.network.host("etcd", "10.0.0.2")
        self.here = self.network.host("here", "10.0.0.1")
        factory = Factory.forProtocol(lambda: Scripted(self))
        factory.noisy = False
        self.server.listenTCP(2379, factory)
        self.client = self.make()

    def make(self, text: str = "etcd://10.0.0.2", account: Account | None = None) -> EtcdClient:
        return EtcdClient(self.here, parse_address(text), None, account)

    def answers(self, data: bytes, *, close: bool = False) -> None:
        """What the server sends for each request."""

        def script(transport: Any) -> None:
            transport.write(data)
            if close:
                transport.loseConnection()

        self.script = script

    def ask(self, work: Awaitable[Any], within_s: float = CALL_S + 0.1) -> Any:
        """What comes of a call; the exception when it fails."""
        outcome: list[Any] = []

        async def run() -> None:
            try:
                outcome.append(await work)
            except EtcdError as error:
                outcome.append(error)

        Deferred.fromCoroutine(run())
        self.network.run_until(lambda: outcome, within_s)
        return outcome[0]

    def fails(self, work: Awaitable[Any]) -> str:
        """The one line that a call fails with."""
        error = self.ask(work)
        self.assertIsInstance(error, EtcdError)
        self.assertNotIn("\n", str(error))
        return str(error)

    def close(self) -> None:
        """Nothing is left soon after the client was closed."""
        closed = self.client.close()
        self.network.run(0.01)
        self.successResultOf(closed)
        self.assertEqual((self.here.getDelayedCalls(), self.here.transports), ([], set()))


class CallTests(ClientCase):
    """Calls that are answered at once."""

    def test_request(self) -> None:
        """A call is a POST of JSON to a path below /v3."""
        self.answers(answer(b'{"ID":"7","TTL":"5"}'))
        self.assertEqual(self.ask(self.client.grant(5)), Lease(identity=7, ttl_s=5))
        head, body = self.requests[0]
        lines = head.split(b"\r\n")
        self.assertEqual(lines[0], b"POST /v3/lease/grant HTTP/1.1")
        self.assertIn(b"Content-Type: application/json", lines)
        self.assertIn(b"Host: 10.0.0.2:2379", lines)
        self.assertEqual(body, b'{"TTL":"5"}')
        self.assertEqual(self.client.local_host, "10.0.0.1")
        self.close()

    def test_one_connection(self) -> None:
        """Calls one after the other use one connection."""
        self.answers(answer(b'{"result":{"TTL":"5"}}'))
        for _ in range(5):
            self.assertEqual(self.ask(self.client.keep_alive(7)), 5)
        self.assertEqual(len(self.network.dialled), 1)
        self.close()

    def test_byte_by_byte(self) -> None:
        """An answer may come in pieces, its length or its end told in any way."""
        body = b'{"header":{"revision":"5"},"kvs":[{"key":"YQ==","mod_revision":"3"}]}'
        expected = Snapshot(revision=5, entries=(KeyValue(key=b"a", value=b"", revision=3),), is_whole=True)
        chunked = chunks(body[:7], body[7:]) + b"0\r\nGrpc-Trailer-Content-Type: application/grpc\r\n\r\n"
        for whole in (answer(body), chunked):
            self.script = lambda transport, whole=whole: [
                transport.write(piece) for piece in byte_by_byte(whole)
            ]
            self.assertEqual(self.ask(self.client.snapshot(b"a", 5)), expected)
        self.close()

    def test_no_such_lease(self) -> None:
        """Writing with a lease that is gone is no failure, and neither is one that cannot be kept alive."""
        self.answers(answer(b'{"error":"etcdserver: requested lease not found","code":5}', "404 Not Found"))
        self.assertIs(self.ask(self.client.put(b"a", b"b", 7)), False)
        error = self.ask(self.client.revoke(7))
        self.assertIsInstance(error, EtcdRefusedError)
        self.assertEqual((error.code, str(error)), (NOT_FOUND, "10.0.0.2:2379: requested lease not found"))
        self.answers(answer(b'{"header":{}}'))
        self.assertIs(self.ask(self.client.put(b"a", b"b", 7)), True)

    def test_denied(self) -> None:
        """Writing what is not ours to write is a failure."""
        self.answers(answer(b'{"error":"etcdserver: permission denied","code":7}', "403 Forbidden"))
        self.assertEqual(self.fails(self.client.put(b"a", b"b", 7)), "10.0.0.2:2379: permission denied")

    def test_large_value(self) -> None:
        """A value of a megabyte is written whole."""
        self.answers(answer(b"{}"))
        self.assertIs(self.ask(self.client.put(b"a", b"x" * 1_000_000, 7)), True)
        self.assertGreater(len(json.loads(self.requests[0][1])["value"]), 1_300_000)
        self.close()

    def test_refused(self) -> None:
        """What etcd, or whatever stands before it, says instead of an answer is told; redirects are not followed."""
        for status, body, why in (
            ("400 Bad Request", b'{"error":"etcdserver: user name is empty","code":3}', "user name is empty"),
            ("503 Service Unavailable", b"<html>no</html>", "HTTP status 503"),
            ("302 Found\r\nLocation: http://10.0.0.9:2379/", b"", "HTTP status 302"),
        ):
            self.answers(answer(body, status))
            self.assertEqual(self.fails(self.client.grant(5)), f"10.0.0.2:2379: {why}")

    def test_no_answer_of_etcd(self) -> None:
        """An answer that is none is an error of one line."""
        for data in (answer(b"null"), answer(b"<html>"), answer(b"")):
            self.answers(data)
            self.assertIn("10.0.0.2:2379: an answer", self.fails(self.client.grant(5)))

    def test_not_http(self) -> None:
        """Whatever else may listen there."""
        for data in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x15\x03\x01\x00\x02\x02\x16",
            b"\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
        ):
            client = self.client = self.make()
            self.answers(data, close=True)
            self.assertIn("10.0.0.2:2379", self.fails(client.grant(5)))
            self.close()

    def test_too_long(self) -> None:
        """An answer over the limit is cut off."""
        self.patch(etcd_client, "ANSWER_MAXIMUM_BYTES", 1000)
        self.answers(answer(b"{" + b" " * 999))
        self.assertIn("is not JSON", self.fails(self.client.grant(5)))
        for data in (answer(b" " * 1001), chunks(*[b" " * 1001] * 500)):
            self.answers(data)
            self.assertEqual(self.fails(self.client.grant(5)), "an answer of more than 1000 bytes")
        self.close()


class DeadlineTests(ClientCase):
    """Servers that cannot be reached, or do not answer."""

    def test_nobody_there(self) -> None:
        """The usual failures of connecting are told as everywhere."""
        self.assertEqual(
            self.fails(self.make("etcd://10.0.0.2:2380").grant(5)), "connection refused to 10.0.0.2:2380"
        )
        self.assertEqual(
            self.fails(self.make("etcd://10.0.0.99").grant(5)), "10.0.0.99:2379 does not answer in time"
        )
        self.assertIn("needs TLS", self.fails(self.make("etcd+ssl://10.0.0.2").grant(5)))
        self.assertEqual(
            self.fails(self.make("etcd://nowhere").grant(5)), "no address is known for nowhere:2379"
        )

    def test_name(self) -> None:
        """All addresses of a name are tried."""
        self.network.names["etcd.example.com"] = ("10.0.0.98", "10.0.0.2")
        self.answers(answer(b"{}"))
        self.assertIs(self.ask(self.make("etcd://etcd.example.com").put(b"a", b"b", 7)), True)

    def test_says_nothing(self) -> None:
        """A server that says nothing, or not enough, is given up in time."""
        for data in (b"", b"HTTP/1.1 200 OK\r\n", answer(b"{}")[:-1], chunks(b"{")):
            client = self.client = self.make()
            self.answers(data)
            began_s = self.network.clock.seconds()
            self.assertEqual(self.fails(client.grant(5)), "10.0.0.2:2379 does not answer in time")
            self.assertAlmostEqual(self.network.clock.seconds() - began_s, CALL_S, places=2)
            self.close()

    def test_trickles(self) -> None:
        """A server that sends a byte now and then is given up in time."""

        def trickle(transport: Any) -> None:
            if transport.connected:
                transport.write(b"H")
                self.server.callLater(0.1, trickle, transport)

        self.script = trickle
        self.fails(self.client.grant(5))
        self.close()

    def test_hangs_up(self) -> None:
        """A connection that ends before the answer does is a failure, at once."""
        for data in (
            b"",
            b"HTTP/1.1 200 OK\r\n",
            answer(b"{}")[:-1],
            chunks(b"{}"),
            b"HTTP/1.1 200 OK\r\n\r\n{}",
        ):
            client = self.client = self.make()
            self.answers(data, close=True)
            began_s = self.network.clock.seconds()
            self.assertIn("10.0.0.2:2379", self.fails(client.grant(5)))
            self.assertLess(self.network.clock.seconds() - began_s, 0.1)
            self.close()

    def test_hangs_up_between_calls(self) -> None:
        """A connection that ended between two calls is replaced."""
        self.answers(answer(b'{"result":{"TTL":"5"}}'), close=True)
        for _ in range(3):
            self.assertEqual(self.ask(self.client.keep_alive(7)), 5)
            self.network.run(1)
        self.assertEqual(len(self.network.dialled), 3)
        self.close()

    def test_cancelled(self) -> None:
        """A call that nobody waits for any more leaves nothing behind, wherever it is."""
        for after_s in (0.0, 0.0004, 0.0007, 0.0012, 1.0):
            client = self.client = self.make()
            call = Deferred.fromCoroutine(client.grant(5))
            self.network.run(after_s)
            call.cancel()
            self.failureResultOf(call, EtcdError, CancelledError)
            self.close()


class DistanceTests(ClientCase):
    """How far away a server may be."""

    def answered(self, client: EtcdClient, round_trip_s: float) -> bool:
        """Whether a server at that distance is of use: the first call on a new connection is answered."""
        self.network.latency("here", "etcd", round_trip_s / 2)
        outcome = self.ask(client.put(b"a", b"b", 7))
        client.close()
        self.network.run(5)
        return outcome is True

    def test_clear(self) -> None:
        """Connecting and asking take a round trip each."""
        self.answers(answer(b"{}"))
        for round_trip_s in (0.01, 0.5, 0.9):
            self.assertTrue(self.answered(self.make(), round_trip_s))
        self.assertFalse(self.answered(self.make(), CALL_S / 2 + 0.01))

    def test_tls(self) -> None:
        """TLS takes one more."""
        scene = Scene(Path(self.mktemp()))
        theirs = scene.cloud(scene.server("etcd.example.com")).server_options(
            ("etcd.example.com",), TlsOptions()
        )
        factory = Factory.forProtocol(lambda: Scripted(self))
        self.server.listenTCP(2380, tls_factory(theirs, client=False, wrapped=factory, clock=self.server))
        self.network.names["etcd.example.com"] = ("10.0.0.2",)
        address, ours = parse_address("etcd+ssl://etcd.example.com:2380"), scene.onprem()
        self.answers(answer(b"{}"))
        for round_trip_s in (0.01, 0.3, 0.6):
            self.assertTrue(self.answered(EtcdClient(self.here, address, ours), round_trip_s))
        self.assertFalse(self.answered(EtcdClient(self.here, address, ours), CALL_S / 3 + 0.01))


class WatchTests(ClientCase):
    """Calls that go on."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[Any] = []
        self.ended: list[str] = []

    def watch(self) -> Any:
        return self.client.watch(b"a", 3, self.heard.append, lambda error: self.ended.append(str(error)))

    def test_events(self) -> None:
        """Events are told as they come, after the server has agreed; other calls go on meanwhile."""
        stream = chunks(CREATED + WRITTEN, DELETED[:9], DELETED[9:])
        self.script = lambda transport: [transport.write(piece) for piece in byte_by_byte(stream)]
        self.assertIsNone(self.ask(self.watch()))
        self.network.run(10)
        expected = [Written(entry=KeyValue(key=b"a", value=b"hi", revision=3)), Deleted(key=b"a", revision=4)]
        self.assertEqual((self.heard, self.ended), (expected, []))
        self.answers(answer(b'{"result":{"TTL":"5"}}'))
        self.assertEqual(self.ask(self.client.keep_alive(7)), 5)
        self.close()
        self.assertEqual(len(self.ended), 1)

    def test_ends(self) -> None:
        """It is told once that a watch has ended, however that comes about, and nothing is told afterwards."""
        for data, why in (
            (
                chunks(CREATED, CANCELED + WRITTEN, WRITTEN),
                "10.0.0.2:2379 ended the watch: it gave no reason",
            ),
            (
                chunks(CREATED, b"{}\n" + WRITTEN, WRITTEN),
                "10.0.0.2:2379: an answer without an object where there should be one",
            ),
            (chunks(CREATED + CREATED) + b"0\r\n\r\n", "the watch at 10.0.0.2:2379 was lost"),
            (chunks(CREATED), "the watch at 10.0.0.2:2379 was lost"),
        ):
            self.setUp()
            self.answers(data, close=True)
            self.assertIsNone(self.ask(self.watch()))
            self.network.run(1)
            self.close()
            self.assertEqual((self.heard, self.ended), ([], [why]))

    def test_does_not_begin(self) -> None:
        """A watch that the server does not agree to fails, and has not begun."""
        for data, why in (
            (
                answer(b'{"error":"etcdserver: permission denied","code":7}', "403 Forbidden"),
                "10.0.0.2:2379: permission denied",
            ),
            (chunks(CANCELED), "10.0.0.2:2379 ended the watch: it gave no reason"),
            (chunks(b"?\n"), "10.0.0.2:2379: an answer that is not JSON"),
            (chunks(b"") + b"0\r\n\r\n", "the watch at 10.0.0.2:2379 was lost"),
            (chunks(b" "), "10.0.0.2:2379 does not answer in time"),
            (b"", "10.0.0.2:2379 does not answer in time"),
        ):
            self.setUp()
            self.answers(data)
            self.assertEqual(self.fails(self.watch()), why)
            self.close()
            self.assertEqual(self.heard, [])

    def test_closed_at_any_time(self) -> None:
        """A client may be closed at any time."""
        self.answers(chunks(CREATED))
        for after_s in (0.0, 0.0004, 0.0007, 0.0012, 1.0):
            self.client = self.make()
            call = Deferred.fromCoroutine(self.watch())
            self.network.run(after_s)
            call.addErrback(lambda failure: failure.trap(EtcdError, CancelledError))
            call.cancel()
            self.close()


class AccountTests(ClientCase):
    """A server that asks who we are."""

    def setUp(self) -> None:
        super().setUp()
        self.store = EtcdStore(self.network)
        self.store.serve("etcd2", "10.0.0.3")
        self.store.account = ("gw", "secret")
        self.file = Path(self.mktemp())

    def test_token(self) -> None:
        """After the password was told, every call has the token."""
        self.file.write_text("secret\n")
        client = self.client = self.make("etcd://10.0.0.3", Account(user="gw", password_file=self.file))
        self.assertIn("user name is empty", self.fails(client.grant(5)))
        self.assertIsNone(self.ask(client.authenticate()))
        self.assertIsInstance(self.ask(client.grant(5)), Lease)
        self.store.tokens.clear()
        self.assertIn("invalid auth token", self.fails(client.grant(5)))
        self.assertIsNone(self.ask(client.authenticate()))
        self.assertIsInstance(self.ask(client.grant(5)), Lease)
        self.close()

    def test_token_that_is_none(self) -> None:
        """A token that would add a header is refused."""
        self.file.write_text("secret\n")
        client = self.make("etcd://10.0.0.2", Account(user="gw", password_file=self.file))
        self.answers(answer(b'{"token":"a\\r\\nHost: b"}'))
        self.assertIn("a token that is none", self.fails(client.authenticate()))

    def test_no_file(self) -> None:
        """A password that cannot be read is an error of one line, as everything here."""
        client = self.make("etcd://10.0.0.3", Account(user="gw", password_file=self.file))
        self.assertIn("there is no such file", self.fails(client.authenticate()))

    def test_nothing_to_prove(self) -> None:
        """Without an account nothing is asked."""
        self.assertIsNone(self.ask(self.client.authenticate()))
        self.assertEqual(self.network.dialled, [])
