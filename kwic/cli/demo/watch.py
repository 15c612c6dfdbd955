"""The live view: asks every instance again and again, and draws who is joined to whom."""

from __future__ import annotations

import threading

from kwic.cli.demo.screen import Screen
from kwic.cli.demo.stage import Stage

EVERY_S = 0.25
"""How often the instances are asked."""


class Watch:
    """A thread that keeps the picture on the screen true; does nothing where it could not be redrawn.

    :param stage: the processes.
    :param screen: where to draw.
    """

    def __init__(self, stage: Stage, screen: Screen) -> None:
        self._stage = stage
        self._screen = screen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, daemon=True)

    def start(self) -> None:
        """Begin to draw."""
        if self._screen.live:
            self._thread.start()

    def stop(self) -> None:
        """Take the picture away and draw no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._screen.picture([])

    def _keep_drawing(self) -> None:
        """Draw until told to stop."""
        gateways = self._stage.cast.gateways
        while not self._over.wait(EVERY_S):
            self._screen.picture(["", *(f"   {line}" for line in self._stage.picture().table(gateways))])
