"""Words that were meant to be other words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

LONGEST_WORD = 80
"""Characters of a word that is compared with others: comparing costs the square of it."""
MOST_WORDS = 64
"""Words that one is compared with; the longest table of ours has fewer."""


def closest(word: str, words: Iterable[str]) -> str | None:
    """:returns: the one of the words that the given one is most likely a misspelling of, if any is close."""
    by_lower = {candidate.lower(): candidate for candidate in islice(words, MOST_WORDS)}
    matches = get_close_matches(word[:LONGEST_WORD].lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[matches[0]] if matches else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """:returns: ``did you mean “name”?``, or nothing when no word is close."""
    match = closest(word, words)
    return f"did you mean “{match}”?" if match else ""


def listed(words: Iterable[str], last: str = "or") -> str:
    """:returns: ``a, b or c``."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def shown(text: str) -> str:
    """:returns: a piece of the file as it stands in a message: quoted, on one line, not longer than a line."""
    safe = "".join(letter if letter.isprintable() else "�" for letter in text)
    return f"“{safe}”" if len(safe) <= LONGEST_WORD else f"“{safe[: LONGEST_WORD - 1]}…”"
