"""Tables as text: for a terminal, and as Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells under headings; the first column is a label, the others are figures.

    :param headings: one for each column.
    :param rows: as many cells each.
    :param left: columns, by number, that hold words and stand to the left.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})

    def plain(self) -> str:
        """Aligned columns, two blanks apart."""
        widths = self._widths()
        lines = [self._line(self.headings, widths), "  ".join("─" * width for width in widths)]
        lines += [self._line(row, widths) for row in self.rows]
        return "\n".join(lines)

    def markdown(self) -> str:
        """A table of Markdown, its columns lined up in the source too."""
        widths = [max(width, 3) for width in self._widths()]
        rules = [
            "-" * width if column in self.left else "-" * (width - 1) + ":"
            for column, width in enumerate(widths)
        ]
        rows = [self.headings, *self.rows]
        cells = [[self._pad(cell, column, widths[column]) for column, cell in enumerate(row)] for row in rows]
        return "\n".join("| " + " | ".join(row) + " |" for row in [cells[0], rules, *cells[1:]])

    def _widths(self) -> list[int]:
        return [
            max(width_of(cell) for cell in column) for column in zip(self.headings, *self.rows, strict=True)
        ]

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [self._pad(cell, column, widths[column]) for column, cell in enumerate(cells)]
        return "  ".join(padded).rstrip()

    def _pad(self, cell: str, column: int, width: int) -> str:
        blanks = " " * (width - width_of(cell))
        return cell + blanks if column in self.left else blanks + cell


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes.

    :param text: without line breaks.
    """
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
