"""What every service of one gateway process shares."""

from __future__ import annotations

import random
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool

from kwic.config.model import Address
from kwic.policy.forward_proxy import Proxy, proxy_for
from kwic.service.dial import FIRST_S
from kwic.service.far_instances import FarInstances
from kwic.service.relays import Relays
from kwic.service.sightings import Sightings
from kwic.service.worker import Worker
from kwic.transport.connection_log import ConnectionLog
from kwic.transport.deadlines import Deadlines
from kwic.transport.negotiation import REQUEST_S
from kwic.transport.relay import CLOSING_S
from kwic.transport.resolver import FixedNames
from kwic.transport.tls import Credentials
from kwic.wire.limits import Limits

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Context:
    """
    The surroundings of a gateway.

    :param reactor: everything that waits, listens or dials does it through this one.
    :param credentials: our keys and those we trust; None when the file has no security.
    :param names: fixed answers for host names and interfaces.
    :param node: how this instance is called in logs and by its peers.
    :param instance: a new identity for each start of a process.
    :param properties: what was given with `-D` and in the file.
    :param environ: the process's environment: proxies are looked for there.
    :param connection_log: writes the OPENED and CLOSED lines.
    :param log_clients: whether each client connection is logged, beside the tunnels.
    :param grace_s: how long open streams may run on when the gateway stops.
    :param limits: the bounds of every session, with one budget for all.
    :param relays: the clients that are joined now.
    :param far_instances: which tunnels lead to the same instance of the other side.
    :param came_back: tells every uplink that a node of the other side is there again, or is said to be.
    :param worker: which of several processes we are that are one instance together; None where there is only one.
    :param random: draws evenly from [0, 1): every wait and every tie is decided by it, so that a run can be repeated.
    """

    reactor: Any
    credentials: Credentials | None = None
    names: FixedNames = field(default_factory=FixedNames)
    node: str = field(default_factory=socket.gethostname)
    instance: str = field(default_factory=lambda: str(uuid.uuid4()))
    properties: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    connection_log: ConnectionLog = field(default_factory=ConnectionLog)
    log_clients: bool = False
    grace_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    relays: Relays = field(default_factory=Relays)
    far_instances: FarInstances = field(default_factory=FarInstances)
    came_back: Sightings = field(default_factory=Sightings)
    random: Callable[[], float] = random.random
    worker: Worker | None = None

    @cached_property
    def requests(self) -> Deadlines:
        """Those of what a peer must ask for on a stream that it opened."""
        return Deadlines(self.reactor, REQUEST_S)

    @cached_property
    def dials(self) -> Deadlines:
        """The first waits of clients for which the far end is dialled."""
        return Deadlines(self.reactor, FIRST_S)

    @cached_property
    def closing(self) -> Deadlines:
        """Those of connections that are being closed."""
        return Deadlines(self.reactor, CLOSING_S)

    def proxy_for(self, address: Address) -> Proxy | None:
        """The HTTP proxy through which an address is dialled, if any."""
        return proxy_for(address, self.properties, self.environ)

    def in_thread(self, call: Callable[..., T], *args: Any) -> Deferred[T]:
        """
        Do what would block the reactor.

        :returns: fires with what it returned.
        """
        pool = getattr(self.reactor, "getThreadPool", None)
        if pool is None:
            return maybeDeferred(call, *args)
        done: Deferred[T] = deferToThreadPool(self.reactor, pool(), call, *args)
        return done

    @property
    def client_log(self) -> ConnectionLog | None:
        """Notes the connections of clients, where that was asked for."""
        return self.connection_log if self.log_clients else None

    def warnings(self) -> tuple[str, ...]:
        """What the operator should know about our certificates."""
        return () if self.credentials is None else self.credentials.warnings()

    @property
    def identity(self) -> str:
        """The value of the `Kwic-Instance` header (protocol.md, Upgrade)."""
        return f"{self.instance} {self.node}"
