"""Who is joined to whom, as each instance tells it on its admin port, and that drawn as a table."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kwic.cli.demo.cast import Player

ASK_S = 2.0
"""How long one instance may take to answer; a stopped one refuses at once."""

LARGEST_STATUS_BYTES = 1 << 20
COLUMN = 34
NAME_COLUMN = 18


@dataclass(frozen=True, kw_only=True)
class Link:
    """One tunnel, as one of its ends sees it.

    :param peer: the instance at the other end.
    :param names: the reverse names that the other end serves through it.
    :param clients: how many clients it carries now.
    :param rtt_ms: the time of a round trip, None when not yet known.
    :param suspect: whether the other end has gone quiet.
    """

    peer: str
    names: tuple[str, ...]
    clients: int
    rtt_ms: float | None
    suspect: bool


@dataclass(frozen=True, kw_only=True)
class View:
    """What one instance says about itself.

    :param instance: its identity, another one after each start.
    :param links: its tunnels.
    :param members: the other cluster members that it takes for alive.
    """

    instance: str
    links: tuple[Link, ...]
    members: tuple[str, ...]


def ask(admin: str) -> View | None:
    """Ask one instance.

    :param admin: where it answers, as host:port.
    :returns: what it says, None when it does not answer, or not yet with anything sensible.
    """
    connection = http.client.HTTPConnection(admin, timeout=ASK_S)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        text = answer.read(LARGEST_STATUS_BYTES)
        return view_from(json.loads(text)) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def view_from(status: Mapping[str, Any]) -> View:
    """Read the status of an instance.

    :param status: the JSON object.
    :raises KeyError: when something is not there.
    """
    return View(
        instance=status["instance"],
        links=tuple(
            Link(
                peer=tunnel["peer_instance"],
                names=tuple(tunnel["names"]),
                clients=int(tunnel["clients"]),
                rtt_ms=tunnel["rtt_ms"],
                suspect=bool(tunnel["suspect"]),
            )
            for tunnel in status["tunnels"]
        ),
        members=tuple(
            member["instance"] for member in status["members"] if not (member["suspect"] or member["leaving"])
        ),
    )


class Picture:
    """What all instances say at one moment.

    :param views: by name; None for one that does not answer.
    """

    def __init__(self, views: Mapping[str, View | None]) -> None:
        self._views = views

    def links(self, agent: str, cloud: str) -> list[Link]:
        """The tunnels between two instances, as the one in the cloud sees them.

        :param agent: the instance on-prem.
        :param cloud: the instance in the cloud.
        """
        there, here = self._views.get(agent), self._views.get(cloud)
        if there is None or here is None:
            return []
        return [link for link in here.links if link.peer == there.instance]

    def is_member(self, other: str, of: str) -> bool:
        """Whether one cloud instance takes another for a living member.

        :param other: the one it is about.
        :param of: the one that is asked.
        """
        there, here = self._views.get(other), self._views.get(of)
        return there is not None and here is not None and there.instance in here.members

    def missing(self, running: Sequence[Player]) -> list[str]:
        """What should be joined and is not.

        :param running: the gateways that are meant to be up.
        :returns: one phrase for each thing that is missing.
        """
        clouds = [player.name for player in running if player.side == "cloud"]
        agents = [player.name for player in running if player.side == "onprem"]
        silent = [
            f"{player.name} does not answer" for player in running if self._views.get(player.name) is None
        ]
        apart = [f"{a} serves nothing through {c}" for a in agents for c in clouds if not self._serves(a, c)]
        alone = [
            f"{one} does not see {other} in the cluster"
            for one in clouds
            for other in clouds
            if one != other and not self.is_member(other, of=one)
        ]
        return silent or [*apart, *alone]

    def _serves(self, agent: str, cloud: str) -> bool:
        """Whether there is a tunnel with a name in it, and it is not suspect."""
        return any(link.names and not link.suspect for link in self.links(agent, cloud))

    def table(self, gateways: Iterable[Player]) -> list[str]:
        """The picture as a table: a column for each instance in the cloud, a row for each on-prem.

        :param gateways: all of them, running or not.
        """
        players = list(gateways)
        clouds = [player.name for player in players if player.side == "cloud"]
        agents = [player.name for player in players if player.side == "onprem"]
        rows = [["", *(self._headed(name) for name in clouds)]]
        rows += [[self._headed(agent), *(self._cell(agent, cloud) for cloud in clouds)] for agent in agents]
        rows.append(["cluster", *(self._membership(cloud, clouds) for cloud in clouds)])
        return [
            (f"{row[0]:<{NAME_COLUMN}}" + "".join(f"{cell:<{COLUMN}}" for cell in row[1:])).rstrip()
            for row in rows
        ]

    def _headed(self, name: str) -> str:
        """A name, and whether that instance answers."""
        return name if self._views.get(name) is not None else f"{name} (down)"

    def _cell(self, agent: str, cloud: str) -> str:
        """What is between two instances."""
        links = self.links(agent, cloud)
        if not links:
            return "·"
        clients = sum(link.clients for link in links)
        rtts_ms = [link.rtt_ms for link in links if link.rtt_ms is not None]
        parts = ["tunnel" if len(links) == 1 else f"{len(links)} tunnels"]
        if any(link.suspect for link in links):
            parts.append("quiet")
        elif rtts_ms:
            parts.append(f"{min(rtts_ms):.1f} ms")
        parts.append(f"{clients} client{'' if clients == 1 else 's'}")
        return ", ".join(parts)

    def _membership(self, cloud: str, clouds: Sequence[str]) -> str:
        """The members that an instance sees."""
        return ", ".join(f"with {other}" for other in clouds if self.is_member(other, of=cloud)) or "·"
