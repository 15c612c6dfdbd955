"""What the demo says how to call it again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.folder import default_folder, scenarios_folder
from kwic.cli.demo.hint import hint


class HintTests(SynchronousTestCase):
    """The command line that is shown."""

    def called(self, program: str, **environ: str) -> None:
        """Pretend to have been called like this."""
        self.patch(sys, "argv", [program])
        self.patch(os, "environ", environ)

    def test_installed(self) -> None:
        """Whoever called the kwic command is shown the kwic command."""
        self.called("/usr/bin/kwic")
        self.assertEqual(hint("down", default_folder()), "kwic demo down")

    def test_make(self) -> None:
        """Whoever called make, which has no kwic command on the path, is shown make."""
        self.called("/src/kwic/cli/main.py", MAKELEVEL="1")
        self.assertEqual(hint("stop cloud1", default_folder()), 'make demo DEMO="stop cloud1"')

    def test_module(self) -> None:
        """Whoever ran the module is shown that."""
        self.called("/src/kwic/cli/main.py")
        self.assertEqual(hint("down", default_folder()), f"{sys.executable} -m kwic.cli.main demo down")

    def test_other_folder(self) -> None:
        """A folder that is not the usual one is part of the command."""
        self.called("kwic")
        self.assertEqual(hint("down", Path("/my demo")), "kwic demo --directory '/my demo' down")


class FolderTests(SynchronousTestCase):
    """Where things are."""

    def test_runtime_folder(self) -> None:
        """Where the system has a folder for what a user runs, the demo is there."""
        runtime = Path(self.mktemp())
        runtime.mkdir()
        self.patch(os, "environ", {"XDG_RUNTIME_DIR": str(runtime)})
        self.assertEqual(default_folder(), runtime / "kwic-demo")
        runtime.rmdir()
        self.assertIn(str(os.getuid()), default_folder().name)

    def test_scenarios(self) -> None:
        """The files that the demo runs are there."""
        for name in ("ha/cloud-config.xml", "ha/onprem-config.xml", "echo/server-config.xml"):
            self.assertTrue((scenarios_folder() / name).is_file(), name)
