"""What CI runs, with stand-ins for the programs that it calls. Starts processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

RUN = Path(__file__).parents[1] / ".ci" / "run"
TESTS = """
from twisted.trial.unittest import SynchronousTestCase

class Tests(SynchronousTestCase):
    def test_one(self):
        {}

    def test_other(self):
        pass
"""


class RunTests(SynchronousTestCase):
    """`make test` is a run of trial with two tests."""

    def run_ci(self, first_test: str) -> subprocess.CompletedProcess[str]:
        """:returns: how CI ends when the first test does this."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "test_both.py").write_text(TESTS.format(first_test))
        trial = f"cd {folder} && exec {sys.executable} -m twisted.trial test_both"
        for name, does in {
            "dpkg": "exit 0",
            "keytool": "exit 0",
            "make": f"[ $1 = test ] && {trial}",
        }.items():
            (folder / name).write_text(f"#!/bin/sh\n{does}\n")
            (folder / name).chmod(0o755)
        return subprocess.run(
            [RUN],
            env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def test_all_run(self) -> None:
        """When every test has passed, it has passed."""
        done = self.run_ci("pass")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("PASSED (successes=2)", done.stdout)

    def test_failure(self) -> None:
        """A test that fails is a failure, although its output goes through another program."""
        self.assertNotEqual(self.run_ci("self.fail()").returncode, 0)

    def test_skipped(self) -> None:
        """A test that was skipped is a failure; which one and why stands at the end."""
        done = self.run_ci("self.skipTest('there is no squid')")
        self.assertEqual(done.returncode, 1, done.stdout)
        end = done.stdout.partition("Nothing is to be skipped here:")[2]
        self.assertIn("there is no squid\n\ntest_both.Tests.test_one\n", end)
        self.assertNotIn("test_other", end)
