"""Values with units: times, sizes, rates, flags, counts and choices (configuration.md, “Values”).

Every parser takes the text of a value, without blanks around it, and raises :class:`BadValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

from kwic.config.problem import BadValueError
from kwic.config.words import did_you_mean, listed, shown

E = TypeVar("E", bound=Enum)

LONGEST_TIME_S = 1e9
"""31 years: beyond it a number is a slip, and a timer would not take it."""
LARGEST_SIZE = 2**31 - 1
"""Bytes: what KWIC 5 could hold."""
LARGEST_COUNT = 1_000_000

_TIME = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15}) *([a-z]*)", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,15})((?:[km](?:i?B)?)?)", re.IGNORECASE)
_RATE = re.compile(r"([0-9]{1,15})(|B/s|kB/s|KiB/s|MB/s|MiB/s)")
_COUNT = re.compile(r"[0-9]{1,15}")

_SECONDS: Mapping[str, float] = {
    "": 1,
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_RATES: Mapping[str, int] = {"": 1, "B/s": 1, "kB/s": 1000, "KiB/s": 1024, "MB/s": 10**6, "MiB/s": 2**20}


def parse_time_s(text: str) -> float:
    """A span of time: ``55 seconds``, ``500ms``, ``1.5 minutes``, ``30``.

    :returns: seconds.
    """
    match = _TIME.fullmatch(text)
    unit = match[2].lower() if match else ""
    if match is None or unit not in _SECONDS:
        hint = did_you_mean(unit, _SECONDS) if unit else ""
        raise BadValueError(
            f"{shown(text)} is not a time", hint or "write for example 500 ms, 55 seconds or 2 minutes"
        )
    seconds = float(match[1]) * _SECONDS[unit]
    if seconds > LONGEST_TIME_S:
        raise BadValueError(f"{shown(text)} is too long a time", "write at most 11574 days")
    return seconds


def parse_size(text: str) -> int:
    """A number of bytes, more than none: ``64000``, ``128k``, ``1MiB``; k is 1024 and M its square.

    :returns: bytes.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadValueError(f"{shown(text)} is not a size", "write for example 64000, 128k or 1M")
    size = int(match[1]) * {"": 1, "k": 2**10, "m": 2**20}[match[2][:1].lower()]
    if not 0 < size <= LARGEST_SIZE:
        raise BadValueError(f"{shown(text)} is out of range", f"write 1 to {LARGEST_SIZE} bytes")
    return size


def parse_rate(text: str) -> int:
    """A number of bytes per second, more than none: ``2MB/s``, without blanks.

    :returns: bytes per second.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise BadValueError(
            f"{shown(text)} is not a rate", "write for example 64000, 500kB/s or 2MiB/s, without blanks"
        )
    rate = int(match[1]) * _RATES[match[2]]
    if rate == 0:
        raise BadValueError(
            f"{shown(text)} would let nothing through", "write a rate above 0, or leave it out"
        )
    return rate


def count_from(least: int, most: int = LARGEST_COUNT) -> Callable[[str], int]:
    """:returns: a parser of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if _COUNT.fullmatch(text) is None or not least <= int(text) <= most:
            raise BadValueError(f"{shown(text)} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def one_of(choices: type[E]) -> Callable[[str], E]:
    """:returns: a parser of the values of an Enum."""
    by_value = {str(choice.value): choice for choice in choices}

    def parse(text: str) -> E:
        if text not in by_value:
            raise BadValueError(f"{shown(text)} is not {listed(by_value)}", did_you_mean(text, by_value))
        return by_value[text]

    return parse


class Flag(Enum):
    """``enabled`` or ``disabled``."""

    ENABLED = "enabled"
    DISABLED = "disabled"


def parse_flag(text: str) -> bool:
    """:returns: True for ``enabled``, False for ``disabled``."""
    return one_of(Flag)(text) is Flag.ENABLED
