"""
Finds members by multicast (`connect` with udp): each says from time to time where it takes links.

What a datagram says is a hint from anybody: it is bounded in size, in number and in what it can cause – an address to be dialled for a while, a few new ones a
second – and believed only when whoever answers there has proved on a link that it is a member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, MulticastJoinError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from kwic.config.model import Address
from kwic.errors import ProtocolError
from kwic.service.cluster_port import ClusterPort, interface_hosts, same_family
from kwic.service.context import Context
from kwic.service.dialling import Place
from kwic.transport.multicast import bind_address, join_group
from kwic.wire.cluster_messages import Announce, decode_body, encode_body

#: An announcement has some 150 bytes.
DATAGRAM_MAXIMUM_BYTES = 1500
#: A member that starts is heard of within a second; one that has been there a while has been heard.
OFTEN_S = 1.0
OFTEN_COUNT = 5
SELDOM_S = 2.0
#: Addresses that were not known: so many at once, and so many a second.
NEWS_BURST = 32
NEWS_PER_S = 8.0
#: Datagrams that are looked at, a second.
LOOKS_PER_S = 500.0


class Allowance:
    """
    So many a second, and a burst of as many as a full purse holds.

    :param per_s: how many a second.
    :param burst: how many at once.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._since_s: float | None = None

    def has(self, now_s: float) -> bool:
        """Whether one more is allowed."""
        if self._since_s is not None:
            self._left = min(self._burst, self._left + (now_s - self._since_s) * self._per_s)
        self._since_s = now_s
        return self._left >= 1.0

    def take(self, now_s: float) -> bool:
        """One more, if it is allowed."""
        allowed = self.has(now_s)
        if allowed:
            self._left -= 1.0
        return allowed


class Discovery(Service):
    """
    Speaks and listens in one multicast group.

    :param context: the gateway's surroundings.
    :param cluster: the name of the cluster: others may use the same group.
    :param group: the group's address and port.
    :param port: where we take links: it says on which interfaces we are.
    :param learn: called with an address and the instance that is said to live there; says whether that was news.
    """

    log = Logger()

    def __init__(
        self,
        context: Context,
        cluster: str,
        group: Address,
        port: ClusterPort,
        learn: Callable[[Place, str], bool],
    ) -> None:
        self._context = context
        self._reactor = context.reactor
        self._cluster = cluster
        self._group = group
        self._port = port
        self._learn = learn
        self._ears: dict[str, _Ear] = {}
        self._announced = 0
        self._timer: Any = None
        self._quiet = False
        self._complained: set[str] = set()
        self._looks = Allowance(LOOKS_PER_S, LOOKS_PER_S)
        self._news = Allowance(NEWS_PER_S, NEWS_BURST)

    def startService(self) -> None:
        """Join the group and announce us."""
        Service.startService(self)
        self._announced = 0
        self._quiet = False
        self._tend()

    def hush(self) -> None:
        """Announce us no more: we are leaving."""
        self._quiet = True

    def stopService(self) -> Deferred[Any]:
        """
        Leave the group.

        :returns: fires when the sockets are closed.
        """
        Service.stopService(self)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        ears, self._ears = tuple(self._ears.values()), {}
        return DeferredList([maybeDeferred(ear.close) for ear in ears])

    # -- speaking -----------------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Announce us on every interface; what could not be joined before is tried again."""
        often = self._announced < OFTEN_COUNT
        self._announced += 1
        self._timer = self._reactor.callLater(OFTEN_S if often else SELDOM_S, self._tend)
        for host in self._interfaces():
            if host not in self._ears:
                self._join(host)
        for host, ear in self._ears.items():
            if not self._quiet:
                self._announce(host, ear)

    def _announce(self, host: str, ear: _Ear) -> None:
        accept = self._port.accept_at(host)
        message = Announce(cluster=self._cluster, instance=self._context.instance, accept=accept)
        try:
            ear.say(encode_body(message))
        except OSError as error:
            self._complain(host, f"cannot send to {self._group}: {error.strerror or error}")
        else:
            self._complained.discard(host)

    def _interfaces(self) -> Iterator[str]:
        """An address of each interface that we take links on, of the group's family."""
        ours = [host for host, _ in self._port.places]
        fitting = [host for host in ours if same_family(host, self._group.host)]
        if fitting and not any(ip_address(host).is_unspecified for host in fitting):
            yield from fitting
        elif ours:
            yield from interface_hosts(self._group.host)

    # -- listening ----------------------------------------------------------------------------------------------------------

    def _join(self, host: str) -> None:
        assert self._group.port is not None
        ear = _Ear(self, (self._group.host, self._group.port))
        try:
            ear.port = self._reactor.listenMulticast(
                self._group.port,
                ear,
                interface=bind_address(self._group.host),
                maxPacketSize=DATAGRAM_MAXIMUM_BYTES + 1,
                listenMultiple=True,
            )
        except CannotListenError as error:
            self._complain(host, f"cannot listen on {self._group}: {error.socketError}")
            return
        self._ears[host] = ear
        joined: Deferred[None] = join_group(ear.port, self._group.host, host)
        joined.addErrback(self._not_joined, host, ear)

    def _not_joined(self, failure: Failure, host: str, ear: _Ear) -> None:
        failure.trap(MulticastJoinError, OSError)
        if self._ears.get(host) is ear:
            del self._ears[host]
        ear.close()
        self._complain(host, f"cannot join {self._group}: {failure.getErrorMessage()}")

    def _complain(self, host: str, why: str) -> None:
        """Say once what does not work on an interface; it is tried again all the same."""
        if host not in self._complained:
            self._complained.add(host)
            self.log.warn("cluster: {host} {why}; it is tried again until it can", host=host, why=why)

    def heard(self, datagram: bytes, sender: str) -> None:
        """Somebody said something in the group."""
        now = self._reactor.seconds()
        if len(datagram) > DATAGRAM_MAXIMUM_BYTES or not self._looks.take(now):
            return
        try:
            message = decode_body(datagram)
        except ProtocolError:
            return
        ours = isinstance(message, Announce) and message.cluster == self._cluster
        if not isinstance(message, Announce) or not ours or message.instance == self._context.instance:
            return
        place = self._port.place_of(message.accept, sender)
        if place is not None and self._news.has(now) and self._learn(place, message.instance):
            self._news.take(now)


class _Ear(DatagramProtocol):
    """The socket on one interface."""

    noisy = False

    def __init__(self, discovery: Discovery, group: Place) -> None:
        self._discovery = discovery
        self._group = group
        self.port: Any = None

    def say(self, datagram: bytes) -> None:
        """Send to the group."""
        self.port.write(datagram, self._group)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Somebody said something."""
        self._discovery.heard(datagram, addr[0])

    def close(self) -> Deferred[Any]:
        """Leave: the kernel takes a closed socket out of its groups."""
        return maybeDeferred(self.port.stopListening)
