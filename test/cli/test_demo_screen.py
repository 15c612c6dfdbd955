"""What the demo prints on a terminal, and where there is none."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.screen import Screen


class Terminal:
    """As much of a terminal as the screen uses: cursor up, clear below, colours ignored."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.rows = [""]

    def write(self, text: str) -> None:
        while text:
            if text.startswith("\x1b["):
                number, letter = "", ""
                text = text[2:]
                while not letter:
                    number, letter, text = (
                        (number + text[0], "", text[1:]) if text[0].isdigit() else (number, text[0], text[1:])
                    )
                if letter == "A":
                    self.rows = self.rows[: len(self.rows) - int(number)]
            elif text[0] == "\n":
                self.rows.append("")
                text = text[1:]
            elif text[0] == "\r":
                self.rows[-1] = ""
                text = text[1:]
            else:
                self.rows[-1] += text[0]
                text = text[1:]

    def flush(self) -> None:
        return


class ScreenTests(SynchronousTestCase):
    """Lines that stay, and a picture below them."""

    def test_picture_stays_below(self) -> None:
        """Lines are printed above the picture, which is drawn once, below all of them."""
        terminal = Terminal()
        screen = Screen(terminal, live=True)  # type: ignore[arg-type]
        screen.line("one")
        screen.picture(["a", "b"])
        screen.line("✓ two")
        screen.picture(["c", "d", "e"])
        screen.line("three")
        self.assertEqual(terminal.rows, ["one", "✓ two", "three", "c", "d", "e", ""])
        screen.picture([])
        self.assertEqual(terminal.rows, ["one", "✓ two", "three", ""])

    def test_wide_picture(self) -> None:
        """A line of the picture never wraps: one that is too long is cut."""
        terminal = Terminal()
        Screen(terminal, live=True, width=5).picture(["123456789"])  # type: ignore[arg-type]
        self.assertEqual(terminal.rows, ["12345", ""])

    def test_no_terminal(self) -> None:
        """Where nothing can be redrawn, there is no picture and no escape sequence."""
        out = io.StringIO()
        screen = Screen(out, live=False)
        screen.picture(["a"])
        screen.line("✓ one")
        self.assertEqual(out.getvalue(), "✓ one\n")

    def test_encoding_without_signs(self) -> None:
        """Where the output cannot express our signs, words stand for them."""
        raw = io.BytesIO()
        screen = Screen(io.TextIOWrapper(raw, encoding="ascii", write_through=True), live=False)
        screen.line("✓ a → b")
        screen.line("✗ c")
        self.assertEqual(raw.getvalue(), b"ok a -> b\nFAILED c\n")
