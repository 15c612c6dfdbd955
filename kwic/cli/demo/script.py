"""The steps of the walk, as data: everything that the tutorial has a person do, and a crash of each instance besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kwic.cli.demo.cast import Cast, Route


@dataclass(frozen=True, kw_only=True)
class Certify:
    """The certificates of this demo are made."""


@dataclass(frozen=True, kw_only=True)
class Echo:
    """A client connects, says its word and hears it back."""

    route: Route


@dataclass(frozen=True, kw_only=True)
class Stop:
    """An instance is stopped in order."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Start:
    """Instances are started at the same time, and answer about themselves."""

    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Crash:
    """An instance is killed while clients keep connecting through all the others; none of those may fail."""

    name: str
    others: tuple[Route, ...]


@dataclass(frozen=True, kw_only=True)
class Join:
    """Everybody who runs is joined to everybody it should be joined to."""


@dataclass(frozen=True, kw_only=True)
class ReadLogs:
    """No instance has logged a traceback."""


Step = Certify | Echo | Stop | Start | Crash | Join | ReadLogs


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A few steps under one heading."""

    title: str
    steps: tuple[Step, ...]


def the_walk(cast: Cast) -> Sequence[Chapter]:
    """All chapters, in order.

    :param cast: who takes part.
    """
    names = [player.name for player in cast.gateways]
    return (
        Chapter(
            title="Everything starts",
            steps=(Certify(), *(Start(names=pair) for pair in cast.pairs), Join()),
        ),
        Chapter(title="Every client reaches its server, whichever way", steps=tuple(_echoes(cast.routes))),
        *(_stopped(cast, name) for name in names),
        *(_crashed(cast, name) for name in names),
        Chapter(title="All is as at first", steps=(*_echoes(cast.routes), ReadLogs())),
    )


def _stopped(cast: Cast, name: str) -> Chapter:
    """An instance is stopped, the others are tried, and it is started again."""
    return Chapter(
        title=f"{name} is stopped, and started again",
        steps=(Stop(name=name), *_echoes(_others(cast, name)), Start(names=(name,)), Join()),
    )


def _crashed(cast: Cast, name: str) -> Chapter:
    """An instance is killed, the others are tried, and it is started again."""
    return Chapter(
        title=f"{name} crashes (kill -9) while clients connect, and is started again",
        steps=(Crash(name=name, others=_others(cast, name)), Start(names=(name,)), Join()),
    )


def _others(cast: Cast, name: str) -> tuple[Route, ...]:
    """The routes that do not begin at an instance."""
    return tuple(route for route in cast.routes if route.via != name)


def _echoes(routes: Iterable[Route]) -> list[Step]:
    """One step for each route."""
    return [Echo(route=route) for route in routes]
