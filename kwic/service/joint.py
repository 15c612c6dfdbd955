"""Two kinds of members as one: the other workers of our own instance, and those of a cluster, to which every worker of every instance belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred

from kwic.service.membership import Member, Membership, OwnState
from kwic.service.path import Path


class Joint(Membership):
    """
    Both.

    :param siblings: the other workers: what is both is reached over the link between workers.
    :param cluster: the members of the cluster.
    """

    def __init__(self, siblings: Membership, cluster: Membership) -> None:
        super().__init__()
        self.siblings = siblings
        self._cluster = cluster
        for part in (siblings, cluster):
            part.watch(self.changed)

    def check(self) -> None:
        """See `Membership`."""
        self._cluster.check()

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises SetupError: when that cannot be done.
        """
        for part in (self.siblings, self._cluster):
            part.privilegedStartService()

    def startService(self) -> None:
        """Find the others."""
        super().startService()
        for part in (self.siblings, self._cluster):
            part.startService()

    def stopService(self) -> Deferred[Any]:
        """:returns: fires when nothing of either is open."""
        super().stopService()
        return DeferredList([maybeDeferred(part.stopService) for part in (self.siblings, self._cluster)])

    def members(self) -> Sequence[Member]:
        """Each once."""
        near = self.siblings.members()
        known = {member.instance for member in near}
        return (*near, *(member for member in self._cluster.members() if member.instance not in known))

    def path(self, member: Member, name: str) -> Path | None:
        """The way to a reverse name that a member can reach."""
        return self.siblings.path(member, name) or self._cluster.path(member, name)

    def publish(self, state: OwnState) -> None:
        """Tell both."""
        super().publish(state)
        for part in (self.siblings, self._cluster):
            part.publish(state)
