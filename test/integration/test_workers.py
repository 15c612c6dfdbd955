"""An instance that is several processes: they share the clients and reach each other's tunnels, and any of them may die or freeze."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from kwic.cli.demo.cast import multicast_port
from kwic.cli.demo.echo import say
from kwic.cli.demo.process import command_of
from test.integration.certificates import stores
from test.integration.gateways import ADMIN_PORT, CLIENT_S, ETC, GatewayTestCase, read_exactly
from test.integration.network import claim_network
from test.integration.servers import PlainServer, echo
from test.integration.test_simple import (
    CLOUD,
    CLOUD_CONFIG,
    ENTRANCES,
    ONPREM,
    ONPREM_CONFIG,
    WS_PORT,
    SimpleTestCase,
)

WORKERS = 2
AT_ONCE_S = 3.0
#: Five signs of life may be missing; then a moment for a new process.
REPLACED_S = 25.0
CLIENTS = 24


class WorkersCase(GatewayTestCase):
    """Some instances have two workers."""

    shared: Mapping[str, int] = {}
    """How many, by instance."""

    def _options(self, host: str, defines: dict[str, str]) -> list[str]:
        return [*super()._options(host, defines), f"--workers={self.shared.get(host, 1)}"]

    def workers(self, host: str) -> list[dict]:
        """What is said of the workers of an instance."""
        return (self.status(host) or {}).get("workers", [])

    def wait_complete(self, host: str) -> None:
        """All workers of an instance answer."""
        self.wait_for(
            f"the workers of {host}",
            lambda: [one["answers"] for one in self.workers(host)] == [True] * self.shared[host],
        )

    def pids(self, host: str) -> dict[int, int]:
        """The processes of an instance's workers, by number."""
        parent, found = self.processes[host].pid, {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdecimal():
                continue
            command = command_of(int(entry.name)) or []
            number = next((word for word in command if word.startswith("--worker=")), "")
            if number and parent_of(int(entry.name)) == parent:
                found[int(number.removeprefix("--worker=").partition("/")[0])] = int(entry.name)
        return found

    def metric(self, host: str, name: str) -> float:
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"http://{self.address(host)}:{ADMIN_PORT}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def serve_all(self, host: str, port: int, count: int = CLIENTS) -> list[socket.socket]:
        """So many new clients, each served at once; they stay connected."""
        clients = []
        for _ in range(count):
            client = self.connect(host, port)
            client.sendall(b"hello")
            self.assertEqual(read_exactly(client, 5), b"hello")
            clients.append(client)
        return clients

    def serve_by_each(self, host: str, port: int) -> list[socket.socket]:
        """New clients as above, until each worker serves one: whoever wakes up first takes the next."""
        clients: list[socket.socket] = []
        while len(clients) < 10 * CLIENTS and not all(one["clients"] for one in self.workers(host)):
            clients += self.serve_all(host, port, 1)
        return clients


def parent_of(pid: int) -> int:
    """The parent of a process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class SimpleWorkersTests(WorkersCase, SimpleTestCase):
    """Two workers on each side of the scenario `simple`."""

    shared = {CLOUD: WORKERS, ONPREM: WORKERS}

    def start(self) -> None:
        for service in ENTRANCES:
            self.serve(service, echo)
        self.launch(ONPREM, ONPREM_CONFIG, ws_port=WS_PORT)
        self.launch(CLOUD, CLOUD_CONFIG, ws_port=WS_PORT)
        self.wait_answering(ONPREM, CLOUD)
        for host in (ONPREM, CLOUD):
            self.wait_complete(host)
        self.wait_joined(CLOUD, agents=WORKERS)

    def check(self) -> None:
        """New clients of every service are served at once, more than one, so that each worker has some."""
        for host, port in ENTRANCES.values():
            for _ in range(6):
                heard = say("hello", self.address(host), port, timeout_s=CLIENT_S)
                self.assertIs(heard.error, None, host)
                self.assertLess(heard.took_s, AT_ONCE_S, host)

    def test_clients_are_shared(self) -> None:
        """Each worker serves some of the clients, and the admin port says how many there are in all."""
        self.start()
        host, port = ENTRANCES["A"]
        clients = self.serve_all(host, port)
        shares = [one["clients"] for one in self.workers(CLOUD)]
        self.assertEqual(len([share for share in shares if share]), WORKERS, shares)
        status = self.status(CLOUD) or {}
        self.assertEqual((sum(shares) >= CLIENTS, status["clients"]), (True, sum(shares)))
        self.assertEqual(self.metric(CLOUD, "kwic_clients_served_total"), CLIENTS)
        self.assertEqual(self.metric(CLOUD, "kwic_workers"), WORKERS)
        self.assertEqual(self.metric(CLOUD, "kwic_members"), 0)
        for client in clients:
            client.close()
        self.wait_for("they are gone", lambda: (self.status(CLOUD) or {}).get("clients") == 0)

    def test_killed_and_frozen(self) -> None:
        """Whichever worker dies, the others go on serving, and it is replaced; so is one that is frozen."""
        self.start()
        self.check()
        for host in (CLOUD, ONPREM):
            for number, fault in ((1, signal.SIGKILL), (2, signal.SIGSTOP)):
                before = self.pids(host)
                os.kill(before[number], fault)
                if fault is signal.SIGKILL:
                    self.check()
                self.wait_for(
                    f"worker {number} of {host} is replaced",
                    lambda host=host, number=number, before=before: (
                        self.pids(host).get(number, before[number]) != before[number]
                    ),
                    REPLACED_S,
                )
                self.wait_complete(host)
                self.wait_joined(CLOUD, agents=WORKERS)
                self.check()
        self.assertEqual(sum(one["restarts"] for one in self.workers(CLOUD)), 2)

    def test_drain(self) -> None:
        """Stopping is a drain of all workers: what is open may finish, then the instance ends with status 0."""
        self.start()
        host, port = ENTRANCES["A"]
        clients = self.serve_by_each(host, port)
        self.processes[CLOUD].signal(signal.SIGTERM)
        self.wait_for_line(CLOUD, "worker 1: waiting up to 30 s")
        for client in clients:
            client.sendall(b"bye")
            self.assertEqual(read_exactly(client, 3), b"bye")
            client.close()
        self.assertTrue(self.processes[CLOUD].ended(AT_ONCE_S * 2))
        self.assertEqual(self.processes[CLOUD].exit_status, 0)

    def test_second_signal(self) -> None:
        """Told again to stop, it ends at once."""
        self.start()
        self.serve_all(*ENTRANCES["A"], 4)
        self.processes[CLOUD].signal(signal.SIGTERM)
        self.wait_for_line(CLOUD, "worker .: waiting up to 30 s")
        self.processes[CLOUD].signal(signal.SIGTERM)
        self.assertTrue(self.processes[CLOUD].ended(AT_ONCE_S * 2))
        self.assertEqual(self.processes[CLOUD].exit_status, 0)

    def test_no_orphans(self) -> None:
        """Workers whose supervisor was killed end too."""
        self.start()
        pids = self.pids(CLOUD)
        self.assertEqual(len(pids), WORKERS)
        self.processes[CLOUD].kill()
        self.wait_for("they end", lambda: not any(command_of(pid) for pid in pids.values()))

    def test_mistakes(self) -> None:
        """A port in use is told once, by name, and nothing is started; so are numbers that make no sense."""
        with socket.create_server((self.address(CLOUD), int(WS_PORT))):
            status, printed = self.fail_to_start(CLOUD, CLOUD_CONFIG, ws_port=WS_PORT)
        self.assertEqual(status, 1)
        self.assertEqual(printed.count(f"{self.address(CLOUD)}:{WS_PORT}"), 1, printed)
        self.assertNotIn("Traceback", printed)
        for count in (0, "two", 1000):
            self.shared = {CLOUD: count}
            status, printed = self.fail_to_start(CLOUD, CLOUD_CONFIG, ws_port=WS_PORT)
            self.assertEqual(status, 1)
            self.assertIn(f"--workers {count}", printed)


class HighAvailabilityWorkersTests(WorkersCase):
    """The scenario `ha`, the cloud instances with two workers each: a cluster of four."""

    hosts = {
        "cloud1.example.com": (11,),
        "cloud2.example.com": (12,),
        "example.com": (11, 12),
        "onprem1.example.org": (21,),
        "server-a": (31,),
        "server-b": (32,),
    }
    clouds = ("cloud1.example.com", "cloud2.example.com")
    shared = dict.fromkeys(clouds, WORKERS)

    def test_cluster(self) -> None:
        """Workers of different instances are members of one cluster; with one instance killed, all clients are served by the other."""
        for host, port in (("server-a", 5551), ("server-b", 6661)):
            self.addCleanup(PlainServer((self.address(host), port), echo).close)
        common = {
            "tls_port": "8443",
            "tls_bind": "@eth0:8443",
            "stores": stores(),
            "multicast_port": str(multicast_port(claim_network())),
        }
        for cloud in self.clouds:
            self.launch(cloud, ETC / "ha" / "cloud-config.xml", cloud_node_hostname=cloud, **common)
        self.launch("onprem1.example.org", ETC / "ha" / "onprem-config.xml", **common)
        self.wait_answering(*self.clouds, "onprem1.example.org")
        for cloud in self.clouds:
            self.wait_complete(cloud)
            self.wait_joined(cloud, agents=1)
            self.wait_for(
                f"{cloud} knows the workers of the other",
                lambda cloud=cloud: len((self.status(cloud) or {"members": []})["members"]) == WORKERS,
            )
        entrances = [(cloud, 5551) for cloud in self.clouds] + [("onprem1.example.org", 6661)]
        for host, port in entrances:
            self.serve_all(host, port, 8)
        self.assertEqual(self.metric(self.clouds[0], "kwic_members"), WORKERS)
        self.processes[self.clouds[1]].kill()
        for host, port in entrances[::2]:
            self.serve_all(host, port, 8)
        self.wait_for("the others have left, or are about to", self.others_leave)

    def others_leave(self) -> bool:
        """Whether nobody of the other instance counts any more."""
        members = (self.status(self.clouds[0]) or {"members": [{"leaving": False}]})["members"]
        return all(member["leaving"] for member in members)
