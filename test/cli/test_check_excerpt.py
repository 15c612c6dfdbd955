"""The line of a file, and the caret under it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.check.excerpt import WIDTH, Source
from kwic.cli.columns import columns


class ExcerptTests(SynchronousTestCase):
    """`Source.excerpt`"""

    def excerpt(self, text: str, line: int, column: int) -> tuple[str, str] | None:
        return Source(text).excerpt(line, column)

    def test_value(self) -> None:
        """The text up to the next tag is marked."""
        self.assertEqual(
            self.excerpt("<a>\n  <accept>tcp://x:1</accept>\n</a>", 2, 11),
            ("  <accept>tcp://x:1</accept>", "          ^~~~~~~~~"),
        )

    def test_tag(self) -> None:
        """An element is marked by its name."""
        self.assertEqual(self.excerpt("<a><service/></a>", 1, 4), ("<a><service/></a>", "   ^~~~~~~~"))
        self.assertEqual(self.excerpt("</a>", 1, 1), ("</a>", "^~~"))

    def test_value_over_several_lines(self) -> None:
        """No more than the line is marked, and no blanks at its end."""
        self.assertEqual(self.excerpt("<a>tcp://x:1  \n</a>", 1, 4), ("<a>tcp://x:1  ", "   ^~~~~~~~~"))

    def test_every_kind_of_line_break(self) -> None:
        """Lines are counted as XML counts them, and not as Unicode might."""
        text = "one\r\ntwo\rthree\nfour\x0bstill four\u2028and still"
        for line, word in enumerate(("one", "two", "three"), 1):
            self.assertEqual(self.excerpt(text, line, 1), (word, "^" + "~" * (len(word) - 1)))
        self.assertIn("still", self.excerpt(text, 4, 1)[0])
        self.assertIsNone(self.excerpt(text, 5, 1))

    def test_no_such_place(self) -> None:
        """What is not there is not shown; a column behind the line is at its end."""
        self.assertIsNone(self.excerpt("a", 0, 1))
        self.assertIsNone(self.excerpt("a", 2, 1))
        self.assertEqual(self.excerpt("ab", 1, 9), ("ab", "  ^"))
        self.assertEqual(self.excerpt("", 1, 1), ("", "^"))

    def test_tabs_and_wide_letters(self) -> None:
        """The caret stands under the column, whatever the letters before it take up."""
        self.assertEqual(self.excerpt("\t<a>x", 1, 5), ("    <a>x", "       ^"))
        self.assertEqual(self.excerpt("<名>x", 1, 4), ("<名>x", "    ^"))
        self.assertEqual(self.excerpt("<e\u0301>x", 1, 5)[1], "   ^")

    def test_what_moves_the_cursor(self) -> None:
        """A file cannot reach the terminal."""
        self.assertEqual(self.excerpt("<a>\x1b[2J\x07x", 1, 4)[0], "<a>\ufffd[2J\ufffdx")

    def test_long_lines(self) -> None:
        """A long line is cut on the sides that are far from the caret."""
        line = "<a>" + "b" * 400 + "</a><c>here</c>" + "d" * 400
        for column in (1, 4, 200, line.index("here") + 1, len(line)):
            text, caret = self.excerpt(line, 1, column)
            self.assertLessEqual(columns(text), WIDTH)
            self.assertLessEqual(len(caret), WIDTH)
            self.assertEqual(text[len(caret) - len(caret.lstrip())], line[column - 1])
        text, caret = self.excerpt(line, 1, line.index("here") + 1)
        self.assertTrue(text.startswith("…b"))
        self.assertTrue(text.endswith("d…"))
        self.assertEqual(text[caret.index("^") : len(caret)], "here")

    @given(st.text(max_size=300), st.integers(-1, 5), st.integers(-1, 300))
    def test_anything(self, text: str, line: int, column: int) -> None:
        """Whatever stands in a file, what is shown is printable and not too wide."""
        found = self.excerpt(text, line, max(1, column))
        if found is not None:
            self.assertTrue(found[0].isprintable())
            self.assertLessEqual(columns(found[0]), WIDTH)
            self.assertLessEqual(len(found[1]), WIDTH + 1)


class SourceTests(SynchronousTestCase):
    """`Source.read`"""

    def read(self, data: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(data)
        source = Source.read(path)
        assert source is not None
        return source.excerpt(1, 1)[0]

    def test_encodings(self) -> None:
        """A file is shown as it was meant."""
        self.assertEqual(self.read("<ä>".encode()), "<ä>")
        self.assertEqual(self.read(b"\xef\xbb\xbf<\xc3\xa4>"), "<ä>")
        self.assertEqual(self.read("<ä>".encode("utf-16")), "<ä>")
        declared = '<?xml version="1.0" encoding="ISO-8859-1"?><ä>'
        self.assertEqual(self.read(declared.encode("latin-1")), declared)

    def test_what_cannot_be_decoded(self) -> None:
        """Nor does a wrong one keep it from being shown."""
        self.assertEqual(self.read(b"<\xff>"), "<\ufffd>")
        self.assertTrue(self.read(b'<?xml encoding="klingon"?>\xff').endswith("?>\ufffd"))

    def test_not_there(self) -> None:
        """A file that has gone meanwhile is not shown."""
        self.assertIsNone(Source.read(Path(self.mktemp())))
