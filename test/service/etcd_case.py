"""Members that find each other in an etcd, on a network in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from kwic.service.context import Context
from kwic.service.etcd_cluster import EtcdCluster
from kwic.service.membership import Member
from kwic.wire.cluster_messages import Hello, State
from kwic.wire.etcd_messages import decode_entry
from test.service.cluster_case import uuid
from test.service.test_cluster import cluster_config
from test.sim.etcd import EtcdStore
from test.sim.network import SimNetwork

SERVER = "10.0.0.200"
SERVERS = ("10.0.0.200", "10.0.0.201", "10.0.0.202")
PREFIX = b"/kwic/kzha/members/"


class EtcdCase(SynchronousTestCase):
    """Members as the test wants them, and what they logged."""

    def setUp(self) -> None:
        self.network = SimNetwork()
        self.store = EtcdStore(self.network)
        self.members: dict[str, EtcdCluster] = {}
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def serve(self, *addresses: str) -> None:
        """Servers of one etcd."""
        for number, address in enumerate(addresses):
            self.store.serve(f"etcd{number}", address)

    def make(
        self,
        number: int,
        *connects: str,
        accepts: tuple[str, ...] | None = None,
        servers: tuple[str, ...] = (SERVER,),
        config: dict[str, Any] | None = None,
        **context: Any,
    ) -> EtcdCluster:
        """A member, not started."""
        address = f"10.0.0.{number}"
        asked = cluster_config(
            *(f"etcd://{server}:2379" for server in servers), *connects, accept=f"tcp://{address}:5941"
        )
        if accepts is not None:
            from kwic.config.address import parse_address

            asked = replace(asked, accepts=tuple(map(parse_address, accepts)))
        reactor = self.network.host(f"cloud{number}", address)
        context.setdefault("instance", uuid(number))
        member = EtcdCluster(
            Context(reactor=reactor, node=f"cloud{number}", **context),
            replace(asked, **(config or {})),
            lambda acceptor, name, member: None,
        )
        self.members[f"cloud{number}"] = member
        return member

    def start(self, *numbers: int, **how: Any) -> EtcdCluster:
        """Members, started."""
        for number in numbers:
            member = self.make(number, **how)
            member.startService()
        return member

    def seen(self, number: int) -> dict[str, Member]:
        return {member.node: member for member in self.members[f"cloud{number}"].members()}

    def see(self, *numbers: int) -> bool:
        """Whether all see exactly each other, trusted."""
        names = {f"cloud{number}" for number in numbers}
        return all(
            set(self.seen(number)) == names - {f"cloud{number}"}
            and all(member.counts for member in self.seen(number).values())
            for number in numbers
        )

    def wait(self, *numbers: int, within_s: float = 5.0) -> float:
        return self.network.run_until(lambda: self.see(*numbers), within_s)

    def entry(self, number: int) -> tuple[Hello, State]:
        return decode_entry(self.store.keys[PREFIX + uuid(number).encode()][0])

    def lines(self, part: str) -> list[str]:
        """The log lines that contain a text."""
        return [line for line in map(formatEvent, self.events) if line is not None and part in line]

    def stop(self, number: int) -> None:
        done: list[Any] = []
        self.members[f"cloud{number}"].stopService().addCallback(done.append)
        self.network.run(2)
        self.assertEqual(len(done), 1)
        reactor = self.network.hosts[f"cloud{number}"]
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.assertEqual(reactor.transports, set())
