"""
Clients and back ends that check every byte: what each end sends is known from the script of the connection, and so is how it ends.

    client                    back end
    header: which script  ->
                          <-  hello: the same number, the sign that the client is served
    bytes, with positions <-> bytes, with positions
    end of stream, or a reset by one of the two, as the script says
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from test.lab.pattern import Pattern

_PATTERN = Pattern(1)
_HEADER = struct.Struct("!4sI")
_MAGIC = b"KWIC"
HEADER_BYTES = _HEADER.size


class Ending(Enum):
    """How a connection ends."""

    CLIENT_FIRST = "the back end answers when the client has finished"
    SERVER_FIRST = "the client answers when the back end has finished"
    BOTH = "each finishes when it has sent its bytes"
    CLIENT_RESETS = "the client resets half-way"
    SERVER_RESETS = "the back end resets half-way"

    @property
    def resets(self) -> bool:
        return self in (Ending.CLIENT_RESETS, Ending.SERVER_RESETS)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What happens on one connection."""

    number: int
    up_bytes: int = 0
    down_bytes: int = 0
    ending: Ending = Ending.CLIENT_FIRST
    pieces: int = 1
    """In how many pieces either side sends."""

    gap_s: float = 0.0
    """Between two pieces."""

    client_slow_s: float = 0.0
    server_slow_s: float = 0.0
    """For how long an end reads nothing, to begin with."""

    @property
    def lasts_s(self) -> float:
        """How long it takes when nothing is in its way, beside the round trips."""
        return 2 * self.pieces * self.gap_s + self.client_slow_s + self.server_slow_s


def _bytes(stream: int, position: int, length: int) -> bytes:
    parts = []
    while length > 0:
        piece = _PATTERN.at(position + stream * 7919, min(length, 65521))
        parts.append(piece)
        position, length = position + len(piece), length - len(piece)
    return b"".join(parts)


@implementer(IHalfCloseableProtocol)
class End(Protocol):
    """
    One end of a connection.

    :param clock: for the gaps.
    :param wrong: called with what is not as it must be.
    """

    transport: Any
    role = ""

    def __init__(self, clock: Any, wrong: Callable[[str], None]) -> None:
        self._clock = clock
        self._wrong = wrong
        self._timer: Any = None
        self.script: Script | None = None
        self.sent = 0
        self.received = 0
        self.finished = False
        """We have sent our end of stream."""
        self.ended = False
        """The other's end of stream came."""
        self.has_reset = False
        """We reset the connection, as the script says."""
        self.over = False
        self.how = ""
        self.over_s: float | None = None
        self.on_over: Callable[[], None] = lambda: None

    # -- which of the two
    @property
    def to_send(self) -> int:
        raise NotImplementedError

    @property
    def to_receive(self) -> int:
        raise NotImplementedError

    @property
    def stream(self) -> int:
        """Which bytes are sent."""
        raise NotImplementedError

    @property
    def resets(self) -> bool:
        raise NotImplementedError

    @property
    def waits(self) -> bool:
        """It sends when the other has finished."""
        raise NotImplementedError

    @property
    def slow_s(self) -> float:
        raise NotImplementedError

    # -- sending
    def begin(self) -> None:
        """The script is known and the connection up."""
        if self.slow_s:
            self.transport.pauseProducing()
            self._clock.callLater(self.slow_s, self._read)
        if not self.waits:
            self._send()

    def _read(self) -> None:
        if not self.over:
            self.transport.resumeProducing()

    def _send(self) -> None:
        """Send the next piece, and end when that was the last."""
        self._timer = None
        assert self.script is not None
        goal = self.to_send // 2 if self.resets else self.to_send
        length = min(goal - self.sent, max(1, goal // self.script.pieces))
        if length > 0:
            at, self.sent = self.sent, self.sent + length
            self.transport.write(_bytes(self.stream, at, length))
        if self.over or self.finished:
            return
        if self.sent < goal:
            self._timer = self._clock.callLater(self.script.gap_s, self._send)
        elif self.resets:
            self._reset_soon()
        else:
            self.finished = True
            self.transport.loseWriteConnection()

    def _reset_soon(self) -> None:
        # Not in the turn of the last bytes: they may get through.
        self._timer = self._clock.callLater(0.02, self._reset)

    def _reset(self) -> None:
        self._timer = None
        self.has_reset = True
        self.transport.abortConnection()

    # -- receiving
    def take(self, data: bytes) -> None:
        """Check the position of every byte."""
        expected = _bytes(self.stream ^ 1, self.received, len(data))
        if data != expected or self.received + len(data) > self.to_receive:
            self._wrong(f"{self} got {len(data)} bytes at {self.received} that were not sent like this")
        self.received += len(data)

    def readConnectionLost(self) -> None:
        self.ended = True
        if self.script is None:
            return
        if self.script.ending.resets and self.received < self.to_receive:
            self._wrong(f"{self} got an end of stream after {self.received} bytes instead of a reset")
        elif self.received != self.to_receive:
            self._wrong(f"{self} got an end of stream after {self.received} of {self.to_receive} bytes")
        elif self.waits and not self.sent and not self.finished:
            self._send()

    def writeConnectionLost(self) -> None:
        """Our end of stream is out."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over = True
        self.over_s = self._clock.seconds()
        self.how = "in order" if reason.check(ConnectionDone) else "by a reset"
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.how == "in order" and not self.complete:
            self._wrong(f"{self} was closed in order after {self.received} bytes and {self.sent} sent")
        self.on_over()

    @property
    def complete(self) -> bool:
        """Both directions have ended as they should."""
        return self.finished and self.ended and self.received == self.to_receive

    def __str__(self) -> str:
        number = "?" if self.script is None else self.script.number
        return f"the {self.role} of connection {number}"


class ClientEnd(End):
    """
    The client.

    :param script: what it does.
    """

    role = "client"

    def __init__(self, clock: Any, wrong: Callable[[str], None], script: Script) -> None:
        super().__init__(clock, wrong)
        self.script: Script = script
        self._hello = b""
        self.served_s: float | None = None
        self.on_served: Callable[[], None] = lambda: None

    to_send = property(lambda self: self.script.up_bytes)
    to_receive = property(lambda self: self.script.down_bytes)
    stream = property(lambda self: 2 * self.script.number)
    resets = property(lambda self: self.script.ending is Ending.CLIENT_RESETS)
    waits = property(lambda self: self.script.ending is Ending.SERVER_FIRST)
    slow_s = property(lambda self: self.script.client_slow_s)

    def connectionMade(self) -> None:
        self.transport.write(_HEADER.pack(_MAGIC, self.script.number))
        if not self._begins_when_served:
            self.begin()

    @property
    def _begins_when_served(self) -> bool:
        return self.resets or self.slow_s > 0

    def dataReceived(self, data: bytes) -> None:
        if self.served_s is None:
            self._hello += data
            if len(self._hello) < HEADER_BYTES:
                return
            magic, number = _HEADER.unpack_from(self._hello)
            if magic != _MAGIC or number != self.script.number:
                self._wrong(f"{self} got the hello of another: {self._hello[:HEADER_BYTES]!r}")
            data = self._hello[HEADER_BYTES:]
            self.served_s = self._clock.seconds()
            self.on_served()
            if self._begins_when_served:
                self.begin()
        if data:
            self.take(data)


class ServerEnd(End):
    """
    The back end.

    :param scripts: every connection's, by its number.
    :param known: called with this end when it knows which one it is.
    """

    role = "back end"

    def __init__(
        self,
        clock: Any,
        wrong: Callable[[str], None],
        scripts: Callable[[int], Script | None],
        known: Callable[[ServerEnd], None],
    ) -> None:
        super().__init__(clock, wrong)
        self._scripts = scripts
        self._known = known
        self._header = b""

    to_send = property(lambda self: self.script.down_bytes)
    to_receive = property(lambda self: self.script.up_bytes)
    stream = property(lambda self: 2 * self.script.number + 1)
    resets = property(lambda self: self.script.ending is Ending.SERVER_RESETS)
    waits = property(lambda self: self.script.ending is Ending.CLIENT_FIRST)
    slow_s = property(lambda self: self.script.server_slow_s)

    @property
    def complete(self) -> bool:
        # A probe connects and leaves without a word.
        return super().complete if self.script is not None else not self._header

    def dataReceived(self, data: bytes) -> None:
        if self.script is None:
            self._header += data
            if len(self._header) < HEADER_BYTES:
                return
            magic, number = _HEADER.unpack_from(self._header)
            self.script = self._scripts(number) if magic == _MAGIC else None
            if self.script is None:
                self._wrong(f"{self} got {self._header[:HEADER_BYTES]!r} for a header")
                self.transport.abortConnection()
                return
            self._known(self)
            self.transport.write(_HEADER.pack(_MAGIC, number))
            data = self._header[HEADER_BYTES:]
            self.begin()
        if data:
            self.take(data)

    def readConnectionLost(self) -> None:
        if self.script is None:
            self.transport.loseConnection()
        super().readConnectionLost()
