"""Nobody keeps a view of a buffer that is used again: the whole way of a byte, with buffers that are spoilt behind everybody's back."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from kwic.transport import whole_tls
from kwic.transport.deadlines import Deadlines
from kwic.transport.leg import Leg
from kwic.transport.negotiation import Acceptor, Opener
from kwic.transport.openssl_handles import Handles, Records
from kwic.transport.relay import Relay
from kwic.transport.stream import Stream
from kwic.transport.tunnel import Tunnel
from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.transport.websocket_server import Accept, WebSocketSite
from kwic.transport.whole_tls import WholeFactory
from kwic.wire.kwic_headers import TUNNEL_SUBPROTOCOL
from kwic.wire.socks5 import Command, Rep, method_reply, open_request, reply
from kwic.wire.yamux import GoAwayCode
from test.transport.memory_network import MemoryNetwork, Recorder
from test.transport.tls_kinds import creators
from test.transport.websocket_case import HOST, Route, ws
from test.wire import pair as frames

NAME = "name"


class Lender(Records):
    """Lends each view once: spoils it before the next one is lent."""

    _handles: Strict

    def read(self) -> Any:
        view, error = super().read()
        return lend(self._handles.plain_lent, view), error

    def __init__(self, connection: Any, handles: Strict, send: Any) -> None:
        super().__init__(connection, handles, lambda view: send(lend(handles.out_lent, view)))


class Strict(Handles):
    """Knows who kept a view."""

    records = Lender

    def __init__(self, ffi: Any, lib: Any) -> None:
        super().__init__(ffi, lib)
        #: What was read in plain, and what was read to be sent: two buffers, so that one may be lent while the other is.
        self.plain_lent: list[bytearray] = []
        self.out_lent: list[bytearray] = []

    def take_back(self) -> None:
        """Nobody has a view any more; a bytearray with one cannot change its size."""
        for lent in (self.plain_lent, self.out_lent):
            spoil(lent)
            for buffer in lent:
                buffer.append(0)
            lent.clear()


def lend(lent: list[bytearray], view: memoryview) -> memoryview:
    """A view that is good until the next one is lent."""
    spoil(lent)
    lent.append(bytearray(view))
    return memoryview(lent[-1])


def spoil(lent: list[bytearray]) -> None:
    """What was lent is used for something else."""
    for buffer in lent:
        buffer[:] = b"\xee" * len(buffer)


@implementer(IHalfCloseableProtocol)
class Remote(Recorder):
    """A client, or a server that it wants to reach."""

    ended = False

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


class Side:
    """A gateway, as far as it takes streams."""

    def __init__(self, case: ViewCase) -> None:
        self.case = case
        self.streams: list[Stream] = []
        self.down: list[Any] = []
        self.servers: list[Remote] = []

    def tunnel_up(self, tunnel: Tunnel) -> None:
        pass

    def stream_opened(self, tunnel: Tunnel, stream: Stream) -> None:
        self.streams.append(stream)
        stream.attach(Acceptor(Deadlines(self.case.network, 5), self._requested))

    def _requested(self, acceptor: Acceptor, request: Any) -> None:
        assert request.host == NAME, request
        server, far = Remote(), Leg()
        self.servers.append(server)
        self.case.network.join(far, server)
        Relay(acceptor.accept(), far, self.case.network).start()

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        pass

    def tunnel_down(self, tunnel: Tunnel, reason: Any) -> None:
        self.down.append(reason)


class Credentials:
    """For a client that looks at nobody's certificate."""

    def client_options(self, host: str, tls: Any) -> Any:
        return creators()[0]


class ViewCase(SynchronousTestCase):
    """A client, two gateways with a tunnel of WebSocket over TLS between them, and a server, with strict buffers."""

    read_bytes = 65_536

    def setUp(self) -> None:
        made = Strict.make()
        assert isinstance(made, Strict)
        self.handles = made
        self.patch(whole_tls, "FACTORY", lambda *how: WholeFactory(*how, handles=self.handles))
        self.network = MemoryNetwork(read_bytes=self.read_bytes)
        self.dialler, self.listener = Side(self), Side(self)
        self.site = WebSocketSite(self.network, secure=True)
        self.site.add(HOST, "/kwic", Route(self._accept), owner="test")
        secure = whole_tls.tls_factory(creators()[1], client=False, wrapped=self.site, clock=self.network)
        self.network.listen(HOST, 443, secure)
        endpoint = WebSocketEndpoint(
            self.network,
            ws(scheme="wss", port=443),
            credentials=Credentials(),
            protocols=[TUNNEL_SUBPROTOCOL],
            message_limit_bytes=None,
            reject_text=True,
        )
        self.tunnel = Tunnel(self.dialler, self.network, dialer=True)
        opened = endpoint.connect(Factory.forProtocol(lambda: self.tunnel))
        self.settle()
        self.assertIs(self.successResultOf(opened), self.tunnel)
        self.assertTrue(self.tunnel.up)

    def _accept(self, request: Any) -> Accept:
        self.opposite = Tunnel(self.listener, self.network, dialer=False)
        return Accept(
            protocol=self.opposite,
            subprotocol=TUNNEL_SUBPROTOCOL,
            message_limit_bytes=None,
            reject_text=True,
        )

    def settle(self) -> None:
        """Let everything happen that happens at once; afterwards nobody has a view."""
        self.network.settle()
        self.handles.take_back()

    def connect(self) -> tuple[Remote, Remote]:
        """A client that has been joined to its server."""
        client, near = Remote(), Leg()
        self.network.join(client, near)

        def on_reply(opener: Opener, rep: Rep) -> None:
            assert rep is Rep.SUCCEEDED
            Relay(near, opener.leg(), self.network).start()

        count = len(self.listener.servers)
        self.tunnel.open(
            Opener(Command.CONNECT, NAME, on_reply=on_reply, on_lost=lambda opener: near.reset())
        )
        self.settle()
        self.assertEqual(len(self.listener.servers), count + 1)
        return client, self.listener.servers[-1]


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that are never those of a spoilt buffer, and that tell their place."""
    return bytes((at + seed) % 229 for at in range(229))[: size % 229] + b"".join(
        bytes((at + seed + size) % 229 for at in range(229)) for _ in range(size // 229)
    )


class ViewTests(ViewCase):
    """The way of a byte."""

    def test_the_check_itself(self) -> None:
        """A view that somebody keeps is found."""
        kept: list[Any] = []
        wanted = Leg.dataReceived
        self.patch(Leg, "dataReceived", lambda leg, data: (kept.append(data), wanted(leg, data))[1])
        _, server = self.connect()
        server.transport.write(b"x" * 1000)
        self.assertRaises(BufferError, self.settle)
        kept.clear()
        self.settle()

    def test_bytes_both_ways(self) -> None:
        """Small and large pieces arrive as they were sent."""
        client, server = self.connect()
        for size in (1, 100, 5000, 262_144, 700_001):
            for one, other in ((client, server), (server, client)):
                one.transport.write(pattern(size))
                self.settle()
                self.assertTrue(other.data == pattern(size))
                other.received.clear()

    def test_paused_readers(self) -> None:
        """What waits for a reader, on a stream, in a transport or at a client, is as it was sent."""
        pairs = [self.connect() for _ in range(4)]
        sent = [pattern(900_000, seed) for seed in range(4)]
        ends = [pair[number % 2] for number, pair in enumerate(pairs)]
        for end in ends:
            end.transport.reading = False
        for number, (pair, data) in enumerate(zip(pairs, sent, strict=True)):
            writer = pair[1 - number % 2]
            for start in range(0, len(data), 10_007):
                writer.transport.write(data[start : start + 10_007])
                self.settle()
        for end, data in zip(ends, sent, strict=True):
            self.assertLess(len(end.data), len(data))
            end.transport.reading = True
            self.settle()
            self.assertTrue(end.data == data)

    def test_a_random_conversation(self) -> None:
        """Many streams, pieces of any size, readers that pause when they like, ends that come when they come."""
        dice = random.Random(7)
        pairs = [self.connect() for _ in range(6)]
        sent: dict[Remote, bytes] = {end: b"" for pair in pairs for end in pair}
        opposite = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
        for _ in range(400):
            end = dice.choice(list(sent))
            other = opposite[end]
            if dice.random() < 0.3:
                other.transport.reading = not other.transport.reading
            piece = pattern(dice.choice((1, 3, 12, 200, 5000, 100_000)), dice.randrange(229))
            end.transport.write(piece)
            sent[other] += piece
            if dice.random() < 0.5:
                self.settle()
        for end in sent:
            end.transport.reading = True
        self.settle()
        for end, expected in sent.items():
            self.assertTrue(end.data == expected)
        for client, server in pairs:
            client.transport.loseWriteConnection()
            self.settle()
            self.assertTrue(server.ended)
            server.transport.write(b"last words")
            server.transport.loseWriteConnection()
            self.settle()
            self.assertTrue(client.data.endswith(b"last words"))

    def test_early_bytes(self) -> None:
        """Bytes that come with a request, and with a reply, go first and are as they were sent."""
        number = self.raw_stream()
        early = open_request(Command.CONNECT, NAME) + b"early " * 3
        self.raw(frames.data(number, early))
        self.assertEqual(self.dialler.servers[-1].data, b"early " * 3)

    def test_a_request_in_pieces(self) -> None:
        """A SOCKS request that comes in pieces is put together; so is what comes behind it."""
        request = open_request(Command.CONNECT, NAME)
        for size in (1, 2, 3, 5, 7):
            number = self.raw_stream()
            data = request + b"early"
            for start in range(0, len(data), size):
                self.raw(frames.data(number, data[start : start + size]))
            self.assertEqual(self.dialler.servers[-1].data, b"early")

    def test_a_reply_in_pieces(self) -> None:
        """So is the reply, and what comes behind it."""
        answer = method_reply() + reply(Rep.SUCCEEDED) + b"early"
        for size in (1, 2, 3, 5):
            client, near = Remote(), Leg()
            self.network.join(client, near)
            # The other gateway answers nothing by itself: its acceptor is taken away.
            self.patch(self.listener, "_requested", lambda acceptor, request: None)
            self.tunnel.open(
                Opener(
                    Command.CONNECT,
                    NAME,
                    on_reply=lambda opener, rep, near=near: Relay(near, opener.leg(), self.network).start(),
                    on_lost=lambda opener: None,
                )
            )
            self.settle()
            number = self.listener.streams[-1].number
            for start in range(0, len(answer), size):
                self.opposite.transport.write(frames.data(number, answer[start : start + size]))
                self.settle()
            self.assertEqual(client.data, b"early")

    def test_frames_in_pieces(self) -> None:
        """Frames of the session that come a byte at a time, headers cut anywhere, and many of them in one message."""
        number = self.raw_stream()
        data = frames.data(number, open_request(Command.CONNECT, NAME)) + b"".join(
            frames.data(number, pattern(size, size)) for size in (1, 13, 700)
        )
        for at in range(len(data)):
            self.raw(data[at : at + 1])
        expected = pattern(1, 1) + pattern(13, 13) + pattern(700, 700)
        self.assertEqual(self.dialler.servers[-1].data, expected)
        self.raw(b"".join(frames.data(number, bytes((at,))) for at in range(200)))
        self.assertEqual(self.dialler.servers[-1].data, expected + bytes(range(200)))

    def test_pings_and_leaving(self) -> None:
        """Signs of life, on both floors, and a farewell between the bytes."""
        client, server = self.connect()
        for _ in range(3):
            client.transport.write(pattern(3000))
            self.tunnel.ping()
            self.tunnel.transport._channel.send_ping()
            self.opposite.ping()
            self.settle()
        self.tunnel.session.go_away(GoAwayCode.NORMAL)
        self.tunnel.flush()
        server.transport.write(pattern(5000))
        self.settle()
        self.assertTrue(self.opposite.draining)
        self.assertEqual((len(server.data), len(client.data)), (9000, 5000))

    def test_a_stream_that_is_gone(self) -> None:
        """Bytes for a stream that nobody has any more are dropped."""
        client, server = self.connect()
        client.transport.write(pattern(200_000))
        server.transport.abortConnection()
        self.settle()
        client.transport.write(pattern(1000))
        self.settle()
        self.assertIsNotNone(client.lost)

    def test_the_end_of_the_tunnel(self) -> None:
        """A close, with bytes before it in the same read, and streams that wait for their readers."""
        client, server = self.connect()
        server.transport.reading = False
        client.transport.write(pattern(300_000))
        self.settle()
        self.tunnel.close()
        self.settle()
        self.assertTrue(self.listener.down[0].check(ConnectionDone))
        server.transport.reading = True
        self.settle()

    def test_a_peer_that_breaks_rules(self) -> None:
        """What an error remembers is no view: garbage in the session, in a frame, in a record, in the negotiation."""
        for bad in ("session", "frame", "record", "request"):
            self.setUp()
            client, _ = self.connect()
            client.transport.write(pattern(1000))
            channel = self.opposite.transport._channel
            if bad == "session":
                self.opposite.transport.write(b"\xff" * 100)
            elif bad == "frame":
                channel.send(b"text", text=True)
            elif bad == "record":
                self.opposite.transport._carrier.transport.write(b"\x17\x03\x03\x00\x20" + bytes(32))
            else:
                self.raw(frames.data(self.raw_stream(), b"\x04\x01 no SOCKS 5" * 10))
            self.settle()
            self.network.pass_time(0.5)
            self.handles.take_back()

    # -- frames by hand

    def raw_stream(self) -> int:
        """A stream that the listener opens (what it sends is not masked, so that the dialler gets views), for a test to write to."""
        stream = self.opposite.open(Recorder())
        self.settle()
        return stream.number

    def raw(self, data: bytes) -> None:
        """The listener's link says this, in a message of its own."""
        self.opposite.transport.write(data)
        self.settle()


class SmallReadTests(ViewTests):
    """The same where TCP delivers little at a time."""

    read_bytes = 997

    def test_paused_readers(self) -> None:
        """As above, in less: it takes long."""

    def test_bytes_both_ways(self) -> None:
        """As above, in less."""
        client, server = self.connect()
        client.transport.write(pattern(50_000))
        server.transport.write(pattern(30_000))
        self.settle()
        self.assertTrue(server.data == pattern(50_000))
        self.assertTrue(client.data == pattern(30_000))

    def test_a_random_conversation(self) -> None:
        """As above, in less."""
