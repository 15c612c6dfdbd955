"""The page that describes the protocol: what it draws and shows is what the code does."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import kwic
from kwic.wire import cluster_messages, kwic_headers, limits, socks5, window, yamux
from kwic.wire.session import Session
from kwic.wire.stream_state import StreamState
from test.wire.pair import written

DOCS = Path(kwic.__file__).parent.parent / "docs"
PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")
DRAWING = runpy.run_path(str(DOCS / "stream_states.py"))


class DrawingTests(SynchronousTestCase):
    """The picture of the stream states."""

    def test_is_up_to_date(self) -> None:
        """The picture in the page is the one that the table gives (if not: PYTHONPATH=. python docs/stream_states.py)."""
        self.assertEqual(DRAWING["drawn_into"](PAGE), PAGE)

    def test_shows_every_state(self) -> None:
        """Each state is a box of the picture."""
        for state in StreamState:
            self.assertIn(f"│ {state.name} ", DRAWING["draw"]())

    def test_page_without_a_place(self) -> None:
        """A page without markers is left alone, loudly."""
        with self.assertRaises(ValueError):
            DRAWING["drawn_into"]("no markers")


def example() -> Iterator[tuple[str, bytes]]:
    """The bytes of the example, who writes them first."""
    block = re.search(r"```example\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        side, rest = line.split(maxsplit=1)
        yield side, bytes.fromhex(re.match(r"((?:[0-9a-f]{2} +)+)", rest + " ")[1])


class ExampleTests(SynchronousTestCase):
    """The bytes of one client's stream."""

    def test_written_as_shown(self) -> None:
        """Two sessions that do what the example says write what it shows."""
        dialler, listener = Session(dialer=True), Session(dialer=False)
        said = {"dialler": bytearray(), "listener": bytearray()}

        def move(source: Session, name: str, target: Session) -> None:
            chunk = written(source)
            said[name] += chunk
            target.receive(chunk)

        number = dialler.open()
        dialler.send(number, socks5.open_request(socks5.Command.CONNECT, "svc-a.b"))
        move(dialler, "dialler", listener)
        listener.send(number, socks5.method_reply() + socks5.reply(socks5.Rep.SUCCEEDED))
        move(listener, "listener", dialler)
        dialler.send(number, b"hello")
        dialler.finish(number)
        move(dialler, "dialler", listener)
        listener.send(number, b"hello")
        listener.finish(number)
        move(listener, "listener", dialler)
        self.assertEqual((dialler.streams, listener.streams), (0, 0))
        for name, wrote in said.items():
            self.assertEqual(wrote, b"".join(shown for side, shown in example() if side == name))


class NumberTests(SynchronousTestCase):
    """The table of limits."""

    def test_limits(self) -> None:
        """Each limit stands in the page as the code has it."""
        mebi, kibi = 1024 * 1024, 1024
        for words, number in (
            ("payload of a DATA frame, read | 1 MiB |", yamux.FRAME_READ_MAXIMUM_BYTES / mebi),
            ("payload of a DATA frame, written | 256 KiB |", yamux.FRAME_WRITTEN_MAXIMUM_BYTES / kibi),
            ("to begin with, each way | 256 KiB |", yamux.INITIAL_WINDOW_BYTES / kibi),
            ("may grow to | 16 MiB |", window.WINDOW_MAXIMUM_BYTES / mebi),
            ("of one process | 256 MiB |", window.BUDGET_BYTES / mebi),
            ("not yet acknowledged, each way | 256 |", limits.UNACKNOWLEDGED_MAXIMUM),
            ("streams of a session | 65 536 |", limits.STREAMS_MAXIMUM),
            ("stream numbers left out | 256 |", limits.SKIPPED_MAXIMUM),
            ("frames without payload, per second | 100 000 |", limits.CONTROL_FRAMES_PER_TICK),
            ("(ACK, RST, pong) | 4 096 |", limits.ANSWERS_MAXIMUM),
            ("1 to 255 bytes", socks5.NAME_MAXIMUM_BYTES),
            ("a cluster message | 1 MiB;", cluster_messages.MESSAGE_MAXIMUM_BYTES / mebi),
            ("cluster message | 1024 characters", cluster_messages.TEXT_MAXIMUM_CHARACTERS),
            ("at most 128 |", kwic_headers.MET_MAXIMUM),
        ):
            self.assertIn(words, PAGE)
            self.assertIn(
                number,
                [int(found) for found in re.findall(r"\d+", words.replace(" ", ""))]
                + [int(found) for found in re.findall(r"\d+", words)],
                words,
            )
