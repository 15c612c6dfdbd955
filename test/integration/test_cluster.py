"""The embedded cluster over real sockets: multicast on loopback and on an IPv6 interface, mutual TLS, clients through a member."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from kwic.config.address import parse_address
from kwic.config.model import Cluster as ClusterConfig
from kwic.config.problem import Place
from kwic.service.cluster import Cluster
from kwic.service.context import Context
from kwic.service.membership import Member, OwnState
from kwic.transport.leg import Leg
from kwic.wire.socks5 import Rep
from test.integration.network import claim_network
from test.transport.tls_ends import Scene

PLACE = Place(file="x.xml", line=1, column=1, path="/gateway-config/cluster")
PATIENCE_S = 15.0


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    for _ in range(int(PATIENCE_S / 0.02)):
        if condition():
            return
        await deferLater(reactor, 0.02)  # type: ignore[arg-type]
    raise AssertionError("it did not come about")


class Echoing(Protocol):
    """Sends back what it gets."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.resumeProducing()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Client(Protocol):
    """Says something through a path, and waits for the echo."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self.heard = bytearray()
        self.done: Deferred[bytes] = Deferred()

    # as an attempt
    def acknowledged(self) -> None:
        """The member is there."""

    def connected(self, leg: Leg) -> None:
        stream: Any = leg.transport
        stream.hand_over(self)
        stream.resumeProducing()
        stream.write(self.words)

    def refused(self, rep: Rep, why: str) -> None:
        self.done.errback(AssertionError(why))

    def lost(self, why: str) -> None:
        self.done.errback(AssertionError(why))

    # as a protocol
    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if len(self.heard) == len(self.words):
            self.done.callback(bytes(self.heard))


class ClusterCase(TestCase):
    """Members in this process, each on an address of its own."""

    timeout = 60

    def setUp(self) -> None:
        self.members: list[Cluster] = []
        self.addCleanup(self.stop_all)

    async def stop_all_members(self) -> None:
        for member in self.members:
            if member.running:
                await member.stopService()

    def stop_all(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.stop_all_members())

    def start(self, accept: str, *connects: str, insecure: bool = False, **context: Any) -> Cluster:
        config = ClusterConfig(
            name="kzha",
            accepts=(parse_address(accept),),
            connects=tuple(map(parse_address, connects)),
            insecure=insecure,
            place=PLACE,
        )

        def on_request(acceptor: Any, name: str, member: Member) -> None:
            acceptor.accept_with(Echoing())

        member = Cluster(
            Context(reactor=reactor, node=f"node{len(self.members)}", **context), config, on_request
        )
        self.members.append(member)
        member.startService()
        return member

    def complete(self) -> bool:
        """Whether all see all."""
        running = [member for member in self.members if member.running]
        return all(sum(one.counts for one in member.members()) == len(running) - 1 for member in running)

    async def echo_through(self, here: Cluster, there: Cluster, size: int = 2_000_000) -> None:
        """A client of one member reaches a name through another."""
        (member,) = (one for one in here.members() if one.instance == there._context.instance)
        path = here.path(member, "name")
        assert path is not None
        client = Client(random.randbytes(size))
        path.dial(client)
        self.assertEqual(await client.done, client.words)


class MulticastTests(ClusterCase):
    """Members that find each other by multicast."""

    async def check_all(self) -> None:
        first, second, third = self.members
        await until(self.complete)
        third.publish(OwnState(names={"a": 3}, load=1))
        await until(lambda: any(one.names == {"a": 3} for one in first.members()))
        await self.echo_through(first, second)
        await third.stopService()
        await until(lambda: len(first.members()) == 1)
        self.assertEqual((first.count, second.count), (2, 2))

    async def test_loopback(self) -> None:
        """Members on loopback addresses need no keystore and find each other in a group of the tutorials."""
        network = claim_network()
        group = f"udp://224.34.0.1:{free_port()}"
        for number in (11, 12, 13):
            self.start(f"tcp://{network}.{number}:5941", group)
        await self.check_all()

    async def test_interface(self) -> None:
        """The loopback interface may be named."""
        group = f"udp://224.34.0.1:{free_port()}"
        first = self.start(f"tcp://@lo:{free_port(socket.SOCK_STREAM)}", group)
        second = self.start(f"tcp://@lo:{free_port(socket.SOCK_STREAM)}", group)
        await until(self.complete)
        await self.echo_through(second, first)


class TlsTests(ClusterCase):
    """Members that prove who they are."""

    async def test_mutual(self) -> None:
        """Members with certificates of one CA meet over TLS, clients go through them, and a stranger is left outside."""
        scene = Scene(Path(self.mktemp()))
        network = claim_network()
        connects = [f"tcp://{network}.{number}:5941" for number in (21, 22, 23)]
        for number, accept in enumerate(connects):
            entry = scene.server(f"n{number}.example.com", name=f"n{number}")
            trusted = [scene.server_ca.certificate]
            credentials = scene.credentials(f"n{number}", entry, trusted=trusted)
            self.start(accept, *connects, credentials=credentials)
        await until(self.complete)
        await self.echo_through(self.members[0], self.members[1])
        await self.echo_through(self.members[1], self.members[0])
        other = Scene(Path(self.mktemp()))
        entry = other.server("x.example.com", name="x")
        strange = other.credentials("x", entry, trusted=[scene.server_ca.certificate])
        stranger = self.start(f"tcp://{network}.24:5941", *connects, credentials=strange)
        await deferLater(reactor, 1.0)  # type: ignore[arg-type]
        self.assertEqual(stranger.members(), ())
        await stranger.stopService()
        self.assertTrue(self.complete())


SCRIPT = """
ip link set lo up
ip link add kwic0 type veth peer name kwic1 || exit 77
ip link set kwic0 up; ip link set kwic1 up
ip addr add fd00:34::7/64 dev kwic0 nodad || exit 77
ip addr add fd00:34::8/64 dev kwic0 nodad
exec "$0" -m twisted.trial --temp-directory="$1" test.integration.cluster_over_ipv6
"""


class Ipv6NamespaceTests(TestCase):
    """IPv6, in a network namespace of its own that has an interface with multicast."""

    def test_ipv6(self) -> None:
        """The tests of IPv6 pass there."""
        if (
            not shutil.which("unshare")
            or not shutil.which("ip")
            or subprocess.call(["unshare", "-n", "true"])
        ):
            self.skipTest("needs unshare, ip, and the right to make network namespaces")
        done = subprocess.run(
            ["unshare", "-n", "sh", "-c", SCRIPT, sys.executable, self.mktemp()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        if done.returncode == 77:
            self.skipTest("this kernel has no veth or no IPv6")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("successes=2", done.stdout)
