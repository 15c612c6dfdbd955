"""What a session allows its peer: each limit with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from kwic.wire.window import WINDOW_MAXIMUM_BYTES, Budget
from kwic.wire.yamux import FRAME_READ_MAXIMUM_BYTES

UNACKNOWLEDGED_MAXIMUM = 256
"""Streams opened and not yet acknowledged, each way: the figure that yamux libraries use. More are refused with RST, not queued."""

STREAMS_MAXIMUM = 65_536
"""Streams of one session at a time: a peer that opens more is out of its mind or hostile; they are refused with RST."""

SKIPPED_MAXIMUM = 256
"""Stream numbers that a peer may leave out and use later: libraries number streams before they queue them, so two may swap."""

CONTROL_FRAMES_PER_TICK = 100_000
"""Frames without payload between two ticks (of 1 s): 10 000 streams opened, served and closed each second need half of it."""

ANSWERS_MAXIMUM = 4_096
"""Frames that the peer made us queue (acknowledgements, refusals, pongs) and that nobody has taken: more means that it asks and
does not read, and would cost memory without bound."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one session."""

    budget: Budget = field(default_factory=Budget)
    """What windows may grow in sum; give every session of a process the same one."""

    window_maximum_bytes: int = WINDOW_MAXIMUM_BYTES
    """The largest window of one stream."""

    frame_maximum_bytes: int = FRAME_READ_MAXIMUM_BYTES
    """The longest DATA payload that the peer may send."""

    streams_maximum: int = STREAMS_MAXIMUM
    """Streams at a time."""

    unacknowledged_maximum: int = UNACKNOWLEDGED_MAXIMUM
    """Streams opened and not yet acknowledged, each way."""

    control_frames_per_tick: int = CONTROL_FRAMES_PER_TICK
    """Frames without payload that the peer may send between two calls of `Session.tick`."""

    answers_maximum: int = ANSWERS_MAXIMUM
    """Answers queued for the peer and not yet taken."""
