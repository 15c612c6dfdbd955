"""A haproxy pair in TCP mode: one adds TLS, one takes it off."""

from __future__ import annotations

from bench.daemon import Daemon
from bench.pair import Pair

COMMON = """\
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
"""

FRONT = """\
listen front
    bind 127.0.0.1:{front}
    maxconn 4000
    server back 127.0.0.1:{middle} ssl verify required ca-file {server.ca} crt {client.both} verifyhost localhost sni str(localhost) ssl-min-ver TLSv1.3
"""

BACK = """\
listen back
    bind 127.0.0.1:{middle} ssl crt {server.both} ca-file {client.ca} verify required ssl-min-ver TLSv1.3
    maxconn 4000
    server sink 127.0.0.1:{sink}
"""


class Haproxy(Pair):
    """haproxy with one thread in each of the two processes."""

    key = "haproxy"
    title = "haproxy TLS pair"
    programs = ("haproxy",)
    package = "haproxy"
    version_command = ("haproxy", "-v")
    is_c_relay = True

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The side next to the sink, then the side next to the client."""
        return (self._half("back", BACK), self._half("front", FRONT))

    def _half(self, side: str, text: str) -> Daemon:
        path = self.folder / f"{side}.cfg"
        values = {
            "front": self.front_port,
            "middle": self.middle_port,
            "sink": self.lab.sink_port,
            "server": self.lab.certificates.server,
            "client": self.lab.certificates.client,
        }
        path.write_text(COMMON + text.format(**values))
        return self.daemon(side, "haproxy", "-db", "-f", str(path))
