"""Programs beside the gateway: the back ends, the name server, load balancers and etcd, each on its machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from test.lab.machine import Machine

NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
NGINX = """daemon off;
error_log stderr warn;
pid {folder}/nginx.pid;
worker_processes 1;
{module}
events {{ worker_connections 8192; }}
stream {{
  upstream cloud {{
    least_conn;
{servers}
  }}
  server {{
    listen 443;
    proxy_pass cloud;
    proxy_connect_timeout 1s;
    proxy_timeout 1h;
  }}
}}
"""
HAPROXY = """global
  maxconn 8000
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  retries 2
  option redispatch
frontend kwic
  bind :443
  default_backend cloud
backend cloud
  balance leastconn
{servers}
"""


class Program:
    """A program that can be killed and started again.

    :param machine: where it runs.
    :param argv: the command.
    :param log: where its output goes.
    """

    def __init__(self, machine: Machine, argv: Sequence[str], log: Path) -> None:
        self.machine = machine
        self.name = machine.name
        self._argv = list(argv)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.machine.inside(self._argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """``kill -9``, and its children: the laboratory's are in its process group or die with it."""
        if self._process is not None:
            subprocess.run(["pkill", "-9", "-P", str(self._process.pid)], check=False)
            self._process.kill()
            self._process.wait()


def echo(machine: Machine, port: int, log: Path) -> Program:
    """A back end."""
    return Program(machine, [sys.executable, "-m", "test.lab.echo", str(port)], log)


def name_server(machine: Machine, hosts: Path, mode: Path, log: Path) -> Program:
    """The name server; see names.py."""
    return Program(machine, [sys.executable, "-m", "test.lab.names", str(hosts), str(mode)], log)


def nginx(machine: Machine, members: Sequence[str], folder: Path, log: Path) -> Program:
    """Nginx as a TCP load balancer on 443.

    :param members: the addresses behind it.
    """
    module = f"load_module {NGINX_MODULE};" if NGINX_MODULE.exists() else ""
    servers = "\n".join(f"    server {member}:443 max_fails=1 fail_timeout=1s;" for member in members)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, module=module, servers=servers))
    return Program(machine, ["nginx", "-e", "stderr", "-c", str(config)], log)


def haproxy(machine: Machine, members: Sequence[str], folder: Path, log: Path) -> Program:
    """Haproxy in the same place."""
    servers = "\n".join(
        f"  server cloud{number} {member}:443 check inter 500 fall 2 rise 1"
        for number, member in enumerate(members, 1)
    )
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(servers=servers))
    return Program(machine, ["haproxy", "-db", "-f", str(config)], log)


def etcd(machine: Machine, folder: Path, log: Path) -> Program:
    """One etcd on 2379."""
    url = f"http://{machine.address}:2379"
    argv = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", f"{url},http://127.0.0.1:2379",
            "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:2380", "--logger=zap"]  # fmt: skip
    return Program(machine, argv, log)


def missing(commands: Sequence[str]) -> list[str]:
    """Which commands are not installed."""
    return [command for command in commands if shutil.which(command) is None]
