"""`/wait-for-files.sh` and `/wait-for-host-and-port`, which compose files of KWIC 5 call before gateway.start."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from test.docker.scripts import DOCKER, TIMEOUT_S


class WaitingTests(SynchronousTestCase):
    """Both commands."""

    def begin(self, name: str, *words: str) -> subprocess.Popen[str]:
        """Start one."""
        process = subprocess.Popen(
            [str(DOCKER / name), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def line(self, process: subprocess.Popen[str]) -> str:
        """The next line that it prints."""
        assert process.stdout is not None
        return process.stdout.readline()

    def test_files_are_there(self) -> None:
        """Files that are there are not waited for, nor is anything said."""
        file = Path(self.mktemp())
        file.touch()
        process = self.begin("wait-for-files.sh", str(file), str(file))
        self.assertEqual((process.wait(TIMEOUT_S), self.line(process)), (0, ""))

    def test_files_appear(self) -> None:
        """Each file that is missing is named, and waited for."""
        here, there = Path(self.mktemp()), Path(self.mktemp())
        process = self.begin("wait-for-files.sh", str(here), str(there))
        self.assertEqual(self.line(process), f"wait-for-files: waiting for {here}\n")
        here.touch()
        self.assertEqual(self.line(process), f"wait-for-files: waiting for {there}\n")
        self.assertIsNone(process.poll())
        there.touch()
        self.assertEqual(process.wait(TIMEOUT_S), 0)

    def test_host_and_port(self) -> None:
        """A listener is waited for until it takes connections."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = str(listener.getsockname()[1])
            process = self.begin("wait-for-host-and-port", "127.0.0.1", port)
            self.assertEqual(self.line(process), f"wait-for-host-and-port: waiting for 127.0.0.1:{port}\n")
            self.assertIsNone(process.poll())
            listener.listen()
            self.assertEqual(process.wait(TIMEOUT_S), 0)

    def test_host_without_port(self) -> None:
        """Called wrongly, it says how to call it."""
        process = self.begin("wait-for-host-and-port", "127.0.0.1")
        self.assertEqual((process.wait(TIMEOUT_S), self.line(process)[:6]), (2, "usage:"))
