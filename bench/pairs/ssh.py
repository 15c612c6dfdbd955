"""`ssh -R`: the on-prem side dials an sshd in the cloud, which listens for the clients."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from bench.daemon import Daemon
from bench.errors import MeasureError
from bench.pair import Pair, program

SSHD_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
UseDNS no
"""

SEPARATION = Path("/run/sshd")
"""Where sshd puts itself when it drops privileges; Debian makes it at boot, and sshd as root refuses to run without."""


class Ssh(Pair):
    """OpenSSH with the cipher that it takes by itself (chacha20-poly1305)."""

    key = "ssh"
    title = "ssh -R"
    programs = ("ssh", "sshd", "ssh-keygen")
    package = "openssh-server"
    version_command = ("ssh", "-V")
    is_c_relay = True
    ciphers: ClassVar[tuple[str, ...]] = ()

    def make_gateways(self) -> tuple[Daemon, ...]:
        """An sshd of our own with keys of its own, and the ssh that dials it."""
        if os.geteuid() == 0:
            SEPARATION.mkdir(mode=0o755, exist_ok=True)
        for name in ("host", "client"):
            self._make_key(self.folder / name)
        config = self.folder / "sshd_config"
        config.write_text(SSHD_CONFIG.format(port=self.middle_port, folder=self.folder))
        known_hosts = self.folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{self.middle_port} {(self.folder / 'host.pub').read_text()}")
        settings = [
            *("-o", f"UserKnownHostsFile={known_hosts}"),
            *("-o", "IdentitiesOnly=yes"),
            *("-o", "StrictHostKeyChecking=yes"),
            *("-o", "BatchMode=yes"),
            *("-o", "ExitOnForwardFailure=yes"),
            # sshd may not listen yet at the first attempt
            *("-o", "ConnectionAttempts=20"),
        ]
        forward = f"127.0.0.1:{self.front_port}:127.0.0.1:{self.lab.sink_port}"
        return (
            self.daemon("cloud", program("sshd") or "sshd", "-D", "-e", "-f", str(config)),
            self.daemon(
                "onprem",
                "ssh",
                *("-F", "none", "-N", "-i", str(self.folder / "client")),
                *settings,
                *self.ciphers,
                *("-R", forward, "-p", str(self.middle_port), "127.0.0.1"),
            ),
        )

    @staticmethod
    def _make_key(path: Path) -> None:
        path.unlink(missing_ok=True)
        done = subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MeasureError(f"ssh-keygen: {done.stderr.strip()}")


class SshAes(Ssh):
    """OpenSSH with the cipher that a CPU with AES instructions does fastest."""

    key = "ssh-aes"
    title = "ssh -R aes128-gcm"
    ciphers = ("-c", "aes128-gcm@openssh.com")
