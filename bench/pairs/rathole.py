"""rathole: a reverse proxy with a TLS connection a client, in Rust."""

from __future__ import annotations

from bench.certificates import HOST, P12_PASSWORD
from bench.daemon import Daemon
from bench.pair import Pair

TOKEN = "bench"
"""Both sides must show the same one."""

SERVER = """\
[server]
bind_addr = "127.0.0.1:{middle}"
[server.transport]
type = "tls"
[server.transport.tls]
pkcs12 = "{server.p12}"
pkcs12_password = "{password}"
[server.services.bench]
token = "{token}"
bind_addr = "127.0.0.1:{front}"
"""

CLIENT = """\
[client]
remote_addr = "127.0.0.1:{middle}"
retry_interval = 1
[client.transport]
type = "tls"
[client.transport.tls]
trusted_root = "{server.ca}"
hostname = "{host}"
[client.services.bench]
token = "{token}"
local_addr = "127.0.0.1:{sink}"
"""


class Rathole(Pair):
    """rathole with TLS, which knows no client certificates: a token stands in for them."""

    key = "rathole"
    title = "rathole"
    programs = ("rathole",)
    version_command = ("rathole", "--version")
    version_word = "Build Version"

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The server that listens for clients, then the client that dials it."""
        values = {
            "front": self.front_port,
            "middle": self.middle_port,
            "sink": self.lab.sink_port,
            "server": self.lab.certificates.server,
            "password": P12_PASSWORD,
            "token": TOKEN,
            "host": HOST,
        }
        for side, text in (("server", SERVER), ("client", CLIENT)):
            (self.folder / f"{side}.toml").write_text(text.format(**values))
        return (
            self.daemon("cloud", "rathole", "--server", str(self.folder / "server.toml")),
            self.daemon("onprem", "rathole", "--client", str(self.folder / "client.toml")),
        )
