"""An nginx pair with the stream module: one adds TLS, one takes it off."""

from __future__ import annotations

from pathlib import Path

from bench.daemon import Daemon
from bench.pair import Pair, program

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
"""Where Debian keeps the stream module; elsewhere it is usually built in."""

COMMON = """\
{module}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/{side}.pid;
error_log stderr warn;
events {{ worker_connections 16000; }}
stream {{
    tcp_nodelay on;
    proxy_timeout 1h;
    server {{
"""

FRONT = """\
        listen 127.0.0.1:{front} backlog=4096;
        proxy_pass 127.0.0.1:{middle};
        proxy_ssl on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_certificate {client.certificate};
        proxy_ssl_certificate_key {client.key};
        proxy_ssl_trusted_certificate {server.ca};
        proxy_ssl_verify on;
        proxy_ssl_name localhost;
        proxy_ssl_server_name on;
    }}
}}
"""

BACK = """\
        listen 127.0.0.1:{middle} ssl backlog=4096;
        ssl_protocols TLSv1.3;
        ssl_certificate {server.certificate};
        ssl_certificate_key {server.key};
        ssl_client_certificate {client.ca};
        ssl_verify_client on;
        proxy_pass 127.0.0.1:{sink};
    }}
}}
"""

FILES = 16_384
"""Open files a worker: more than the idle clients of any measure, twice over."""


class Nginx(Pair):
    """nginx with one worker on each side."""

    key = "nginx"
    title = "nginx stream TLS pair"
    programs = ("nginx",)
    package = "libnginx-mod-stream"
    version_command = ("nginx", "-v")
    is_c_relay = True

    @classmethod
    def missing(cls) -> str | None:
        """Also when it is there without its stream module."""
        return super().missing() or (
            None if MODULE.exists() or _has_stream() else "nginx has no stream module"
        )

    def make_gateways(self) -> tuple[Daemon, ...]:
        """The side next to the sink, then the side next to the client."""
        return (self._half("back", BACK), self._half("front", FRONT))

    def _half(self, side: str, text: str) -> Daemon:
        path = self.folder / f"{side}.conf"
        values = {
            "module": f"load_module {MODULE};" if MODULE.exists() else "",
            "folder": self.folder,
            "side": side,
            "files": FILES,
            "front": self.front_port,
            "middle": self.middle_port,
            "sink": self.lab.sink_port,
            "server": self.lab.certificates.server,
            "client": self.lab.certificates.client,
        }
        path.write_text((COMMON + text).format(**values))
        return self.daemon(side, "nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(path))


def _has_stream() -> bool:
    binary = program("nginx")
    return binary is not None and b"ngx_stream_core_module" in Path(binary).read_bytes()
