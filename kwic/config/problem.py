"""What is wrong with a configuration, and where: one line each, all of them in one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from kwic.errors import SetupError


class Severity(Enum):
    """Whether the gateway may start in spite of a problem."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A position in the text that the operator wrote, before anything was substituted in it."""

    file: str
    line: int
    """Counted from 1."""
    column: int
    """Counted from 1, in characters."""
    path: str
    """The element, from the root: ``gateway-config/service[2]/accept``."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong: what, where, and what to do about it."""

    place: Place | None
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    def render(self) -> str:
        """:returns: one line: ``cloud-config.xml:12:7: error: what is wrong; what to do [element/path]``."""
        where = f"{self.place}: " if self.place else ""
        hint = f"; {self.hint}" if self.hint else ""
        path = f" [{self.place.path}]" if self.place and self.place.path else ""
        return f"{where}{self.severity.value}: {self.message}{hint}{path}"


class ConfigError(SetupError):
    """A configuration that cannot be started from; it knows *every* reason, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """:param problems: at least one error, with the warnings found on the way, in the order of the file."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))
