"""The line that says what is going on."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.progress import Progress, span


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


class ProgressTests(SynchronousTestCase):
    """Steps, counted."""

    def setUp(self) -> None:
        """Time that stands still."""
        self.clock = Clock()

    def test_rewritten_on_a_terminal(self) -> None:
        """Each step takes the place of the last, also when it is shorter, and nothing is left in the end."""
        out = Terminal()
        progress = Progress(out, 4, self.clock.seconds)
        progress.step("a long step")
        progress.step("short")
        progress.clear()
        first, second, blank, last = out.getvalue().split("\r")[1:]
        self.assertEqual((first, second), ("  0%  a long step", " 25%  short      "))
        self.assertEqual((blank.strip(), last), ("", ""))

    def test_now_and_then_in_a_file(self) -> None:
        """Where lines cannot be rewritten there is one every ten seconds."""
        out = io.StringIO()
        progress = Progress(out, 100, self.clock.seconds)
        for number in range(30):
            progress.step(f"step {number}")
            self.clock.advance(1)
        self.assertEqual(len(out.getvalue().splitlines()), 3)

    def test_time_left(self) -> None:
        """Once it can tell, it says how long it will still take."""
        out = Terminal()
        progress = Progress(out, 40, self.clock.seconds)
        for _ in range(10):
            progress.step("x")
            self.clock.advance(2)
        self.assertNotIn("left", out.getvalue().split("\r")[2])
        self.assertIn("about 62 s left", out.getvalue().split("\r")[-1])

    def test_skipped_steps_count(self) -> None:
        """What will not happen is not waited for."""
        out = Terminal()
        progress = Progress(out, 10, self.clock.seconds)
        progress.skip(5)
        progress.step("x")
        self.assertIn("50%", out.getvalue())

    def test_notes_stay(self) -> None:
        """A note is a line of its own."""
        out = Terminal()
        progress = Progress(out, 10, self.clock.seconds)
        progress.step("x")
        progress.note("FAILED")
        self.assertTrue(out.getvalue().endswith("\rFAILED\n"))

    def test_spans(self) -> None:
        """Durations are said as people say them."""
        self.assertEqual([span(seconds) for seconds in (0.4, 89, 150)], ["0 s", "89 s", "2 min"])
