"""One file while it is being read: turns the text of elements into values, and what is wrong with it into problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kwic.config.document import Element
from kwic.config.problem import BadValueError, Place, Report
from kwic.config.properties import Properties
from kwic.config.shape import OUR_NAMESPACE, check_text
from kwic.config.words import did_you_mean, listed

T = TypeVar("T")

MANY_NAMES = 8
"""From here on a list of what is known is too long for a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A row of a table of options or properties: how the value is read and where it goes."""

    parse: Callable[[str], Any]
    attribute: str = ""
    """Where the value goes: ``socks_timeout_s``, ``bind.tcp``, ``tls.ciphers``; empty when it has no effect."""
    idle: str = ""
    """Why it has no effect here."""
    caution: Callable[[str], str] | None = None
    """Gives a warning about a value that is taken in part only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A value of an option and where it stands."""

    value: Any
    place: Place


class Reading:
    """The report, the properties and the folder of one file."""

    def __init__(self, *, properties: Properties, report: Report, folder: Path) -> None:
        """:param folder: relative file names in the configuration start from here."""
        self.properties = properties
        self.report = report
        self.folder = folder
        self.addresses_lost = False
        """Whether an address or a type could not be read, so that nobody can say what is missing."""

    def text(self, element: Element) -> str | None:
        """:returns: the text of an element, substituted, without blanks around it; None when that was reported."""
        try:
            return " ".join(self.properties.resolve(element.text).split())
        except BadValueError as error:
            self.report.error(element.value_place, error.message, error.hint)
            return None

    def value(self, element: Element | None, parse: Callable[[str], T]) -> T | None:
        """:returns: the value of an element; None without one, and when it was reported as wrong."""
        if element is None or element.children:
            return None
        text = self.text(element)
        if text is None:
            return None
        try:
            if not text:
                raise BadValueError(f"<{element.name}> is empty", "write a value, or remove it")
            return parse(text)
        except BadValueError as error:
            self.report.error(element.value_place, error.message, error.hint)
            return None

    def values(self, parent: Element, name: str, parse: Callable[[str], T]) -> list[tuple[T, Place]]:
        """:returns: the values of all children of one name that could be read, and where they stand."""
        found = []
        for element in parent.all(name):
            value = self.value(element, parse)
            if value is None:
                self.address_lost()
            else:
                found.append((value, element.value_place))
        return found

    def address_lost(self) -> None:
        """Notes that what is missing may be there, only unreadable."""
        self.addresses_lost = True

    def attribute(self, element: Element, name: str, parse: Callable[[str], T]) -> T | None:
        """:returns: the value of an attribute in our namespace; None without one, and when it was reported as wrong."""
        written = element.attributes.get((OUR_NAMESPACE, name))
        if written is None:
            return None
        try:
            return parse(self.properties.resolve(written).strip())
        except BadValueError as error:
            self.report.error(element.place, f"kwic:{name}: {error.message}", error.hint)
            return None

    def path(self, text: str) -> Path:
        """:returns: an absolute path; relative ones start at the folder of the configuration."""
        return self.folder / text

    def named_values(
        self, parent: Element | None, table: Mapping[str, Named], canonical: Callable[[str], str] = str
    ) -> dict[str, Written]:
        """Reads elements whose names are the rows of a table.

        :param canonical: gives the name in the table for the name in the file.
        :returns: the values that could be read, by their canonical names.
        """
        found: dict[str, Written] = {}
        seen: set[str] = set()
        for element in parent.children if parent is not None else ():
            if self.report.full:
                break
            name = canonical(element.name)
            row = table.get(name)
            if row is None or parent is None or element.namespace != parent.namespace:
                self._unknown(element, table)
                continue
            check_text(element, self.report)
            if name in seen:
                self.report.error(element.place, f"<{element.name}> is given twice", "keep one of them")
                continue
            seen.add(name)
            value = self.value(element, row.parse)
            if value is not None:
                found[name] = Written(value=value, place=element.value_place)
                self._warn(element, row)
        return found

    def _warn(self, element: Element, row: Named) -> None:
        if row.idle:
            self.report.warning_once(element.place, f"<{element.name}> has no effect: {row.idle}")
        caution = row.caution(self.text(element) or "") if row.caution else ""
        if caution:
            self.report.warning(element.value_place, caution)

    def _unknown(self, element: Element, table: Mapping[str, Named]) -> None:
        few = f"known are {listed(table, 'and')}" if 0 < len(table) < MANY_NAMES else "remove it"
        self.report.error(
            element.place, f"<{element.name}> is unknown here", did_you_mean(element.name, table) or few
        )
