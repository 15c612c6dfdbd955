"""
Clients that another member of the cluster sends here, because this instance holds a tunnel for the name they want and that one does not.

They go to a tunnel of this instance or nowhere: never on to a third member, so there are no loops.
"""

from __future__ import annotations

from collections.abc import Mapping

from kwic.config.model import Service
from kwic.service.context import Context
from kwic.service.membership import Alone, Member
from kwic.service.proxy import Proxy
from kwic.service.reverse import Names
from kwic.service.sources import ReverseSource
from kwic.transport.negotiation import Acceptor
from kwic.wire.socks5 import Rep

#: Seconds that such a client may wait here: the member that sent it has other paths to try.
TIMEOUT_S = 5.0


class Neighbourly:
    """
    Serves the clients of other members.

    :param context: the gateway's surroundings.
    :param names: the names that are held here.
    """

    def __init__(self, context: Context, names: Names) -> None:
        self._context = context
        self._names = names
        self._alone = Alone()
        self._proxies: dict[str, Proxy] = {}
        #: The service of ours that connects to each name.
        self.services: Mapping[str, Service] = {}

    def request(self, acceptor: Acceptor, name: str, member: Member) -> None:
        """A member sent a client for a name."""
        service = self.services.get(name)
        if service is None or not self._names.holders(name):
            acceptor.refuse(Rep.HOST_UNREACHABLE)
            return
        if name not in self._proxies:
            source = ReverseSource(self._names, self._context.far_instances, self._alone, name, TIMEOUT_S)
            self._proxies[name] = Proxy(service, source, self._context)
        self._proxies[name].request(acceptor, f"member {member.node}")
