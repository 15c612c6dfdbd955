"""
The nodes of the other side that have come back.

Each uplink waits for its own name with a back-off of its own; a node that answers under one of them may be dialled at once under all. A node counts as new
when its process is another one than before, so that one that takes tunnels and drops them is not hammered.
"""

from __future__ import annotations

from kwic.service.watch import Watched

#: So many nodes are remembered; of more, the one that was met first is forgotten.
NODES_MAXIMUM = 256


class Sightings(Watched):
    """Tells whoever waits to dial that it may be worth while now."""

    def __init__(self) -> None:
        super().__init__()
        self._instances: dict[str, str] = {}

    def met(self, node: str, instance: str) -> None:
        """
        A node was reached.

        :param node: what it calls itself.
        :param instance: its process; empty for a peer that does not say.
        """
        if not instance or self._instances.get(node) == instance:
            return
        self._instances[node] = instance
        if len(self._instances) > NODES_MAXIMUM:
            self._instances.pop(next(iter(self._instances)))
        self.changed()
