"""What must be so across the files of both sides: names meet, transports match, certificates can be shown.

Each file is right by itself when it comes here. Some instances may be missing from the files at hand: another tenant,
another cloud node, a server that is no gateway. So what nobody answers is an error only when something else in the files
shows that it was meant to be answered; a name that nobody serves costs a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from kwic.config.address import SCHEMES
from kwic.config.ends import End, address_socket, ends
from kwic.config.listen import WILDCARDS, listeners
from kwic.config.members import balanced, balancer_addresses, check_members
from kwic.config.model import Address, GatewayConfig, TlsOptions, VerifyClient
from kwic.config.problem import Place, Problem, Severity
from kwic.config.service_types import BALANCER
from kwic.config.words import closest, listed, shown

_NO_SUCH_NAME = "write the same name on both sides"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seat:
    """One end and the file it is in."""

    config: GatewayConfig
    end: End
    tls: TlsOptions
    """For a listening end what all that share its socket agree on."""

    def __str__(self) -> str:
        return f"service {shown(self.end.service.name)} of {self.config.file}"


class Sides:
    """All the ends of several files."""

    def __init__(self, configs: Sequence[GatewayConfig]) -> None:
        """:param configs: those of both sides, in the order in which they were named."""
        self.configs = configs
        seats = [seat for config in configs for seat in _seats(config)]
        self.listening = [seat for seat in seats if seat.end.listens]
        self.dialling = [seat for seat in seats if not seat.end.listens]
        self.met = [
            (seat, other)
            for seat in self.dialling
            for other in self.listening
            if _meet(seat, other) and _speak_of_the_same(seat, other)
        ]
        """Whoever dials, with each of those who listen there: for the same name, if it is a tunnel."""

    def is_met(self, seat: Seat, key: str) -> bool:
        """:returns: whether one end of a tunnel finds the other end for a name."""
        return any(seat in pair and all(key in each.end.keys for each in pair) for pair in self.met)

    def is_heard(self, key: str) -> bool:
        """:returns: whether anybody listens for a name."""
        return any(key in seat.end.keys for seat in self.listening)


def check_pair(configs: Sequence[GatewayConfig]) -> tuple[Problem, ...]:
    """Looks for what keeps the instances of several files from finding each other.

    :param configs: one per instance, each valid by itself; with fewer than two there is nothing to find.
    :returns: the problems, those of the first file first.
    """
    if len(configs) < 2:
        return ()
    sides = Sides(configs)
    found = dict.fromkeys(problem for check in CHECKS for problem in check(sides))
    order = [config.file for config in configs]

    def position(problem: Problem) -> tuple[int, int, int]:
        place = problem.place
        assert place is not None, "what is wrong between files stands in one of them"
        return order.index(place.file), place.line, place.column

    return tuple(sorted(found, key=position))


def tunnels_meet(sides: Sides) -> Iterator[Problem]:
    """Whoever dials a tunnel for a name finds someone there who listens for that name."""
    for seat in sides.dialling:
        for key in seat.end.keys:
            partners = [
                other for other in sides.listening if _partners(seat, other) and key in other.end.keys
            ]
            rivals = [other for other in sides.dialling if _partners(seat, other) and key in other.end.keys]
            if not partners and not rivals:
                yield from _unheard(seat, key, sides)
            elif not any(_meet(seat, other) for other in partners):
                # One that others do find is another node's: ours may be in a file that is not here.
                for other in [other for other in partners if not sides.is_met(other, key)][:1]:
                    message = f"{seat} dials {seat.end.address} for {shown(key)}, and {other} is at {other.end.address}"
                    hint = "write the same socks.transport on both sides"
                    yield Problem(place=seat.end.place, message=message, hint=hint)


def _unheard(seat: Seat, key: str, sides: Sides) -> Iterator[Problem]:
    """A name that nobody listens for, dialled where somebody of these files is."""
    heard = [other for other in sides.listening if other.end.is_tunnel and _meet(seat, other)]
    called = {name for other in sides.dialling for name in other.end.keys}
    guess = closest(key, (name for other in heard for name in other.end.keys if name not in called))
    if heard:
        message = f"{seat} dials {seat.end.address} for {shown(key)}, and nobody there listens for that name"
        yield Problem(
            place=seat.end.place,
            message=message,
            hint=f"did you mean {shown(guess)}?" if guess else _NO_SUCH_NAME,
        )
    elif any(_difference(seat, other) == "path" for other in sides.listening):
        message = f"{seat} dials {seat.end.address}, and nothing takes tunnels at that path"
        yield Problem(
            place=seat.end.place, message=message, hint="write the socks.transport of the side that listens"
        )


def names_are_served(sides: Sides) -> Iterator[Problem]:
    """Whoever listens for a name is dialled for it by someone."""
    for seat in sides.listening:
        others = [other for other in (*sides.dialling, *sides.listening) if _partners(seat, other)]
        callers = [other for other in sides.dialling if _partners(seat, other) and _meet(other, seat)]
        strays = [name for other in callers for name in other.end.keys if not sides.is_heard(name)]
        for key in seat.end.keys:
            if any(key in other.end.keys for other in others):
                continue
            guess = closest(key, strays)
            yield Problem(
                place=seat.end.place,
                message=f"{seat} listens for {shown(key)}, and nobody in these files dials in for it",
                hint=f"did you mean {shown(guess)}?" if guess else "add the file of the side that does",
                severity=Severity.ERROR if strays else Severity.WARNING,
            )


def modes_differ(sides: Sides) -> Iterator[Problem]:
    """For one name one side dials and the other listens."""
    for seats, verb in ((sides.dialling, "dial"), (sides.listening, "listen")):
        for first, second in combinations(seats, 2):
            shared = [key for key in first.end.keys if key in second.end.keys]
            if (
                shared
                and _partners(first, second)
                and not any(sides.is_met(seat, shared[0]) for seat in (first, second))
            ):
                message = f"{first} and {second} both {verb} for {shown(shared[0])}"
                place = _option_place(second.end, "socks.mode")
                yield Problem(place=place, message=message, hint="write the same socks.mode on both sides")


def socks_hosts_match(sides: Sides) -> Iterator[Problem]:
    """Both sides of a tunnel name the same socks address."""
    for seat, other in sides.met:
        mine, theirs = seat.end.socks, other.end.socks
        if mine is not None and theirs is not None and mine != theirs:
            message = f"{seat} rides on {mine}, and {other} on {theirs}"
            place = _option_place(
                seat.end, "pipe.transport", "tcp.transport", "ssl.transport", "http.transport"
            )
            yield Problem(place=place, message=message, hint="write the same address on both sides")


def services_are_there(sides: Sides) -> Iterator[Problem]:
    """What is dialled at a host of these files is served there."""
    served = [seat for seat in sides.listening if not seat.end.is_tunnel]
    reached = {other.end.address for _, other in sides.met}
    for seat in sides.dialling:
        if seat.end.is_tunnel or any(_meet(seat, other) for other in served):
            continue
        near = [(other, _difference(seat, other)) for other in served]
        near = [
            (other, what)
            for other, what in near
            if _is_slip(seat.end.address, other.end.address, what, other.end.address in reached)
        ]
        for other, what in sorted(near, key=lambda pair: pair[0].end.address in reached)[:1]:
            message = f"{seat} dials {seat.end.address}, and {other} is at {other.end.address}"
            # Something else may be at a plain port of the same machine.
            is_sure = seat.end.address.is_websocket or what != "port"
            yield Problem(
                place=seat.end.place,
                message=message,
                hint=f"write the same {what} on both sides",
                severity=Severity.ERROR if is_sure else Severity.WARNING,
            )


def _is_slip(dialled: Address, served: Address, what: str, is_reached: bool) -> bool:
    """Whether an address that differs in one thing from a served one was meant to be that one."""
    if dialled.is_websocket:
        return what in {"scheme", "port", "path"} or (
            what == "host" and dialled.path != "/" and not is_reached
        )
    # Something else may be at another port of an interface, or of this machine.
    is_same_host = dialled.host == served.host and not served.is_loopback
    return what == "scheme" or (what == "port" and is_same_host and not is_reached)


def certificates_can_be_shown(sides: Sides) -> Iterator[Problem]:
    """Whoever dials a listener that requires a certificate has one, and both speak a common TLS version."""
    for seat, other in sides.met:
        if not (seat.end.secure and other.end.secure):
            continue
        if other.tls.verify_client is VerifyClient.REQUIRED and seat.config.security.keystore is None:
            message = f"{other} requires a certificate of {seat}, and {seat.config.file} has no keystore"
            yield Problem(place=seat.end.place, message=message, hint="add <security><keystore>")
        mine, theirs = seat.tls.protocols, other.tls.protocols
        if mine and theirs and set(mine).isdisjoint(theirs):
            message = f"{seat} speaks {listed(mine, 'and')} and {other} {listed(theirs, 'and')} only"
            place = _option_place(seat.end, "socks.ssl.protocols", "ssl.protocols")
            yield Problem(place=place, message=message, hint="let both have a TLS version in common")


def encryption_agrees(sides: Sides) -> Iterator[Problem]:
    """TLS that one side has handed to something in front of it is spoken by something there."""
    for seat, other in sides.met:
        if seat.end.secure is not other.end.secure:
            speaks, does_not = (seat, other) if seat.end.secure else (other, seat)
            yield Problem(
                place=_option_place(does_not.end, "socks.ssl.encryption", "ssl.encryption"),
                message=f"{speaks} speaks TLS and {does_not} leaves it to something in between",
                hint="make sure that there is something, or enable ssl.encryption on both sides",
                severity=Severity.WARNING,
            )


def sockets_match(sides: Sides) -> Iterator[Problem]:
    """Who is dialled at another port than that of the address listens there."""
    for seat, other in sides.met:
        mine, theirs = seat.end.socket, other.end.socket
        if (
            mine != address_socket(seat.end.address)
            and theirs == address_socket(other.end.address)
            and mine.host == theirs.host
            and mine.port != theirs.port
        ):
            yield Problem(
                place=_option_place(seat.end, "http.transport", "ssl.transport"),
                message=f"{seat} dials {seat.end.address} at {mine}, and {other} listens at {theirs}",
                hint="make sure that something leads from the one to the other, or write the same port on both sides",
                severity=Severity.WARNING,
            )


def balancers_work(sides: Sides) -> Iterator[Problem]:
    """Balancers have members, members have balancers, and clients follow redirects."""
    members = {balance for config in sides.configs for balance in balanced(config)}
    offered = {accept for config in sides.configs for accept in balancer_addresses(config)}
    for config in sides.configs:
        for service in config.services:
            if service.type == BALANCER and members.isdisjoint(service.accepts):
                message = f"balancer {shown(service.name)} of {config.file} has no members in these files"
                yield Problem(
                    place=service.place, message=message, hint="add <balance> to the services behind it"
                )
            for balance, place in zip(service.balances, service.balance_places, strict=True):
                if offered and balance not in offered:
                    guess = closest(str(balance), map(str, offered))
                    hint = f"did you mean {guess}?" if guess else "add a balancer service that does"
                    yield Problem(
                        place=place, message=f"no balancer of these files accepts {balance}", hint=hint
                    )
    for seat, other in sides.met:
        if other.end.service.type == BALANCER and seat.end.options.http_maximum_redirects == 0:
            place = _option_place(seat.end, "http.maximum.redirects")
            message = f"{other} answers with redirects, and {seat} does not follow any"
            yield Problem(
                place=place, message=message, hint="write http.maximum.redirects 3, or leave it out"
            )


def clusters_form(sides: Sides) -> Iterator[Problem]:
    """Instances that serve the same clients are in one cluster and find each other."""
    yield from check_members(sides.configs)


Check = Callable[[Sides], Iterator[Problem]]
CHECKS: tuple[Check, ...] = (
    tunnels_meet,
    names_are_served,
    modes_differ,
    socks_hosts_match,
    services_are_there,
    certificates_can_be_shown,
    encryption_agrees,
    sockets_match,
    balancers_work,
    clusters_form,
)


def _seats(config: GatewayConfig) -> Iterator[Seat]:
    agreed = {(end.service.name, end.address): each.tls for each in listeners(config) for end in each.ends}
    for service in config.services:
        for end in ends(service):
            tls = agreed.get((service.name, end.address), end.tls) if end.listens else end.tls
            yield Seat(config=config, end=end, tls=tls)


def _partners(seat: Seat, other: Seat) -> bool:
    """Whether two ends could be the two of one tunnel: one has the clients, the other the servers."""
    return (
        seat.end.is_tunnel
        and other.end.is_tunnel
        and seat.end.side is not other.end.side
        and seat is not other
    )


def _speak_of_the_same(seat: Seat, other: Seat) -> bool:
    if seat.end.is_tunnel or other.end.is_tunnel:
        return _partners(seat, other) and not set(seat.end.keys).isdisjoint(other.end.keys)
    # Who dials a port of some machine need not mean the one whose interface has it open; a path says more.
    return other.end.address.is_websocket or seat.end.address.host == other.end.address.host


def _meet(dialling: Seat, listening: Seat) -> bool:
    """Whether what one dials is where the other listens."""
    return not _differences(dialling.end.address, listening.end.address)


def _difference(dialling: Seat, listening: Seat) -> str:
    """:returns: the one thing in which two addresses differ; empty when it is none or several."""
    found = _differences(dialling.end.address, listening.end.address)
    return found[0] if len(found) == 1 else ""


def _differences(dialled: Address, served: Address) -> list[str]:
    found = []
    if dialled.scheme != served.scheme:
        found.append("scheme")
    if dialled.host != served.host and served.interface is None and served.host not in WILDCARDS:
        found.append("host")
    # Another scheme has another default port: that is one difference, not two.
    if dialled.port != served.port and not (
        found[:1] == ["scheme"] and _has_default_port(dialled) and _has_default_port(served)
    ):
        found.append("port")
    if dialled.path != served.path:
        found.append("path")
    return found


def _has_default_port(address: Address) -> bool:
    return address.port == SCHEMES[address.scheme].port


def _option_place(end: End, *names: str) -> Place:
    return next((end.options.places[name] for name in names if name in end.options.places), end.place)
