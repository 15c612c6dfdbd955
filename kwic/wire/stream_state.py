"""The life of one stream as a table: (state, what happens) -> the next state. What is not in the table is an error.

`python docs/stream_states.py` draws it.

Rejected: flags for "opened", "acknowledged", "finished here", "finished there". Sixteen combinations, nine of them nonsense.
"""

from __future__ import annotations

from enum import IntEnum, auto

from kwic.errors import MisuseError
from kwic.wire.window import ReceiveWindow, SendCredit
from kwic.wire.yamux import IllegalFrameError

# IntEnum and not Enum: these are hashed for every frame, and an Enum's hash is a Python function.


class StreamState(IntEnum):
    """What is true of a stream."""

    IDLE = auto()
    """Nobody has opened it."""
    OPENING = auto()
    """We opened it and may send; the peer has not acknowledged, and whatever it sends does so."""
    OPENING_FINISHED = auto()
    """As OPENING, and we have said all that we will."""
    OPEN = auto()
    """Both sides know it, both may send."""
    FINISHED = auto()
    """We have said all that we will; the peer may go on."""
    PEER_FINISHED = auto()
    """The peer has said all that it will; we may go on."""
    CLOSED = auto()
    """Over in both directions: it is forgotten, and what still comes for it is dropped."""


class StreamInput(IntEnum):
    """What can happen to a stream: we send, or the peer does."""

    SEND_SYN = auto()
    """We open it."""
    SEND_DATA = auto()
    """We send payload."""
    SEND_CREDIT = auto()
    """We let the peer send more."""
    SEND_FIN = auto()
    """We finish our direction."""
    SEND_RST = auto()
    """We give up both directions."""
    RECEIVE_SYN = auto()
    """The peer opens it; the acknowledgement goes out at once."""
    RECEIVE_ACK = auto()
    """The peer acknowledges that we opened it, in so many words or by sending data, credit or FIN."""
    RECEIVE_DATA = auto()
    """The peer sends payload."""
    RECEIVE_CREDIT = auto()
    """The peer lets us send more."""
    RECEIVE_FIN = auto()
    """The peer finishes its direction."""
    RECEIVE_RST = auto()
    """The peer gives up both directions."""


TRANSITIONS: dict[tuple[StreamState, StreamInput], StreamState] = {
    (StreamState.IDLE, StreamInput.SEND_SYN): StreamState.OPENING,
    (StreamState.IDLE, StreamInput.RECEIVE_SYN): StreamState.OPEN,
    (StreamState.OPENING, StreamInput.SEND_DATA): StreamState.OPENING,
    (StreamState.OPENING, StreamInput.SEND_FIN): StreamState.OPENING_FINISHED,
    (StreamState.OPENING, StreamInput.SEND_RST): StreamState.CLOSED,
    (StreamState.OPENING, StreamInput.RECEIVE_ACK): StreamState.OPEN,
    (StreamState.OPENING, StreamInput.RECEIVE_RST): StreamState.CLOSED,
    (StreamState.OPENING_FINISHED, StreamInput.SEND_RST): StreamState.CLOSED,
    (StreamState.OPENING_FINISHED, StreamInput.RECEIVE_ACK): StreamState.FINISHED,
    (StreamState.OPENING_FINISHED, StreamInput.RECEIVE_RST): StreamState.CLOSED,
    (StreamState.OPEN, StreamInput.SEND_DATA): StreamState.OPEN,
    (StreamState.OPEN, StreamInput.SEND_CREDIT): StreamState.OPEN,
    (StreamState.OPEN, StreamInput.SEND_FIN): StreamState.FINISHED,
    (StreamState.OPEN, StreamInput.SEND_RST): StreamState.CLOSED,
    # one that says nothing new
    (StreamState.OPEN, StreamInput.RECEIVE_ACK): StreamState.OPEN,
    (StreamState.OPEN, StreamInput.RECEIVE_DATA): StreamState.OPEN,
    (StreamState.OPEN, StreamInput.RECEIVE_CREDIT): StreamState.OPEN,
    (StreamState.OPEN, StreamInput.RECEIVE_FIN): StreamState.PEER_FINISHED,
    (StreamState.OPEN, StreamInput.RECEIVE_RST): StreamState.CLOSED,
    (StreamState.FINISHED, StreamInput.SEND_CREDIT): StreamState.FINISHED,
    (StreamState.FINISHED, StreamInput.SEND_RST): StreamState.CLOSED,
    (StreamState.FINISHED, StreamInput.RECEIVE_ACK): StreamState.FINISHED,
    (StreamState.FINISHED, StreamInput.RECEIVE_DATA): StreamState.FINISHED,
    # credit for what the peer read before our FIN reached it
    (StreamState.FINISHED, StreamInput.RECEIVE_CREDIT): StreamState.FINISHED,
    (StreamState.FINISHED, StreamInput.RECEIVE_FIN): StreamState.CLOSED,
    (StreamState.FINISHED, StreamInput.RECEIVE_RST): StreamState.CLOSED,
    (StreamState.PEER_FINISHED, StreamInput.SEND_DATA): StreamState.PEER_FINISHED,
    (StreamState.PEER_FINISHED, StreamInput.SEND_FIN): StreamState.CLOSED,
    (StreamState.PEER_FINISHED, StreamInput.SEND_RST): StreamState.CLOSED,
    (StreamState.PEER_FINISHED, StreamInput.RECEIVE_ACK): StreamState.PEER_FINISHED,
    (StreamState.PEER_FINISHED, StreamInput.RECEIVE_CREDIT): StreamState.PEER_FINISHED,
    (StreamState.PEER_FINISHED, StreamInput.RECEIVE_RST): StreamState.CLOSED,
}


def _where_nothing_changes(happening: StreamInput) -> frozenset[StreamState]:
    return frozenset(
        state for (state, what), following in TRANSITIONS.items() if what is happening and following is state
    )


_IDLE = StreamState.IDLE

SENT_BY_US = _where_nothing_changes(StreamInput.SEND_DATA)
"""The states in which we may send payload; they stay as they are then, so that there is nothing to apply."""

SENT_TO_US = _where_nothing_changes(StreamInput.RECEIVE_DATA)
"""The states in which the peer may send payload, and which stay as they are then."""


class Stream:
    """What a session knows of one stream.

    :param number: its number on the wire.
    :param window: what the peer may send.
    """

    __slots__ = ("credit", "number", "state", "window")

    def __init__(self, number: int, window: ReceiveWindow) -> None:
        self.number = number
        self.state = _IDLE
        self.window = window
        self.credit = SendCredit()

    def may(self, happening: StreamInput) -> bool:
        """Whether this may happen now."""
        return (self.state, happening) in TRANSITIONS

    def apply(self, happening: StreamInput) -> None:
        """Let it happen.

        :raises IllegalFrameError: the peer may not do that in this state, which stays as it was.
        :raises MisuseError: we may not.
        """
        following = TRANSITIONS.get((self.state, happening))
        if following is None:
            blame = IllegalFrameError if happening >= StreamInput.RECEIVE_SYN else MisuseError
            raise blame(f"stream {self.number}: {happening.name} in state {self.state.name}")
        self.state = following
