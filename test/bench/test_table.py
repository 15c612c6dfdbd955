"""Tables."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.table import Table, width_of

TABLE = Table(headings=("", "MB/s"), rows=(("up", "12"), ("64 B, µs", "1")))


class TableTests(SynchronousTestCase):
    """As text."""

    def test_plain(self) -> None:
        """Words stand to the left, figures to the right."""
        self.assertEqual(TABLE.plain(), "          MB/s\n────────  ────\nup          12\n64 B, µs     1")

    def test_markdown(self) -> None:
        """The rule says which way a column stands, in a rendered page too."""
        self.assertEqual(
            TABLE.markdown(),
            "|          | MB/s |\n| -------- | ---: |\n| up       |   12 |\n| 64 B, µs |    1 |",
        )

    def test_width(self) -> None:
        """A character counts as many columns as a terminal gives it."""
        self.assertEqual([width_of(text) for text in ("µs", "e\u0301", "日本")], [2, 1, 4])

    def test_ragged_rows_are_a_mistake(self) -> None:
        """A row with too few cells is not printed as if it were whole."""
        with self.assertRaises(ValueError):
            Table(headings=("a", "b"), rows=(("1",),)).plain()
