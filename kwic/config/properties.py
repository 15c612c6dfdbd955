"""The ``${name}`` in a configuration and what stands for it (configuration.md, “substitution”).

Looked up in this order: ``-D`` on the command line, ``<properties>``, the environment for ``${env:NAME}``, the
built-in ``hostname``; then the default of ``${name:default}``. An empty value counts as none, as in KWIC 5.
``$${name}`` stands for the text ``${name}``. Values of ``<properties>`` may themselves contain ``${…}``; values
from outside the file are taken as they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from kwic.config.problem import BadValueError, ConfigError, Problem, Severity
from kwic.config.words import did_you_mean, shown

LONGEST_VALUE = 8192
"""Characters a value may have after substitution; keeps values that double each other from filling the memory."""
DEEPEST = 16
"""Properties referring to properties, and defaults inside defaults."""
ENVIRONMENT = "env:"


class Properties:
    """Everything that ``${…}`` can stand for while one file is read."""

    def __init__(self, *, defines: Mapping[str, str], environ: Mapping[str, str], hostname: str) -> None:
        """:param defines: the ``-D`` of the command line. :param environ: the environment. :param hostname: ours."""
        self._defines = defines
        self._environ = environ
        self._builtins = {"hostname": hostname}
        self._written: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._open: list[str] = []

    def add(self, name: str, value: str) -> None:
        """Notes a ``<property>`` of the file, its value not substituted yet."""
        self._written[name] = value

    def is_defined(self, name: str) -> bool:
        """:returns: whether the command line has the last word on a property."""
        return bool(self._defines.get(name))

    def effective(self) -> dict[str, str]:
        """:returns: the properties of the command line over those of the file, leaving out what cannot be resolved."""
        values = {}
        for name in self._written:
            try:
                values[name] = self._lookup(name) or ""
            except BadValueError:
                continue
        return {**self._defines, **values}

    def resolve(self, text: str) -> str:
        """:returns: the text with every ``${…}`` replaced. :raises BadValueError: one cannot be."""
        parts: list[str] = []
        position = 0
        while (start := text.find("${", position)) >= 0:
            if text[position:start].endswith("$"):
                parts += text[position : start - 1], "${"
                position = start + 2
            else:
                end = _closing_brace(text, start)
                parts += text[position:start], self._value(text[start + 2 : end])
                position = end + 1
        parts.append(text[position:])
        if sum(map(len, parts)) > LONGEST_VALUE:
            raise BadValueError(f"the value is longer than {LONGEST_VALUE} characters")
        return "".join(parts)

    def _value(self, reference: str) -> str:
        prefix = ENVIRONMENT if reference.startswith(ENVIRONMENT) else ""
        name, colon, default = reference.removeprefix(prefix).partition(":")
        value = (self._environ.get(name) if prefix else self._lookup(name)) or None
        if value is None and colon:
            return self._nested(f"${{{reference}}}", default)
        if value is None:
            raise self._unresolved(name, prefix)
        return value

    def _lookup(self, name: str) -> str | None:
        if self.is_defined(name):
            return self._defines[name]
        if name in self._written:
            if name not in self._known:
                self._known[name] = self._nested(name, self._written[name])
            return self._known[name] or self._builtins.get(name)
        return self._builtins.get(name)

    def _nested(self, name: str, text: str) -> str:
        if name in self._open:
            raise BadValueError(f"the property {shown(name)} refers to itself", "write its value out")
        if len(self._open) >= DEEPEST:
            raise BadValueError(
                f"properties refer to each other more than {DEEPEST} deep", "write the value out"
            )
        self._open.append(name)
        try:
            return self.resolve(text)
        finally:
            self._open.pop()

    def _unresolved(self, name: str, prefix: str) -> BadValueError:
        if prefix:
            return BadValueError(
                f"the environment variable {shown(name)} is not set",
                f"set it, or write ${{env:{name}:default}}",
            )
        guess = (
            ""
            if name in self._written
            else did_you_mean(name, [*self._written, *self._defines, *self._builtins])
        )
        way = f"give it with -D {name}=…, in <properties>, or write ${{{name}:default}}"
        return BadValueError(
            f"the property {shown(name)} has no value", f"{guess} Or {way}" if guess else way
        )


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    position = start
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise BadValueError(
        f"{shown(text[start:])} has no closing brace", "write ${name}, or $${ for the characters ${"
    )


def parse_gateway_opts(text: str) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """The environment variable ``GATEWAY_OPTS``: a shell-quoted list of ``-Dname=value`` among flags for a JVM.

    :returns: the properties, and a warning for each thing that is none.
    :raises ConfigError: the quotes do not match.
    """
    defines: dict[str, str] = {}
    warnings: list[Problem] = []
    try:
        words = shlex.split(text)
    except ValueError as error:
        problem = Problem(
            place=None, message=f"GATEWAY_OPTS cannot be read: {error}", hint="close every quote"
        )
        raise ConfigError([problem]) from error
    for word in dict.fromkeys(words):
        name, _, value = word.removeprefix("-D").partition("=")
        if word.startswith("-D") and name:
            defines[name] = value
        else:
            message = f"GATEWAY_OPTS: {shown(word)} has no effect: there is no JVM here"
            hint = "" if word.startswith("-") else "write -Dname=value"
            warnings.append(Problem(place=None, message=message, hint=hint, severity=Severity.WARNING))
    return defines, tuple(warnings)
