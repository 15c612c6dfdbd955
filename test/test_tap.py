"""The command line of `twistd kwic`."""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from kwic.tap import Options


class OptionsTests(SynchronousTestCase):
    """What is said there, and what makes no sense."""

    def mistake(self, *words: str) -> str:
        """What is printed about a command line, without where the help is."""
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        self.assertEqual(self.assertRaises(SystemExit, Options().parseOptions, list(words)).code, 1)
        line, see = err.getvalue().splitlines()
        self.assertEqual(see, "see twistd kwic --help")
        return line

    def test_good(self) -> None:
        """Options are read, with what counts where nothing is said."""
        options = Options()
        options.parseOptions(["--config", "a.xml", "-D", "a=b", "--grace", "2.5"])
        self.assertEqual(
            (options["config"], options.defines, options["grace"], options["log-level"], options["admin"]),
            ("a.xml", {"a": "b"}, 2.5, "info", None),
        )

    def test_mistakes(self) -> None:
        """Each mistake is one line that names the word."""
        for words, line in (
            ((), "error: say which configuration file: --config FILE"),
            (("a.xml",), "error: 'a.xml' belongs to no option; write --config a.xml"),
            (
                ("--config", "a.xml", "b.xml"),
                "error: 'b.xml' belongs to no option; nothing more is expected here",
            ),
            (("--confg", "a.xml"), "error: option --confg not recognized"),
            (("--config", "a.xml", "-D", "a"), "error: -D a: write -D NAME=VALUE"),
            (("--config", "a.xml", "--grace", "soon"), "error: --grace soon: write a number of seconds"),
            (("--config", "a.xml", "--grace", "-1"), "error: --grace -1: write a number of seconds"),
            (
                ("--config", "a.xml", "--log-level", "loud"),
                "error: --log-level loud: write debug, info, warn or error",
            ),
        ):
            self.assertEqual(self.mistake(*words), line)
