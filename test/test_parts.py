"""The parts in which all tests run."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import test.__main__ as parts
from test.__main__ import PARTS, ROOT, Part, everything, main

BOTH = """
from twisted.trial.unittest import SynchronousTestCase

class Tests(SynchronousTestCase):
    def test_good(self):
        pass

    def test_bad(self):
        self.fail("as it should")
"""


class PartTests(SynchronousTestCase):
    """What runs side by side."""

    def test_everything(self) -> None:
        """Each module with tests is in one part, and in one only."""
        modules = [module for part in PARTS.values() for module in part.modules]
        self.assertEqual(sorted(modules), [f"test.{name}" for name in everything()])
        files = {path.relative_to(ROOT).with_suffix("").parts[1] for path in ROOT.glob("test/**/test_*.py")}
        self.assertEqual(files, set(everything()))

    def run_parts(self, *names: str, **parts_of: Any) -> tuple[int, str]:
        """:returns: the exit status, and what was printed."""
        said = StringIO()
        self.patch(sys, "stdout", said)
        self.patch(parts, "PARTS", parts_of)
        status = main(names)
        return status, said.getvalue()

    def part(self, *tests: str) -> Part:
        """One of these tests, in a module of its own."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "both.py").write_text(BOTH)
        modules = [f"both.Tests.{test}" for test in tests]

        class Here(Part):
            modules = property(lambda part: modules)  # type: ignore[assignment]
            folder = property(lambda part: folder)  # type: ignore[assignment]

        return Here()

    def test_passed(self) -> None:
        """All is well when each part passed; what trial said of each is printed."""
        status, said = self.run_parts(good=self.part("test_good"), other=self.part("test_good"))
        self.assertEqual(status, 0, said)
        self.assertEqual(said.count("\nPASSED (successes=1)\n"), 2, said)
        self.assertIn("All parts passed.", said)

    def test_failed(self) -> None:
        """A part that fails is named at the end, and the others are run all the same."""
        status, said = self.run_parts(good=self.part("test_good"), bad=self.part("test_good", "test_bad"))
        self.assertEqual(status, 1)
        self.assertIn("\nPASSED (successes=1)\n", said)
        self.assertIn("as it should", said)
        self.assertTrue(said.endswith("Failed: bad\n"), said)

    def test_chosen(self) -> None:
        """Parts may be named; one that is not there is an error."""
        good, bad = self.part("test_good"), self.part("test_bad")
        status, said = self.run_parts("good", good=good, bad=bad)
        self.assertEqual(status, 0, said)
        status, said = self.run_parts("good", "best", good=good, bad=bad)
        self.assertEqual((status, said), (2, "There is no part best: good bad\n"))
