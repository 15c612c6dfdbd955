"""The story of an instance for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kwic.cli.columns import fold
from kwic.cli.explain.graph import IN, SERVICE, Edge, Graph, Node
from kwic.cli.explain.story import Dialled

WIDTH = 40
"""Characters of a line in a box."""
TLS, CLEAR = "#1a7f4b", "#777777"


def dot(graphs: Sequence[Graph]) -> Iterator[str]:
    """:returns: the lines of one drawing, a cluster for each instance."""
    yield "digraph kwic {"
    yield "  rankdir=LR;"
    yield '  node [shape=record, fontname="monospace", fontsize=10];'
    for number, graph in enumerate(graphs):
        yield from _graph(graph, f"g{number}")
    yield "}"


def _graph(graph: Graph, prefix: str) -> Iterator[str]:
    names = {node.name: f"{prefix}n{number}" for number, node in enumerate(graph.nodes)}
    yield f"  subgraph cluster_{prefix} {{"
    label = "".join(f"{quoted(line)}\\l" for line in (graph.title, *graph.cluster_lines(WIDTH * 2)))
    yield f'    label="{label}"; labeljust=l; fontname="monospace"; fontsize=10; style=rounded;'
    for node in graph.nodes:
        if node.column in {IN, SERVICE}:
            yield f"    {_node(node, names)}"
    yield "  }"
    for node in graph.nodes:
        if node.column not in {IN, SERVICE}:
            yield f"  {_node(node, names)}"
    for edge in graph.edges:
        yield f"  {_edge(edge, names)}"


def _node(node: Node, names: dict[str, str]) -> str:
    head = _label([node.title, *node.lines])
    ports = [f"<{port.name}> {_label(port.lines)}" for port in node.ports]
    return f'{names[node.name]} [label="{"|".join([head, *ports])}"];'


def _edge(edge: Edge, names: dict[str, str]) -> str:
    left = names[edge.left] + (f":{edge.left_port}" if edge.left_port else "")
    right = names[edge.right] + (f":{edge.right_port}" if edge.right_port else "")
    colour = TLS if edge.secure else CLEAR
    look = [f'color="{colour}"', *(["penwidth=3"] if edge.is_tunnel else [])]
    if edge.is_back:
        look.append("dir=back")
    if edge.dialled is Dialled.BY_NOBODY:
        look.append("style=dashed")
    return f"{left} -> {right} [{', '.join(look)}];"


def _label(lines: Sequence[str]) -> str:
    return "".join(f"{quoted(part)}\\l" for line in lines for part in fold(line, WIDTH))


def quoted(text: str) -> str:
    """:returns: a text as it may stand in a quoted record label."""
    return "".join(
        f"\\{letter}" if letter in '\\"{}|<>' else letter if letter.isprintable() else "?" for letter in text
    )
