"""The story of an instance as a picture in a terminal: a row for each service, in boxes: how clients come, and where they go."""

from __future__ import annotations

from collections.abc import Iterator

from kwic.cli.columns import fold, padded
from kwic.cli.explain.story import Chapter, Dialled, Story, Way

IN, SERVICE, OUT = 33, 20, 35
"""Columns of the boxes, borders and blanks included; with two arrows they make 100."""
ARROW = 6
PLAIN = str.maketrans("┌┐└┘├┤─│═▶◀→“”…", '++++++-|=><>""~')
"""For terminals without such letters."""
LEGEND = "──▶ a connection for each client   ══▶ tunnels for many   the arrow points to who is dialled"


def picture(story: Story) -> Iterator[str]:
    """:returns: the lines of the picture, none wider than 100 columns."""
    yield story.config.file
    for chapter in story.chapters:
        yield from _row(chapter)
    yield LEGEND


def _row(chapter: Chapter) -> Iterator[str]:
    """One service."""
    left = _box(_lines(chapter.ways_in, IN - 4), IN)
    middle = _box([*fold(chapter.service.name, SERVICE - 4), f"({chapter.service.type})"], SERVICE)
    right = _box(_lines(chapter.ways_out, OUT - 4), OUT)
    height = max(map(len, (left, middle, right)))
    columns = [_stretched(box, height) for box in (left, middle, right)]
    arrows = _arrow(chapter.ways_in, from_left=True), _arrow(chapter.ways_out, from_left=False)
    for number, (one, two, three) in enumerate(zip(*columns, strict=True)):
        first, second = arrows if number == 1 else (" " * ARROW, " " * ARROW)
        yield f"{one}{first}{two}{second}{three}"


def _lines(ways: tuple[Way, ...], width: int) -> list[str]:
    lines: list[str] = []
    for number, way in enumerate(ways):
        if number:
            lines.append("─" * width)
        lines += fold(way.place, width)
        for note in way.notes:
            lines += fold(note, width)
    return lines or ["nothing"]


def _arrow(ways: tuple[Way, ...], *, from_left: bool) -> str:
    """:returns: an arrow of the kind that all ways of one side share, or a plain one; its head is at who is dialled."""
    kinds = {
        (way.is_tunnel, way.dialled is (Dialled.BY_US if from_left else Dialled.BY_OTHERS)) for way in ways
    }
    is_tunnel, is_back = kinds.pop() if len(kinds) == 1 else (False, False)
    line = ("═" if is_tunnel else "─") * (ARROW - 3)
    return f" ◀{line} " if is_back else f" {line}▶ "


def _box(lines: list[str], width: int) -> list[str]:
    inner = width - 4
    body = [f"├─{line}─┤" if line.startswith("──") else f"│ {padded(line, inner)} │" for line in lines]
    return [f"┌{'─' * (width - 2)}┐", *body, f"└{'─' * (width - 2)}┘"]


def _stretched(box: list[str], height: int) -> list[str]:
    blank = "│" + " " * (len(box[0]) - 2) + "│"
    return [*box[:-1], *[blank] * (height - len(box)), box[-1]]
