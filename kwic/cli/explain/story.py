"""What one instance does, as a story that words and pictures tell: its doors, and the ways into and out of each service."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kwic.config.ends import End
from kwic.config.model import Address, GatewayConfig, Service

Facts = tuple[tuple[str, str], ...]
"""Labels and texts."""


class Dialled(Enum):
    """Who makes the connection of a way."""

    BY_US = "by us"
    BY_OTHERS = "by others"
    BY_NOBODY = "by nobody"
    """It stays inside the process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is served at one Host and path of a door, or at all of it."""

    at: str
    """``cloud1.example.com:443/kwic``; empty when nothing else shares the door."""
    what: str
    callers: str
    """Who comes here: clients, agents, or other gateways."""
    services: tuple[str, ...] = ()
    """Those whose clients come in here; none where tunnels of agents are taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """A socket that is listened on; an interface or a name with several addresses has one for each."""

    addresses: tuple[str, ...]
    """As they would be bound."""
    unknown: str = ""
    """Why they are not known, if they are not."""
    secure: bool
    tls: str
    """What is spoken, in a few words."""
    facts: Facts
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way into a service, or out of it."""

    text: str
    """What its clients do: ``connect to 10.0.0.1:5551``."""
    facts: Facts = ()
    place: str
    """For pictures: an address, or a name."""
    notes: tuple[str, ...] = ()
    """For pictures: a few words each."""
    dialled: Dialled
    is_tunnel: bool = False
    """Whether many clients share one connection."""
    secure: bool = False
    end: End | None = None
    """None for what stays inside the process."""
    pipe: str = ""
    """The pipe that stays inside the process."""
    balanced: frozenset[Address] = frozenset()
    """The addresses of a balancer, whose clients are sent on to those who name them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """One service."""

    service: Service
    ways_in: tuple[Way, ...]
    ways_out: tuple[Way, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """One instance."""

    config: GatewayConfig
    doors: tuple[Door, ...]
    chapters: tuple[Chapter, ...]
    cluster: Facts = ()
