"""What was found, for people (the line and a caret, as compilers do it) and for machines (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kwic.cli.check.excerpt import Source
from kwic.cli.check.inspection import Findings
from kwic.config.problem import Place, Problem, Severity

RED, YELLOW, DIM, NORMAL = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
COLOURS = {Severity.ERROR: RED, Severity.WARNING: YELLOW}


class TextReport:
    """Findings as lines."""

    def __init__(self, findings: Findings, *, coloured: bool = False) -> None:
        """:param coloured: whether the terminal understands colours."""
        self._findings = findings
        self._coloured = coloured
        self._sources: dict[str, Source | None] = {}

    def lines(self) -> Iterator[str]:
        """:returns: each problem with its line of the file, and a summary."""
        for problem in self._findings.problems:
            yield from self._problem(problem)
            yield ""
        yield summary(self._findings)

    def _problem(self, problem: Problem) -> Iterator[str]:
        where = f"{problem.place}: " if problem.place else ""
        severity = self._in(COLOURS[problem.severity], problem.severity.value)
        yield f"{where}{severity}: {problem.message}"
        margin = " " * 6
        if problem.place is not None:
            yield from self._excerpt(problem.place, COLOURS[problem.severity])
        if problem.hint:
            yield f"{margin} = {problem.hint}"
        if problem.place is not None and problem.place.path:
            yield self._in(DIM, f"{margin} = in {problem.place.path}")

    def _excerpt(self, place: Place, colour: str) -> Iterator[str]:
        source = self._source(place.file)
        found = source.excerpt(place.line, place.column) if source is not None else None
        if found is not None:
            text, caret = found
            yield f"{place.line:>6} | {text}"
            yield f"{'':>6} | {self._in(colour, caret)}"

    def _source(self, file: str) -> Source | None:
        if file not in self._sources:
            self._sources[file] = Source.read(Path(file))
        return self._sources[file]

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{NORMAL}" if self._coloured else text


def summary(findings: Findings) -> str:
    """:returns: one line: what was looked at, and what came of it."""
    seen = [counted(len(findings.files), "file")]
    if findings.services:
        seen.append(counted(findings.services, "service"))
    if findings.handshakes:
        seen.append(f"{counted(findings.handshakes, 'TLS handshake')} rehearsed")
    counts = [
        counted(findings.count(severity), severity.value) for severity in Severity if findings.count(severity)
    ]
    text = f"{', '.join(seen)}: {', '.join(counts) or 'no problems'}"
    if findings.is_incomplete:
        text += " (the files are compared with each other when each is right by itself)"
    return text


def as_json(findings: Findings) -> str:
    """:returns: the findings as one JSON object."""
    return json.dumps(
        {
            "files": list(findings.files),
            "compared": findings.compared,
            "handshakes": findings.handshakes,
            "errors": findings.count(Severity.ERROR),
            "warnings": findings.count(Severity.WARNING),
            "problems": [_problem(problem) for problem in findings.problems],
        },
        indent=1,
        ensure_ascii=False,
    )


def _problem(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "path": place.path if place else None,
        "severity": problem.severity.value,
        "message": problem.message,
        "hint": problem.hint or None,
    }


def counted(number: int, what: str) -> str:
    """:returns: ``1 error``, ``2 errors``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
