"""Two commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import compare, metrics
from bench.errors import SetupError
from bench.instructions import parse_count
from bench.results import Results
from bench.worktree import checked_out, resolve

RATE, CPU = metrics.BULK["upload", 1]


def samples(metric: metrics.Metric, base: list[float], head: list[float]) -> Results:
    found = Results(titles={"base": "base", "head": "head"})
    for key, values in (("base", base), ("head", head)):
        for value in values:
            found.add(key, {metric.key: value})
    return found


class JudgeTests(SynchronousTestCase):
    """What the ratios say."""

    def judge(self, results: Results) -> tuple[tuple[tuple[str, ...], ...], list[str]]:
        table, worse = compare.judge(results, ("main (1234)", "working tree"), {CPU.key}, 0.05)
        return table.rows, [metric.key for metric in worse]

    def test_slow_rounds_hit_both(self) -> None:
        """A machine that is three times slower in some rounds does not hide a steady difference."""
        rows, worse = self.judge(samples(CPU, [2.0, 6.0, 2.0, 4.0], [2.4, 7.2, 2.4, 4.8]))
        self.assertEqual(worse, [CPU.key])
        self.assertEqual(rows[0][3:], ("1.200 × ±0.000", "WORSE", "decides"))

    def test_same(self) -> None:
        """Figures that differ by noise only fail nothing."""
        rows, worse = self.judge(samples(CPU, [2.0, 2.1, 1.9, 2.0], [2.1, 2.0, 2.0, 1.9]))
        self.assertEqual(worse, [])
        self.assertEqual(rows[0][4], "no change beyond noise")

    def test_rates_only_inform(self) -> None:
        """A rate that fell is shown, but what decides is the work done."""
        rows, worse = self.judge(samples(RATE, [100.0, 101.0, 100.0], [50.0, 50.5, 50.0]))
        self.assertEqual(worse, [])
        self.assertEqual(rows[0][4:], ("WORSE", ""))


class CountTests(SynchronousTestCase):
    """`perf stat -x ,`."""

    def test_value(self) -> None:
        """The count is the first field of the event's line."""
        text = "# started on Mon\n\n12345678,,instructions:u,1000,100.00,1.5,insn per cycle\n"
        self.assertEqual(parse_count(text), 12345678.0)
        self.assertEqual(parse_count("552.05,msec,task-clock,5,100.00,0.9,CPUs", "task-clock"), 552.05)

    def test_not_supported(self) -> None:
        """A machine without counters has no count, rather than zero."""
        for text in (
            "<not supported>,,instructions,0,100.00,,\n",
            "<not counted>,,instructions,0,0,,\n",
            "",
            "x",
        ):
            self.assertIsNone(parse_count(text))


class WorktreeTests(SynchronousTestCase):
    """Another commit, laid out (a real git in a folder of its own)."""

    def setUp(self) -> None:
        """A repository with two commits."""
        self.root = Path(self.mktemp())
        self.root.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        for text in ("old", "new"):
            (self.root / "file").write_text(text)
            self.git("add", "file")
            self.git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", text)

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.root), *arguments], check=True, capture_output=True, text=True
        ).stdout

    def test_lays_out_and_removes(self) -> None:
        """The old commit is there as long as the block runs; afterwards git knows nothing of it, and ours is untouched."""
        folder = self.root.parent / "old"
        with checked_out(self.root, resolve(self.root, "HEAD~1"), folder) as laid_out:
            self.assertEqual((laid_out / "file").read_text(), "old")
        self.assertFalse(folder.exists())
        self.assertEqual(len(self.git("worktree", "list").splitlines()), 1)
        self.assertEqual((self.root / "file").read_text(), "new")

    def test_no_such_commit(self) -> None:
        """A name that git does not know is said, as is one that looks like an option."""
        for name in ("nonsense", "--all", ""):
            with self.assertRaises(SetupError):
                resolve(self.root, name)
