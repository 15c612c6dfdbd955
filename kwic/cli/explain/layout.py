"""Where the boxes of a graph go: columns beside each other, every box near those that its lines come from, none on another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kwic.cli.columns import columns, fold
from kwic.cli.explain.graph import IN, OUT, SERVICE, WHO, Graph, Node

LINE = 17.0
"""Height of a line of text."""
LETTER = 7.3
"""Width of a letter: monospaced fonts of 12 px have 7.2, and a little room is left."""
PADDING = 10.0
"""Between the border of a box and its text."""
BETWEEN = 18.0
"""Between two boxes of a column."""
GUTTER = 76.0
"""Between two columns."""
LETTERS: Mapping[int, int] = {WHO: 24, IN: 38, SERVICE: 24, OUT: 38}
"""Longest line in a box of each column."""


@dataclass(kw_only=True, slots=True)
class Box:
    """A box with its text in lines, and its place."""

    node: Node
    head: list[str]
    """The lines of the title come first."""
    title_lines: int
    ports: list[tuple[str, list[str]]]
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0

    @property
    def head_height(self) -> float:
        """Of title and lines."""
        return len(self.head) * LINE + PADDING

    @property
    def height(self) -> float:
        """Of all of it."""
        return self.head_height + sum(port_height(lines) for _, lines in self.ports)

    def middle(self, port: str = "") -> float:
        """:returns: the height at which lines end, counted from the top of the drawing."""
        top = self.y + self.head_height
        for name, lines in self.ports:
            if name == port:
                return top + port_height(lines) / 2
            top += port_height(lines)
        return self.y + self.head_height / 2


class Layout:
    """A graph with a place for everything."""

    def __init__(self, graph: Graph, left: float, top: float) -> None:
        """:param left: where the drawing begins. :param top: likewise."""
        self.graph = graph
        self.boxes = {node.name: _box(node) for node in graph.nodes}
        x = left
        for column in (WHO, IN, SERVICE, OUT):
            x = self._place_across(graph.column(column), x)
        self.right = x - GUTTER
        self._stack(self._in(IN), {}, top)
        for column in (SERVICE, OUT, WHO):
            self._stack(self._in(column), self._wanted(column), top)
        self.bottom = max((box.y + box.height for box in self.boxes.values()), default=top)

    def _in(self, column: int) -> list[Box]:
        return [self.boxes[node.name] for node in self.graph.column(column)]

    def _place_across(self, nodes: Iterable[Node], x: float) -> float:
        """:returns: where the next column begins; an empty one takes no room."""
        boxes = [self.boxes[node.name] for node in nodes]
        width = max((_width(box) for box in boxes), default=0.0)
        for box in boxes:
            box.x, box.width = x, width
        return x + width + GUTTER if boxes else x

    def _wanted(self, column: int) -> dict[str, float]:
        """:returns: for the boxes of a column the heights around which they should be: the middle of what they are joined to."""
        heights: dict[str, list[float]] = {}
        for edge in self.graph.edges:
            left, right = self.boxes[edge.left], self.boxes[edge.right]
            if right.node.column == column:
                heights.setdefault(edge.right, []).append(left.middle(edge.left_port))
            elif left.node.column == column == WHO:
                heights.setdefault(edge.left, []).append(right.middle(edge.right_port))
        return {name: sum(found) / len(found) for name, found in heights.items()}

    def _stack(self, boxes: list[Box], wanted: Mapping[str, float], top: float) -> None:
        """Put boxes under each other, each as near as can be to where it should be."""
        free = top
        for box in sorted(boxes, key=lambda box: wanted.get(box.node.name, 0.0)):
            height = wanted.get(box.node.name, 0.0)
            box.y = max(free, height - box.head_height / 2)
            free = box.y + box.height + BETWEEN


def _box(node: Node) -> Box:
    width = LETTERS[node.column]
    title = fold(node.title, width)
    head = [*title, *(part for line in node.lines for part in fold(line, width))]
    ports = [(port.name, [part for line in port.lines for part in fold(line, width)]) for port in node.ports]
    return Box(node=node, head=head, title_lines=len(title), ports=ports)


def _width(box: Box) -> float:
    lines = [*box.head, *(line for _, lines in box.ports for line in lines)]
    return max((columns(line) for line in lines), default=0) * LETTER + 2 * PADDING


def port_height(lines: list[str]) -> float:
    """:returns: the height of a part of a box; one without text is a line high."""
    return max(1, len(lines)) * LINE + PADDING
