"""The story of an instance as a drawing for documents: SVG, written by hand, so that nothing has to be installed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from kwic.cli.columns import printable
from kwic.cli.explain.graph import IN, SERVICE, Edge, Graph
from kwic.cli.explain.layout import LETTER, LINE, PADDING, Box, Layout, port_height
from kwic.cli.explain.story import Dialled

MARGIN = 24.0
TITLE = 34.0
"""Room for the title of an instance above its boxes."""
FRAME = 20.0
"""Between the boxes of an instance and its frame."""
LEGEND = 84.0
TLS, CLEAR, INK, PALE = "#1a7f4b", "#777777", "#222222", "#555555"
FILLS = {0: "#f3f3f3", IN: "#eaf2fb", SERVICE: "#fff7e0", 3: "#f3f3f3"}
_STYLE = (
    "text{font-family:'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace;font-size:12px;white-space:pre}"
    ".t{font-weight:bold}"
)


def svg(graphs: Sequence[Graph]) -> Iterator[str]:
    """:returns: the lines of one drawing, the instances under each other."""
    top = MARGIN
    layouts = []
    for graph in graphs:
        layout = Layout(graph, MARGIN, top + TITLE + FRAME)
        layouts.append((layout, top))
        top = _bottom(layout) + MARGIN
    width = max([layout.right for layout, _ in layouts] + [_LEGEND_WIDTH]) + MARGIN
    height = top + LEGEND
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
    )
    yield f"<title>{_text(', '.join(graph.title for graph in graphs))}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "<defs>"
    for name, colour in (("tls", TLS), ("clear", CLEAR)):
        yield (
            f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="11" markerHeight="11" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{colour}"/></marker>'
        )
    yield "</defs>"
    yield f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>'
    for layout, above in layouts:
        yield from _instance(layout, above)
    yield from _legend(MARGIN, top)
    yield "</svg>"


def _instance(layout: Layout, top: float) -> Iterator[str]:
    inside = [box for box in layout.boxes.values() if box.node.column in {IN, SERVICE}]
    if inside:
        left = min(box.x for box in inside) - FRAME
        right = max(box.x + box.width for box in inside) + FRAME
        bottom = _bottom(layout)
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="14" '
            f'fill="#fcfcfc" stroke="{PALE}" stroke-dasharray="2 3"/>'
        )
        yield _line(left + FRAME, top + TITLE - PADDING, layout.graph.title, bold=True)
        for number, text in enumerate(_cluster(layout)):
            yield _line(left + FRAME, layout.bottom + FRAME + (number + 1) * LINE, text, colour=PALE)
    for edge in layout.graph.edges:
        yield _edge(layout, edge)
    for box in layout.boxes.values():
        yield from _box(box)


def _bottom(layout: Layout) -> float:
    return layout.bottom + FRAME + (len(_cluster(layout)) * LINE + PADDING if layout.graph.cluster else 0)


def _cluster(layout: Layout) -> list[str]:
    """The cluster in lines that fit into the frame."""
    inside = [box for box in layout.boxes.values() if box.node.column in {IN, SERVICE}]
    room = max((box.x + box.width for box in inside), default=0) - min((box.x for box in inside), default=0)
    letters = max(20, int(room / LETTER))
    return layout.graph.cluster_lines(letters)


def _edge(layout: Layout, edge: Edge) -> str:
    left, right = layout.boxes[edge.left], layout.boxes[edge.right]
    x1, y1 = left.x + left.width, left.middle(edge.left_port)
    x2, y2 = right.x, right.middle(edge.right_port)
    bend = (x2 - x1) / 2
    points = [(x1, y1), (x1 + bend, y1), (x2 - bend, y2), (x2, y2)]
    if edge.is_back:
        points.reverse()
    return _curve(points, edge.is_tunnel, edge.secure, edge.dialled is Dialled.BY_NOBODY)


def _curve(
    points: Sequence[tuple[float, float]], is_tunnel: bool, secure: bool, is_dashed: bool = False
) -> str:
    begin, *bends = [f"{x:.1f},{y:.1f}" for x, y in points]
    look = f'stroke="{TLS if secure else CLEAR}" stroke-width="{4 if is_tunnel else 1.5}"'
    dashes = ' stroke-dasharray="4 4"' if is_dashed else ""
    return f'<path d="M{begin} C{" ".join(bends)}" fill="none" {look}{dashes} marker-end="url(#{"tls" if secure else "clear"})"/>'


def _box(box: Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5" '
        f'fill="{FILLS[box.node.column]}" stroke="{PALE}"/>'
    )
    y = box.y + LINE
    for number, text in enumerate(box.head):
        bold = number < box.title_lines
        yield _line(box.x + PADDING, y, text, bold=bold, colour=INK if bold else PALE)
        y += LINE
    top = box.y + box.head_height
    for _, lines in box.ports:
        yield f'<path d="M{box.x:.1f},{top:.1f} h{box.width:.1f}" stroke="{PALE}" stroke-width="0.5"/>'
        for number, text in enumerate(lines):
            yield _line(box.x + PADDING, top + (number + 1) * LINE, text)
        top += port_height(lines)


_LEGEND_TEXTS = (
    (False, True, "a connection for each client"),
    (True, True, "a tunnel, for many clients"),
)
_LEGEND_WIDTH = 640.0


def _legend(x: float, y: float) -> Iterator[str]:
    step = _LEGEND_WIDTH / 2
    for number, (is_tunnel, secure, text) in enumerate(_LEGEND_TEXTS):
        left = x + number * step
        points = [(left, y + 10), (left + 15, y + 10), (left + 30, y + 10), (left + 45, y + 10)]
        yield _curve(points, is_tunnel, secure)
        yield _line(left + 55, y + 14, text, colour=PALE)
    notes = "green: TLS; grey: no TLS; clients go from left to right, the arrow points to who is dialled"
    yield _line(x, y + 14 + 2 * LINE, notes, colour=PALE)


def _line(x: float, y: float, text: str, *, bold: bool = False, colour: str = INK) -> str:
    weight = ' class="t"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{weight}>{_text(text)}</text>'


def _text(text: str) -> str:
    """:returns: a text as it may stand in XML, whatever encoding the output has."""
    return escape(printable(text)).encode("ascii", "xmlcharrefreplace").decode("ascii")
