"""No pair at all: the client talks to the sink. What the machine and the load client can do."""

from __future__ import annotations

from bench.daemon import Daemon
from bench.lab import Lab
from bench.pair import Pair


class Direct(Pair):
    """A direct connection."""

    key = "direct"
    title = "direct"

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.front_port = lab.sink_port

    def make_gateways(self) -> tuple[Daemon, ...]:
        """There are none."""
        return ()
