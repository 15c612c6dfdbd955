"""A real squid on loopback, with a configuration of its own in a folder of the test's."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kwic.cli.demo.process import wait_until

START_S = 20.0
STOP_S = 10.0
PROGRAM = shutil.which("squid") or shutil.which("squid", path="/usr/sbin:/usr/local/sbin")
SKIP = None if PROGRAM else "squid is not installed (Debian: apt-get install squid)"

_CONFIG = """
http_port {address}:{port}
{authentication}
acl allowed_ports port {ports}
acl CONNECT method CONNECT
http_access deny CONNECT !allowed_ports
{access}
http_access deny all
hosts_file {folder}/hosts
dns_nameservers 127.0.0.1
dns_timeout 1 second
connect_timeout 3 seconds
cache deny all
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
coredump_dir {folder}
pid_filename none
shutdown_lifetime 0 seconds
max_filedescriptors 1024
visible_hostname squid.test
"""

_AUTHENTICATION = """
auth_param basic program {folder}/authenticate
auth_param basic realm kwic
acl known proxy_auth REQUIRED
"""

_AUTHENTICATE = """#!/bin/sh
while read -r user password; do
    if [ "$user $password" = "{user} {password}" ]; then echo OK; else echo ERR; fi
done
"""


class Squid:
    """A running squid.

    :param address: where it listens.
    :param port: likewise.
    :param ports: where CONNECT may lead to.
    :param hosts: the names it knows.
    :param credentials: a user and a password without blanks that it asks for.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        ports: tuple[int, ...],
        hosts: Mapping[str, str],
        credentials: tuple[str, str] | None = None,
    ) -> None:
        # Not in the test's folder: squid gives up its rights and must still get there.
        self.folder = Path(tempfile.mkdtemp(prefix="kwic-squid-"))
        self.folder.chmod(0o777)
        lines = (f"{ip} {name}\n" for name, ip in hosts.items())
        (self.folder / "hosts").write_text("".join(lines), encoding="ascii")
        if credentials is not None:
            script = self.folder / "authenticate"
            script.write_text(
                _AUTHENTICATE.format(user=credentials[0], password=credentials[1]), encoding="ascii"
            )
            script.chmod(0o755)
        config = self.folder / "squid.conf"
        config.write_text(
            _CONFIG.format(
                address=address,
                port=port,
                ports=" ".join(map(str, ports)),
                folder=self.folder,
                authentication=_AUTHENTICATION.format(folder=self.folder) if credentials else "",
                access="http_access allow known" if credentials else "http_access allow all",
            ),
            encoding="ascii",
        )
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-N", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        try:
            started = wait_until(lambda: _answers(address, port) or self._process.poll() is not None, START_S)
            if not started or self._process.poll() is not None:
                raise AssertionError(f"squid did not start:\n{self.log}")
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        """What it has to say about itself."""
        file = self.folder / "cache.log"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""

    @property
    def served(self) -> list[str]:
        """One line per request."""
        file = self.folder / "access.log"
        return file.read_text(errors="replace").splitlines() if file.exists() else []

    def close(self) -> None:
        """Stop it, and remove what it wrote."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
