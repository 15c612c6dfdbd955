"""What /proc tells."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from bench import proc
from bench.proc import Stat, family, parse_anonymous, parse_stat

LINE = (
    "4711 (a (b) c) S 12 4711 4711 0 -1 4194304 500 0 0 0 70 30 5 7 20 0 1 0 123456 10000000 250 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
)


def stat(pid: int, parent: int) -> Stat:
    return Stat(pid=pid, parent=parent, cpu_ticks=1, waited_ticks=0, started_ticks=0, is_zombie=False)


class ParseStatTests(SynchronousTestCase):
    """/proc/PID/stat."""

    def test_name_with_brackets(self) -> None:
        """A program may call itself anything, the figures are still found."""
        found = parse_stat(LINE)
        self.assertEqual((found.pid, found.parent, found.started_ticks), (4711, 12, 123456))

    def test_children_count(self) -> None:
        """CPU time is user and system time, of the process and of the children it waited for."""
        found = parse_stat(LINE)
        self.assertEqual((found.cpu_ticks, found.waited_ticks), (70 + 30, 5 + 7))

    def test_zombie(self) -> None:
        """A process that ended and was not waited for is known as such."""
        self.assertFalse(parse_stat(LINE).is_zombie)
        self.assertTrue(parse_stat(LINE.replace(") S ", ") Z ")).is_zombie)

    def test_garbage(self) -> None:
        """Anything else is refused."""
        for text in ("", "12", "12 (x) S 1 2 3"):
            with self.assertRaises(ValueError):
                parse_stat(text)

    def test_ourselves(self) -> None:
        """The real file of a real process can be read."""
        found = proc.all_stats()[os.getpid()]
        self.assertEqual(found.parent, os.getppid())
        self.assertGreater(proc.rss_bytes([found]), 1_000_000)
        self.assertApproximates(proc.cpu_s([found]), sum(os.times()[:4]), 0.5)
        self.assertGreater(proc.anonymous_bytes([found]), 1_000_000)


class CpuTests(SynchronousTestCase):
    """CPU time of processes."""

    def test_gone(self) -> None:
        """A process that is gone has used what its last line said, and what its children used."""
        gone = Stat(
            pid=2**22 + 1,
            parent=1,
            cpu_ticks=proc.TICKS_PER_S,
            waited_ticks=2 * proc.TICKS_PER_S,
            started_ticks=0,
            is_zombie=True,
        )
        self.assertEqual(proc.cpu_s([gone]), 3.0)


class FamilyTests(SynchronousTestCase):
    """Who belongs to a program."""

    def test_all_below(self) -> None:
        """Children and grandchildren belong to it, strangers do not."""
        stats = {member.pid: member for member in (stat(10, 1), stat(11, 10), stat(12, 11), stat(20, 1))}
        self.assertEqual([member.pid for member in family(10, stats)], [10, 11, 12])

    def test_gone(self) -> None:
        """A process that is gone has no family."""
        self.assertEqual(family(10, {20: stat(20, 1)}), [])


class AnonymousTests(SynchronousTestCase):
    """/proc/PID/smaps_rollup."""

    def test_kilobytes(self) -> None:
        """The kernel counts in KiB."""
        text = "Rss:       900 kB\nPss:     700 kB\nPss_Anon:             144 kB\n"
        self.assertEqual(parse_anonymous(text), 144 * 1024)

    def test_old_kernel(self) -> None:
        """A kernel that does not tell is not guessed at."""
        self.assertIsNone(parse_anonymous("Rss: 900 kB\nPss: 700 kB\n"))
