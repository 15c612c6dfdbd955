"""Where clients go on when they have left an instance: into another one, when its file was named too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kwic.cli.explain.story import Chapter, Story, Way
from kwic.cli.explain.view import Key, key_of
from kwic.config.ends import Side
from kwic.config.pair import Seat, Sides


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """A service that clients come to."""

    story: Story
    chapter: Chapter
    way_in: Way
    """How they come."""


class Journeys:
    """Several instances, and who meets whom."""

    def __init__(self, stories: Sequence[Story]) -> None:
        """:param stories: one for each file."""
        self._stories = stories
        self._stops: dict[tuple[int, Key], Stop] = {}
        for story in stories:
            for chapter in story.chapters:
                for way in chapter.ways_in:
                    if way.end is not None:
                        stop = Stop(story=story, chapter=chapter, way_in=way)
                        self._stops[id(story.config), key_of(way.end)] = stop
        self._met = Sides([story.config for story in stories]).met

    def onward(self, story: Story, way: Way) -> Iterator[Stop]:
        """:returns: the services that a way out leads to, in as far as the files tell.

        :param story: the instance that it leads out of.
        """
        if way.pipe:
            for chapter in story.chapters:
                for way_in in chapter.ways_in:
                    if way_in.pipe == way.pipe:
                        yield Stop(story=story, chapter=chapter, way_in=way_in)
        elif way.balanced:
            yield from self._members(way)
        elif way.end is not None:
            here = (id(story.config), key_of(way.end))
            for seat, other in self._met:
                for mine, theirs in ((seat, other), (other, seat)):
                    if _known(mine) == here and theirs.end.side is Side.ACCEPT:
                        yield self._stops[_known(theirs)]

    def _members(self, way: Way) -> Iterator[Stop]:
        """The services that a balancer sends its clients to."""
        for story in self._stories:
            for chapter in story.chapters:
                if not way.balanced.isdisjoint(chapter.service.balances):
                    for way_in in chapter.ways_in[:1]:
                        yield Stop(story=story, chapter=chapter, way_in=way_in)


def _known(seat: Seat) -> tuple[int, Key]:
    return id(seat.config), key_of(seat.end)
