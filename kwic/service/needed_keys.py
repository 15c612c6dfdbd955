"""The keys that a configuration needs, and which of them our stores do not have: all of them, each with the place that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from kwic.config.ends import End, ends
from kwic.config.listen import Listener, listeners
from kwic.config.model import GatewayConfig
from kwic.config.problem import Problem, refusal
from kwic.config.words import shown
from kwic.errors import SetupError
from kwic.transport.tls import Credentials


def missing_keys(config: GatewayConfig, credentials: Credentials) -> Iterator[Problem]:
    """
    What the stores lack.

    :param credentials: made from the stores of the same configuration.
    """
    yield from _of_listeners(config, credentials)
    yield from _of_dialling(config, credentials)
    yield from _of_members(config, credentials)


def secure_listeners(config: GatewayConfig) -> list[Listener]:
    """:returns: those that speak TLS."""
    return [listener for listener in listeners(config) if listener.secure]


def _of_listeners(config: GatewayConfig, credentials: Credentials) -> Iterator[Problem]:
    """There is a certificate for every host of every listener."""
    if config.security.keystore is None:
        return  # that was said without looking into stores
    for listener in secure_listeners(config):
        for host in listener.hosts or ("",):
            end = _named(listener, host)
            try:
                credentials.check_server((host,), listener.tls)
            except SetupError as error:
                yield refusal(end.place, error, f"service {shown(end.service.name)}: ")


def _of_dialling(config: GatewayConfig, credentials: Credentials) -> Iterator[Problem]:
    """A certificate for clients that has ended keeps the gateway from dialling at all."""
    said: set[str] = set()
    for end in (end for service in config.services for end in ends(service)):
        if end.listens or not end.secure:
            continue
        try:
            credentials.client_options(end.address.host, end.tls)
        except SetupError as error:
            keystore = config.security.keystore
            if str(error) not in said:
                said.add(str(error))
                yield refusal(end.place if keystore is None else keystore.place, error)


def _of_members(config: GatewayConfig, credentials: Credentials) -> Iterator[Problem]:
    """The cluster has a key to prove itself with."""
    keystore = config.security.keystore
    if config.cluster is None or keystore is None:
        return
    try:
        credentials.cluster_server_options()
    except SetupError as error:
        yield refusal(keystore.place, error, "cluster: ")


def _named(listener: Listener, host: str) -> End:
    """:returns: the first end of a listener that goes by a host."""
    return next((end for end in listener.ends if end.address.host == host), listener.ends[0])
