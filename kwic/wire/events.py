"""What a session tells its owner: one dataclass for each thing that can happen.

Nobody changes one. They are not frozen all the same: making a frozen one costs twice as much, and there is one for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream; it is acknowledged already, and its first bytes may follow."""

    stream: int
    """Its number."""


@dataclass(slots=True)
class StreamAcknowledged:
    """The peer has taken up a stream that we opened: it is alive and will answer."""

    stream: int
    """Its number."""


@dataclass(slots=True)
class DataReceived:
    """Bytes of a stream, in order; a frame may come as several of these."""

    stream: int
    """Its number."""

    data: bytes | memoryview
    """The bytes. A view is one of what was given to `receive`: it is valid as long as the owner leaves that unchanged."""


@dataclass(slots=True)
class CreditGranted:
    """The peer lets us send more on a stream."""

    stream: int
    """Its number."""

    credit: int
    """What may be sent now, in sum, in bytes."""


@dataclass(slots=True)
class StreamFinished:
    """The peer will send no more on a stream; our direction goes on."""

    stream: int
    """Its number."""


@dataclass(slots=True)
class StreamReset:
    """The peer gave up a stream, or refused to open it: both directions are over."""

    stream: int
    """Its number."""


@dataclass(slots=True)
class PongReceived:
    """The peer answered a ping of ours."""

    value: int
    """What `ping` returned."""


@dataclass(slots=True)
class WentAway:
    """The peer wants no new streams; those that are open run on."""

    code: int
    """Why: a `GoAwayCode`, or a number that we do not know."""


Event = (
    StreamOpened
    | StreamAcknowledged
    | DataReceived
    | CreditGranted
    | StreamFinished
    | StreamReset
    | PongReceived
    | WentAway
)
