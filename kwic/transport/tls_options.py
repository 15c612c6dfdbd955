"""Whether this OpenSSL can do what the TLS options of a file ask for in all, one socket after the other."""

from __future__ import annotations

from collections.abc import Iterator

from kwic.config.ends import End, ends
from kwic.config.listen import listeners, merged_tls, option_place
from kwic.config.model import GatewayConfig
from kwic.config.problem import Problem, refusal
from kwic.errors import SetupError
from kwic.transport.tls_policy import policy_of


def ciphers_are_left(config: GatewayConfig) -> Iterator[Problem]:
    """Whoever speaks TLS has a cipher to speak it with: a check for :func:`kwic.config.reader.read_config`."""
    # What stands in service-defaults is wrong once.
    yield from dict.fromkeys(problem for shared in _sockets(config) for problem in _without_cipher(shared))


def _sockets(config: GatewayConfig) -> Iterator[tuple[End, ...]]:
    """:returns: the ends that share a listener, and each end that is dialled, where TLS is spoken."""
    for listener in listeners(config):
        if listener.secure:
            yield listener.ends
    for service in config.services:
        for end in ends(service):
            if end.secure and not end.listens:
                yield (end,)


def _without_cipher(shared: tuple[End, ...]) -> Iterator[Problem]:
    try:
        policy_of(merged_tls(shared))
    except SetupError as error:
        yield refusal(option_place(shared, "ssl.ciphers"), error)
