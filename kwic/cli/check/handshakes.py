"""What the instances of several files would say of each other's certificates: every handshake between them, rehearsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

from kwic.cli.check.certificates import Instance
from kwic.config.ends import Side
from kwic.config.listen import WILDCARDS, listeners
from kwic.config.model import Address, Service, VerifyClient
from kwic.config.pair import Seat, Sides
from kwic.config.problem import Place, Problem, Severity, refusal
from kwic.config.service_types import BALANCER
from kwic.config.words import listed, shown
from kwic.errors import SetupError
from kwic.transport.certificates import PeerIdentity, subject
from kwic.transport.rehearsal import Rehearsal, rehearse
from kwic.transport.tls import Credentials

MOST_NAMES = 5
"""Names of a certificate that are listed."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Meeting:
    """One end that dials, and one that listens there."""

    seat: Seat
    other: Seat
    host: str
    """The name that the certificate must have."""
    sent_to: Address | None = None
    """Where a balancer has sent the client."""

    def __str__(self) -> str:
        return (
            str(self.seat)
            if self.sent_to is None
            else f"{self.seat}, sent to {self.sent_to} by the balancer,"
        )


class Rehearsals:
    """The handshakes between instances; each is held once, however many services need it."""

    def __init__(self, instances: Sequence[Instance], now_s: float) -> None:
        """:param instances: one per file. :param now_s: the time, in seconds since the epoch."""
        self.count = 0
        """How many were held."""
        self._now_s = now_s
        self._instances = {id(instance.config): instance for instance in instances}
        self._sides = Sides([instance.config for instance in instances])
        self._held: dict[object, Rehearsal | None] = {}
        self._hosts = {
            (id(instance.config), end.service.name, end.address): listener.hosts or ("",)
            for instance in instances
            for listener in listeners(instance.config)
            for end in listener.ends
        }

    def problems(self) -> Iterator[Problem]:
        """Hold all of them. :returns: why one end would refuse another, or would not let it reach its services."""
        for meeting in self._meetings():
            known = self._key(meeting) in self._held
            rehearsal = self._rehearsal(meeting)
            if rehearsal is None:
                continue
            if rehearsal.succeeded:
                yield from _roles(meeting, rehearsal)
            elif not known:
                yield self._refused(meeting, rehearsal)
        yield from self._members()

    def _meetings(self) -> Iterator[Meeting]:
        """Everybody who would speak TLS with somebody else, also where a balancer sends them."""
        for seat, other in self._sides.met:
            if seat.end.secure and other.end.secure:
                yield Meeting(seat=seat, other=other, host=seat.end.address.host)
                for member in self._behind(other):
                    address = member.end.address
                    yield Meeting(seat=seat, other=member, host=address.host, sent_to=address)

    def _behind(self, balancer: Seat) -> list[Seat]:
        """:returns: where a balancer sends its clients; none for what is no balancer."""
        if balancer.end.service.type != BALANCER:
            return []
        return [
            seat
            for seat in self._sides.listening
            if balancer.end.address in seat.end.service.balances
            and seat.end.address.is_websocket
            and not seat.end.is_tunnel
            and seat.end.secure
            and seat.end.address.host not in WILDCARDS
        ]

    # -- services -----------------------------------------------------------------------------------------------------------

    def _key(self, meeting: Meeting) -> object:
        seat, other = meeting.seat, meeting.other
        hosts = self._hosts[id(other.config), other.end.service.name, other.end.address]
        return (id(seat.config), meeting.host, seat.tls, id(other.config), hosts, other.tls)

    def _rehearsal(self, meeting: Meeting) -> Rehearsal | None:
        """:returns: what comes of a meeting; None when that cannot be told here, or was told without trying."""
        key = self._key(meeting)
        if key not in self._held:
            self._held[key] = self._hold(meeting)
        return self._held[key]

    def _hold(self, meeting: Meeting) -> Rehearsal | None:
        seat, other = meeting.seat, meeting.other
        mine, theirs = self._credentials(seat), self._credentials(other)
        if mine is None or theirs is None or _is_told_already(seat, other):
            return None
        hosts = self._hosts[id(other.config), other.end.service.name, other.end.address]
        try:
            client = mine.client_options(meeting.host, seat.tls)
            server = theirs.server_options(hosts, other.tls)
        except SetupError:
            return None  # it does not start: that was said of the instance itself
        self.count += 1
        return rehearse(
            client.clientConnectionForTLS(None),  # type: ignore[arg-type]  # Twisted's protocol is not needed
            server.serverConnectionForTLS(None),  # type: ignore[arg-type]
        )

    def _credentials(self, seat: Seat) -> Credentials | None:
        return self._instances[id(seat.config)].credentials

    def _refused(self, meeting: Meeting, rehearsal: Rehearsal) -> Problem:
        seat, other = meeting.seat, meeting.other
        if rehearsal.refused_by_client:
            prefix = f"{meeting} would refuse {other}: "
            return self._refusal(seat.end.place, seat, rehearsal.refused_by_client, prefix)
        keystore = seat.config.security.keystore
        place = seat.end.place if keystore is None else keystore.place
        if keystore is not None and self._has_nothing_to_show(seat):
            message = (
                f"{other} would refuse {meeting}: no certificate in {keystore.file} is meant for clients"
            )
            hint = "get one with clientAuth in its extended key usage"
            return Problem(place=place, message=message, hint=hint)
        prefix = f"{other} would refuse {meeting}: "
        return self._refusal(place, other, rehearsal.refused_by_server, prefix)

    def _refusal(self, place: Place, by: Seat, words: str, prefix: str) -> Problem:
        """:returns: what one end holds against the other.

        :param by: whose truststore has decided.
        """
        if by.config.security.truststore is None:
            # Another machine may trust other CAs than this one.
            return refusal(place, words, prefix, severity=Severity.WARNING)
        found = refusal(place, words, prefix)
        truststore = self._instances[id(by.config)].holdings.material.truststore
        names = [subject(anchor) for anchor in truststore.anchors] if truststore is not None else []
        if any(f"leads to {name}, which is not in our truststore" in words for name in names):
            hint = f"{by.config.file} trusts another CA of that name: the certificates of one side were made anew"
            return replace(found, hint=hint)
        return found

    def _has_nothing_to_show(self, seat: Seat) -> bool:
        material = self._instances[id(seat.config)].holdings.material
        return material.client_entry(self._now_s) is None

    # -- members of a cluster -----------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[Problem]:
        for first, second in combinations(self._instances.values(), 2):
            mine, theirs = first.config.cluster, second.config.cluster
            if mine is None or theirs is None or mine.name != theirs.name:
                continue
            if not (mine.accepts and theirs.accepts):
                continue  # who takes no links has none: both are told of each other by etcd
            if (first.config.security.keystore is None) is not (second.config.security.keystore is None):
                bare = first if first.config.security.keystore is None else second
                assert bare.config.cluster is not None
                yield Problem(
                    place=bare.config.cluster.place,
                    message=f"{bare.config.file} has no keystore, and other members of cluster {shown(mine.name)} do: "
                    "they speak TLS and it does not",
                    hint="add <security><keystore>",
                )
                continue
            for dialler, listener in permutations((first, second)):
                yield from self._member(dialler, listener)

    def _member(self, dialler: Instance, listener: Instance) -> Iterator[Problem]:
        if dialler.credentials is None or listener.credentials is None or not listener.credentials.has_key:
            return
        try:
            client = dialler.credentials.cluster_client_options()
            server = listener.credentials.cluster_server_options()
        except SetupError:
            return  # it does not start: that was said of the instance itself
        self.count += 1
        rehearsal = rehearse(
            client.clientConnectionForTLS(None),  # type: ignore[arg-type]
            server.serverConnectionForTLS(None),  # type: ignore[arg-type]
        )
        # Each end dials once: the other end's opinion is heard when it does.
        if rehearsal.refused_by_client:
            cluster, keystore = dialler.config.cluster, listener.config.security.keystore
            assert cluster is not None
            assert keystore is not None
            prefix = f"{dialler.config.file} would refuse {listener.config.file} in cluster {shown(cluster.name)}: "
            yield refusal(keystore.place, rehearsal.refused_by_client, prefix)


def _is_told_already(seat: Seat, other: Seat) -> bool:
    """Whether the files alone show that two ends do not get on: :mod:`kwic.config.pair` has said so."""
    required = other.tls.verify_client is VerifyClient.REQUIRED
    mine, theirs = seat.tls.protocols, other.tls.protocols
    return (required and seat.config.security.keystore is None) or bool(
        mine and theirs and set(mine).isdisjoint(theirs)
    )


def _roles(meeting: Meeting, rehearsal: Rehearsal) -> Iterator[Problem]:
    """Whoever gets through TLS may reach the services that it is for."""
    seat, other = meeting.seat, meeting.other
    yield from _denied(other.end.service, str(other), rehearsal.client, seat)
    if seat.end.is_tunnel and seat.end.side is Side.ACCEPT:
        yield from _denied(seat.end.service, str(seat), rehearsal.server, other)


def _denied(service: Service, who: str, peer: PeerIdentity | None, seat: Seat) -> Iterator[Problem]:
    """:returns: why a service turns a peer away that it knows.

    :param who: the service in words.
    :param seat: the peer's end.
    """
    if service.permits(None if peer is None else peer.names):
        return
    wanted = listed(sorted({shown(role) for roles in service.require_roles for role in roles}))
    names = sorted(peer.names) if peer is not None else []
    has = listed([shown(name) for name in names[:MOST_NAMES]], "and") or "no certificate"
    keystore = seat.config.security.keystore
    yield Problem(
        place=seat.end.place if keystore is None else keystore.place,
        message=f"{who} lets in {wanted} only, and {seat} is {has}",
        hint="change <require-role>, or the certificate",
    )
