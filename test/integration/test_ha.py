"""The scenario `ha`, as it stands in etc/: two in the cloud, two on-prem, any of them killed."""

from __future__ import annotations

import signal

from kwic.cli.demo.cast import multicast_port
from kwic.cli.demo.echo import say
from test.integration.certificates import stores
from test.integration.gateways import CLIENT_S, ETC, GatewayTestCase, read_exactly
from test.integration.network import claim_network
from test.integration.servers import PlainServer, echo

TLS_PORT = "8443"
CLOUDS = ("cloud1.example.com", "cloud2.example.com")
ONPREMS = ("onprem1.example.org", "onprem2.example.org")
AT_ONCE_S = 2.0
"""A new client is served within this, right after an instance was killed."""


class HighAvailabilityTests(GatewayTestCase):
    """Client A in the cloud, client B on-prem."""

    hosts = {
        "cloud1.example.com": (11,),
        "cloud2.example.com": (12,),
        "example.com": (11, 12),
        "onprem1.example.org": (21,),
        "onprem2.example.org": (22,),
        "server-a": (31,),
        "server-b": (32,),
    }

    def setUp(self) -> None:
        super().setUp()
        for host, port in (("server-a", 5551), ("server-b", 6661)):
            self.addCleanup(PlainServer((self.address(host), port), echo).close)

    def launch_one(self, host: str) -> None:
        """Start an instance, without waiting for it."""
        common = {
            "tls_port": TLS_PORT,
            "tls_bind": f"@eth0:{TLS_PORT}",
            "stores": stores(),
            "multicast_port": str(multicast_port(claim_network())),
        }
        if host in CLOUDS:
            self.launch(host, ETC / "ha" / "cloud-config.xml", cloud_node_hostname=host, **common)
        else:
            self.launch(host, ETC / "ha" / "onprem-config.xml", **common)

    def run_all(self) -> None:
        """All four, joined."""
        for host in (*ONPREMS, *CLOUDS):
            self.launch_one(host)
        self.wait_answering(*ONPREMS, *CLOUDS)
        for cloud in CLOUDS:
            self.wait_joined(cloud, agents=len(ONPREMS))
            self.wait_for("the cluster", lambda cloud=cloud: bool((self.status(cloud) or {}).get("members")))

    def check(self, *entrances: str) -> None:
        """New clients are served at once, at each of these instances, more than once."""
        for host in entrances * 4:
            port = 5551 if host in CLOUDS else 6661
            heard = say("hello", self.address(host), port, timeout_s=CLIENT_S)
            self.assertIs(heard.error, None, host)
            self.assertLess(heard.took_s, AT_ONCE_S, host)

    def agents(self, cloud: str) -> set[str]:
        """The on-prem instances that have tunnels to a cloud instance."""
        status = self.status(cloud) or {"tunnels": []}
        return {tunnel["peer"] for tunnel in status["tunnels"]}

    def test_one_killed_on_each_side(self) -> None:
        """With one instance killed on each side there is still a path for every client; the survivors do not care which."""
        self.run_all()
        self.check(*CLOUDS, *ONPREMS)
        self.processes[CLOUDS[0]].kill()
        self.check(CLOUDS[1], *ONPREMS)
        self.processes[ONPREMS[1]].kill()
        self.check(CLOUDS[1], ONPREMS[0])
        self.launch_one(CLOUDS[0])
        self.wait_answering(CLOUDS[0])
        self.wait_joined(CLOUDS[0], agents=1)
        self.processes[CLOUDS[1]].kill()
        self.check(CLOUDS[0], ONPREMS[0])

    def kill_at_once(self, *hosts: str) -> None:
        """Kill several; nobody has noticed the first when the last is killed."""
        for host in hosts:
            self.processes[host].signal(signal.SIGKILL)

    def test_both_killed_at_once(self) -> None:
        """One on each side is killed at the same moment, later the other two: clients are served at once by those that are left."""
        self.run_all()
        for dead, alive in ((0, 1), (1, 0)):
            self.kill_at_once(CLOUDS[dead], ONPREMS[dead])
            self.check(CLOUDS[alive], ONPREMS[alive])
            back = CLOUDS[dead], ONPREMS[dead]
            for host in back:
                self.assertTrue(self.processes[host].ended(CLIENT_S))
                self.launch_one(host)
            self.wait_answering(*back)
            for cloud in CLOUDS:
                self.wait_for("both agents", lambda cloud=cloud: self.agents(cloud) == set(ONPREMS))
            self.check(*CLOUDS, *ONPREMS)

    def test_others_do_not_notice(self) -> None:
        """Clients whose way does not lead through the killed instance go on as if nothing had happened."""
        self.run_all()
        self.processes[ONPREMS[0]].kill()
        self.wait_for("one agent left", lambda: self.agents(CLOUDS[0]) == {ONPREMS[1]})
        client = self.connect(CLOUDS[0], 5551)
        client.sendall(b"before")
        self.assertEqual(read_exactly(client, 6), b"before")
        self.processes[CLOUDS[1]].kill()
        client.sendall(b"after")
        self.assertEqual(read_exactly(client, 5), b"after")

    def test_client_that_comes_too_early(self) -> None:
        """A client that comes before there is any path waits for one, and is served."""
        self.launch_one(CLOUDS[0])
        self.wait_answering(CLOUDS[0])
        client = self.connect(CLOUDS[0], 5551)
        client.sendall(b"early")
        self.launch_one(ONPREMS[0])
        self.assertEqual(read_exactly(client, 5), b"early")
