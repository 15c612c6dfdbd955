"""The pair of sites that is simulated: which instances there are, where they live, and the files they are started from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

from kwic.config.model import GatewayConfig
from kwic.config.reader import read_text

#: Ports, as in etc/ha where they are there.
PORT_A_OWN = 5551
PORT_A_SHARED = 5552
PORT_B = 6661
PORT_TUNNELS = 80
#: Our own side of the clients, and both back ends.
CLOUD_CLIENT, PREM_CLIENT = "client-a", "client-b"
SERVER_A, SERVER_B = "server-a", "server-b"
ETCD = "etcd"

_HOSTS = {
    CLOUD_CLIENT: "10.0.1.201",
    PREM_CLIENT: "10.0.2.201",
    SERVER_A: "10.0.2.101",
    SERVER_B: "10.0.1.101",
    ETCD: "10.0.1.150",
}


class Finding(Enum):
    """How the members of the cluster find each other: what their `connect` says."""

    MULTICAST = "udp://224.34.0.1:54327"
    NAME = "tcp://members.example.com:5941"
    """One name with the addresses of all."""
    ETCD = "etcd://10.0.1.150:2379"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where clients connect."""

    host: str
    port: int
    server: str
    """The back end that they mean."""

    key: str
    """What is asked for in the tunnels: a rendezvous key, or the path of a service."""

    @property
    def reverse(self) -> bool:
        """Whether clients in the cloud reach a server on-prem."""
        return self.server == SERVER_A


@dataclass(frozen=True, kw_only=True)
class Topology:
    """
    The two sites.

    :param clouds: how many cloud instances.
    :param agents: how many on-prem instances.
    :param own_names: service A has a name for each cloud node, as in etc/ha.
    :param shared_name: service A has one name for all of them, behind one host name with all their addresses.
    :param finding: how the members of the cluster find each other.
    :param retry_s: `socks.retry.maximum.interval`.
    :param prepared: `prepared.connection.count` of the agents' services.
    :param fast: all services say `kwic:liveness="fast"`.
    """

    clouds: int = 2
    agents: int = 2
    own_names: bool = True
    shared_name: bool = True
    finding: Finding = Finding.MULTICAST
    retry_s: int = 5
    prepared: int = 1
    fast: bool = False

    @property
    def cloud_nodes(self) -> tuple[str, ...]:
        return tuple(f"cloud{number}" for number in range(1, self.clouds + 1))

    @property
    def agent_nodes(self) -> tuple[str, ...]:
        return tuple(f"agent{number}" for number in range(1, self.agents + 1))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every instance."""
        return (*self.cloud_nodes, *self.agent_nodes)

    def address(self, host: str) -> str:
        """Where a machine lives."""
        if host in _HOSTS:
            return _HOSTS[host]
        return f"10.0.{1 if host.startswith('cloud') else 2}.{host[-1]}"

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What the name servers know."""
        clouds = tuple(map(self.address, self.cloud_nodes))
        return {
            **{server: (_HOSTS[server],) for server in (SERVER_A, SERVER_B)},
            **{f"{cloud}.example.com": (self.address(cloud),) for cloud in self.cloud_nodes},
            "example.com": clouds,
            "members.example.com": clouds,
        }

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """Every place where clients connect."""
        return tuple(self._listeners())

    def _listeners(self) -> Iterator[Listener]:
        for cloud in self.cloud_nodes:
            if self.own_names:
                key = f"serviceA-{cloud}.example.com"
                yield Listener(host=cloud, port=PORT_A_OWN, server=SERVER_A, key=key)
            if self.shared_name:
                yield Listener(host=cloud, port=PORT_A_SHARED, server=SERVER_A, key="serviceA")
        for agent in self.agent_nodes:
            yield Listener(host=agent, port=PORT_B, server=SERVER_B, key="/serviceB")

    def config(self, node: str) -> GatewayConfig:
        """The file of an instance."""
        return _config(self, node)

    def text(self, node: str) -> str:
        """That file."""
        services = "\n".join(self._cloud(node) if node in self.cloud_nodes else self._agent())
        if self.fast:
            services = services.replace("<service>", '<service kwic:liveness="fast">')
        return _FILE.format(services=services)

    def _cloud(self, node: str) -> Iterator[str]:
        if self.own_names:
            yield _CLOUD_A.format(
                name="own", port=PORT_A_OWN, key=f"serviceA-{node}.example.com", host=f"{node}.example.com"
            )
        if self.shared_name:
            yield _CLOUD_A.format(name="shared", port=PORT_A_SHARED, key="serviceA", host="example.com")
        yield _CLOUD_B.format(host=f"{node}.example.com")
        yield _CLUSTER.format(find=self.finding.value)

    def _agent(self) -> Iterator[str]:
        hosts = [f"{cloud}.example.com" for cloud in self.cloud_nodes] if self.own_names else []
        for host in hosts:
            yield self._agent_a(f"serviceA-{host}", host)
        if self.shared_name:
            yield self._agent_a("serviceA", "example.com")
        yield _AGENT_B.format(retry=self.retry_s, prepared=self.prepared)

    def _agent_a(self, key: str, host: str) -> str:
        return _AGENT_A.format(key=key, host=host, retry=self.retry_s, prepared=self.prepared)


@lru_cache(maxsize=1000)
def _config(topology: Topology, node: str) -> GatewayConfig:
    return read_text(topology.text(node).encode(), f"{node}.xml", defines={}, environ={}, hostname=node)


_FILE = """\
<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway" xmlns:kwic="urn:kwic:gateway:1">
{services}
</gateway-config>
"""

_CLOUD_A = """\
  <service>
    <name>reverse A {name}</name>
    <accept>tcp://@eth0:{port}</accept>
    <connect>pipe://{key}</connect>
    <type>proxy</type>
    <connect-options>
      <pipe.transport>socks://{host}</pipe.transport>
      <socks.mode>reverse</socks.mode>
      <socks.transport>ws://{host}:80/kwic</socks.transport>
      <tcp.bind>@eth0:80</tcp.bind>
    </connect-options>
  </service>"""

_CLOUD_B = """\
  <service>
    <name>balancer B</name>
    <accept>ws://example.com:80/serviceB</accept>
    <type>balancer</type>
    <accept-options>
      <tcp.bind>@eth0:80</tcp.bind>
    </accept-options>
  </service>
  <service>
    <name>forward B</name>
    <accept>ws://{host}:80/serviceB</accept>
    <connect>tcp://server-b:6661</connect>
    <balance>ws://example.com:80/serviceB</balance>
    <type>proxy</type>
    <accept-options>
      <tcp.bind>@eth0:80</tcp.bind>
    </accept-options>
  </service>"""

_CLUSTER = """\
  <cluster kwic:insecure="true">
    <name>kzha</name>
    <accept>tcp://@eth0:5941</accept>
    <connect>{find}</connect>
  </cluster>"""

_AGENT_A = """\
  <service>
    <name>reverse A {key}</name>
    <accept>pipe://{key}</accept>
    <connect>tcp://server-a:5551</connect>
    <type>proxy</type>
    <properties>
      <prepared.connection.count>{prepared}</prepared.connection.count>
    </properties>
    <accept-options>
      <pipe.transport>socks://{host}</pipe.transport>
      <socks.mode>reverse</socks.mode>
      <socks.transport>wsn://{host}:80/kwic</socks.transport>
      <socks.retry.maximum.interval>{retry} seconds</socks.retry.maximum.interval>
    </accept-options>
  </service>"""

_AGENT_B = """\
  <service>
    <name>forward B</name>
    <accept>tcp://@eth0:6661</accept>
    <connect>wsn://example.com:80/serviceB</connect>
    <type>proxy</type>
    <properties>
      <prepared.connection.count>{prepared}</prepared.connection.count>
    </properties>
    <connect-options>
      <http.maximum.redirects>3</http.maximum.redirects>
      <socks.retry.maximum.interval>{retry} seconds</socks.retry.maximum.interval>
    </connect-options>
  </service>"""
