"""The processes of one demo: started, stopped, killed and asked about themselves by name."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from kwic.cli.demo.cast import Cast, Player
from kwic.cli.demo.folder import scenarios_folder
from kwic.cli.demo.home import Home, Settings
from kwic.cli.demo.picture import Picture, View, ask
from kwic.cli.demo.process import GatewayProcess, wait_until
from kwic.errors import SetupError
from kwic.transport.demo_pki import DemoPlan, make_demo_pki

START_S = 20.0
"""How long a process may take until it answers: mostly Python's imports, on a machine busy with five others."""

STOP_S = 10.0
"""How long an orderly stop may take: no client is connected, so nothing has to be waited for."""

JOIN_S = 30.0
"""How long until all are joined: an agent's reconnect back-off may have grown to several seconds."""

POLL_S = 0.05

CERTIFICATE_DAYS = 30
"""More than the 14 days below which a gateway warns."""


class Stage:
    """Everybody of a cast as processes.

    :param cast: who takes part.
    :param home: where logs and records go.
    :param environ: the environment to derive theirs from.
    """

    def __init__(self, cast: Cast, home: Home, environ: Mapping[str, str] = os.environ) -> None:
        self.cast = cast
        self.home = home
        self.processes = {
            player.name: GatewayProcess(
                name=player.name, command=cast.command(player), directory=home.run, environ=environ
            )
            for player in cast.players.values()
        }

    @classmethod
    def from_settings(cls, home: Home, settings: Settings) -> Stage:
        """The stage that settings describe.

        :param home: the demo's folder.
        :param settings: what the cast is made from.
        """
        cast = Cast(
            network=settings.network,
            scenarios=scenarios_folder(),
            stores=home.certificates / "stores",
            tls_port=settings.tls_port,
        )
        return cls(cast, home)

    def player(self, name: str) -> Player:
        """A player by name.

        :param name: what the user called it.
        :raises SetupError: when there is none of that name.
        """
        try:
            return self.cast.players[name]
        except KeyError:
            raise SetupError(f"there is no {name}; there are {', '.join(self.cast.players)}") from None

    @property
    def running(self) -> list[str]:
        """The names of those that run."""
        return [name for name, process in self.processes.items() if process.pid is not None]

    def make_certificates(self) -> None:
        """Make the authorities, keys and stores of this demo, good for a few days."""
        make_demo_pki(self.home.certificates, DemoPlan(days=CERTIFICATE_DAYS), now_s=time.time(), force=True)

    def start(self, name: str) -> None:
        """Start one; it need not answer yet.

        :param name: which.
        :raises SetupError: when it runs already.
        """
        self.processes[name].start()

    def wait_answering(self, name: str) -> str | None:
        """Wait until one answers about itself.

        :param name: which.
        :returns: None when it does, else what is wrong.
        """
        player, process = self.cast.players[name], self.processes[name]
        wait_until(lambda: process.pid is None or ask(player.admin) is not None, START_S, poll_s=POLL_S)
        if process.pid is None:
            return f"ended at once, exit status {process.exit_status}"
        return None if ask(player.admin) is not None else f"does not answer within {START_S:g} s"

    def stop(self, name: str) -> str | None:
        """Stop one in order.

        :param name: which.
        :returns: None when it ended as it should, else what was wrong.
        """
        process = self.processes[name]
        if not process.stop(STOP_S):
            return f"did not stop within {STOP_S:g} s and was killed"
        if process.exit_status not in (0, None):
            return f"stopped with exit status {process.exit_status}"
        return None

    def kill(self, name: str) -> float:
        """End one without letting it say goodbye.

        :param name: which.
        :returns: the moment from which on it did nothing any more (monotonic).
        """
        return self.processes[name].kill()

    def stop_all(self) -> None:
        """Stop everybody who runs, all at the same time."""
        with ThreadPoolExecutor(max_workers=len(self.processes)) as pool:
            list(pool.map(lambda process: process.stop(STOP_S), self.processes.values()))

    def picture(self) -> Picture:
        """Who is joined to whom at this moment, as each instance tells it."""
        views: dict[str, View | None] = {player.name: ask(player.admin) for player in self.cast.gateways}
        return Picture(views)

    def wait_joined(self) -> str | None:
        """Wait until everybody who runs is joined to everybody it should be joined to.

        :returns: None when that is so, else what is missing.
        """
        gateways = [player for player in self.cast.gateways if self.processes[player.name].pid is not None]
        missing: list[str] = []

        def joined() -> bool:
            missing[:] = self.picture().missing(gateways)
            return not missing

        return None if wait_until(joined, JOIN_S, poll_s=POLL_S) else "; ".join(missing)

    def tracebacks(self) -> dict[str, int]:
        """How many tracebacks each one has logged, those without any left out."""
        counts = {name: process.log_text().count("Traceback") for name, process in self.processes.items()}
        return {name: count for name, count in counts.items() if count}
