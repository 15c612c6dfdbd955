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


def refusal(place: Place, words: object, prefix: str = "", *, severity: Severity = Severity.ERROR) -> Problem:
    """:returns: a problem made from one line of the gateway's own: what is wrong; what to do about it."""
    message, _, hint = str(words).partition("; ")
    return Problem(place=place, message=prefix + message, hint=hint, severity=severity)


def reasons(error: BaseException) -> tuple[str, ...]:
    """:returns: a line for each thing that is wrong."""
    return (
        tuple(problem.render() for problem in error.problems)
        if isinstance(error, ConfigError)
        else (str(error),)
    )


class BadValueError(SetupError):
    """A value that is not what it should be: raised by the parsers, which know no place; the reader adds it."""

    def __init__(self, message: str, hint: str = "") -> None:
        """:param message: what is wrong. :param hint: what to write instead."""
        self.message = message
        self.hint = hint
        super().__init__(f"{message}; {hint}" if hint else message)


class Report:
    """The problems found so far in one run."""

    LIMIT = 200
    """Problems that are kept. A file with more is not the file it was meant to be, and nobody reads on."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._said: set[str] = set()
        self.failed = False

    def error(self, place: Place | None, message: str, hint: str = "") -> None:
        """Notes what keeps the gateway from starting."""
        self.failed = True
        self._note(Problem(place=place, message=message, hint=hint))

    def warning(self, place: Place | None, message: str, hint: str = "") -> None:
        """Notes what the operator should know of, though the gateway starts."""
        self._note(Problem(place=place, message=message, hint=hint, severity=Severity.WARNING))

    def warning_once(self, place: Place | None, message: str, hint: str = "") -> None:
        """Notes a warning unless the same message was noted already, wherever that was."""
        if message not in self._said:
            self._said.add(message)
            self.warning(place, message, hint)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Notes problems that someone else finds, until it makes no difference any more."""
        for problem in problems:
            if self.full and self.failed:
                return
            self.failed |= problem.severity is Severity.ERROR
            self._note(problem)

    @property
    def full(self) -> bool:
        """Whether there are so many problems that no more are kept."""
        return len(self._problems) >= self.LIMIT

    def problems(self) -> tuple[Problem, ...]:
        """:returns: every problem, in the order of the file."""
        found = sorted(self._problems, key=_position)
        if self.full:
            severity = Severity.ERROR if self.failed else Severity.WARNING
            message = f"these are the first {self.LIMIT} problems, there may be more"
            found.append(Problem(place=None, message=message, severity=severity))
        return tuple(found)

    def _note(self, problem: Problem) -> None:
        if not self.full:
            self._problems.append(problem)


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)
