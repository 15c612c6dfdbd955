"""What is written."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import metrics
from bench import report as report_module
from bench.errors import SetupError
from bench.plots import HINT
from bench.publish import publish, replaced
from bench.report import Report, write
from bench.results import Failure, Results
from bench.section import Section
from bench.table import Table

RATE, _ = metrics.BULK["upload", 1]


class ReportTests(SynchronousTestCase):
    """Markdown, JSON, terminal."""

    def setUp(self) -> None:
        """A run with one failure and one experiment."""
        results = Results(titles={"kwic": "KWIC", "nginx": "nginx"}, c_relays=("nginx",))
        results.add("kwic", {RATE.key: 900.0})
        results.add("nginx", {RATE.key: 600.0})
        results.failures.append(Failure(pair="nginx", what="new connections", why="2 failed"))
        section = Section(
            title="100 connections",
            table=Table(headings=("connections", "MiB"), rows=(("100", "50.0"),)),
            verdict="flat",
            passed=True,
            data={"growth": 0.5},
        )
        self.report = Report(
            command="python -m bench",
            commit="abc",
            machine={"processor": "P"},
            versions={"nginx": "1.2"},
            results=results,
            sections=[section],
        )

    def test_markdown_has_everything(self) -> None:
        """Whoever reads it later finds the command, the commit, the machine, the versions, figures, targets, failures."""
        text = self.report.markdown(["bulk.png"])
        for wanted in (
            "python -m bench",
            "abc",
            "processor: P",
            "nginx: 1.2",
            "| up 1 stream, MB/s",
            "1.50 × nginx",
            "met, the stretch too",
            "nginx: new connections: 2 failed",
            "![bulk](bulk.png)",
            "## 100 connections",
            "passed: flat",
        ):
            self.assertIn(wanted, text)

    def test_terminal(self) -> None:
        """The terminal shows the figures, the targets, what failed and what passed."""
        text = self.report.terminal()
        for wanted in ("900", "1.50 × nginx", "FAILED nginx", "passed: flat"):
            self.assertIn(wanted, text)

    def test_files(self) -> None:
        """Each run has a folder of its own with both files, with or without pictures."""
        self.patch(report_module, "draw", self.no_matplotlib)
        now = dt.datetime(2031, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
        written = write(self.report, Path(self.mktemp()), now)
        folder = written.folder
        self.assertEqual(folder.name, "2031-02-03_040506")
        self.assertEqual((written.remark, written.pictures), (HINT, ()))
        self.assertEqual((folder / "report.md").read_text(encoding="utf-8"), self.report.markdown())
        found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        self.assertEqual(found["run"]["samples"]["kwic"], {RATE.key: [900.0]})
        self.assertEqual(found["experiments"][0]["growth"], 0.5)

    def test_publish(self) -> None:
        """A run takes the place of the last one on the page, between its marks, with its pictures beside the page."""
        page = Path(self.mktemp()) / "performance.md"
        page.parent.mkdir()
        page.write_text("before\n<!-- bench figures: begin -->\nold\n<!-- bench figures: end -->\nafter\n")
        picture = page.parent / "bulk.png"
        picture.write_bytes(b"png")
        for _ in range(2):
            publish(self.report, [picture], page)
        text = page.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("before\n<!-- bench figures: begin -->\n\n`python -m bench`"))
        self.assertTrue(text.endswith("<!-- bench figures: end -->\nafter\n"))
        self.assertNotIn("old", text)
        self.assertEqual(text.count("### Figures"), 1)
        self.assertIn("(img/performance-bulk.png)", text)
        self.assertEqual((page.parent / "img" / "performance-bulk.png").read_bytes(), b"png")

    def test_publish_experiments(self) -> None:
        """Each experiment goes to its own region, and regions of others stay as they are."""
        page = Path(self.mktemp()) / "performance.md"
        page.parent.mkdir()
        regions = ("experiments", "path", "figures")
        page.write_text(
            "".join(f"<!-- bench {name}: begin -->old<!-- bench {name}: end -->\n" for name in regions)
        )
        sections = [
            Section(title=name, table=Table(headings=("a",), rows=()), verdict="v", passed=True, region=name)
            for name in regions[:2]
        ]
        publish(replace(self.report, results=None, sections=sections), [], page)
        text = page.read_text(encoding="utf-8")
        self.assertEqual([text.count(f"### {name}") for name in regions], [1, 1, 0])
        self.assertEqual(text.count("old"), 1)

    def test_page_without_marks(self) -> None:
        """A page that has no place for them is left alone."""
        with self.assertRaisesRegex(SetupError, "0 regions"):
            replaced("text", "figures", "body")

    def no_matplotlib(self, results: Results, folder: Path) -> list[Path]:
        raise ImportError
