"""How much of many streams' bytes is given to their common connection at once, by how fast it is.

What has been given cannot be overtaken any more: an interactive byte waits behind all of it. So on a slow connection it is little; on a fast one it is
much, because each portion has its price.

1. A message carries at most what the path carries in `MESSAGE_S`.
2. In the kernel, as much as the path carries in `UNSENT_S` may wait that has not been sent: enough to go on with until we are asked for more. Where messages
   are whole it is `FAST_UNSENT_S`: there nobody waits long, and a busy machine may ask late.
3. Both are rounded down to a power of two, so that they change seldom, and both have bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE_S = 0.010
UNSENT_S = 0.005
FAST_UNSENT_S = 0.020
LEAST_MESSAGE_BYTES = 16_384
"""One TLS record: below this the price per byte grows fast."""

LEAST_UNSENT_BYTES = 8_192
"""A few segments: with less the kernel would run dry before we are asked."""

MOST_MESSAGE_BYTES = 262_144
"""Larger ones are slower everywhere (protocol.md, Session)."""

MOST_UNSENT_BYTES = 4_194_304
"""As much as a socket's buffer: no bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Portions:
    """
    What may be given at once.

    :param message_bytes: in one message.
    :param unsent_bytes: what may wait in the kernel, not sent yet.
    """

    message_bytes: int
    unsent_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether messages are as large as they ever are."""
        return self.message_bytes == MOST_MESSAGE_BYTES


WHOLE = Portions(message_bytes=MOST_MESSAGE_BYTES, unsent_bytes=MOST_UNSENT_BYTES)
"""For a connection of which nothing is known."""


def portions(rate: float | None) -> Portions:
    """
    How much to give to a connection.

    :param rate: what it carries, bytes a second; None when unknown.
    """
    if rate is None:
        return WHOLE
    message_bytes = _bounded(rate * MESSAGE_S, LEAST_MESSAGE_BYTES, MOST_MESSAGE_BYTES)
    unsent_s = UNSENT_S if message_bytes < MOST_MESSAGE_BYTES else FAST_UNSENT_S
    return Portions(
        message_bytes=message_bytes,
        unsent_bytes=_bounded(rate * unsent_s, LEAST_UNSENT_BYTES, MOST_UNSENT_BYTES),
    )


def _bounded(size: float, least: int, most: int) -> int:
    """A power of two, as are both bounds."""
    whole = int(min(max(size, least), most))
    return 1 << (whole.bit_length() - 1)
