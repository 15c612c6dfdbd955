"""Real etcd servers on loopback, each with its data in a folder of the test's."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwic.cli.demo.process import wait_until

START_S = 30.0
STOP_S = 10.0
PORT, PEER_PORT = 2379, 2380
PROGRAM = shutil.which("etcd") or shutil.which("etcd", path="/usr/local/bin:/usr/sbin")
SKIP = None if PROGRAM else "etcd is not installed (Debian: apt-get install etcd-server)"


@dataclass(frozen=True, kw_only=True)
class EtcdTls:
    """The files with which a server speaks TLS."""

    certificate: Path
    key: Path
    server_ca: Path
    client_ca: Path | None = None
    """Asks its clients for a certificate, when there is one."""


class Etcd:
    """
    A server of an etcd.

    :param address: where it listens; its certificate names it.
    :param tls: with what it speaks TLS, if it does.
    :param peers: the addresses of all servers of the same etcd; none: it is alone.
    """

    def __init__(self, address: str, *, tls: EtcdTls | None = None, peers: tuple[str, ...] = ()) -> None:
        self.address = address
        self._tls = tls
        self._peers = peers or (address,)
        self.folder = Path(tempfile.mkdtemp(prefix="kwic-etcd-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}:{PORT}"

    # -- life
    def start(self, *, wait: bool = True) -> Etcd:
        """Run it, and wait until it serves."""
        assert PROGRAM is not None
        argv = [
            *(
                PROGRAM,
                "--name",
                f"at-{self.address}",
                "--data-dir",
                str(self.folder / "data"),
                "--logger=zap",
            ),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *(
                "--listen-peer-urls",
                _peer(self.address),
                "--initial-advertise-peer-urls",
                _peer(self.address),
            ),
            *("--initial-cluster", ",".join(f"at-{peer}={_peer(peer)}" for peer in self._peers)),
        ]
        if self._tls is not None:
            argv += ["--cert-file", str(self._tls.certificate), "--key-file", str(self._tls.key)]
            if self._tls.client_ca is not None:
                argv += ["--client-cert-auth", "--trusted-ca-file", str(self._tls.client_ca)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Until it serves."""
        if not wait_until(lambda: self._ended or self._serves(), START_S) or self._ended:
            log = (self.folder / "log").read_text(errors="replace")[-3000:]
            self.close()
            raise AssertionError(f"etcd did not start:\n{log}")

    @property
    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _serves(self) -> bool:
        try:
            return self.call("/maintenance/status", {}).get("leader", "0") != "0"
        except urllib.error.HTTPError:
            return True  # it serves those whom it knows, and asks who we are
        except (OSError, ValueError):
            return False

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP or SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait(STOP_S)

    def lose_everything(self) -> None:
        """Its data is gone; not while it runs."""
        shutil.rmtree(self.folder / "data")

    def close(self) -> None:
        """Stop it, and remove what it wrote."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what an operator does
    def call(self, path: str, fields: dict[str, Any], token: str = "") -> dict[str, Any]:
        """One call of the gateway, by somebody else than us."""
        context = None
        if self._tls is not None:
            context = ssl.create_default_context(cafile=str(self._tls.server_ca))
            if self._tls.client_ca is not None:
                context.load_cert_chain(self._tls.certificate, self._tls.key)
        headers = {"Authorization": token} if token else {}
        request = urllib.request.Request(f"{self.url}/v3{path}", json.dumps(fields).encode(), headers)
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return json.loads(answer.read())

    def values(self, prefix: str, token: str = "") -> dict[str, str]:
        """All keys below a prefix."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.call("/kv/range", {"key": encode(prefix), "range_end": encode(end)}, token)
        return {decode(entry["key"]): decode(entry.get("value", "")) for entry in found.get("kvs", [])}

    def add_user(self, user: str, password: str, prefix: str) -> str:
        """
        Ask for users from now on; one may read and write below a prefix.

        :returns: root's token.
        """
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        self.call("/auth/role/add", {"name": "members"})
        may = {"permType": "READWRITE", "key": encode(prefix), "range_end": encode(end)}
        self.call("/auth/role/grant", {"name": "members", "perm": may})
        for name, secret, role in (("root", "root's", "root"), (user, password, "members")):
            self.call("/auth/user/add", {"name": name, "password": secret})
            if role == "root":
                self.call("/auth/role/add", {"name": "root"})
            self.call("/auth/user/grant", {"user": name, "role": role})
        self.call("/auth/enable", {})
        token: str = self.call("/auth/authenticate", {"name": "root", "password": "root's"})["token"]
        return token


def _peer(address: str) -> str:
    return f"http://{address}:{PEER_PORT}"


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    return base64.b64decode(text).decode()
