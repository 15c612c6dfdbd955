"""What the tests of WebSockets have in common: a site in a memory network, routes, raw clients, and frames by hand."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Address
from kwic.transport.websocket_server import Accept, Redirect, Refuse, UpgradeRequest, WebSocketSite
from kwic.wire.http_head import HeadReader, ResponseHead, parse_response
from test.transport.memory_network import MemoryNetwork, Recorder, TcpEnd

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HOST = "10.0.0.1"
Answer = Accept | Redirect | Refuse


def ws(host: str = HOST, path: str = "/kwic", scheme: str = "ws", port: int = 80) -> Address:
    """A WebSocket address."""
    return Address(text="", scheme=scheme, host=host, port=port, path=path)


def request(
    path: str = "/kwic", host: str = HOST, *, extra: str = "", method: str = "GET", version: str = "13"
) -> bytes:
    """An upgrade request."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: {version}\r\n{extra}\r\n"
    ).encode("iso-8859-1")


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept that belongs to a key."""
    return base64.b64encode(
        hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    ).decode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """One frame."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes((first, mask_bit | len(payload)))
    elif len(payload) < 65536:
        head = bytes((first, mask_bit | 126)) + len(payload).to_bytes(2, "big")
    else:
        head = bytes((first, mask_bit | 127)) + len(payload).to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = b"\x01\x02\x03\x04"
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def close_frame(code: int | None = None, reason: bytes = b"", *, masked: bool = True) -> bytes:
    """A Close frame."""
    return frame(8, b"" if code is None else code.to_bytes(2, "big") + reason, masked=masked)


def parse_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of each complete frame in some bytes, unmasked."""
    found = []
    while len(data) >= 2:
        length, at = data[1] & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, at = int.from_bytes(data[2:10], "big"), 10
        if data[1] & 0x80:
            mask, at = data[at : at + 4], at + 4
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[at : at + length]))
        else:
            payload = data[at : at + length]
        found.append((data[0] & 0x0F, payload))
        data = data[at + length :]
    return found


class Route:
    """A route that answers what it is told to, and remembers what it was asked."""

    def __init__(self, answer: Callable[[UpgradeRequest], Answer] | Answer) -> None:
        self.asked: list[UpgradeRequest] = []
        self._answer = answer

    def answer(self, request: UpgradeRequest) -> Answer:
        self.asked.append(request)
        return self._answer(request) if callable(self._answer) else self._answer


class RawClient(Recorder):
    """A client that says what it is told to."""

    transport: TcpEnd

    def answer(self) -> tuple[ResponseHead, bytes]:
        """The head that came, and what came after it."""
        complete = HeadReader().receive(self.data)
        assert complete is not None, f"no whole head: {self.data!r}"
        return parse_response(complete[0]), complete[1]

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The frames that came after the head."""
        return parse_frames(self.answer()[1])


class WebSocketCase(SynchronousTestCase):
    """A site at 10.0.0.1:80 with one route at /kwic."""

    read_bytes = 65536
    secure = False

    def setUp(self) -> None:
        self.network = MemoryNetwork(read_bytes=self.read_bytes)
        self.site = WebSocketSite(self.network, secure=self.secure)
        self.network.listen(HOST, 80, self.site)
        self.served: list[Recorder] = []
        self.accept: dict[str, Any] = {}
        self.route = Route(self.serve)
        self.site.add(HOST, "/kwic", self.route, owner="first")
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def serve(self, request: UpgradeRequest) -> Answer:
        """Accept with a recorder."""
        protocol = Recorder()
        self.served.append(protocol)
        return Accept(protocol=protocol, **self.accept)

    def dial(self, data: bytes = b"") -> RawClient:
        """Connect a raw client and let it say something."""
        client = RawClient()
        self.network.join(client, self.site.buildProtocol(None))
        client.transport.write(data)
        self.network.settle()
        return client

    def open(self, **accept: Any) -> tuple[RawClient, Recorder]:
        """An open WebSocket: a raw client and the recorder behind the site."""
        self.accept = accept
        subprotocol = accept.get("subprotocol")
        client = self.dial(request(extra=f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""))
        self.assertEqual(client.answer()[0].status, 101)
        return client, self.served[-1]

    def say(self, client: RawClient, data: bytes) -> None:
        """Let a client say something."""
        client.transport.write(data)
        self.network.settle()

    def assert_idle(self) -> None:
        """Nothing is open or scheduled."""
        self.network.settle()
        self.assertEqual(self.network.pairs, [])
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual(self.site.handshakes, 0)
