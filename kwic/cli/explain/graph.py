"""The story of an instance as boxes and lines, for the pictures that know how to draw both.

Four columns: who comes, where they come in, the service, where it takes them. Lines join neighbours only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kwic.cli.columns import fold
from kwic.cli.explain.story import Chapter, Dialled, Door, Story, Way

WHO, IN, SERVICE, OUT = range(4)
"""The columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """A part of a box that lines may end at."""

    name: str
    lines: tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class Node:
    """A box."""

    name: str
    """Nobody else's in the graph."""
    column: int
    title: str
    lines: tuple[str, ...] = ()
    ports: list[Port] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A line, from the box on the left to the one on the right, as clients go."""

    left: str
    left_port: str = ""
    right: str
    right_port: str = ""
    is_tunnel: bool = False
    secure: bool = False
    dialled: Dialled = Dialled.BY_OTHERS
    is_back: bool = False
    """Whether who is on the right has dialled who is on the left."""


class Graph:
    """One instance."""

    def __init__(self, story: Story) -> None:
        """:param story: of the instance."""
        self.title = story.config.file
        self.cluster = story.cluster
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}
        self._services = {
            chapter.service.name: f"service{number}" for number, chapter in enumerate(story.chapters)
        }
        for number, door in enumerate(story.doors):
            self._door(f"door{number}", door)
        for chapter in story.chapters:
            self._chapter(chapter)

    @property
    def nodes(self) -> Sequence[Node]:
        """The boxes, in the order of the file."""
        return list(self._nodes.values())

    @property
    def edges(self) -> Sequence[Edge]:
        """The lines."""
        return list(self._edges)

    def column(self, number: int) -> list[Node]:
        """:returns: the boxes of one column."""
        return [node for node in self._nodes.values() if node.column == number]

    def cluster_lines(self, width: int) -> list[str]:
        """:returns: the cluster in lines, none longer than so many letters."""
        lines = [("cluster " if label == "name" else f"{label} ") + text for label, text in self.cluster]
        return [part for line in lines for part in fold(line, width)]

    def _node(self, name: str, column: int, title: str, lines: tuple[str, ...] = ()) -> Node:
        return self._nodes.setdefault(name, Node(name=name, column=column, title=title, lines=lines))

    def _edge(self, **how: object) -> None:
        self._edges[Edge(**how)] = None  # type: ignore[arg-type]

    def _door(self, name: str, door: Door) -> None:
        node = self._node(name, IN, ", ".join(door.addresses), (door.tls,))
        for number, answer in enumerate(door.answers):
            lines = [answer.at] if answer.at else []
            if answer.services != (answer.what,):  # a line shows which service it leads to
                lines.append(answer.what)
            port = f"port{number}" if lines else ""
            if lines:
                node.ports.append(Port(name=port, lines=tuple(lines)))
            who = f"{name}-{answer.callers}"
            self._node(who, WHO, answer.callers)
            is_tunnel = answer.callers != "clients"
            self._edge(left=who, right=name, right_port=port, is_tunnel=is_tunnel, secure=door.secure)
            for service in answer.services:
                right = self._services[service]
                self._edge(left=name, left_port=port, right=right, secure=door.secure)

    def _chapter(self, chapter: Chapter) -> None:
        name = self._services[chapter.service.name]
        self._node(name, SERVICE, chapter.service.name, (f"({chapter.service.type})",))
        for way in chapter.ways_in:
            if way.dialled is not Dialled.BY_OTHERS:
                self._uplink(name, way)
        for way in chapter.ways_out:
            out = f"out-{way.place}-{'-'.join(way.notes)}"
            self._node(out, OUT, way.place, way.notes)
            self._edge(
                left=name,
                right=out,
                is_tunnel=way.is_tunnel,
                secure=way.secure,
                dialled=way.dialled,
                is_back=way.dialled is Dialled.BY_OTHERS,
            )

    def _uplink(self, service: str, way: Way) -> None:
        """A way in that we dial ourselves, or a pipe."""
        name = f"in-{way.place}"
        offered, *security = way.notes
        node = self._node(name, IN, way.place, tuple(security))
        port = f"port{len(node.ports)}"
        node.ports.append(Port(name=port, lines=(offered,)))
        self._edge(left=name, left_port=port, right=service, secure=way.secure, dialled=way.dialled)
        if way.end is not None:
            who = f"gateway {way.end.address.authority}"
            self._node(f"{name}-who", WHO, who)
            self._edge(
                left=f"{name}-who",
                right=name,
                is_tunnel=True,
                secure=way.secure,
                dialled=way.dialled,
                is_back=True,
            )
