"""Interfaces, IPv6 and wildcards on real sockets, in a network namespace that has them: run by `test_interfaces`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from test.integration.gateways import CLIENT_S, GatewayTestCase

INTERFACE = "kwic0"
ROOT = '<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">{}</gateway-config>'


def echo(name: str, accept: str, options: str = "") -> str:
    """An echo service."""
    return (
        f"<service><name>{name}</name><accept>{accept}</accept><type>echo</type>"
        f"<accept-options>{options}</accept-options></service>"
    )


def ip(*words: str) -> None:
    """Changes the network of the namespace."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


class InterfaceTests(GatewayTestCase):
    """A gateway on an interface whose addresses come and go."""

    hosts = {"gw": (11,), "other": (12,)}

    def setUp(self) -> None:
        super().setUp()
        ip("addr", "flush", "dev", INTERFACE)
        self.addCleanup(ip, "addr", "flush", "dev", INTERFACE)

    def file(self, name: str, *services: str) -> Path:
        path = Path(self.folder).absolute() / f"{name}.xml"
        path.write_text(ROOT.format("".join(services)))
        return path

    def echoes(self, host: str, port: int) -> bool:
        """Whether a client is served at an address."""
        try:
            with socket.create_connection((host, port), timeout=CLIENT_S) as client:
                client.sendall(b"hello")
                return client.recv(5) == b"hello"
        except OSError:
            return False

    def listeners(self) -> list[str]:
        status: dict[str, Any] = self.status("gw") or {"listeners": []}
        return sorted(listener["address"] for listener in status["listeners"])

    def reload(self) -> None:
        process = self.processes["gw"]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGHUP)

    def test_address_comes_late(self) -> None:
        """A gateway that starts before its interface has an address serves the rest, and that one soon after it has."""
        self.run_gateway(
            "gw", self.file("gw", echo("a", f"tcp://@{INTERFACE}:7000"), echo("b", "tcp://127.0.0.1:7001"))
        )
        self.assertTrue(self.echoes("127.0.0.1", 7001))
        self.wait_for_line("gw", f"the interface {INTERFACE} has no address yet")
        ip("addr", "add", "10.77.0.1/24", "dev", INTERFACE)
        self.wait_for("the late address is served", lambda: self.echoes("10.77.0.1", 7000), 12)

    def test_reload(self) -> None:
        """On SIGHUP new addresses are listened on, IPv6 ones too, and those that are gone are not; clients stay."""
        ip("addr", "add", "10.77.0.1/24", "dev", INTERFACE)
        self.run_gateway("gw", self.file("gw", echo("a", f"tcp://@{INTERFACE}:7000")))
        client = socket.create_connection(("10.77.0.1", 7000), timeout=CLIENT_S)
        self.addCleanup(client.close)
        ip("addr", "add", "10.77.0.2/24", "dev", INTERFACE)
        ip("addr", "add", "fd00:77::2/64", "dev", INTERFACE, "nodad")
        self.reload()
        self.wait_for("the IPv4 address is served", lambda: self.echoes("10.77.0.2", 7000), 10)
        self.wait_for("the IPv6 address is served", lambda: self.echoes("fd00:77::2", 7000), 10)
        client.sendall(b"still here")
        self.assertEqual(client.recv(100), b"still here")
        ip("addr", "del", "10.77.0.2/24", "dev", INTERFACE)
        self.reload()
        self.wait_for("the lost address is given up", lambda: "10.77.0.2:7000" not in self.listeners(), 10)
        self.assertTrue(self.echoes("10.77.0.1", 7000))

    def test_link_local(self) -> None:
        """A link-local address is listened on with its scope, and dialled with it."""
        ip("addr", "add", "fe80::77/64", "dev", INTERFACE, "nodad")
        self.run_gateway("gw", self.file("gw", echo("a", f"tcp://@{INTERFACE}:7000")))
        self.assertTrue(self.echoes(f"fe80::77%{INTERFACE}", 7000))
        relay = (
            "<service><name>r</name><accept>tcp://127.0.0.1:7005</accept>"
            f"<connect>tcp://[fe80::77%25{INTERFACE}]:7000</connect><type>proxy</type></service>"
        )
        self.run_gateway("other", self.file("other", relay))
        self.assertTrue(self.echoes("127.0.0.1", 7005))

    def test_wildcards(self) -> None:
        """`0.0.0.0` is IPv4, `[::]` IPv6 and a bare port both; each may stand beside the others."""
        ip("addr", "add", "10.77.0.1/24", "dev", INTERFACE)
        ip("addr", "add", "fd00:77::1/64", "dev", INTERFACE, "nodad")
        self.run_gateway(
            "gw",
            self.file(
                "gw",
                echo("four", "tcp://0.0.0.0:7004"),
                echo("six", "tcp://[::]:7006"),
                echo("both", "tcp://10.77.0.1:1", "<tcp.bind>7010</tcp.bind>"),
                echo("apart4", "tcp://0.0.0.0:7020"),
                echo("apart6", "tcp://[::]:7020"),
            ),
        )
        self.assertEqual(
            self.listeners(),
            ["0.0.0.0:7004", "0.0.0.0:7010", "0.0.0.0:7020", "[::]:7006", "[::]:7010", "[::]:7020"],
        )
        served = {
            (host, port): self.echoes(host, port)
            for host in ("10.77.0.1", "fd00:77::1")
            for port in (7004, 7006, 7010, 7020)
        }
        self.assertEqual(
            [place for place, is_served in served.items() if not is_served],
            [("10.77.0.1", 7006), ("fd00:77::1", 7004)],
        )

    def test_tunnel_over_ipv6(self) -> None:
        """Literal IPv6 addresses name listeners, tunnels and servers, and stand in Host headers."""
        ip("addr", "add", "fd00:77::1/64", "dev", INTERFACE, "nodad")
        options = (
            "<pipe.transport>socks://[fd00:77::1]:8080</pipe.transport><socks.mode>reverse</socks.mode>"
            "<socks.transport>ws://[fd00:77::1]:8080/kwic</socks.transport>"
        )
        cloud = (
            "<service><name>A</name><accept>tcp://[fd00:77::1]:5551</accept><connect>pipe://a</connect><type>proxy</type>"
            f"<connect-options>{options}</connect-options></service>"
        )
        onprem = (
            "<service><name>A</name><accept>pipe://a</accept><connect>tcp://[fd00:77::1]:7000</connect><type>proxy</type>"
            f"<accept-options>{options}</accept-options></service>"
        )
        self.run_gateway("gw", self.file("gw", cloud, echo("server", "tcp://[fd00:77::1]:7000")))
        self.run_gateway("other", self.file("other", onprem))
        self.wait_joined("gw", agents=1)
        self.assertTrue(self.echoes("fd00:77::1", 5551))
        self.assertIn("[fd00:77::1]", json.dumps(self.status("gw")))
