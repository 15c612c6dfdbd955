"""Whether instances that should be members of one cluster would find each other, as far as their files tell.

Who was found tells of all others that it knows, so a chain of members is enough. What nobody can tell from files: whether a name
leads to a member that is in none of them, or to all of them, and whether two lists of servers are those of one etcd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from kwic.config.ends import ends
from kwic.config.listen import WILDCARDS
from kwic.config.model import Address, Cluster, GatewayConfig
from kwic.config.problem import Place, Problem, Severity
from kwic.config.service_types import BALANCER
from kwic.config.words import listed, shown


def check_members(configs: Sequence[GatewayConfig]) -> Iterator[Problem]:
    """Instances that serve the same clients are in one cluster and find each other.

    :param configs: all instances: some may be there only to lead others to each other.
    """
    chains = _chains(configs)
    for first, second in combinations(configs, 2):
        if _share_a_balancer(first, second):
            yield from _names_differ(first, second)
        elif not _share_a_tunnel(first, second):
            continue
        if _are_of_one_name(first, second) and chains[id(first)] is not chains[id(second)]:
            assert first.cluster is not None
            assert second.cluster is not None
            yield _apart(first, first.cluster, second, second.cluster, configs)


def balancer_addresses(config: GatewayConfig) -> set[Address]:
    """:returns: where the balancers of an instance are."""
    return {accept for service in config.services if service.type == BALANCER for accept in service.accepts}


def balanced(config: GatewayConfig) -> set[Address]:
    """:returns: the balancers that an instance answers for."""
    return {balance for service in config.services for balance in service.balances}


def _share_a_balancer(first: GatewayConfig, second: GatewayConfig) -> bool:
    mine, theirs = ({*balancer_addresses(config), *balanced(config)} for config in (first, second))
    return not mine.isdisjoint(theirs)


def _share_a_tunnel(first: GatewayConfig, second: GatewayConfig) -> bool:
    """Whether both take tunnels for one name."""
    mine, theirs = (
        {key for service in config.services for end in ends(service) if end.listens for key in end.keys}
        for config in (first, second)
    )
    return not mine.isdisjoint(theirs)


def _are_of_one_name(first: GatewayConfig, second: GatewayConfig) -> bool:
    mine, theirs = first.cluster, second.cluster
    return mine is not None and theirs is not None and mine.name == theirs.name


def _names_differ(first: GatewayConfig, second: GatewayConfig) -> Iterator[Problem]:
    """Two instances with a balancer in common that are not in one cluster."""
    both = f"{first.file} and {second.file} have a balancer in common"
    if first.cluster is None or second.cluster is None:
        lonely = first if first.cluster is None else second
        place = next(
            service.place for service in lonely.services if service.balances or service.type == BALANCER
        )
        message = f"{both}, and {lonely.file} has no <cluster>"
        yield Problem(place=place, message=message, hint="add the same <cluster> to both")
    elif first.cluster.name != second.cluster.name:
        names = f"{shown(first.cluster.name)} and {shown(second.cluster.name)}"
        message = f"{both}, and their clusters are called {names}"
        yield Problem(place=second.cluster.place, message=message, hint="give both the same <name>")


# -- finding ------------------------------------------------------------------------------------------------------------


def _chains(configs: Sequence[GatewayConfig]) -> dict[int, set[int]]:
    """:returns: for each instance those that find it, directly or through others: one set for all of them."""
    chains = {id(config): {id(config)} for config in configs}
    for first, second in combinations(configs, 2):
        mine, theirs = chains[id(first)], chains[id(second)]
        if mine is not theirs and _are_of_one_name(first, second) and _find(first.cluster, second.cluster):
            mine |= theirs
            chains.update(dict.fromkeys(theirs, mine))
    return chains


def _find(first: Cluster | None, second: Cluster | None) -> bool:
    """Whether one of two members is sure to find the other."""
    assert first is not None
    assert second is not None
    # One group, one etcd, one name that leads to all, or one member that tells both of each other.
    return not set(first.connects).isdisjoint(second.connects) or any(
        _is_at(connect, accept)
        for one, other in ((first, second), (second, first))
        for connect in one.connects
        for accept in other.accepts
    )


def _is_at(connect: Address, accept: Address) -> bool:
    """Whether who is dialled may be who listens."""
    return (
        connect.scheme == "tcp"
        and connect.port == accept.port
        and (accept.host == connect.host or accept.interface is not None or accept.host in WILDCARDS)
    )


def _apart(
    first: GatewayConfig,
    mine: Cluster,
    second: GatewayConfig,
    theirs: Cluster,
    configs: Sequence[GatewayConfig],
) -> Problem:
    """Two members that do not find each other, or that nobody can tell about."""
    for dialler, listener, one, other in ((first, second, mine, theirs), (second, first, theirs, mine)):
        slip = _wrong_port(one, other)
        if slip is not None:
            connect, accept, place = slip
            message = (
                f"{dialler.file} looks for members at {connect}, and {listener.file} is a member at {accept}"
            )
            return Problem(place=place, message=message, hint="write the same port on both sides")
    sought = list(dict.fromkeys(str(address) for address in (*mine.connects, *theirs.connects)))
    if not sought:
        message = f"neither {first.file} nor {second.file} looks for the other"
        return Problem(place=theirs.place, message=message, hint="add a <connect> to <cluster>")
    kind = "groups" if all(text.startswith("udp") for text in sought) else "places"
    return Problem(
        place=theirs.connect_places[0] if theirs.connects else theirs.place,
        message=f"{first.file} and {second.file} look for members in different {kind}",
        hint=f"{listed(sought, 'and')}: use one of them",
        severity=Severity.WARNING if _may_be_elsewhere(mine, theirs, configs) else Severity.ERROR,
    )


def _wrong_port(dialler: Cluster, listener: Cluster) -> tuple[Address, Address, Place] | None:
    """:returns: a connect that leads to the very host of an accept, and to another port; both, and where it stands."""
    for connect, place in zip(dialler.connects, dialler.connect_places, strict=True):
        for accept in listener.accepts:
            if connect.scheme == "tcp" and connect.host == accept.host:
                return connect, accept, place
    return None


def _may_be_elsewhere(mine: Cluster, theirs: Cluster, configs: Sequence[GatewayConfig]) -> bool:
    """Whether two members may meet through what is in no file: another member, or an etcd by other names of its servers."""
    hosts = {accept.host for config in configs if config.cluster for accept in config.cluster.accepts}
    dialled = [
        address for cluster in (mine, theirs) for address in cluster.connects if address.scheme == "tcp"
    ]
    in_etcd = [any(address.is_etcd for address in cluster.connects) for cluster in (mine, theirs)]
    return all(in_etcd) or any(address.host not in hosts for address in dialled)
