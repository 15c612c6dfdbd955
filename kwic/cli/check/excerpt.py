"""The line of a file that a problem is about, with a caret under it, as compilers show it."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from kwic.cli.columns import columns, first, letter_columns, printable
from kwic.config.document import LARGEST_FILE

WIDTH = 96
"""Columns of a line of the file that are shown; longer lines are cut on both sides."""
BEFORE = 24
"""Columns that are shown before the caret at least, where a line is cut."""
_BREAK = re.compile(r"\r\n|\r|\n")
_MARKED = re.compile(r"[^<>]*[^<>\s]")
"""From the caret on: the text up to the next tag."""
_TAG = re.compile(r"</?[^<>\s/]+")
_CUT = "…"


class Source:
    """One file, as it was written."""

    def __init__(self, text: str) -> None:
        """:param text: all of it."""
        self._lines = _BREAK.split(text)

    @classmethod
    def read(cls, path: Path) -> Source | None:
        """:returns: the file, as far as it can be shown; None when it cannot be read."""
        try:
            with path.open("rb") as file:
                return cls(_decoded(file.read(LARGEST_FILE)))
        except OSError:
            return None

    def excerpt(self, line: int, column: int) -> tuple[str, str] | None:
        """One line and what is marked in it.

        :param line: counted from 1. :param column: counted from 1, in characters.
        :returns: two lines of equal meaning under each other: the text, and the caret; None where there is no such line.
        """
        if not 1 <= line <= len(self._lines):
            return None
        written = self._lines[line - 1]
        start = min(column - 1, len(written))
        text, before = printable(written), printable(written[:start])
        marked = printable(_marked(written[start:]))
        text, indent = _cut(text, columns(before))
        length = max(1, min(columns(marked), columns(text) - indent))
        return text, " " * indent + "^" + "~" * (length - 1)


def _marked(rest: str) -> str:
    """:returns: what a problem is about: the tag that begins here, or the text up to the next one."""
    match = (_TAG if rest.startswith("<") else _MARKED).match(rest)
    return match[0] if match else ""


def _decoded(data: bytes) -> str:
    """:returns: the text: XML is UTF-8 unless it says something else, and showing it is no place to be strict."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    declared = re.match(rb"""\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]+)""", data)
    try:
        return data.decode(declared[1].decode("ascii") if declared else "utf-8-sig", "replace")
    except LookupError:
        return data.decode("utf-8-sig", "replace")


def _cut(text: str, indent: int) -> tuple[str, int]:
    """:returns: as much of a line as is shown, and how far the caret is in it."""
    if columns(text) <= WIDTH:
        return text, indent
    skipped = max(0, indent - BEFORE) if indent > WIDTH - BEFORE else 0
    text, gone = _without(text, skipped)
    if gone:
        text, indent = _CUT + text, indent - gone + len(_CUT)
    if columns(text) > WIDTH:
        text = first(text, WIDTH - len(_CUT)) + _CUT
    return text, indent


def _without(text: str, width: int) -> tuple[str, int]:
    """:returns: the text without so many columns at its beginning, and how many have gone: a wide letter goes as a whole."""
    gone = 0
    for index, letter in enumerate(text):
        if gone >= width:
            return text[index:], gone
        gone += letter_columns(letter)
    return "", gone
