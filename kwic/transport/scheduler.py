"""
Which streams of a tunnel send next, and how much.

Streams with something to send take turns, a message at a time. One that had nothing to send before goes first with a little: an interactive byte waits
for no other stream's bulk, and bulk is not kept waiting for ever by those that come and go.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from kwic.transport.stream import Outbound, Stream
from kwic.wire.session import Session

#: A stream that begins to send so little goes before those that have more, until such are half a message ahead of them.
FIRST_BYTES = 16_384
#: Where so many streams wait, each may send so much before it is the next one's turn.
MANY = 16
TURN_BYTES = 65_536
#: What is left of a message is no room for another stream when it is less than this part of it: a frame costs the other end as much as a message.
SCRAPS = 8


class Scheduler:
    """
    The streams of one tunnel that wait to send.

    :param session: what they send on.
    """

    __slots__ = ("_ahead", "_session", "_waiting", "first", "ready")

    def __init__(self, session: Session) -> None:
        self._session = session
        #: Those that had nothing to send before, and little now.
        self.first: deque[Stream] = deque()
        #: The others.
        self.ready: deque[Stream] = deque()
        #: What the first have sent before the others, and the others not since.
        self._ahead = 0
        #: All of them; who is in a queue and not here has left.
        self._waiting: set[Stream] = set()

    def add(self, stream: Stream) -> None:
        """A stream has bytes or an end to send; nothing happens when it waits already."""
        if stream not in self._waiting:
            self._waiting.add(stream)
            (self.first if stream.queued_bytes <= FIRST_BYTES else self.ready).append(stream)

    def discard(self, stream: Stream) -> None:
        """A stream is over."""
        self._waiting.discard(stream)

    def clear(self) -> None:
        """All are."""
        self.first.clear()
        self.ready.clear()
        self._waiting.clear()

    def fill(self, message_bytes: int, *, is_slow: bool) -> None:
        """
        Let the streams put one message's worth into the session, a turn each.

        :param message_bytes: how much that is.
        :param is_slow: whether what stands behind in a message makes what stands in front wait noticeably.
        """
        whole = room = message_bytes
        if self.ready:
            sent = self._let_first(max(0, whole // 2 - self._ahead))
            self._ahead += sent
            if sent and is_slow:
                # By itself: a message is read as a whole, so they would have to wait for what is behind them.
                return
            room -= sent
        while self.ready and room > 0:
            stream = self.ready.popleft()
            if stream in self._waiting:
                # All of it, if the stream has so much: large frames are cheap, and a message is soon sent. Where many wait it is each one's turn sooner.
                sent = self._turn(stream, room if len(self.ready) < MANY else min(room, TURN_BYTES))
                self._ahead = max(0, self._ahead - sent)
                room -= sent
                if room < whole // SCRAPS:
                    break
        if not self.ready:
            self._ahead = 0
            self._let_first(room)

    def _let_first(self, room: int) -> int:
        """
        The turns of those that begin with little.

        :param room: for all of them.
        :returns: how much they sent.
        """
        left = room
        while self.first and left > 0:
            stream = self.first.popleft()
            if stream in self._waiting:
                left -= self._turn(stream, min(left, FIRST_BYTES))
        return room - left

    def _turn(self, stream: Stream, limit: int) -> int:
        """One stream's turn: its bytes within credit and limit, then its end. It queues up again when it has more."""
        sent = 0
        number = stream.number
        while sent < limit and stream.queued_bytes:
            room = min(self._session.credit(number), limit - sent)
            piece = stream.take(room) if room else None
            if piece is None:
                break
            self._session.send(number, piece)
            sent += len(piece)
        ending = stream.ending
        if stream.queued_bytes and self._session.credit(number):
            self.ready.append(stream)
        else:
            self._waiting.discard(stream)
        if ending is not None:
            self._send_end(stream, ending)
        if sent:
            stream.sent()
        return sent

    def _send_end(self, stream: Stream, ending: Outbound) -> None:
        if ending is Outbound.FINISHING:
            self._session.finish(stream.number)
            stream.end_sent()
        else:
            self._session.reset(stream.number)
            stream.lost(Failure(ConnectionAborted()))
