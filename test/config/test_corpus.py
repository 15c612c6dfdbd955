"""The files of the corpora: those an operator may write, and those nobody should get away with."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import GatewayConfig
from kwic.config.options import OPTIONS, canonical_name
from kwic.config.problem import ConfigError, Problem
from kwic.config.reader import read_text
from kwic.config.service_types import TYPES

VALID = sorted((Path(__file__).parent / "valid").glob("*.xml"))
INVALID = sorted((Path(__file__).parent / "invalid").glob("*.xml"))

_EXPECTATION = re.compile(r"<!-- expect: (.*) -->\n")


def read_file(path: Path) -> GatewayConfig:
    """Reads a file, its expectations left out, as if nothing were known but the file."""
    data = re.sub(_EXPECTATION.pattern.encode(), b"", path.read_bytes())
    return read_text(data, path.name)


def expected(path: Path) -> list[str]:
    """What a file says at its end is to be said about it."""
    return _EXPECTATION.findall(path.read_bytes().decode("utf-8", "replace"))


def said(path: Path, problems: tuple[Problem, ...]) -> list[str]:
    """What is said about a file, without repeating its name."""
    return [problem.render().removeprefix(f"{path.name}:") for problem in problems]


class CorpusTests(SynchronousTestCase):
    """Every file of both corpora."""

    maxDiff = None

    def test_valid_files_are_read(self) -> None:
        """A valid file gives a configuration, and the warnings it names at its end, no others."""
        self.assertGreaterEqual(len(VALID), 35)
        for path in VALID:
            self.assertEqual(said(path, read_file(path).warnings), expected(path), path.name)

    def test_invalid_files_are_refused(self) -> None:
        """An invalid file gives every problem it names at its end, in order, and no others."""
        self.assertGreaterEqual(len(INVALID), 80)
        for path in INVALID:
            self.assertTrue(any("error: " in line for line in expected(path)), path.name)
            problems = self.assertRaises(ConfigError, read_file, path).problems
            self.assertEqual(said(path, problems), expected(path), path.name)

    def test_every_option_is_there(self) -> None:
        """The valid corpus has each option, type and property of the tables at least once."""
        text = "".join(path.read_bytes().decode("utf-8", "replace") for path in VALID)
        written = {canonical_name(name) for name in re.findall(r"<([a-z0-9.-]+)>", text)}
        properties = {name for kind in TYPES.values() for name in kind.properties}
        self.assertLessEqual(set(OPTIONS), written)
        self.assertLessEqual(properties - {"repeat"}, written)
