"""The short form of the fault laboratory, as CI runs it: real processes in network namespaces. Needs root."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from test.lab.__main__ import obstacle, options_of
from test.lab.machine import ROOT

LIMIT_S = 600


class ShortLabTests(SynchronousTestCase):
    """One fault for each promise."""

    def test_every_target_is_reached(self) -> None:
        """Killed, frozen, cut off, stopped, restarted behind a load balancer, on a bad line: no connect fails."""
        results = Path(tempfile.mkdtemp(prefix="kwic-lab-"))
        argv = ["--short", "--results", str(results)]
        if reason := obstacle(options_of(argv)):
            raise SkipTest(f"the fault laboratory cannot run here: {reason}")
        done = subprocess.run(
            [sys.executable, "-m", "test.lab", *argv],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        said = done.stdout[-12000:] + done.stderr[-4000:]
        self.assertEqual(done.returncode, 0, f"logs in {results}\n{said}")
        shutil.rmtree(results)
