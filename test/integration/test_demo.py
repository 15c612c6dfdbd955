"""`kwic demo` as a user runs it, end to end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.echo import say
from kwic.cli.demo.process import SOURCE_ROOT, command_of, wait_until
from test.integration.network import claim_network

WALK_S = 150.0
ACTION_S = 30.0
STEPS = 50


class DemoTests(SynchronousTestCase):
    """The command."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.parent.mkdir(parents=True, exist_ok=True)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command; its output can be read."""
        process = subprocess.Popen(
            [sys.executable, "-m", "kwic.cli.main", "demo", "--directory", str(self.folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT), "PYTHONIOENCODING": "utf-8"},
            # A shell's background jobs ignore SIGINT and hand that on; on a terminal it is not so.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(process.stdout.close)  # type: ignore[union-attr]
        self.addCleanup(process.kill)
        return process

    def demo(self, *arguments: str, timeout_s: float = ACTION_S) -> tuple[int, str]:
        """Run the command to its end; its exit status and what it printed."""
        process = self.begin(*arguments)
        printed, _ = process.communicate(timeout=timeout_s)
        return process.returncode, printed

    def echoes(self, host: int, port: int) -> bool:
        """Whether a client is served."""
        return say("hello", f"{claim_network()}.{host}", port, timeout_s=5).ok

    def test_walk(self) -> None:
        """Every step passes, with a line for each; what was left running can be stopped, started, asked and taken down."""
        status, printed = self.demo("--network", claim_network(), "--keep", timeout_s=WALK_S)
        self.addCleanup(self.demo, "down")
        self.assertEqual(status, 0, printed)
        self.assertNotIn("✗", printed)
        self.assertEqual(len(re.findall(r"^   ✓ .* (?:\d+ ms|\d+\.\d s)$", printed, re.MULTILINE)), STEPS)
        self.assertIn(f"All {STEPS} steps passed in ", printed)
        for client, via in (("A", "cloud1"), ("A", "cloud2"), ("B", "onprem1"), ("B", "onprem2")):
            self.assertIn(f"✓ client {client} → server {client} via {via}", printed)
            self.assertIn(f"✓ {via} is stopped", printed)
            self.assertIn(f"✓ {via} is killed", printed)
        self.assertIn(f"nc {claim_network()}.21 6661", printed)
        self.check_actions()

    def check_actions(self) -> None:
        """Act on the demo that was left running."""
        self.assertTrue(self.echoes(11, 5551))
        status, printed = self.demo("stop", "cloud1")
        self.assertEqual((status, printed), (0, "cloud1 is stopped\n"))
        self.assertFalse(self.echoes(11, 5551))
        self.assertTrue(self.echoes(12, 5551))
        self.assertTrue(self.echoes(21, 6661))
        status, printed = self.demo("status")
        self.assertEqual(status, 0)
        self.assertRegex(printed, r"cloud1 +[\d.]+ +stopped")
        self.assertRegex(printed, r"cloud2 +[\d.]+ +pid \d+")
        self.assertEqual(self.demo("start", "cloud1"), (0, "cloud1 is up\n"))
        self.assertTrue(self.echoes(11, 5551))
        status, printed = self.demo("start", "cloud1")
        self.assertEqual(status, 1)
        self.assertIn("cloud1 is running already", printed)
        self.assertIn("there is no cloud3", self.demo("stop", "cloud3")[1])
        status, printed = self.demo("--network", claim_network())
        self.assertEqual(status, 1)
        self.assertIn("a demo is running", printed)
        self.assertEqual(self.demo("down")[0], 0)
        self.assertFalse(self.echoes(12, 5551))
        self.assertFalse(self.folder.exists())
        status, printed = self.demo("status")
        self.assertEqual(status, 1)
        self.assertIn("there is no demo", printed)

    def test_interrupted(self) -> None:
        """Ctrl-C in the middle of it stops everything that was started."""
        process = self.begin("--network", claim_network())
        self.addCleanup(self.demo, "down")
        records = self.folder / "run"
        self.assertTrue(wait_until(lambda: (records / "cloud2.pid").exists(), ACTION_S))
        pids = [json.loads(path.read_text())["pid"] for path in records.glob("*.pid")]
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=ACTION_S)
        self.assertEqual(process.returncode, 130, printed)
        self.assertNotIn("Traceback", printed)
        self.assertGreater(len(pids), 2)
        self.assertEqual([pid for pid in pids if command_of(pid) is not None], [])

    def test_port_in_use(self) -> None:
        """A port that is taken is named before anything is started."""
        with socket.create_server((f"{claim_network()}.12", 5551)):
            status, printed = self.demo("--network", claim_network())
        self.assertEqual(status, 1)
        self.assertIn(f"{claim_network()}.12:5551 (cloud2)", printed)
        self.assertEqual(len(printed.splitlines()), 1)
        self.assertFalse(self.folder.exists())
