"""The story of an instance in words: its doors, and the path of a client of each service, hop by hop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap

from kwic.cli.explain.journey import Journeys, Stop
from kwic.cli.explain.story import Chapter, Dialled, Door, Facts, Story, Way

WIDTH = 100
"""Columns; longer lines go on below."""
LABEL = 10
"""Columns of a fact's label."""
LONGEST_JOURNEY = 8
"""Services that one client is followed through."""
_UNIT = re.compile(r"(\d) (s|B/s|bytes)\b")
"""A number stays with its unit."""


def in_words(story: Story, journeys: Journeys) -> Iterator[str]:
    """:returns: the lines about one instance.

    :param journeys: of all instances that were asked about.
    """
    yield "Listens at"
    for door in story.doors:
        yield from _door(door)
    if not story.doors:
        yield "  nothing"
    if story.cluster:
        yield ""
        yield "Cluster"
        yield from facts(story.cluster, 2)
    yield ""
    yield "Paths"
    for chapter in story.chapters:
        yield from _chapter(story, chapter, journeys)


def facts(items: Facts, indent: int) -> Iterator[str]:
    """:returns: labels and texts under each other."""
    for label, text in items:
        yield from hanging(f"{' ' * indent}{label:<{LABEL}} ", text)


def hanging(head: str, text: str) -> Iterator[str]:
    """:returns: a text behind a head, its further lines below its beginning."""
    kept = _UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", text)
    lines = wrap(kept, max(20, WIDTH - len(head)), break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        beginning = " " * len(head) if number else head
        yield (beginning + line.replace("\N{NO-BREAK SPACE}", " ")).rstrip()


def _door(door: Door) -> Iterator[str]:
    yield f"  {', '.join(door.addresses)}: {door.tls}"
    if door.unknown:
        yield from hanging(" " * 6, f"({door.unknown})")
    yield from facts(door.facts, 6)
    width = max((len(answer.at) for answer in door.answers), default=0)
    for answer in door.answers:
        yield from hanging(f"      {answer.at:<{width}}{'  ' if width else ''}→ ", answer.what)


def _chapter(story: Story, chapter: Chapter, journeys: Journeys) -> Iterator[str]:
    service = chapter.service
    yield ""
    yield from hanging(
        f"  {service.name} ({service.type})", f": {service.description}" if service.description else ""
    )
    for number, way in enumerate(chapter.ways_in):
        yield from _step("1." if number == 0 else "or", f"clients {way.text}", way.facts)
    yield from _onward(story, chapter, journeys, 2, (chapter,))


def _onward(
    story: Story,
    chapter: Chapter,
    journeys: Journeys,
    number: int,
    been: tuple[Chapter, ...],
    where: str = "they",
) -> Iterator[str]:
    """The ways out of a service, and what follows each."""
    several = len(chapter.ways_out) > 1
    for choice, way in enumerate(chapter.ways_out):
        head = f"{number}{chr(ord('a') + choice % 26)}." if several else f"{number}."
        stops = list(journeys.onward(story, way))
        yield from _step(
            head, f"{'else ' if choice else ''}{where} {way.text}", (*way.facts, *_said_there(stops))
        )
        if not stops:
            yield from _beyond(way, number + 1)
        for stop in stops:
            name = stop.chapter.service.name
            if stop.story is not story:
                name = f"{name} of {stop.story.config.file}"
            if stop.chapter in been or len(been) >= LONGEST_JOURNEY:
                yield from _step(f"{number + 1}.", f"so they come to {name}, as above", ())
            else:
                yield from _onward(
                    stop.story, stop.chapter, journeys, number + 1, (*been, stop.chapter), f"at {name} they"
                )


def _said_there(stops: Iterable[Stop]) -> Iterator[tuple[str, str]]:
    """What the other instances have to say about a connection."""
    for file, way in dict.fromkeys((stop.story.config.file, stop.way_in) for stop in stops):
        if way.secure:
            said = dict(way.facts)
            yield "there", f"({Path(file).name}) TLS {said['TLS']}"
            yield "there", f"({Path(file).name}) {said['who']}"


def _beyond(way: Way, number: int) -> Iterator[str]:
    """What follows a way whose other end is in no file that was named."""
    if way.is_tunnel and way.dialled is Dialled.BY_OTHERS:
        yield from _step(f"{number}.", "the agent takes them to the server that its own file names", ())
    elif way.is_tunnel:
        yield from _step(f"{number}.", "whoever is there takes them on, as its own file says", ())


def _step(head: str, text: str, about: Facts) -> Iterator[str]:
    yield from hanging(f"    {head:<3} ", text)
    yield from facts(about, 8)
