"""The short form of the fault laboratory, as CI runs it: real processes in network namespaces. Needs root."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from test.lab.__main__ import MISSED, lacking_for, obstacle, options_of
from test.lab.faults import chosen
from test.lab.machine import ROOT
from test.lab.scenario import SCENARIOS

LIMIT_S = 600
BY_CHANCE = "bad-line:"
"""How the faults begin whose longest stall is a matter of chance: about one time in forty a packet is lost so often that TCP takes more than the three seconds
which are promised (docs/availability.md). Two such times after each other are no chance."""


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
        table = self.run_lab(scenario, "--short")
        self.assertEqual(
            [row["fault"] for row in table],
            [fault.full_name for fault in chosen(scenario, [], short=True)],
        )
        missed = [row for row in table if row["misses"]]
        unlucky = [row["fault"] for row in missed if row["fault"].startswith(BY_CHANCE)]
        self.assertEqual([row["fault"] for row in missed], unlucky, f"logs in {self.results}")
        for fault in unlucky:
            print(f"{fault} again: its line loses packets by chance, and TCP's repeats of them too")
            [row] = self.run_lab(scenario, "--fault", fault)
            self.assertEqual(row["misses"], [], f"logs in {self.results}")
        shutil.rmtree(self.results)

    def run_lab(self, scenario: str, *arguments: str) -> list[dict[str, Any]]:
        """
        Run the laboratory.

        :returns: what it found for each fault.
        """
        argv = ["--scenario", scenario, *arguments]
        options = options_of(argv)
        if reason := obstacle(options):
            raise SkipTest(f"the fault laboratory cannot run here: {reason}")
        if lacking := lacking_for(SCENARIOS[scenario], options):
            raise SkipTest(f"scenario {scenario} cannot run here, not installed: {' '.join(lacking)}")
        self.results = Path(tempfile.mkdtemp(prefix="kwic-lab-"))
        done = subprocess.run(
            [sys.executable, "-m", "test.lab", *argv, "--results", str(self.results)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        said = done.stdout[-12000:] + done.stderr[-4000:]
        self.assertIn(done.returncode, (0, MISSED), f"logs in {self.results}\n{said}")
        if done.returncode:
            print(said)
        found: list[dict[str, Any]] = json.loads((self.results / scenario / "table.json").read_text())[
            "faults"
        ]
        return found
