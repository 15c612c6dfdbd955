"""
Draws the life of a stream from its table (`kwic.wire.stream_state.TRANSITIONS`) into docs/protocol.md, between two markers.

    PYTHONPATH=. python docs/stream_states.py

A test fails when what is committed is not what this draws.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from kwic.wire.stream_state import TRANSITIONS, StreamInput, StreamState

PAGE = Path(__file__).with_name("protocol.md")
BEGIN = "<!-- the stream states: drawn by docs/stream_states.py -->\n```\n"
END = "```\n<!-- end of the stream states -->\n"


def words(causes: list[StreamInput]) -> str:
    """Inputs as they stand in the picture: `we send FIN, RST; peer sends RST`."""
    sides: dict[str, list[str]] = defaultdict(list)
    for cause in causes:
        side, what = cause.name.split("_", 1)
        sides["we send" if side == "SEND" else "peer sends"].append(what)
    return "; ".join(f"{side} {', '.join(whats)}" for side, whats in sides.items())


def draw() -> str:
    """Every state as a box, with arrows to those it leads to."""
    lines: list[str] = []
    for state in StreamState:
        away: dict[StreamState, list[StreamInput]] = defaultdict(list)
        for (begin, cause), end in TRANSITIONS.items():
            if begin is state:
                away[end].append(cause)
        stays = words(away.pop(state, []))
        lines.append(f"┌{'─' * 18}┐")
        lines.append(f"│ {state.name:<16} │  stays: {stays}".removesuffix("  stays: "))
        lines.append(f"└─┬{'─' * 16}┘" if away else f"└{'─' * 18}┘")
        for number, (end, causes) in enumerate(away.items(), 1):
            corner = "└" if number == len(away) else "├"
            lines.append(f"  {corner}─ {words(causes) + ' ':─<36}→ {end.name}")
    return "\n".join(lines) + "\n"


def drawn_into(page: str) -> str:
    """
    A page with the picture as it is now.

    :raises ValueError: it has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers for the stream states")
    return before + BEGIN + draw() + END + after


if __name__ == "__main__":
    PAGE.write_text(drawn_into(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
