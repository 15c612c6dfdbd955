"""The `kwic` command itself: verbs, versions and endings."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from kwic import __version__
from kwic.cli import status
from kwic.cli.main import VERBS, main
from test.cli.files import FilesTestCase
from test.config.test_etc import ETC
from test.config.text import echo


class MainTests(SynchronousTestCase):
    """`main`"""

    def type(self, *words: str) -> tuple[object, str, str]:
        """:returns: exit status, standard output, standard error."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return self.assertRaises(SystemExit, main, list(words)).code, out.getvalue(), err.getvalue()

    def test_help(self) -> None:
        """Every verb has its line; without any verb that is a mistake."""
        for words, status_ in ((("--help",), 0), (("help",), 0), ((), 2)):
            code, out, _ = self.type(*words)
            self.assertEqual(code, status_)
            for verb, text in VERBS.items():
                self.assertRegex(out, rf"\n  kwic {verb} +{text[:20]}")

    def test_version(self) -> None:
        """The version of the command."""
        self.assertEqual(self.type("--version"), (0, f"kwic {__version__}\n", ""))

    def test_actions_of_the_demo(self) -> None:
        """Those of `kwic demo` have a help of their own."""
        for action in ("stop", "start", "status", "down"):
            code, out, _ = self.type("demo", action, "--help")
            self.assertEqual(code, 0)
            self.assertTrue(out.startswith(f"kwic demo {action}"), out)
            self.assertIn("Options:", out)

    def test_unknown_verb(self) -> None:
        """A verb that there is not is told, with those that there are."""
        code, _, err = self.type("chekc")
        self.assertEqual(code, 2)
        self.assertIn("there is no 'chekc'; there are: demo, check", err)

    def test_interrupted(self) -> None:
        """Ctrl-C ends a verb as a shell expects."""
        with mock.patch.object(status, "run", side_effect=KeyboardInterrupt):
            self.assertEqual(self.type("status", "8900")[0], 130)

    def test_every_verb_teaches(self) -> None:
        """The help of each verb has a synopsis, a text, options and examples, and its version is ours."""
        for name in VERBS:
            self.assertEqual(self.type(name, "--version"), (0, f"KWIC {__version__}\n", ""))
            code, out, _ = self.type(name, "--help")
            self.assertEqual(code, 0)
            self.assertTrue(out.startswith(f"kwic {name} "), out)
            for part in ("Exit status: 0", "Options:", f"\n  kwic {name} ", "\n  # "):
                self.assertIn(part, out)


class ProcessTests(FilesTestCase):
    """As a process."""

    def test_reader_that_has_seen_enough(self) -> None:
        """A reader that goes away ends a verb without a word."""
        path = self.write("a.xml", *(echo(f"tcp://127.0.0.1:{port}", f"E{port}") for port in range(1, 900)))
        self.read_and_leave(100, "explain", str(Path(path).resolve()))

    def test_reader_that_is_not_there(self) -> None:
        """So does one that is gone before the first line, whatever was to be said."""
        for words in (("--help",), ("--version",), ("check", "--help"), ("status", "--version")):
            self.read_and_leave(0, *words)

    def read_and_leave(self, count: int, *words: str) -> None:
        """Read so many bytes of what the command says, and go away."""
        command = [sys.executable, "-m", "kwic.cli.main", *words]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ETC.parent, env={"PYTHONUTF8": "1"}
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(count)
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"", words)
            self.assertEqual(process.wait(60), 141, words)
