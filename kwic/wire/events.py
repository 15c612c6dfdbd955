"""What a session tells its owner: one frozen dataclass for each thing that can happen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamOpened:
    """The peer opened a stream; it is acknowledged already, and its first bytes may follow."""

    stream: int
    """Its number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamAcknowledged:
    """The peer has taken up a stream that we opened: it is alive and will answer."""

    stream: int
    """Its number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReceived:
    """Bytes of a stream, in order; a frame may come as several of these."""

    stream: int
    """Its number."""

    data: bytes | memoryview
    """The bytes. A view is one of what was given to `receive`: it is valid as long as the owner leaves that unchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditGranted:
    """The peer lets us send more on a stream."""

    stream: int
    """Its number."""

    credit: int
    """What may be sent now, in sum, in bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFinished:
    """The peer will send no more on a stream; our direction goes on."""

    stream: int
    """Its number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamReset:
    """The peer gave up a stream, or refused to open it: both directions are over."""

    stream: int
    """Its number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PongReceived:
    """The peer answered a ping of ours."""

    value: int
    """What `ping` returned."""


@dataclass(frozen=True, kw_only=True, slots=True)
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
