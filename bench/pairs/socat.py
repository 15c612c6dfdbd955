"""A socat pair: a process a connection on both sides."""

from __future__ import annotations

from bench.certificates import Identity
from bench.daemon import Daemon
from bench.pair import Pair

BLOCK_BYTES = 65536
"""Instead of 8 KiB, with which it would move half as much."""


class Socat(Pair):
    """socat with OPENSSL on the inner side of both."""

    key = "socat"
    title = "socat OPENSSL pair"
    programs = ("socat",)
    package = "socat"
    version_command = ("socat", "-V")
    idle_clients = 200

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The side next to the sink, then the side next to the client."""
        server, client = self.lab.certificates.server, self.lab.certificates.client
        listening = "bind=127.0.0.1,reuseaddr,fork,backlog=1024,nodelay"
        inner = (
            f"OPENSSL:127.0.0.1:{self.middle_port},nodelay,commonname=localhost,{self._tls(client, server)}"
        )
        return (
            self._half(
                "back",
                f"OPENSSL-LISTEN:{self.middle_port},{listening},{self._tls(server, client)}",
                f"TCP:127.0.0.1:{self.lab.sink_port},nodelay",
            ),
            self._half("front", f"TCP-LISTEN:{self.front_port},{listening}", inner),
        )

    def _half(self, side: str, outer: str, inner: str) -> Daemon:
        return self.daemon(side, "socat", "-b", str(BLOCK_BYTES), outer, inner)

    @staticmethod
    def _tls(us: Identity, them: Identity) -> str:
        return (
            f"cert={us.certificate},key={us.key},cafile={them.ca},verify=1,openssl-min-proto-version=TLS1.3"
        )
