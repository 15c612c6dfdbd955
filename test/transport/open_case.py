"""An open WebSocket for tests, accepted or dialled, with a raw peer that writes frames by hand."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from zope.interface import implementer

from kwic.transport.websocket_client import WebSocketEndpoint
from kwic.wire.kwic_headers import TUNNEL_SUBPROTOCOL
from test.transport.memory_network import Recorder
from test.transport.websocket_case import (
    HOST,
    WebSocketCase,
    accept_of,
    close_frame,
    frame,
    parse_frames,
    ws,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@implementer(IPushProducer)
class Producer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class RawServer(Recorder):
    """Answers an upgrade request as it should be, and is told the rest by the test."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        head, end, _ = self.data.partition(b"\r\n\r\n")
        if end and not hasattr(self, "answered"):
            self.answered = True
            key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            _, offered, protocol = head.partition(b"Sec-WebSocket-Protocol: ")
            agreed = (offered + protocol.split(b"\r\n")[0] + b"\r\n").decode() if offered else ""
            self.transport.write(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{agreed}"
                f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n".encode()
            )

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        return parse_frames(self.data.partition(b"\r\n\r\n")[2])


class OpenCase(WebSocketCase):
    """An open WebSocket of ours, ``self.ours`` its protocol, and a raw peer that writes frames by hand."""

    peer_masks = True
    tunnel = False
    """Whether it is opened for a tunnel, whose frames are not Autobahn's."""
    accept: dict[str, Any] = {}

    ours: Any = None

    def open_with(self, **options: Any) -> None:
        """Open one; an earlier one is dropped."""
        self.drop()
        self.peer: Any
        if self.tunnel:
            options["subprotocol"] = TUNNEL_SUBPROTOCOL
        self.peer, self.ours = self.open(**options)
        self.transport: Any = self.ours.transport

    def drop(self) -> None:
        """Drop what is open."""
        if self.ours is not None and self.ours.lost is None:
            self.transport.abortConnection()
            self.network.settle()

    def send(self, *frames: bytes) -> None:
        """The peer writes some frames."""
        self.say(self.peer, b"".join(frames))

    def frame(self, opcode: int, payload: bytes = b"", **how: Any) -> bytes:
        """A frame as the peer has to make it."""
        return frame(opcode, payload, **{"masked": self.peer_masks, **how})

    def close_frame(self, code: int | None = None, reason: bytes = b"") -> bytes:
        """A Close frame as the peer has to make it."""
        return close_frame(code, reason, masked=self.peer_masks)

    def heard(self, *, but: int = 0) -> list[tuple[int, bytes]]:
        """The frames that the peer got."""
        self.network.settle()
        return [found for found in self.peer.frames if found[0] != but]

    def assert_close(self, code: int) -> None:
        """The peer's last frame is a Close with that code."""
        opcode, payload = self.heard()[-1]
        self.assertEqual((opcode, int.from_bytes(payload[:2], "big")), (CLOSE, code))

    def assert_end(self, kind: type[Exception], code: int | None = None) -> None:
        """Our protocol was told so."""
        self.network.settle()
        assert self.ours.lost is not None, "not told yet"
        self.assertIsInstance(self.ours.lost.value, kind)
        if code is not None:
            self.assertEqual(self.ours.lost.value.code, code)


class ClientSide:
    """Mixed in: our WebSocket was dialled, the raw peer is a server."""

    peer_masks = False
    _port = 8000

    def open_with(self: Any, **options: Any) -> None:
        self.drop()
        servers: list[RawServer] = []

        def build(_: object) -> RawServer:
            servers.append(RawServer())
            return servers[-1]

        listener = Factory()
        listener.buildProtocol = build  # type: ignore[method-assign]
        self._port += 1
        self.network.listen(HOST, self._port, listener)
        if self.tunnel:
            options["protocols"] = [TUNNEL_SUBPROTOCOL]
        endpoint = WebSocketEndpoint(self.network, ws(port=self._port), **options)
        opened = endpoint.connect(Factory.forProtocol(Recorder))
        self.network.settle()
        self.ours = self.successResultOf(opened)
        self.transport = self.ours.transport
        self.peer = servers[-1]
