"""frp: a reverse proxy with one multiplexed TLS connection, in Go."""

from __future__ import annotations

from bench.daemon import Daemon
from bench.pair import Pair

SERVER = """\
bindAddr = "127.0.0.1"
bindPort = {middle}
proxyBindAddr = "127.0.0.1"
transport.tls.force = true
transport.tls.certFile = "{server.certificate}"
transport.tls.keyFile = "{server.key}"
transport.tls.trustedCaFile = "{client.ca}"
log.level = "warn"
"""

CLIENT = """\
serverAddr = "127.0.0.1"
serverPort = {middle}
loginFailExit = false
transport.tls.enable = true
transport.tls.serverName = "localhost"
transport.tls.certFile = "{client.certificate}"
transport.tls.keyFile = "{client.key}"
transport.tls.trustedCaFile = "{server.ca}"
log.level = "warn"
[[proxies]]
name = "bench"
type = "tcp"
localIP = "127.0.0.1"
localPort = {sink}
remotePort = {front}
"""


class Frp(Pair):
    """frps and frpc with mutual TLS."""

    key = "frp"
    title = "frp"
    programs = ("frps", "frpc")
    version_command = ("frps", "--version")

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The server that listens for clients, then the client that dials it."""
        values = {
            "front": self.front_port,
            "middle": self.middle_port,
            "sink": self.lab.sink_port,
            "server": self.lab.certificates.server,
            "client": self.lab.certificates.client,
        }
        for side, text in (("frps", SERVER), ("frpc", CLIENT)):
            (self.folder / f"{side}.toml").write_text(text.format(**values))
        return (
            self.daemon("cloud", "frps", "-c", str(self.folder / "frps.toml")),
            self.daemon("onprem", "frpc", "-c", str(self.folder / "frpc.toml")),
        )
