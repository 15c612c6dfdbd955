"""A stunnel pair: one wraps the client's connection in TLS, one unwraps it."""

from __future__ import annotations

from bench.certificates import Identity
from bench.daemon import Daemon
from bench.pair import Pair

CONFIG = """\
foreground = yes
pid =
debug = 4
[bench]
client = {client}
accept = 127.0.0.1:{accept}
connect = 127.0.0.1:{connect}
cert = {us.certificate}
key = {us.key}
CAfile = {them.ca}
verifyChain = yes
sslVersionMin = TLSv1.3
{check}
"""


class Stunnel(Pair):
    """stunnel with a thread a connection, as Debian builds it."""

    key = "stunnel"
    title = "stunnel pair"
    programs = ("stunnel",)
    package = "stunnel4"
    version_command = ("stunnel", "-version")
    is_c_relay = True
    idle_clients = 1000

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The server next to the sink, then the client."""
        server, client = self.lab.certificates.server, self.lab.certificates.client
        return (
            self._half("server", "no", self.middle_port, self.lab.sink_port, server, client, ""),
            self._half(
                "client", "yes", self.front_port, self.middle_port, client, server, "checkHost = localhost"
            ),
        )

    def _half(
        self, side: str, client: str, accept: int, connect: int, us: Identity, them: Identity, check: str
    ) -> Daemon:
        path = self.folder / f"{side}.conf"
        path.write_text(
            CONFIG.format(client=client, accept=accept, connect=connect, us=us, them=them, check=check)
        )
        return self.daemon(side, "stunnel", str(path))
