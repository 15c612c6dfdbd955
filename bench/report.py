"""Writes what a run found: Markdown, JSON, pictures."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import summary
from bench.plots import HINT, draw
from bench.results import Results
from bench.section import Section


@dataclass(kw_only=True)
class Report:
    """A run with all that is needed to read it later.

    :param command: what was typed.
    :param commit: of the source tree.
    :param machine: by name of property.
    :param versions: by pair.
    :param results: the table of pairs; None when only experiments ran.
    :param sections: the experiments.
    """

    command: str
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    results: Results | None = None
    sections: Sequence[Section] = ()

    def terminal(self) -> str:
        """The tables, for whoever waits for them."""
        parts = []
        if self.results is not None:
            parts.append(summary.figures(self.results, with_spread=False).plain())
            targets = summary.targets(self.results)
            if targets is not None:
                parts.append(targets.plain())
            parts += [f"FAILED {failure}" for failure in self.results.failures]
        for section in self.sections:
            parts.append(f"{section.title}\n\n{section.table.plain()}\n\n{_verdict(section)}")
        return "\n\n".join(parts)

    def markdown(self, pictures: Sequence[str] = ()) -> str:
        """The whole report.

        :param pictures: addresses of pictures, seen from where it will stand.
        """
        return f"# Bench\n\n{self.body(pictures)}"

    def body(self, pictures: Sequence[str] = (), level: int = 2) -> str:
        """The report without its title, to be put into another page.

        :param pictures: addresses of pictures, seen from that page.
        :param level: of its headings.
        """
        mark = "#" * level
        parts = [f"`{self.command}` at commit {self.commit}", _list(self.machine)]
        if self.versions:
            parts += [f"{mark} Versions", _list(self.versions)]
        if self.results is not None:
            parts += self._figures(self.results, mark)
        parts += [f"![{Path(picture).stem}]({picture})" for picture in pictures]
        for section in self.sections:
            parts += [f"{mark} {section.title}", section.table.markdown(), _verdict(section)]
        return "\n\n".join(parts) + "\n"

    @staticmethod
    def _figures(results: Results, mark: str) -> list[str]:
        parts = [
            f"{mark} Figures",
            "Medians; ± is half the range of the rounds.",
            summary.figures(results, with_spread=True).markdown(),
        ]
        targets = summary.targets(results)
        if targets is not None:
            parts += [f"{mark} Targets", targets.markdown()]
        if results.failures:
            parts += [f"{mark} Failed", "\n".join(f"- {failure}" for failure in results.failures)]
        return parts

    def as_json(self) -> str:
        """The same for programs, every sample included."""
        found = {
            "command": self.command,
            "commit": self.commit,
            "machine": self.machine,
            "versions": self.versions,
            "run": self.results.as_json() if self.results else None,
            "experiments": [
                {"title": section.title, "passed": section.passed, "verdict": section.verdict, **section.data}
                for section in self.sections
            ],
        }
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a report.

    :param folder: its own.
    :param pictures: in it.
    :param remark: why there are none, or nothing.
    """

    folder: Path
    pictures: tuple[Path, ...]
    remark: str


def write(report: Report, results: Path, now: dt.datetime) -> Written:
    """Writes a report into a folder of its own.

    :param report: the report.
    :param results: the folder of all results.
    :param now: names the new folder.
    :returns: what was written.
    """
    folder = results / now.strftime("%Y-%m-%d_%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[Path] = []
    remark = ""
    if report.results is not None:
        try:
            pictures = draw(report.results, folder)
        except ImportError:
            remark = HINT
    (folder / "report.md").write_text(report.markdown([path.name for path in pictures]), encoding="utf-8")
    (folder / "results.json").write_text(report.as_json(), encoding="utf-8")
    return Written(folder=folder, pictures=tuple(pictures), remark=remark)


def _list(properties: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in properties.items())


def _verdict(section: Section) -> str:
    return f"{'passed' if section.passed else 'FAILED'}: {section.verdict}"
