"""The short form of the fault laboratory, as CI runs it: real processes in network namespaces. Needs root."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from test.lab.__main__ import lacking_for, obstacle, options_of
from test.lab.faults import chosen
from test.lab.machine import ROOT
from test.lab.scenario import SCENARIOS

LIMIT_S = 600


class ShortLabTests(SynchronousTestCase):
    """One fault for each promise."""

    def test_two_and_two(self) -> None:
        """Killed, frozen, cut off, stopped, one after the other or two at once, on a bad line: no connect fails."""
        self.run_short("ha")

    def test_behind_a_load_balancer(self) -> None:
        """Restarted behind a load balancer: no connect fails after five seconds."""
        self.run_short("ha-lb")

    def run_short(self, scenario: str) -> None:
        """Let every fault of a scenario happen that belongs to the short form."""
        argv = ["--short", "--scenario", scenario]
        options = options_of(argv)
        if reason := obstacle(options):
            raise SkipTest(f"the fault laboratory cannot run here: {reason}")
        if lacking := lacking_for(SCENARIOS[scenario], options):
            raise SkipTest(f"scenario {scenario} cannot run here, not installed: {' '.join(lacking)}")
        results = Path(tempfile.mkdtemp(prefix="kwic-lab-"))
        done = subprocess.run(
            [sys.executable, "-m", "test.lab", *argv, "--results", str(results)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        said = done.stdout[-12000:] + done.stderr[-4000:]
        self.assertEqual(done.returncode, 0, f"logs in {results}\n{said}")
        table = json.loads((results / scenario / "table.json").read_text())
        self.assertEqual(
            [row["fault"] for row in table["faults"]],
            [fault.full_name for fault in chosen(scenario, [], short=True)],
        )
        shutil.rmtree(results)
