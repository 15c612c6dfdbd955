"""Text in a terminal: how wide it is, how it is folded, and what may stand there at all."""

from __future__ import annotations

import unicodedata

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
TAB = "    "
_MARKS = "/.:-@_,"
"""Behind these an address may be broken."""


def printable(text: str) -> str:
    """:returns: a text as it may stand in a terminal: nothing that moves the cursor, and no tabs."""
    return "".join(
        letter if letter.isprintable() else TAB if letter == "\t" else UNPRINTABLE for letter in text
    )


def columns(text: str) -> int:
    """:returns: how wide a text is."""
    return sum(letter_columns(letter) for letter in text)


def letter_columns(letter: str) -> int:
    """:returns: how wide a letter is: none for an accent, two for a wide one."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def first(text: str, width: int) -> str:
    """:returns: the beginning of a text, not wider than so many columns."""
    used = 0
    for index, letter in enumerate(text):
        used += letter_columns(letter)
        if used > width:
            return text[:index]
    return text


def padded(text: str, width: int) -> str:
    """:returns: a text with blanks behind it, so wide."""
    return text + " " * (width - columns(text))


def fold(text: str, width: int) -> list[str]:
    """:returns: a text in lines, broken at blanks, else behind a mark in an address, else anywhere.

    :param width: columns of the longest line; at least 2.
    """
    lines = []
    rest = printable(text).strip()
    while columns(rest) > width:
        fitting = first(rest, width)
        cut = _best_cut(rest, len(fitting))
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, rest] if rest or not lines else lines


def _best_cut(text: str, fitting: int) -> int:
    """:returns: how many letters stand in the first line.

    :param fitting: how many fit.
    """
    blank = text.rfind(" ", 1, fitting + 1)
    if blank > fitting // 3:
        return blank
    behind = max(text.rfind(mark, 0, fitting) for mark in _MARKS)
    return behind + 1 if behind > fitting // 3 else fitting
