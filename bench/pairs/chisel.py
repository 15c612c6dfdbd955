"""chisel in reverse mode: SSH inside WebSocket inside TLS, in Go."""

from __future__ import annotations

from bench.daemon import Daemon
from bench.pair import Pair


class Chisel(Pair):
    """One WebSocket that carries all clients, opened by the on-prem side, with mutual TLS."""

    key = "chisel"
    title = "chisel"
    programs = ("chisel",)
    version_command = ("chisel", "--version")

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The server that listens for clients, then the client that dials it."""
        server, client = self.lab.certificates.server, self.lab.certificates.client
        return (
            self.daemon(
                "cloud",
                *("chisel", "server", "--reverse", "--host", "127.0.0.1", "--port", str(self.middle_port)),
                *("--tls-cert", str(server.certificate), "--tls-key", str(server.key)),
                *("--tls-ca", str(client.ca)),
            ),
            self.daemon(
                "onprem",
                *("chisel", "client", "--tls-ca", str(server.ca)),
                *("--tls-cert", str(client.certificate), "--tls-key", str(client.key)),
                *("--min-retry-interval", "100ms", f"https://localhost:{self.middle_port}"),
                f"R:127.0.0.1:{self.front_port}:127.0.0.1:{self.lab.sink_port}",
            ),
        )
