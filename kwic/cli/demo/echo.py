"""One client: connects, says a word, and must hear it back; then says goodbye and must see the other end do so too."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What became of one client.

    :param error: what went wrong, None when all went well.
    :param started_s: when it began to connect (monotonic).
    :param took_s: from the first connect to the other end's goodbye, or to the error.
    """

    error: str | None
    started_s: float
    took_s: float

    @property
    def ok(self) -> bool:
        """Whether the word came back and the goodbye too."""
        return self.error is None


def say(word: str, host: str, port: int, *, timeout_s: float) -> Heard:
    """Connect to an echo path, say a word and hear it back.

    :param word: what to say, without the line end.
    :param host: the listener's address.
    :param port: the listener's port.
    :param timeout_s: for everything together.
    """
    started_s = time.monotonic()
    try:
        error = _converse(f"{word}\n".encode(), (host, port), started_s + timeout_s)
    except TimeoutError:
        error = f"no answer within {timeout_s:g} s"
    except OSError as e:
        error = (e.strerror or str(e)).lower()
    return Heard(error=error, started_s=started_s, took_s=time.monotonic() - started_s)


def _converse(line: bytes, address: tuple[str, int], deadline_s: float) -> str | None:
    """The conversation itself; what was wrong with the answer, or None."""
    with socket.create_connection(address, timeout=_left(deadline_s)) as client:
        client.sendall(line)
        heard = _read(client, len(line), deadline_s)
        if heard != line:
            return f"heard {heard.decode(errors='replace')!r}" if heard else "closed without an answer"
        client.shutdown(socket.SHUT_WR)
        rest = _read(client, 1, deadline_s)
        return f"heard more than was said: {rest!r}" if rest else None


def _read(client: socket.socket, count: int, deadline_s: float) -> bytes:
    """Read a number of bytes, fewer only at the end of the stream."""
    heard = b""
    while len(heard) < count:
        client.settimeout(_left(deadline_s))
        more = client.recv(count - len(heard))
        if not more:
            break
        heard += more
    return heard


def _left(deadline_s: float) -> float:
    """The time that is left, never 0: that would mean a socket that does not wait at all."""
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
