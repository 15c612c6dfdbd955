"""Who takes part in the high-availability scenario: names, addresses, files, and which client reaches what through whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kwic.cli.demo.process import twistd_command

ADMIN_PORT = 8900
"""Where every instance answers about itself, each on its own address."""

TLS_PORT = 8443
"""Stands for the scenario's port 443, which only root may open."""

A_PORT = 5551
B_PORT = 6661
CLUSTER_PORT = 5941
"""Ports as the scenario's files have them."""

FIRST_MULTICAST_PORT, MULTICAST_PORTS = 20_000, 12_000
"""Below the range that systems take ports for outgoing connections from."""

CLOUDS = {"cloud1": "cloud1.example.com", "cloud2": "cloud2.example.com"}
ONPREMS = {"onprem1": "onprem1.example.org", "onprem2": "onprem2.example.org"}
SERVERS = {"server-a": "server-a", "server-b": "server-b"}
HOST_NUMBERS = {"cloud1": 11, "cloud2": 12, "onprem1": 21, "onprem2": 22, "server-a": 31, "server-b": 32}
"""The last number of each one's address."""


@dataclass(frozen=True, kw_only=True)
class Player:
    """One process of the scenario.

    :param name: what the steps call it.
    :param side: `cloud`, `onprem` or `server`.
    :param config: its XML file.
    :param address: the 127.x address that is its machine.
    :param ports: where it listens, the admin port included.
    :param properties: what it is given with -D.
    """

    name: str
    side: str
    config: Path
    address: str
    ports: tuple[int, ...]
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> str:
        """Where it answers about itself, as host:port."""
        return f"{self.address}:{ADMIN_PORT}"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way for a client to reach its server.

    :param client: `A` (in the cloud, to server A on-prem) or `B` (on-prem, to server B in the cloud).
    :param via: the instance that it connects to.
    :param host: that instance's address.
    :param port: the port there.
    :param word: what the client says.
    """

    client: str
    via: str
    host: str
    port: int
    word: str

    def __str__(self) -> str:
        """As the steps print it."""
        return f"client {self.client} → server {self.client} via {self.via}"

    @property
    def netcat(self) -> str:
        """The command to try it by hand."""
        return f"nc {self.host} {self.port}"


def multicast_port(network: str) -> int:
    """A port for the cluster's discovery, another one for each block of addresses: multicast knows no addresses.

    :param network: the first three numbers of the addresses.
    """
    _, second, third = map(int, network.split("."))
    return FIRST_MULTICAST_PORT + (second * 256 + third) % MULTICAST_PORTS


class Cast:
    """Everybody in the scenario on one block of loopback addresses.

    :param network: the first three numbers of the addresses, like `127.34.0`.
    :param scenarios: the folder that holds a folder of XML files for each scenario.
    :param stores: the folder with the keystores and truststores.
    :param tls_port: the port that stands for 443.
    """

    def __init__(self, *, network: str, scenarios: Path, stores: Path, tls_port: int = TLS_PORT) -> None:
        self._network = network
        self._scenarios = scenarios
        self._common = {
            "tls-port": str(tls_port),
            "tls-bind": f"@eth0:{tls_port}",
            "stores": str(stores),
            "multicast-port": str(multicast_port(network)),
            "com.kaazing.kwic.logging": "on",
        }
        self._tls_port = tls_port
        self.players = {
            player.name: player for player in (*self._servers(), *self._clouds(), *self._onprems())
        }
        words = {"cloud1": "hello", "cloud2": "world", "onprem1": "foo", "onprem2": "bar"}
        self.routes = tuple(
            Route(
                client="A" if name in CLOUDS else "B",
                via=name,
                host=self.address_of(name),
                port=A_PORT if name in CLOUDS else B_PORT,
                word=word,
            )
            for name, word in words.items()
        )

    def address_of(self, name: str) -> str:
        """The address that is a player's machine.

        :param name: the player.
        """
        return f"{self._network}.{HOST_NUMBERS[name]}"

    @property
    def gateways(self) -> tuple[Player, ...]:
        """The instances that may be stopped: the clouds, then those on-prem."""
        return tuple(player for player in self.players.values() if player.side != "server")

    @property
    def pairs(self) -> tuple[tuple[str, ...], ...]:
        """The names in the order to start them in: the servers, the clouds, those on-prem."""
        return (tuple(SERVERS), tuple(CLOUDS), tuple(ONPREMS))

    def command(self, player: Player) -> list[str]:
        """The command line that runs a player.

        :param player: who.
        """
        options = [f"-D{name}={value}" for name, value in player.properties.items()]
        options += [f"--resolve={entry}" for entry in self._resolve(player)]
        return twistd_command(player.config, f"--node={player.name}", f"--admin={player.admin}", *options)

    def _resolve(self, player: Player) -> list[str]:
        """What DNS and the host's one interface say on a player's machine."""
        hosts = {**CLOUDS, **ONPREMS, **SERVERS}
        everybody = ",".join(self.address_of(name) for name in CLOUDS)
        return [
            f"@eth0={player.address}",
            f"example.com={everybody}",
            *(f"{host}={self.address_of(name)}" for name, host in hosts.items()),
        ]

    def _servers(self) -> list[Player]:
        """The two echo servers."""
        ports = {"server-a": A_PORT, "server-b": B_PORT}
        return [
            Player(
                name=name,
                side="server",
                config=self._scenarios / "echo" / "server-config.xml",
                address=self.address_of(name),
                ports=(ports[name], ADMIN_PORT),
                properties={"service-hostname": host, "service-port": str(ports[name])},
            )
            for name, host in SERVERS.items()
        ]

    def _clouds(self) -> list[Player]:
        """The instances in the cloud."""
        return [
            Player(
                name=name,
                side="cloud",
                config=self._scenarios / "ha" / "cloud-config.xml",
                address=self.address_of(name),
                ports=(A_PORT, self._tls_port, CLUSTER_PORT, ADMIN_PORT),
                properties={"cloud-node-hostname": host, **self._common},
            )
            for name, host in CLOUDS.items()
        ]

    def _onprems(self) -> list[Player]:
        """The instances on-prem."""
        return [
            Player(
                name=name,
                side="onprem",
                config=self._scenarios / "ha" / "onprem-config.xml",
                address=self.address_of(name),
                ports=(B_PORT, ADMIN_PORT),
                properties=self._common,
            )
            for name in ONPREMS
        ]
