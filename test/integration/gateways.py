"""Real gateways for a test: `twistd -n kwic` processes on loopback addresses of the test run's own.

What a test starts is stopped when the test is over; then no log may hold a traceback.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.process import (
    SOURCE_ROOT,
    GatewayProcess,
    gateway_environment,
    twistd_command,
    wait_until,
)
from test.integration.network import claim_network

ADMIN_PORT = 8900
START_S = 20.0
STOP_S = 10.0
JOIN_S = 20.0
CLIENT_S = 10.0
"""Limits, not waits: everything goes on as soon as it can."""

ETC = SOURCE_ROOT / "etc"


class GatewayTestCase(SynchronousTestCase):
    """A test that runs gateways.

    `hosts` names every machine of the scenario with the last number of its address; a host with several numbers has
    several addresses. Every gateway resolves all of them.
    """

    hosts: Mapping[str, tuple[int, ...]] = {}
    grace_s = 30.0
    """How long the clients of a gateway may take to finish when it stops."""
    environs: Mapping[str, Mapping[str, str]] = {}
    """What the environment of a host's gateway says beside ours, from which everything that steers gateways is left out."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.processes: dict[str, GatewayProcess] = {}
        self.addCleanup(self._check_logs)
        self.addCleanup(self._stop_all)

    def address(self, host: str) -> str:
        """The first address of a host."""
        return f"{claim_network()}.{self.hosts[host][0]}"

    def _options(self, host: str, defines: Mapping[str, str]) -> list[str]:
        """The options of a gateway on a host."""
        block = claim_network()
        names = {name: ",".join(f"{block}.{n}" for n in numbers) for name, numbers in self.hosts.items()}
        return [
            f"--node={host}",
            f"--admin={self.address(host)}:{ADMIN_PORT}",
            f"--grace={self.grace_s:g}",
            f"--resolve=@eth0={self.address(host)}",
            *(f"--resolve={name}={addresses}" for name, addresses in names.items()),
            *(f"-D{name}={value}" for name, value in defines.items()),
        ]

    def launch(self, host: str, config: Path, **defines: str) -> GatewayProcess:
        """Start a gateway on a host; it need not have come up yet.

        :param host: one of `hosts`; also the name in `processes`.
        :param config: its file.
        :param defines: properties; `_` stands for `-`.
        """
        named = {name.replace("_", "-"): value for name, value in defines.items()}
        said = [f"{name}={value}" for name, value in self.environs.get(host, {}).items()]
        process = GatewayProcess(
            name=host,
            command=[*(["env", *said] if said else []), *twistd_command(config, *self._options(host, named))],
            directory=self.folder,
            environ=os.environ,
        )
        process.start()
        self.processes[host] = process
        return process

    def run_gateway(self, host: str, config: Path, **defines: str) -> GatewayProcess:
        """Start a gateway on a host, and wait until it answers."""
        process = self.launch(host, config, **defines)
        self.wait_answering(host)
        return process

    def wait_answering(self, *hosts: str) -> None:
        """Wait until gateways answer on their admin ports."""
        for host in hosts:
            wait_until(functools.partial(self._answers_or_ended, host), START_S)
            if self.status(host) is None:
                tail = "\n".join(self.processes[host].log_tail(30))
                self.fail(f"{host} did not come up; its log ends:\n{tail}")

    def _answers_or_ended(self, host: str) -> bool:
        """Whether there is nothing more to wait for."""
        return self.processes[host].pid is None or self.status(host) is not None

    def status(self, host: str) -> dict[str, Any] | None:
        """What a gateway says about itself; None when it does not answer."""
        connection = http.client.HTTPConnection(self.address(host), ADMIN_PORT, timeout=2)
        try:
            connection.request("GET", "/status")
            status: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return status

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float = JOIN_S) -> None:
        """Wait until a condition holds; when it does not, fail with the ends of all logs."""
        if not wait_until(condition, timeout_s):
            logs = "\n".join(
                f"--- {name}\n" + "\n".join(process.log_tail(25)) for name, process in self.processes.items()
            )
            self.fail(f"waited {timeout_s:g} s in vain: {what}\n{logs}")

    def wait_for_line(self, host: str, pattern: str, timeout_s: float = JOIN_S) -> str:
        """Wait until a line of a gateway's log fits a pattern.

        :returns: the first such line.
        """
        process = self.processes[host]
        regex = re.compile(f"^.*{pattern}.*$", re.MULTILINE)
        self.wait_for(
            f"{host} logs {pattern}", lambda: regex.search(process.log_text()) is not None, timeout_s
        )
        found = regex.search(process.log_text())
        assert found is not None
        return found.group()

    def wait_joined(self, cloud: str, agents: int) -> None:
        """Wait until a gateway has tunnels from a number of different instances."""

        def joined() -> bool:
            status = self.status(cloud) or {"tunnels": []}
            return len({tunnel["peer_instance"] for tunnel in status["tunnels"]}) >= agents

        self.wait_for(f"{agents} tunnels to {cloud}", joined)

    def connect(self, host: str, port: int) -> socket.socket:
        """A client's connection to a host, closed when the test is over."""
        client = socket.create_connection((self.address(host), port), timeout=CLIENT_S)
        self.addCleanup(client.close)
        return client

    def fail_to_start(self, host: str, config: Path, **defines: str) -> tuple[int, str]:
        """Start a gateway that cannot start.

        :returns: its exit status and everything it printed.
        """
        named = {name.replace("_", "-"): value for name, value in defines.items()}
        done = subprocess.run(
            twistd_command(config, *self._options(host, named)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=gateway_environment(os.environ),
            cwd=self.folder,
            timeout=START_S,
            check=False,
        )
        return done.returncode, done.stdout

    def _stop_all(self) -> None:
        """Ask all to stop at the same time, then see to each."""
        for process in self.processes.values():
            process.signal(signal.SIGTERM)
        for process in self.processes.values():
            process.stop(STOP_S)

    def _check_logs(self) -> None:
        """No gateway has logged a traceback."""
        for name, process in self.processes.items():
            text = process.log_text()
            if "Traceback" in text or "Unhandled" in text:
                self.fail(f"{name} logged a traceback:\n{text[-4000:]}")


def read_all(client: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    chunks = []
    while chunk := client.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def read_exactly(client: socket.socket, count: int) -> bytes:
    """A number of bytes; fewer only at the end of the stream."""
    data = b""
    while len(data) < count:
        chunk = client.recv(count - len(data))
        if not chunk:
            break
        data += chunk
    return data
