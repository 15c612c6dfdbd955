"""Two sessions joined in memory, and shorthand for frames written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kwic.wire.events import DataReceived, Event
from kwic.wire.limits import Limits
from kwic.wire.session import Session
from kwic.wire.yamux import Flag, FrameType, header

Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    """Everything at once."""
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """One byte at a time."""
    for value in data:
        yield bytes((value,))


def data(stream: int, payload: bytes = b"", flags: int = Flag.NONE) -> bytes:
    """A DATA frame."""
    return header(FrameType.DATA, flags, stream, len(payload)) + payload


def update(stream: int, credit: int = 0, flags: int = Flag.NONE) -> bytes:
    """A WINDOW_UPDATE frame."""
    return header(FrameType.WINDOW_UPDATE, flags, stream, credit)


def ping(value: int, flags: int = Flag.SYN) -> bytes:
    """A PING frame."""
    return header(FrameType.PING, flags, 0, value)


def go_away(code: int) -> bytes:
    """A GO_AWAY frame."""
    return header(FrameType.GO_AWAY, Flag.NONE, 0, code)


def written(session: Session) -> bytes:
    """What a session has to write, in one piece."""
    return b"".join(session.take_output())


def payload_of(events: list[Event], stream: int) -> bytes:
    """The bytes that events bring for one stream."""
    return b"".join(
        event.data for event in events if isinstance(event, DataReceived) and event.stream == stream
    )


class Pair:
    """A dialler and a listener; bytes move when a test says so.

    :param cut: how the bytes are split on their way.
    """

    def __init__(
        self,
        cut: Cut = whole,
        *,
        dialer_limits: Limits | None = None,
        listener_limits: Limits | None = None,
    ) -> None:
        self.dialer = Session(dialer=True, limits=dialer_limits)
        self.listener = Session(dialer=False, limits=listener_limits)
        self.cut = cut

    def move(self, source: Session, target: Session) -> list[Event]:
        """Carry what one has to write to the other."""
        events: list[Event] = []
        for piece in self.cut(written(source)):
            events += target.receive(piece)
        return events

    def settle(self) -> tuple[list[Event], list[Event]]:
        """Carry bytes both ways until none are left.

        :returns: what happened at the dialler and at the listener.
        """
        at_dialer: list[Event] = []
        at_listener: list[Event] = []
        while self.dialer.output_bytes or self.listener.output_bytes:
            at_listener += self.move(self.dialer, self.listener)
            at_dialer += self.move(self.listener, self.dialer)
        return at_dialer, at_listener

    def open(self) -> int:
        """Open a stream from the dialler, acknowledged."""
        number = self.dialer.open()
        self.settle()
        return number
