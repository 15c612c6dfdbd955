"""Reads the files that belong together and gathers what is wrong with each, and between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kwic.cli.check.certificates import Instance, check_certificates
from kwic.cli.check.handshakes import Rehearsals
from kwic.cli.config_options import load_config, merged_defines
from kwic.cli.holdings import Holdings, read_holdings
from kwic.cli.offline_names import OfflineNames
from kwic.config.listen import listeners
from kwic.config.model import GatewayConfig
from kwic.config.pair import check_pair
from kwic.config.problem import ConfigError, Problem, Severity
from kwic.service.sockets import sockets
from kwic.transport.resolver import FixedNames


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedFile:
    """A file to look at, and the properties that are given for it alone."""

    path: Path
    defines: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What the files are read with."""

    defines: Mapping[str, str]
    environ: Mapping[str, str]
    names: FixedNames
    now_s: float
    """Seconds since the epoch."""
    with_stores: bool = True
    """Whether to look into keystores and truststores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What came of it."""

    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    """Those of the first file first, in the order of the file."""
    services: int = 0
    handshakes: int = 0
    """How many were rehearsed."""
    compared: bool = False
    """Whether the instances were held against each other."""
    is_incomplete: bool = False
    """Whether they could not be: they are when each is right by itself."""

    def count(self, severity: Severity) -> int:
        """:returns: how many problems of one severity there are."""
        return sum(problem.severity is severity for problem in self.problems)


def inspect(files: Sequence[NamedFile], surroundings: Surroundings) -> Findings:
    """Looks at files that belong together.

    :param files: one for each instance; the same file may be named again with other properties.
    """
    defines, problems = merged_defines(surroundings.defines, surroundings.environ)
    found: list[Problem] = list(problems)
    instances: list[Instance] = []
    for file in files:
        try:
            config = load_config(file.path, {**defines, **file.defines}, surroundings.environ)
        except ConfigError as error:
            found += error.problems
            continue
        instances.append(_instance(config, surroundings))
        found += config.warnings
        found += _meeting_sockets(config, surroundings.names)
        found += check_certificates(instances[-1], surroundings.now_s)
    configs = [instance.config for instance in instances]
    compared = len(files) > 1 and len(configs) == len(files)
    handshakes = 0
    if compared:
        rehearsals = Rehearsals(instances, surroundings.now_s)
        found += check_pair(configs)
        found += rehearsals.problems()
        handshakes = rehearsals.count
    names = tuple(dict.fromkeys(str(file.path) for file in files))
    return Findings(
        files=names,
        problems=tuple(_in_order(found, names)),
        services=sum(len(config.services) for config in configs),
        handshakes=handshakes,
        compared=compared,
        is_incomplete=len(files) > len(configs) and len(files) > 1,
    )


def _instance(config: GatewayConfig, surroundings: Surroundings) -> Instance:
    holdings = read_holdings(config, surroundings.now_s) if surroundings.with_stores else Holdings()
    return Instance(config=config, holdings=holdings)


def _meeting_sockets(config: GatewayConfig, names: FixedNames) -> Iterator[Problem]:
    """What names turn out to share when they become addresses, in as far as the command line tells them."""
    try:
        sockets(listeners(config), OfflineNames.of(names))
    except ConfigError as error:
        yield from error.problems


def _in_order(problems: Iterable[Problem], files: Sequence[str]) -> list[Problem]:
    """:returns: each problem once; those without a place first."""

    def position(problem: Problem) -> tuple[int, int, int]:
        place = problem.place
        return (-1, 0, 0) if place is None else (files.index(place.file), place.line, place.column)

    return sorted(dict.fromkeys(problems), key=position)
