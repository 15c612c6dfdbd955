"""An open WebSocket: bytes out and in, as a stream and as messages."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from zope.interface.verify import verifyObject

from kwic.transport.websocket_transport import WebSocketFailed
from test.transport.open_case import BINARY, PING, PONG, TEXT, ClientSide, OpenCase


class ServerBytesTests(OpenCase):
    """Bytes out and in."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with()

    def test_interfaces(self) -> None:
        """It is a transport, a consumer and a producer."""
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.transport)

    def test_write(self) -> None:
        """What is written is one binary message, whatever kind of bytes it is."""
        self.transport.write(b"one")
        self.transport.write(bytearray(b"two"))
        self.transport.write(memoryview(b"three"))
        self.assertEqual(self.heard(), [(BINARY, b"one"), (BINARY, b"two"), (BINARY, b"three")])

    def test_write_a_sequence(self) -> None:
        """A sequence is one message."""
        self.transport.writeSequence([b"a", b"b", b"c"])
        self.assertEqual(self.heard(), [(BINARY, b"abc")])

    def test_write_nothing(self) -> None:
        """Nothing is no message."""
        self.transport.write(b"")
        self.transport.writeSequence([])
        self.assertEqual(self.heard(), [])

    def test_write_text(self) -> None:
        """Text goes out as text where that is asked for."""
        self.transport.write_text("grüß".encode())
        self.assertEqual(self.heard(), [(TEXT, "grüß".encode())])

    def test_write_much(self) -> None:
        """More than the limit is several messages within it, also from a view."""
        data = bytes(range(256)) * 1200
        self.transport.write(data)
        self.transport.write(memoryview(data))
        lengths = [len(payload) for _, payload in self.heard()]
        self.assertEqual(lengths, [131072, 131072, 45056] * 2)
        self.assertEqual(b"".join(payload for _, payload in self.heard()), data * 2)

    def test_message_sizes(self) -> None:
        """Every way to write a length is understood, and made."""
        for size in (1, 125, 126, 127, 65535, 65536, 131072):
            self.send(self.frame(BINARY, b"x" * size))
            self.transport.write(b"y" * size)
            self.assertEqual(self.ours.received.pop(), b"x" * size)
            self.assertEqual(self.heard()[-1], (BINARY, b"y" * size))

    def test_receive(self) -> None:
        """Text, binary and fragments are bytes alike, whole messages each; empty ones are nothing."""
        self.send(
            self.frame(TEXT, "grüß".encode()),
            self.frame(BINARY, b"\xff\x00"),
            self.frame(BINARY, b""),
            self.frame(BINARY, b"a", fin=False),
            self.frame(0, b"b", fin=False),
            self.frame(0, b"", fin=False),
            self.frame(0, b"c"),
        )
        self.assertEqual(self.ours.received, ["grüß".encode(), b"\xff\x00", b"abc"])

    def test_kind_of_message(self) -> None:
        """Whoever cares learns while a message is delivered whether it was text."""
        kinds: list[bool] = []
        self.ours._on_data = lambda protocol, _: kinds.append(protocol.transport.receiving_text)
        self.send(self.frame(TEXT, b"a"), self.frame(BINARY, b"b"))
        self.assertEqual(kinds, [True, False])

    def test_pings(self) -> None:
        """A Ping is answered with its payload, also within a fragmented message; a Pong is nothing."""
        self.send(
            self.frame(BINARY, b"a", fin=False),
            self.frame(PING, b"x" * 125),
            self.frame(PONG, b"unasked"),
            self.frame(PING),
            self.frame(0, b"b"),
        )
        self.assertEqual(self.heard(), [(PONG, b"x" * 125), (PONG, b"")])
        self.assertEqual(self.ours.received, [b"ab"])

    def test_addresses(self) -> None:
        """Host and peer are those of the connection below; there is no certificate without TLS."""
        below = self.peer.transport.other
        self.assertEqual(self.transport.getPeer(), below.getPeer())
        self.assertEqual(self.transport.getHost(), below.getHost())
        self.assertIsNone(self.transport.getPeerCertificate())

    def test_no_half_close(self) -> None:
        """Nobody may take it for something that can be closed in one direction."""
        self.assertFalse(self.transport.half_closes)


class ServerBytesByteByByteTests(ServerBytesTests):
    """The same when everything comes a byte at a time."""

    read_bytes = 1

    def test_write_much(self) -> None:
        """As above, in less."""

    def test_message_sizes(self) -> None:
        """As above, in less."""
        for size in (1, 125, 126, 70000):
            self.send(self.frame(BINARY, b"x" * size))
            self.assertEqual(self.ours.received.pop(), b"x" * size)


class ServerTunnelTests(OpenCase):
    """A WebSocket for a tunnel: no limit, no waiting, no text."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with(message_limit_bytes=None, reject_text=True)

    def test_parts_are_delivered_as_they_come(self) -> None:
        """A long message is not collected."""
        whole = self.frame(BINARY, bytes(range(250)) * 4000)
        self.send(whole[:500_000])
        self.assertGreater(len(self.ours.data), 490_000)
        self.send(whole[500_000:])
        self.assertEqual(self.ours.data, bytes(range(250)) * 4000)

    def test_large_messages(self) -> None:
        """Messages of 256 KiB go out whole."""
        self.transport.write(b"x" * 300_000)
        self.assertEqual([len(payload) for _, payload in self.heard()], [262144, 300_000 - 262144])

    def test_text(self) -> None:
        """Text is a protocol error: 1002, and nothing of it is delivered."""
        self.send(self.frame(BINARY, b"ok"), self.frame(TEXT, b"no"), self.frame(BINARY, b"late"))
        self.assertEqual(self.ours.received, [b"ok"])
        self.assert_close(1002)
        self.send(self.close_frame(1002))
        self.assert_end(WebSocketFailed, 1002)
        self.assert_idle()


class ClientBytesTests(ClientSide, ServerBytesTests):
    """Bytes out and in, dialled."""


class ClientBytesByteByByteTests(ClientSide, ServerBytesByteByByteTests):
    """Bytes out and in, dialled, a byte at a time."""


class ClientTunnelTests(ClientSide, ServerTunnelTests):
    """A WebSocket for a tunnel, dialled."""
