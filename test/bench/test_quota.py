"""Parts of a core: the files that are written, and what happens where there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.errors import MeasureError
from bench.quota import Quota, missing


class QuotaTests(SynchronousTestCase):
    """Parts of a core for processes."""

    def test_a_part_is_a_part(self) -> None:
        """A process that would run all the time runs for its part of it; where that cannot be, it is said why."""
        reason = missing()
        if reason is not None:
            self.assertIn("control groups", reason)
            return
        busy = "import os, sys, time\nsys.stdin.read(1)\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
        with Quota(0.3) as quota:
            child = subprocess.Popen(
                [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            quota.give([child.pid])
            output, _ = child.communicate(b"x", timeout=30)
        self.assertLess(float(output), 0.6)
        self.assertEqual(list(Path("/sys/fs/cgroup").glob(f"**/kwic-bench-{child.pid}")), [])

    def test_no_groups(self) -> None:
        """Where there are no control groups, that is said."""
        empty = Path(self.mktemp())
        (empty / "cpu").mkdir(parents=True)
        if os.geteuid() == 0:
            self.assertIn("no control groups", missing(empty) or "")
        with Quota(0.5, empty) as quota, self.assertRaises(MeasureError):
            quota.give([os.getpid()])
        self.assertEqual(list(empty.glob("*/*")), [])
