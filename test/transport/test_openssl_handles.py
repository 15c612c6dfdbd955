"""pyOpenSSL's private names: whether they are still there, and what is read with them."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.openssl_handles import BUFFER_BYTES, HANDLES, WANTS_MORE, Handles, Records
from test.transport.tls_kinds import creators


def shaken() -> tuple[SSL.Connection, SSL.Connection]:
    """A client and a server after their handshake."""
    client, server = (creator.clientConnectionForTLS(None) for creator in creators())
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(end.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return client, server


class HandlesTests(SynchronousTestCase):
    """Reading through them."""

    def setUp(self) -> None:
        made = Handles.make()
        assert made is not None, (
            "pyOpenSSL's private names are others now: see kwic/transport/openssl_handles.py"
        )
        self.handles = made

    def test_this_version(self) -> None:
        """This version of pyOpenSSL has them: fails loudly when it has not any more, so that nobody is slow unknowingly."""
        self.assertIsNotNone(HANDLES)

    def test_another_version(self) -> None:
        """Where anything is different, there are none, and no error."""

        class NoHello(Records):
            def flush(self) -> None:
                self._send(memoryview(b"HTTP/1.1 400"))

        class NoName(Records):
            def read(self) -> Any:
                return self._connection._no_such_name

        class Data(Records):
            def read(self) -> Any:
                return memoryview(b"x"), SSL.WantReadError()

        class NoEnd(Records):
            def read(self) -> Any:
                return memoryview(b""), None

        class Patient(Records):
            def receive(self, data: Any) -> Any:
                return memoryview(b""), WANTS_MORE

        class Writes(Records):
            def write(self, data: Any) -> int:
                return len(data)

        for other in (NoHello, NoName, Data, NoEnd, Patient, Writes):

            class Other(Handles):
                records = other

            self.assertIsNone(Other.make())

    def test_both_ways(self) -> None:
        """What is fed and written through them is what the other end reads; a connection without an end takes nothing."""
        client, server = shaken()
        self.carried(server, client)
        for data in (b"x", bytes(range(256)) * 1000, memoryview(b"abcdef")[1:4]):
            self.assertEqual(self.of(client).write(data), len(data))
            found = b""
            for piece in self.sent(client):
                view, _ = self.of(server).receive(piece)
                found += view
            self.assertEqual(found, bytes(data))
        client.shutdown()
        with self.assertRaises(SSL.Error):
            self.of(client).write(b"late")

    def sent(self, connection: SSL.Connection) -> list[bytes]:
        """What one wants to send."""
        pieces: list[bytes] = []
        self.handles.of(connection, lambda view: pieces.append(bytes(view))).flush()
        return pieces

    def of(self, connection: Any) -> Records:
        """The records of a connection whose output is left where it is."""
        return self.handles.of(connection, self.fail)

    def carried(self, sender: SSL.Connection, receiver: SSL.Connection) -> bytes:
        """What one sent, as the other reads it."""
        for piece in self.sent(sender):
            receiver.bio_write(piece)
        found = b""
        error: SSL.Error | None = None
        while error is None:
            view, error = self.of(receiver).read()
            found += view
        self.assertIsInstance(error, SSL.WantReadError)
        return found

    def test_all_records(self) -> None:
        """Everything that was sent is read, both ways, also when it is more than the buffer holds."""
        client, server = shaken()
        for size in (1, 16_384, 16_385, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES):
            data = (bytes(range(251)) * (size // 251 + 1))[:size]
            for sender, receiver in ((client, server), (server, client)):
                self.assertEqual(sender.send(data), size)
                self.assertEqual(self.carried(sender, receiver), data)

    def test_nothing(self) -> None:
        """There may be nothing to read and nothing to send."""
        client, server = shaken()
        self.assertEqual(self.carried(client, server), b"")

    def test_the_end(self) -> None:
        """Data and the goodbye behind it come together; garbage is an error of pyOpenSSL's kind, with its data before it."""
        client, server = shaken()
        client.send(b"last")
        client.shutdown()
        server.bio_write(b"".join(self.sent(client)))
        view, error = self.of(server).read()
        self.assertEqual(bytes(view), b"last")
        self.assertIsInstance(error, SSL.ZeroReturnError)
        client, server = shaken()
        client.send(b"last")
        server.bio_write(b"".join(self.sent(client)) + b"\x17\x03\x03\x00\x20" + bytes(32))
        view, error = self.of(server).read()
        self.assertEqual(bytes(view), b"last")
        self.assertIs(type(error), SSL.Error)

    def test_views_change(self) -> None:
        """A view is good until the next call, no longer: the buffer is the same one."""
        client, server = shaken()
        client.send(b"first")
        server.bio_write(b"".join(self.sent(client)))
        view, _ = self.of(server).read()
        self.assertEqual(bytes(view), b"first")
        client.send(b"other")
        server.bio_write(b"".join(self.sent(client)))
        self.of(server).read()
        self.assertEqual(bytes(view), b"other")

    def test_no_reason(self) -> None:
        """Where OpenSSL fails and pyOpenSSL sees nothing wrong, that is an error and no endless loop."""

        class Unreasonable:
            _ssl = _into_ssl = _from_ssl = None

            def _raise_ssl_error(self, ssl: Any, result: int) -> None:
                pass

        class Failing:
            SSL_write = BIO_read = BIO_write = None

            def SSL_read(self, *how: Any) -> int:
                return 0

            def SSL_get_error(self, *how: Any) -> int:
                return 5

        self.handles.lib = Failing()
        view, error = self.of(Unreasonable()).read()
        self.assertEqual(len(view), 0)
        self.assertIs(type(error), SSL.Error)
