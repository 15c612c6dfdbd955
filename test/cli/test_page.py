"""docs/cli.md says what the command says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

from kwic.cli import explain, status
from kwic.cli.main import main
from test.cli.files import FilesTestCase
from test.cli.test_status import STATUS
from test.config.test_etc import ETC

ROOT = ETC.parent
PAGE = ROOT / "docs" / "cli.md"
DRAWING = ROOT / "docs" / "img" / "explain-ha.svg"
REST = "…"
"""A line of the page that stands for more."""
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
WRITE = os.environ.get("KWIC_GOLDEN")
"""Set it to write the outputs into the page anew."""


class PageTests(FilesTestCase):
    """The commands of the page, typed one after the other."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(status, "ask", lambda address: STATUS)
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        self.srv = self.folder.absolute()
        os.chdir(ROOT)

    def run_line(self, line: str) -> str:
        """:returns: what the commands of a line print."""
        out = io.StringIO()
        for command in line.split(" && "):
            words = [word.replace("/srv/", f"{self.srv}/") for word in shlex.split(command)]
            self.assertEqual(words[0], "kwic")
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(out),
                contextlib.suppress(SystemExit),
            ):
                main(words[1:])
        return out.getvalue().replace(f"{self.srv}/", "/srv/")

    def test_console(self) -> None:
        """Each command prints what stands below it."""

        def typed(match: re.Match[str]) -> str:
            line, wanted = match.groups()
            out = self.run_line(line)
            return match[0] if wanted == f"{REST}\n" else f"$ {line}\n{out}"

        def block(match: re.Match[str]) -> str:
            return f"```console\n{_COMMAND.sub(typed, match[1])}```"

        page = PAGE.read_text(encoding="utf-8")
        self.assertGreaterEqual(len(_BLOCK.findall(page)), 5)
        now = _BLOCK.sub(block, page)
        if WRITE:
            PAGE.write_text(now, encoding="utf-8")
        self.assertEqual(now, page if not WRITE else now)

    def test_drawing(self) -> None:
        """The drawing of the page is the one that its command draws."""
        page = PAGE.read_text(encoding="utf-8")
        (command,) = re.findall(
            r"^kwic explain (.*?) > docs/img/explain-ha\.svg$", page, re.MULTILINE | re.DOTALL
        )
        code, out, _ = self.type(explain, *shlex.split(command.replace("\\\n", " ")))
        self.assertEqual(code, 0)
        if WRITE:
            DRAWING.write_text(out, encoding="ascii")
        self.assertEqual(DRAWING.read_text(encoding="ascii"), out)
