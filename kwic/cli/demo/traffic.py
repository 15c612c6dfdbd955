"""Clients that keep connecting, each as soon as the one before is done, while something happens to an instance."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from kwic.cli.demo.cast import Route
from kwic.cli.demo.echo import Heard, say

CLIENT_S = 5.0
"""How long one client may take before it counts as failed."""


class Traffic:
    """One stream of clients, one after the other, on each of several routes.

    :param routes: the routes.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._heard: dict[Route, list[Heard]] = {route: [] for route in routes}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_connecting, args=(route,), daemon=True)
            for route in self._heard
        ]

    def start(self) -> None:
        """Let the clients begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the clients that are at it finish, and no further ones begin."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * CLIENT_S)

    def _keep_connecting(self, route: Route) -> None:
        """One client after the other."""
        while not self._over.is_set():
            heard = say(route.word, route.host, route.port, timeout_s=CLIENT_S)
            self._heard[route].append(heard)
            if not heard.ok:
                time.sleep(
                    0.05
                )  # a refused connect fails in no time, and would only be counted a thousand times

    def begun_since(self, moment_s: float) -> list[tuple[Route, Heard]]:
        """The finished clients that began to connect at or after a moment.

        :param moment_s: the moment (monotonic).
        """
        return [
            (route, heard)
            for route, all_heard in self._heard.items()
            for heard in list(all_heard)
            if heard.started_s >= moment_s
        ]

    def fewest_since(self, moment_s: float) -> int:
        """How many clients finished that began since, on the route where they are fewest.

        :param moment_s: the moment (monotonic).
        """
        return min(
            (
                sum(heard.started_s >= moment_s for heard in list(all_heard))
                for all_heard in self._heard.values()
            ),
            default=0,
        )

    def failed_before(self, moment_s: float) -> list[tuple[Route, Heard]]:
        """The clients that failed, and had done so before a moment.

        :param moment_s: the moment (monotonic).
        """
        return [
            (route, heard)
            for route, heard in self.begun_since(0.0)
            if not heard.ok and heard.started_s + heard.took_s < moment_s
        ]
