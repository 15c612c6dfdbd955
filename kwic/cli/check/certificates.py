"""What an instance would say of its own keys when it starts, and whom its listeners can never let in.

Each check is a generator of problems and knows one rule, as in :mod:`kwic.config.validate`; here the stores are known too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography import x509

from kwic.cli.holdings import Holdings
from kwic.config.listen import option_place
from kwic.config.model import GatewayConfig, VerifyClient
from kwic.config.problem import Problem, Severity
from kwic.service.needed_keys import missing_keys, secure_listeners
from kwic.transport.certificates import CLIENT_AUTH, good_for, subject, validity_problem
from kwic.transport.tls import Credentials


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Instance:
    """One gateway as it would run: its configuration and its stores."""

    config: GatewayConfig
    holdings: Holdings

    @property
    def credentials(self) -> Credentials | None:
        """None when its stores are not all here."""
        return self.holdings.credentials


def check_certificates(instance: Instance, now_s: float) -> Iterator[Problem]:
    """Looks for what keeps the certificates of one instance from doing what its configuration asks of them.

    :param now_s: the time, in seconds since the epoch.
    """
    yield from instance.holdings.problems
    if instance.credentials is not None:
        for check in CHECKS:
            yield from check(instance, instance.credentials, now_s)


def needed_keys_are_there(instance: Instance, credentials: Credentials, now_s: float) -> Iterator[Problem]:
    """The gateway would start: there is a key for every listener, for dialling and for the cluster."""
    yield from missing_keys(instance.config, credentials)


def clients_can_be_let_in(instance: Instance, credentials: Credentials, now_s: float) -> Iterator[Problem]:
    """A truststore holds someone who vouches for clients, where they are asked for certificates."""
    truststore = instance.holdings.material.truststore
    for listener in secure_listeners(instance.config):
        mode = listener.tls.verify_client
        if mode in {None, VerifyClient.NONE}:
            continue
        assert mode is not None
        place, option = option_place(listener.ends, "ssl.verify-client"), f"ssl.verify-client {mode.value}"
        if truststore is None:
            yield Problem(
                place=place,
                message=f"{option} without a truststore: a certificate of any public CA will do",
                hint="add <security><truststore> with the CA of your clients",
                severity=Severity.WARNING,
            )
        elif not any(_vouches_for_clients(anchor, now_s) for anchor in truststore.anchors):
            yield Problem(
                place=place,
                message=f"nobody can satisfy {option}: {truststore.file} {_why_nobody(truststore.anchors, now_s)}",
                hint="put the CA of the clients' certificates there",
                severity=Severity.ERROR if mode is VerifyClient.REQUIRED else Severity.WARNING,
            )


Check = Callable[[Instance, Credentials, float], Iterator[Problem]]
CHECKS: tuple[Check, ...] = (
    needed_keys_are_there,
    clients_can_be_let_in,
)


def _vouches_for_clients(anchor: x509.Certificate, now_s: float) -> bool:
    """Whether a certificate in a truststore can be the end of a client's chain, or be a client's itself."""
    return validity_problem(anchor, now_s) is None and good_for(anchor, CLIENT_AUTH)


def _why_nobody(anchors: frozenset[x509.Certificate], now_s: float) -> str:
    named = sorted(
        f"{subject(anchor)}, which {validity_problem(anchor, now_s) or 'is not for clients'}"
        for anchor in anchors
    )
    more = f" and {len(named) - 1} more like it" if len(named) > 1 else ""
    return f"holds {named[0]}{more}"
