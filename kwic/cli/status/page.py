"""The status of a gateway as a page for people.

Another version may say more or less than this one knows, and names come from other machines: what is missing is left out,
and nothing that is shown can reach the terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kwic.cli.columns import columns, padded, printable

INDENT = "  "
GAP = "  "
LONGEST_CELL = 120
"""Characters of one cell; what is longer is cut."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

Row = Sequence[str]


def page(status: Mapping[str, Any]) -> Iterator[str]:
    """:returns: the lines.

    :param status: what a gateway answers.
    """
    yield from _head(status)
    for title, rows in (
        ("Listeners", [_listener(item) for item in _items(status, "listeners")]),
        ("Services", [_service(item) for item in _items(status, "services")]),
        (
            "Tunnels (→ dialled from here, ← from there)",
            [_tunnel(item) for item in _items(status, "tunnels")],
        ),
        ("Names offered here", _names(status)),
        ("Workers", [_worker(item) for item in _items(status, "workers")]),
        ("Members of the cluster", [_member(item) for item in _items(status, "members")]),
    ):
        if rows:
            yield ""
            yield title
            yield from table(rows)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """:returns: the rows with their cells under each other."""
    count = max((len(row) for row in rows), default=0)
    widths = [max(columns(row[index]) for row in rows if index < len(row)) for index in range(count)]
    for row in rows:
        yield (
            INDENT + GAP.join(padded(cell, width) for cell, width in zip(row, widths, strict=False))
        ).rstrip()


def _head(status: Mapping[str, Any]) -> Iterator[str]:
    node = _text(status, "node") or "?"
    yield f"{node}: {_state(status)}, {_counted(_number(status, 'clients'), 'client')}"
    facts = [
        ("up for", duration(_number(status, "uptime_s")) if "uptime_s" in status else ""),
        ("from", _text(status, "config")),
        ("version", _text(status, "version")),
        ("instance", _text(status, "instance")),
    ]
    yield from table([(name, value) for name, value in facts if value])


def _state(status: Mapping[str, Any]) -> str:
    if status.get("draining"):
        return "DRAINING: takes no new clients"
    deaf = [item for item in _items(status, "listeners") if not item.get("listening")]
    return "up" if not deaf else f"up, NOT LISTENING at {', '.join(_text(item, 'address') for item in deaf)}"


def _listener(item: Mapping[str, Any]) -> Row:
    return (_text(item, "address"), "" if item.get("listening") else "NOT LISTENING", _text(item, "accepts"))


def _service(item: Mapping[str, Any]) -> Row:
    counts = [
        f"{_number(item, name):.0f} {name}" for name in ("served", "waiting", "failed") if _number(item, name)
    ]
    if "paths" in item:
        paths = _number(item, "paths")
        counts.append(_counted(paths, "path") if paths else "NO PATH")
    ways = [", ".join(_texts(item, name)) for name in ("accepts", "connects")]
    return (_text(item, "name"), _text(item, "type"), ", ".join(counts), " → ".join(filter(None, ways)))


def _tunnel(item: Mapping[str, Any]) -> Row:
    arrow = "→" if item.get("direction") == "out" else "←"
    state = "QUIET" if item.get("suspect") else "leaving" if item.get("draining") else ""
    return (
        f"{arrow} {_text(item, 'peer') or '?'}",
        f"{_number(item, 'rtt_ms'):.1f} ms" if item.get("rtt_ms") is not None else "",
        _counted(_number(item, "clients"), "client"),
        duration(_number(item, "up_s")),
        state,
        _text(item, "uri"),
        ", ".join(_texts(item, "names")),
    )


def _worker(item: Mapping[str, Any]) -> Row:
    restarts = _number(item, "restarts")
    return (
        f"{_number(item, 'number'):.0f}",
        _counted(_number(item, "clients"), "client"),
        _counted(_number(item, "tunnels"), "tunnel"),
        duration(_number(item, "uptime_s")) if item.get("answers") else "DOES NOT ANSWER",
        f"started again {_counted(restarts, 'time')}" if restarts else "",
    )


def _names(status: Mapping[str, Any]) -> list[Row]:
    names = status.get("names")
    if not isinstance(names, dict):
        return []
    rows = [(clean(name), ", ".join(_texts(names, name)) or "NOBODY") for name in sorted(names)]
    return [(name, f"by {holders}") for name, holders in rows]


def _member(item: Mapping[str, Any]) -> Row:
    names = item.get("names")
    held = ", ".join(sorted(clean(name) for name in names)) if isinstance(names, dict) else ""
    state = "QUIET" if item.get("suspect") else "leaving" if item.get("leaving") else ""
    return (_text(item, "node") or "?", _counted(_number(item, "load"), "client"), state, held)


def duration(seconds: float) -> str:
    """:returns: ``3 h 12 min``, ``45 s``: the two largest units."""
    left = max(0, int(seconds))
    largest = next((index for index, (size, _) in enumerate(_UNITS) if left >= size), len(_UNITS) - 1)
    parts = []
    for size, unit in _UNITS[largest : largest + 2]:
        parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def clean(value: object) -> str:
    """:returns: something that a gateway said, as it may stand in a terminal: one line, nothing that moves the cursor."""
    safe = "" if value is None else printable(str(value))
    return safe if len(safe) <= LONGEST_CELL else f"{safe[: LONGEST_CELL - 1]}…"


def _items(status: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = status.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _text(item: Mapping[str, Any], name: str) -> str:
    return clean(item.get(name))


def _texts(item: Mapping[str, Any], name: str) -> list[str]:
    values = item.get(name)
    return [clean(value) for value in values] if isinstance(values, list) else []


def _number(item: Mapping[str, Any], name: str) -> float:
    value = item.get(name)
    return (
        value if isinstance(value, int | float) and math.isfinite(value) else 0
    )  # JSON in Python knows Infinity


def _counted(number: float, what: str) -> str:
    return f"{number:.0f} {what}{'' if number == 1 else 's'}"
