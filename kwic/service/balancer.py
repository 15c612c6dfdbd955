"""
The balancer: answers an upgrade request with 302 and the address of a member that serves what the client wants.

Members are the services, here and anywhere in the cluster, whose `balance` names the balancer's address. The one with the fewest open connections is
taken. What members say of their load is up to a moment old, so the clients that were sent to one within the last moment count too: else a
burst would go to a single member.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from twisted.logger import Logger

from kwic.config.model import Address, Service
from kwic.service.context import Context
from kwic.service.membership import Membership
from kwic.service.switchboard import admitted
from kwic.service.watch import Watched
from kwic.transport.websocket_server import Accept, Redirect, Refuse, UpgradeRequest
from kwic.wire.kwic_headers import MET_HEADER, parse_met

#: Clients sent to a member count as its load for so long: until its own word about them is here.
RECENT_S = 1.0
#: How many of them are remembered.
RECENT_MAXIMUM = 10_000
#: What the `Location` of a member's accept begins with.
HTTP_SCHEMES = {"ws": "http", "wss": "https"}

_FORBIDDEN = 403


class Balances(Watched):
    """The services of this instance that answer for a balancer, in as far as their back ends can be reached."""

    def __init__(self) -> None:
        super().__init__()
        self._offers: dict[object, tuple[str, str]] = {}

    def register(self, balance: Address, accept: Address) -> Callable[[], None]:
        """
        A service answers for a balancer from now on.

        :param balance: the balancer's address.
        :param accept: where the service itself takes clients.
        :returns: what withdraws it.
        """
        key = object()
        self._offers[key] = (str(balance), str(accept))
        self.changed()

        def withdraw() -> None:
            if self._offers.pop(key, None) is not None:
                self.changed()

        return withdraw

    def offered(self) -> Mapping[str, tuple[str, ...]]:
        """The accept URIs for each balancer URI, as the other members are told."""
        found: dict[str, list[str]] = {}
        for balance, accept in self._offers.values():
            uris = found.setdefault(balance, [])
            if accept not in uris:
                uris.append(accept)
        return {balance: tuple(uris) for balance, uris in found.items()}


class BalanceOffer:
    """
    One service that answers for one balancer, which can be withdrawn and renewed.

    :param balances: where it is registered.
    :param balance: the balancer's address.
    :param accept: where the service itself takes clients.
    """

    def __init__(self, balances: Balances, balance: Address, accept: Address) -> None:
        self._register = lambda: balances.register(balance, accept)
        self._withdraw: Callable[[], None] | None = None
        self.renew()

    def withdraw(self) -> None:
        """Send no more clients here."""
        if self._withdraw is not None:
            self._withdraw()
            self._withdraw = None

    def renew(self) -> None:
        """Send clients here again."""
        if self._withdraw is None:
            self._withdraw = self._register()


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """One accept URI of one member."""

    instance: str
    uri: str
    load: int


class Balancer:
    """
    Sends the clients of a balancer service to the members that serve it.

    :param service: the balancer: where it accepts.
    :param membership: what is offered here and by the other members.
    :param context: the gateway's surroundings.
    :param draw: draws evenly from [0, 1), for ties.
    """

    log = Logger()

    def __init__(
        self,
        service: Service,
        membership: Membership,
        context: Context,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.service = service
        self._membership = membership
        self._context = context
        self._draw = draw
        self._recent: deque[tuple[float, str]] = deque()
        self._recent_count: Counter[str] = Counter()
        self.redirected = 0
        self.refused = 0

    def stop(self) -> None:
        """Nothing goes on by itself."""

    def answer(self, request: UpgradeRequest) -> Accept | Redirect | Refuse:
        """Send a client to the best member (see `IRoute`)."""
        if not admitted(self.service, request.identity, asked=True):
            self.refused += 1
            return Refuse(status=_FORBIDDEN, reason="this certificate may not use the service")
        balance = self._balance(request)
        met = parse_met(request.headers.get(MET_HEADER))
        self._forget()
        best = min(
            self._choices(balance),
            key=lambda one: (one.instance in met, one.load + self._recent_count[one.instance], self._draw()),
            default=None,
        )
        if best is None:
            self.refused += 1
            self.log.debug("{balance} has no live member", balance=balance)
            return Refuse(
                status=503, reason=f"no live member serves {balance} now", headers={"Retry-After": "1"}
            )
        self.redirected += 1
        self._recent.append((self._context.reactor.seconds(), best.instance))
        self._recent_count[best.instance] += 1
        return Redirect(location=best.uri)

    def members(self) -> Mapping[str, tuple[str, ...]]:
        """Where clients are sent now, for each address of the balancer."""
        return {
            str(accept): tuple(one.uri for one in self._choices(accept)) for accept in self.service.accepts
        }

    def _balance(self, request: UpgradeRequest) -> Address:
        """The address that a client has asked."""
        for accept in self.service.accepts:
            if accept.authority == request.host and accept.path == request.path:
                return accept
        return self.service.accepts[0]

    def _choices(self, balance: Address) -> Iterator[_Choice]:
        """Every accept URI of a member that may be chosen, ourselves included."""
        own = self._membership.own
        if not own.leaving:
            accepts = own.balances.get(str(balance), ())
            yield from _of(balance, self._context.instance, accepts, len(self._context.relays))
        for member in self._membership.members():
            if member.counts:
                accepts = member.balances.get(str(balance), ())
                yield from _of(balance, member.instance, accepts, member.load)

    def _forget(self) -> None:
        """What was sent longer ago is in the members' own word by now."""
        since = self._context.reactor.seconds() - RECENT_S
        while self._recent and (self._recent[0][0] <= since or len(self._recent) >= RECENT_MAXIMUM):
            _, instance = self._recent.popleft()
            self._recent_count[instance] -= 1
            if not self._recent_count[instance]:
                del self._recent_count[instance]


def _of(balance: Address, instance: str, accepts: tuple[str, ...], load: int) -> Iterator[_Choice]:
    for accept in accepts:
        uri = location_of(accept, secure=balance.secure)
        if uri is not None:
            yield _Choice(instance=instance, uri=uri, load=load)


def location_of(accept: str, *, secure: bool) -> str | None:
    """
    Where a client is sent for an accept URI: the same with http for ws and https for wss.

    :param accept: canonical, its port explicit; another member's word.
    :param secure: the balancer is, so its clients are never sent to an address without TLS.
    :returns: None when a client cannot be sent there.
    """
    scheme, separator, rest = accept.partition("://")
    http = HTTP_SCHEMES.get(scheme)
    printable = rest.isascii() and rest.isprintable() and " " not in rest
    if http is None or not separator or not rest or not printable or (secure and http != "https"):
        return None
    return f"{http}://{rest}"
