"""Another member as far as the links know it: who it is, where it lives, and the links to it."""

from __future__ import annotations

from kwic.config.model import bracketed
from kwic.service.dialling import Place
from kwic.service.link import Link
from kwic.wire.cluster_messages import Hello, State

#: Links that one member may have to us: one is used, a second lives for a moment when both dialled.
LINKS_MAXIMUM = 4


class Neighbour:
    """
    A member that we have at least one link to.

    :param own_instance: ourselves.
    :param hello: what the member said of itself.
    :param place: where it takes links, if it does.
    """

    def __init__(self, own_instance: str, hello: Hello, place: Place | None) -> None:
        self._prefers_ours = own_instance < hello.instance
        self.instance = hello.instance
        self.node = hello.node
        self.incarnation = hello.incarnation
        self.place = place
        #: In the order in which they came up.
        self.links: list[Link] = []
        #: It said that it stops.
        self.leaving = False
        #: What it said last of what it has to offer.
        self.state: State | None = None

    @property
    def label(self) -> str:
        """How it is called in logs."""
        if self.place is None:
            return self.node
        host, port = self.place
        return f"{self.node} [{bracketed(host)}:{port}]"

    @property
    def best(self) -> Link | None:
        """The link for new streams: one that is trusted, and that both sides keep."""
        usable = [link for link in self.links if link.usable]
        return min(
            usable, key=lambda link: (link.tunnel.suspect, link.dialled != self._prefers_ours), default=None
        )

    @property
    def usable(self) -> bool:
        """Whether there is a link for new streams."""
        return self.best is not None

    @property
    def suspect(self) -> bool:
        """Whether every link is silent."""
        return all(link.tunnel.suspect for link in self.links)

    def add(self, link: Link) -> None:
        """A link came up: keep what is needed of those that we dialled."""
        self.links.append(link)
        if len(self.links) > LINKS_MAXIMUM:
            self.links[0].abort("the member has too many links")
        trusted = [one for one in self.links if one.usable and not one.tunnel.suspect]
        kept = next((one for one in trusted if one.dialled is self._prefers_ours), None) or self.best
        for one in tuple(self.links):
            if one.dialled and one is not kept and one.usable:
                one.retire("one link is enough")

    def doubt(self) -> None:
        """There is a reason to believe that it is gone: others are preferred until it has answered."""
        for link in tuple(self.links):
            link.tunnel.suspect_now()
