"""The cluster that keeps its register in a real etcd: members, faults, TLS, users, and whole gateways."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from kwic.cli.demo.echo import say
from kwic.config.address import parse_address, parse_etcd
from kwic.config.model import Address
from kwic.config.model import Cluster as ClusterConfig
from kwic.config.problem import Place
from kwic.service.context import Context
from kwic.service.etcd_cluster import EtcdCluster
from kwic.service.etcd_session import TTL_S
from kwic.service.membership import Member, OwnState
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.entries import Contents, StoreFormat
from kwic.transport.etcd_client import Account, EtcdClient, EtcdError
from kwic.transport.stores import encode_store
from kwic.wire.cluster_messages import Hello, State
from kwic.wire.etcd_messages import Deleted, Written, encode_entry
from test.integration.certificates import stores
from test.integration.etcd import PORT, SKIP, Etcd, EtcdTls
from test.integration.gateways import CLIENT_S, ETC, GatewayTestCase
from test.integration.network import claim_network
from test.integration.servers import PlainServer, echo
from test.integration.test_cluster import Client, Echoing, until
from test.transport.tls_ends import NOW_S, Scene

PLACE = Place(file="x.xml", line=1, column=1, path="/gateway-config/cluster")
PREFIX = "/kwic/kzha/members/"


def pause(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)  # type: ignore[arg-type]


async def elsewhere(call: Callable[..., Any], *args: Any) -> Any:
    """In a thread, as what is called waits for etcd."""
    return await deferToThread(call, *args)


class EtcdCase(TestCase):
    """Members in this process, and an etcd."""

    timeout = 120
    skip = SKIP

    def setUp(self) -> None:
        self.network = claim_network()
        self.members: list[EtcdCluster] = []
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.stop_all()))

    async def stop_all(self) -> None:
        for member in self.members:
            if member.running:
                await member.stopService()

    def server(self, number: int = 200, **how: Any) -> Etcd:
        etcd = Etcd(f"{self.network}.{number}", **how)
        self.addCleanup(etcd.close)
        return etcd

    def start(
        self, *servers: Etcd, takes_links: bool = True, scheme: str = "etcd", **how: Any
    ) -> EtcdCluster:
        """A member, started."""
        number = len(self.members) + 11
        config = ClusterConfig(
            name="kzha",
            accepts=(parse_address(f"tcp://{self.network}.{number}:5941"),) if takes_links else (),
            connects=parse_etcd(f"{scheme}://{','.join(server.address for server in servers)}"),
            etcd_user=how.pop("user", None),
            etcd_password_file=how.pop("password_file", None),
            place=PLACE,
        )

        def on_request(acceptor: Any, name: str, member: Member) -> None:
            acceptor.accept_with(Echoing())

        member = EtcdCluster(Context(reactor=reactor, node=f"node{number}", **how), config, on_request)
        member.check()
        self.members.append(member)
        member.startService()
        return member

    def complete(self) -> bool:
        """Whether all see all."""
        running = [member for member in self.members if member.running]
        return all(sum(one.counts for one in member.members()) == len(running) - 1 for member in running)

    def all_use(self, *servers: Etcd, of: list[EtcdCluster] | None = None) -> bool:
        """Whether each member keeps its entry at one of these servers; `of`: of these members only."""
        keeping = {f"{server.address}:{PORT}" for server in servers}
        return all(member._register.server in keeping for member in of or self.members)

    def lines(self, part: str) -> list[str]:
        return [line for line in map(formatEvent, self.events) if line is not None and part in line]

    async def echo_through(self, here: EtcdCluster, there: EtcdCluster) -> None:
        """A client of one member reaches a name through another."""
        (member,) = (one for one in here.members() if one.instance == there._context.instance)
        path = here.path(member, "name")
        assert path is not None
        client = Client(b"x" * 1_000_000)
        path.dial(client)
        self.assertEqual(await client.done, client.words)


class PlainTests(EtcdCase):
    """An etcd without TLS and users."""

    async def test_meet(self) -> None:
        """Members meet, and a client goes through one; an operator can read who is there; who stops is gone at once."""
        etcd = self.server().start()
        for _ in range(3):
            self.start(etcd)
        await until(self.complete)
        first, second, third = self.members
        second.publish(OwnState(names={"a": 3}, balances={"b": ("c",)}))
        await self.echo_through(first, third)
        await pause(0.5)
        entries = await elsewhere(etcd.values, PREFIX)
        self.assertEqual(set(entries), {PREFIX + member._context.instance for member in self.members})
        hello, state = map(json.loads, entries[PREFIX + second._context.instance].split("\n"))
        self.assertEqual((hello["node"], hello["accept"]), ("node12", f"tcp://{self.network}.12:5941"))
        self.assertEqual(state["names"], {"a": 3})
        await third.stopService()
        await until(self.complete)
        self.assertEqual(len(await elsewhere(etcd.values, PREFIX)), 2)

    async def test_by_entries(self) -> None:
        """Members without links know each other by their entries; one that dies is gone within the time of its lease."""
        etcd = self.server().start()
        member = self.start(etcd, takes_links=False)
        self.start(etcd, takes_links=False)
        await until(self.complete)
        client = EtcdClient(reactor, parse_address(f"etcd://{etcd.address}"), None)
        lease = await client.grant(TTL_S)
        hello = Hello(cluster="kzha", instance="ghost", node="ghost", incarnation=1)
        value = encode_entry(hello, State(incarnation=1, counter=1, balances={"b": ("c",)}))
        await client.put(f"{PREFIX}ghost".encode(), value, lease.identity)
        await until(lambda: any(one.node == "ghost" and one.balances for one in member.members()))
        began_s = time.monotonic()
        await client.close()
        await until(lambda: not any(one.node == "ghost" for one in member.members()))
        self.assertLess(time.monotonic() - began_s, TTL_S + 3)
        self.assertEqual(self.lines("etcd cannot be used"), [])

    async def test_large_entry(self) -> None:
        """An entry of a megabyte, the largest that a member writes, is written and heard of."""
        etcd = self.server().start()
        member, other = self.start(etcd, takes_links=False), self.start(etcd, takes_links=False)
        await until(self.complete)
        member.publish(OwnState(names={f"{number:095}": 1 for number in range(10_000)}))
        await until(lambda: len(other.members()[0].names) == 10_000)

    async def test_killed_and_started_again(self) -> None:
        """Members stay while etcd is killed, and find a new one when it is back; when it is stopped and goes on, likewise."""
        etcd = self.server().start()
        self.start(etcd)
        self.start(etcd)
        await until(self.complete)
        await pause(1.5)
        versions = [member.version for member in self.members]
        etcd.signal(signal.SIGKILL)
        await until(lambda: len(self.lines("etcd cannot be used: connection refused")) == 2)
        self.members[0].publish(OwnState(names={"a": 1}))
        await until(lambda: self.members[1].members()[0].names == {"a": 1})
        await pause(TTL_S + 1)
        self.assertTrue(self.complete())
        await elsewhere(etcd.start)
        await until(lambda: len(self.lines("keeps the register of the members")) == 4)
        etcd.signal(signal.SIGSTOP)
        await until(lambda: len(self.lines("does not answer in time")) == 2)
        etcd.signal(signal.SIGCONT)
        await until(lambda: len(self.lines("keeps the register of the members")) == 6)
        self.assertEqual([member.version for member in self.members], versions)
        self.start(etcd)
        await until(self.complete)
        self.assertEqual(len(self.lines("etcd cannot be used")), 4)

    async def test_lost_its_data(self) -> None:
        """When etcd comes back empty, all enter themselves again, and nobody was gone meanwhile."""
        etcd = self.server().start()
        for _ in range(2):
            self.start(etcd, takes_links=False)
        await until(self.complete)
        await pause(1.5)
        versions = [member.version for member in self.members]
        etcd.signal(signal.SIGKILL)
        etcd.lose_everything()
        await elsewhere(etcd.start)
        await until(lambda: len(self.lines("keeps the register of the members")) == 4)
        await pause(TTL_S + 1)
        self.assertEqual([member.version for member in self.members], versions)
        self.assertEqual(len(await elsewhere(etcd.values, PREFIX)), 2)

    async def test_three_servers(self) -> None:
        """One of three servers may be killed, or stopped, and nobody is gone for a moment."""
        addresses = tuple(f"{self.network}.{number}" for number in (201, 202, 203))
        servers = [self.server(number, peers=addresses).start(wait=False) for number in (201, 202, 203)]
        for server in servers:
            await elsewhere(server.wait)
        for _ in range(2):
            self.start(*servers, takes_links=False)
        await until(self.complete)
        await pause(1.5)
        versions = [member.version for member in self.members]
        servers[0].signal(signal.SIGKILL)
        # Not necessarily at the same one: while the others elect a leader, they refuse, and who is refused goes on to the next.
        await until(lambda: self.all_use(*servers[1:]))
        await pause(TTL_S + 1)
        await elsewhere(servers[0].start)
        stopped = next(server for server in servers if self.all_use(server, of=self.members[:1]))
        others = [server for server in servers if server is not stopped]
        stopped.signal(signal.SIGSTOP)
        await until(lambda: self.all_use(*others))
        await pause(TTL_S + 1)
        self.assertEqual([member.version for member in self.members], versions)
        self.assertEqual(self.lines("etcd cannot be used"), [])
        # The third alone may decide nothing: it is of no use, though it answers.
        others[0].signal(signal.SIGSTOP)
        await until(lambda: len(self.lines("etcd cannot be used")) == 2)
        others[0].signal(signal.SIGCONT)
        stopped.signal(signal.SIGCONT)
        await until(lambda: all(member._register.server for member in self.members))
        await pause(TTL_S + 1)
        self.assertEqual([member.version for member in self.members], versions)


class ClientTests(EtcdCase):
    """What the client believes of etcd is so."""

    def client(self, etcd: Etcd) -> EtcdClient:
        client = EtcdClient(reactor, parse_address(f"etcd://{etcd.address}"), None)
        self.addCleanup(client.close)
        return client

    async def test_leases(self) -> None:
        """A lease that was given back is gone, with what was written under it."""
        client = self.client(self.server().start())
        lease = await client.grant(TTL_S)
        self.assertEqual(lease.ttl_s, TTL_S)
        self.assertTrue(await client.put(b"/k/a", b"\x00\xff", lease.identity))
        self.assertEqual(await client.keep_alive(lease.identity), TTL_S)
        found = await client.snapshot(b"/k/", 5)
        self.assertEqual([(entry.key, entry.value) for entry in found.entries], [(b"/k/a", b"\x00\xff")])
        await client.revoke(lease.identity)
        self.assertEqual(await client.keep_alive(lease.identity), 0)
        self.assertFalse(await client.put(b"/k/a", b"", lease.identity))
        with self.assertRaises(EtcdError):
            await client.revoke(lease.identity)
        self.assertEqual((await client.snapshot(b"/k/", 5)).entries, ())

    async def test_limit(self) -> None:
        """A snapshot with more keys than were asked for says so."""
        client = self.client(self.server().start())
        lease = (await client.grant(TTL_S)).identity
        for number in range(3):
            await client.put(b"/k/%d" % number, b"x", lease)
        self.assertFalse((await client.snapshot(b"/k/", 2)).is_whole)
        whole = await client.snapshot(b"/k/", 3, keys_only=True)
        self.assertTrue(whole.is_whole)
        self.assertEqual([entry.value for entry in whole.entries], [b"", b"", b""])

    async def test_watch(self) -> None:
        """A watch tells what has happened since a revision, and what happens."""
        client = self.client(self.server().start())
        lease = (await client.grant(TTL_S)).identity
        heard: list[Written | Deleted] = []
        ended: list[EtcdError] = []
        await client.put(b"/k/a", b"1", lease)
        revision = (await client.snapshot(b"/k/", 5)).revision
        await client.watch(b"/k/", revision, heard.append, ended.append)
        await client.put(b"/k/a", b"2", lease)
        await client.put(b"/l/a", b"3", lease)
        await client.revoke(lease)
        await until(lambda: len(heard) == 3)
        self.assertEqual(
            [getattr(event, "entry", None) and event.entry.value for event in heard], [b"1", b"2", None]
        )
        self.assertIsInstance(heard[2], Deleted)
        self.assertEqual(ended, [])

    async def test_compacted(self) -> None:
        """A watch from a revision that was compacted away ends, and says why."""
        etcd = self.server().start()
        client = self.client(etcd)
        lease = (await client.grant(TTL_S)).identity
        for _ in range(5):
            await client.put(b"/k/a", b"x", lease)
        await elsewhere(etcd.call, "/kv/compaction", {"revision": "4"})
        ended: list[str] = []
        await client.watch(b"/k/", 2, lambda event: None, lambda error: ended.append(str(error)))
        await until(lambda: ended)
        self.assertIn("its history before revision 4 is gone", ended[0])


class SecureTests(EtcdCase):
    """An etcd with TLS and users."""

    def setUp(self) -> None:
        super().setUp()
        self.scene = Scene(Path(self.mktemp()).resolve())
        self.password = self.scene.directory / "etcd.pw"
        self.password.write_text("geheim ü\n", encoding="utf-8")

    def tls(self, host: str, *, asks: bool) -> EtcdTls:
        """A certificate for an etcd at an address."""
        entry = self.scene.server(host, name="etcd", purposes=(SERVER_AUTH, CLIENT_AUTH))
        authorities = {"server": self.scene.server_ca.certificate, "client": self.scene.client_ca.certificate}
        files = {}
        for name, certificate in authorities.items():
            files[name] = self.scene.directory / f"{name}-ca.pem"
            contents = Contents(certificates=(("ca", certificate),))
            files[name].write_bytes(encode_store(contents, StoreFormat.PEM, None, now_s=NOW_S))
        both = self.scene.directory / "etcd.pem"
        both.write_bytes(encode_store(Contents(entries=(entry,)), StoreFormat.PEM, None, now_s=NOW_S))
        # The test itself asks with the etcd's certificate, so both authorities count.
        clients = self.scene.directory / "clients.pem"
        clients.write_bytes(files["server"].read_bytes() + files["client"].read_bytes())
        return EtcdTls(
            certificate=both, key=both, server_ca=files["server"], client_ca=clients if asks else None
        )

    def credentials(self, name: str, *, client: bool = True) -> Any:
        """What a member has: a key for the cluster, one for etcd, and the authority of both."""
        entries = [self.scene.server(f"{name}.example.com", name=name)]
        if client:
            entries.append(self.scene.client(f"{name}-at-etcd"))
        return self.scene.credentials(name, *entries, trusted=[self.scene.server_ca.certificate])

    async def test_tls(self) -> None:
        """Members verify etcd; one that trusts another authority does not talk to it."""
        etcd = self.server(tls=self.tls(f"{self.network}.200", asks=False)).start()
        for number in range(2):
            self.start(etcd, scheme="etcd+ssl", credentials=self.credentials(f"n{number}", client=False))
        await until(self.complete)
        await self.echo_through(*self.members)
        other = Scene(Path(self.mktemp()))
        strange = other.credentials("x", other.server("x.example.com"), trusted=[other.server_ca.certificate])
        stranger = self.start(etcd, scheme="etcd+ssl", credentials=strange)
        await until(lambda: self.lines("etcd cannot be used: TLS with"))
        self.assertIn("not in our truststore", self.lines("etcd cannot be used")[0])
        self.assertEqual(stranger.members(), ())

    async def test_wrong_host(self) -> None:
        """An etcd whose certificate names another host is not talked to."""
        etcd = self.server(tls=self.tls(f"{self.network}.199", asks=False)).start(wait=False)
        member = self.start(etcd, scheme="etcd+ssl", credentials=self.credentials("n"))
        await until(lambda: self.lines("etcd cannot be used: TLS with"))
        self.assertIn(f"{self.network}.199", self.lines("etcd cannot be used: TLS with")[0])
        self.assertEqual(member._register.server, "")

    async def test_client_certificate(self) -> None:
        """An etcd that asks for certificates lets in members that have one."""
        etcd = self.server(tls=self.tls(f"{self.network}.200", asks=True)).start()
        for number in range(2):
            self.start(etcd, scheme="etcd+ssl", credentials=self.credentials(f"n{number}"))
        await until(self.complete)
        bare = self.scene.credentials("bare", trusted=[self.scene.server_ca.certificate])
        self.start(etcd, scheme="etcd+ssl", takes_links=False, credentials=bare)
        await until(lambda: self.lines("etcd cannot be used"))

    async def test_user(self) -> None:
        """Members with user and password meet, over TLS; a wrong password is told of, and another user may not."""
        etcd = self.server(tls=self.tls(f"{self.network}.200", asks=False)).start()
        root = await elsewhere(etcd.add_user, "gw", "geheim ü", "/kwic/")
        for number in range(2):
            self.start(
                *(etcd,),
                scheme="etcd+ssl",
                user="gw",
                password_file=self.password,
                credentials=self.credentials(f"n{number}"),
            )
        await until(self.complete)
        self.assertEqual(len(await elsewhere(etcd.values, PREFIX, root)), 2)
        for user, why in (("gv", "authentication failed"), (None, "user name is empty")):
            self.start(
                *(etcd,),
                scheme="etcd+ssl",
                user=user,
                password_file=self.password,
                credentials=self.credentials(f"{user}"),
            )
            await until(lambda why=why: self.lines(why))
            await self.members.pop().stopService()

    async def test_user_and_common_name(self) -> None:
        """An etcd that has users and asks for certificates wants none with a common name at its gateway: what it says is told."""
        etcd = self.server(tls=self.tls(f"{self.network}.200", asks=True)).start()
        with self.assertRaises(urllib.error.HTTPError):
            await elsewhere(etcd.add_user, "gw", "geheim ü", "/kwic/")
        self.start(
            *(etcd,),
            scheme="etcd+ssl",
            user="gw",
            password_file=self.password,
            credentials=self.credentials("n"),
        )
        await until(
            lambda: self.lines("CommonName of client sending a request against gateway will be ignored")
        )

    async def test_token_is_lost(self) -> None:
        """When etcd starts again and knows no token, members prove themselves anew; when the user is gone, that is told."""
        etcd = self.server().start()
        root = await elsewhere(etcd.add_user, "gw", "geheim ü", "/kwic/")
        for _ in range(2):
            self.start(etcd, user="gw", password_file=self.password, takes_links=False)
        await until(self.complete)
        await pause(1.5)
        etcd.signal(signal.SIGKILL)
        await elsewhere(etcd.start)
        await until(lambda: len(self.lines("keeps the register of the members")) == 4)
        self.assertTrue(self.complete())
        root = (await elsewhere(etcd.call, "/auth/authenticate", {"name": "root", "password": "root's"}))[
            "token"
        ]
        await elsewhere(etcd.call, "/auth/user/delete", {"name": "gw"}, root)
        for member in self.members:
            member.publish(OwnState(tunnels=("t",)))
        await until(lambda: len(self.lines("etcd cannot be used")) == 4)
        self.assertTrue(self.complete())

    async def test_denied(self) -> None:
        """A user that may not write here is told of once."""
        etcd = self.server().start()
        await elsewhere(etcd.add_user, "gw", "geheim ü", "/other/")
        address: Address = parse_address(f"etcd://{etcd.address}")
        client = EtcdClient(reactor, address, None, Account(user="gw", password_file=self.password))
        await client.authenticate()
        with self.assertRaises(EtcdError) as caught:
            await client.snapshot(b"/kwic/", 5)
        self.assertEqual(str(caught.exception), f"{etcd.address}:2379: permission denied")
        await client.close()
        self.start(etcd, user="gw", password_file=self.password)
        await pause(3)
        self.assertEqual(len(self.lines("permission denied")), 1)


class GatewayTests(GatewayTestCase):
    """Whole gateways, with the files of etc/ha-etcd."""

    skip = SKIP
    hosts = {
        "cloud1.example.com": (11,),
        "cloud2.example.com": (12,),
        "example.com": (11, 12),
        "onprem1.example.org": (21,),
        "server-a": (31,),
        "server-b": (32,),
        "etcd": (40,),
    }

    def test_etcd_comes_and_goes(self) -> None:
        """Cloud nodes start without etcd, meet when it is there, and serve every client while it is gone and one of them dies."""
        clouds = ("cloud1.example.com", "cloud2.example.com")
        for host, port in (("server-a", 5551), ("server-b", 6661)):
            self.addCleanup(PlainServer((self.address(host), port), echo).close)
        etcd = Etcd(self.address("etcd"))
        self.addCleanup(etcd.close)
        common = {"tls_port": "8443", "tls_bind": "@eth0:8443", "stores": stores()}
        self.launch("onprem1.example.org", ETC / "ha-etcd" / "onprem-config.xml", **common)
        for cloud in clouds:
            self.launch(
                cloud,
                ETC / "ha-etcd" / "cloud-config.xml",
                cloud_node_hostname=cloud,
                etcd=f"etcd://{etcd.address}",
                **common,
            )
        self.wait_answering(*clouds, "onprem1.example.org")
        self.wait_for_line(clouds[0], "etcd cannot be used: connection refused")
        etcd.start()
        for cloud in clouds:
            self.wait_joined(cloud, agents=1)
            self.wait_for("the cluster", lambda cloud=cloud: bool((self.status(cloud) or {}).get("members")))
        self.serves("onprem1.example.org", 6661)
        self.wait_for_line(clouds[0], "keeps the register of the members")
        etcd.signal(signal.SIGKILL)
        log = self.processes[clouds[0]].log_text
        self.wait_for("etcd is missed", lambda: log().count("etcd cannot be used") == 2)
        self.serves(clouds[0], 5551)
        self.processes[clouds[0]].kill()
        self.serves(clouds[1], 5551)
        self.serves("onprem1.example.org", 6661)

    def serves(self, host: str, port: int) -> None:
        for _ in range(4):
            heard = say("hello", self.address(host), port, timeout_s=CLIENT_S)
            self.assertIs(heard.error, None, host)
