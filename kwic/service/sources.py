"""Where the paths of a service come from: addresses, an uplink's tunnels, the holders of a reverse name, or several of these in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kwic.service.far_instances import FarInstances
from kwic.service.membership import Member, Membership
from kwic.service.path import EndpointPath, Path, PathSource, TunnelPath
from kwic.service.reverse import Holder, Names
from kwic.service.socks_path import WaitingPath
from kwic.service.socks_uplink import SocksUplink
from kwic.service.uplink import Uplink
from kwic.transport.socks_leg import SocksAcceptor
from kwic.transport.tunnel import Tunnel

#: Seconds that a client may wait for a connection, where the configuration says nothing.
CONNECT_TIMEOUT_S = 10.0


def _never() -> None:
    """What ends a watch that never calls."""


def _through(tunnel: Tunnel, name: str, far_instances: FarInstances, priority: int) -> TunnelPath:
    """The path to a name through one of the tunnels that an instance may have with us."""
    return TunnelPath(
        tunnel,
        name,
        peer=far_instances.of(tunnel),
        doubt=partial(far_instances.doubt, tunnel),
        priority=priority,
    )


class FixedSource:
    """
    Addresses that are dialled directly.

    :param paths: one for each, in order.
    """

    def __init__(self, paths: Sequence[EndpointPath], timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._paths = tuple(paths)

    def paths(self) -> Sequence[Path]:
        """All of them, always."""
        return self._paths

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """Nothing ever changes."""
        return _never


class UplinkSource:
    """
    The tunnels of an uplink, or WebSockets of their own where the far end speaks no tunnels.

    :param uplink: the tunnels.
    :param name: what is asked for in them.
    """

    def __init__(
        self, uplink: Uplink, name: str, timeout_s: float = CONNECT_TIMEOUT_S, priority: int = 0
    ) -> None:
        self.timeout_s = timeout_s
        self._uplink = uplink
        self._name = name
        self._priority = priority
        self._plain = EndpointPath(
            uplink,
            str(uplink.address),
            self._websocket,
            priority=priority,
            on_failed=uplink.try_tunnels_again,
        )

    def _websocket(self) -> Any:
        return self._uplink.websocket()

    def paths(self) -> Sequence[Path]:
        """Those that are up."""
        if self._uplink.plain:
            return (self._plain,)
        if self._uplink.by_socks:
            return self._uplink.socks.paths(self._name, self._priority)
        return [
            _through(peer.tunnel, self._name, self._uplink.context.far_instances, self._priority)
            for peer in self._uplink.tunnels
            if peer.tunnel is not None
        ]

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """Tunnels come and go."""
        return self._uplink.watch(call)


class SocksSource:
    """
    A SOCKS connection for each client.

    :param uplink: dials them.
    :param name: what is asked for on them.
    """

    def __init__(
        self, uplink: SocksUplink, name: str, timeout_s: float = CONNECT_TIMEOUT_S, priority: int = 0
    ) -> None:
        self.timeout_s = timeout_s
        self._uplink = uplink
        self._name = name
        self._priority = priority

    def paths(self) -> Sequence[Path]:
        """One for each address of the peer."""
        return self._uplink.paths(self._name, self._priority)

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """Addresses come and go."""
        return self._uplink.watch(call)


class ReverseSource:
    """
    The ways on which a reverse name is offered: to this node, or to another member of the cluster.

    :param names: who holds which name here.
    :param far_instances: which tunnels lead to the same agent.
    :param membership: the other members.
    :param name: the rendezvous key.
    """

    def __init__(
        self,
        names: Names,
        far_instances: FarInstances,
        membership: Membership,
        name: str,
        timeout_s: float = CONNECT_TIMEOUT_S,
        priority: int = 0,
    ) -> None:
        self.timeout_s = timeout_s
        self._names = names
        self._far_instances = far_instances
        self._membership = membership
        self._name = name
        self._priority = priority
        #: Our own paths, as of a version of the names: clients come more often than agents.
        self._own: Sequence[Path] = ()
        self._version = -1

    def paths(self) -> Sequence[Path]:
        """Our own, and one for each member that holds the name."""
        if self._version != self._names.version:
            self._version = self._names.version
            self._own = tuple(map(self._through, self._names.offering(self._name)))
        members = self._membership.members()
        return (*self._own, *self._elsewhere(members)) if members else self._own

    def _through(self, holder: Holder) -> Path:
        if isinstance(holder, SocksAcceptor):
            return WaitingPath(holder, self._name, priority=self._priority)
        assert isinstance(holder, Tunnel)
        return _through(holder, self._name, self._far_instances, self._priority)

    def _elsewhere(self, members: Sequence[Member]) -> list[Path]:
        found = (
            self._membership.path(member, self._name) for member in members if self._name in member.names
        )
        return [path for path in found if path is not None]

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """Agents come and go, here and there."""
        stops = (self._names.watch(call), self._membership.watch(call))

        def stop() -> None:
            for each in stops:
                each()

        return stop


class SeveralSources:
    """
    Several sources, each for one `<connect>`, in order.

    :param sources: they give their paths priorities themselves.
    """

    def __init__(self, sources: Sequence[PathSource]) -> None:
        self._sources = tuple(sources)

    @property
    def timeout_s(self) -> float:
        """That of the most patient."""
        return max(source.timeout_s for source in self._sources)

    def paths(self) -> Sequence[Path]:
        """All."""
        return [path for source in self._sources for path in source.paths()]

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """Any of them."""
        stops = [source.watch(call) for source in self._sources]

        def stop() -> None:
            for each in stops:
                each()

        return stop


def one_source(sources: Sequence[PathSource]) -> PathSource:
    """The sources of all `<connect>`s of a service as one."""
    return sources[0] if len(sources) == 1 else SeveralSources(sources)
