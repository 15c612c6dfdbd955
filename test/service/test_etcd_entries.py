"""Tests of the table of entries."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.service.etcd_entries import ENTRIES_MAXIMUM, Entries
from kwic.wire.etcd_messages import Deleted, KeyValue, Snapshot, Written

PREFIX = b"/k/"
STAY_S = 5.0


class Recording:
    """What is told, and what is there by that."""

    def __init__(self) -> None:
        self.there: dict[str, bytes] = {}
        self.gone: list[str] = []

    def entry_written(self, name: str, value: bytes) -> None:
        self.there[name] = value

    def entry_gone(self, name: str) -> None:
        del self.there[name]
        self.gone.append(name)


def key_value(name: str, revision: int, value: bytes = b"v") -> KeyValue:
    return KeyValue(key=PREFIX + name.encode(), value=value, revision=revision)


def snapshot(revision: int, *entries: KeyValue, is_whole: bool = True) -> Snapshot:
    return Snapshot(revision=revision, entries=entries, is_whole=is_whole)


class EntriesTests(SynchronousTestCase):
    """The table."""

    def setUp(self) -> None:
        self.user = Recording()
        self.entries = Entries(PREFIX, "own", STAY_S, self.user)

    def test_snapshot_and_events(self) -> None:
        """What a snapshot has and what events say is there."""
        self.entries.adopt(snapshot(5, key_value("a", 2), key_value("b", 3)), 0.0)
        self.entries.heard(Written(entry=key_value("c", 6)))
        self.entries.heard(Deleted(key=b"/k/a", revision=7))
        self.entries.heard(Deleted(key=b"/k/never", revision=8))
        self.assertEqual((set(self.user.there), self.user.gone), ({"b", "c"}, ["a"]))
        self.assertIn("b", self.entries)
        self.assertNotIn("a", self.entries)

    def test_missed(self) -> None:
        """What a later snapshot lacks stays for a while, and for good when it comes back."""
        self.entries.adopt(snapshot(5, key_value("a", 2), key_value("b", 3), key_value("c", 4)), 0.0)
        self.entries.expire(100.0)
        self.entries.adopt(snapshot(9, key_value("c", 4)), 100.0)
        self.assertNotIn("a", self.entries)
        self.entries.heard(Written(entry=key_value("b", 10)))
        self.entries.expire(104.9)
        self.assertEqual(set(self.user.there), {"a", "b", "c"})
        self.entries.expire(105.0)
        self.assertEqual((set(self.user.there), self.user.gone), ({"b", "c"}, ["a"]))

    def test_missed_and_deleted(self) -> None:
        """What was missed and is then told to be gone goes at once."""
        self.entries.adopt(snapshot(5, key_value("a", 2)), 0.0)
        self.entries.adopt(snapshot(6), 1.0)
        self.entries.heard(Deleted(key=b"/k/a", revision=7))
        self.assertEqual(self.user.gone, ["a"])

    def test_agree(self) -> None:
        """A later snapshot agrees when all it has and lacks was told of, or is newer than it."""
        self.entries.adopt(snapshot(5, key_value("a", 2), key_value("b", 3)), 0.0)
        agrees = self.entries.agree_with
        self.assertTrue(agrees(snapshot(5, key_value("a", 2), key_value("b", 3))))
        self.assertFalse(agrees(snapshot(6, key_value("a", 6), key_value("b", 3))))
        self.assertFalse(agrees(snapshot(6, key_value("a", 2), key_value("b", 3), key_value("c", 6))))
        self.assertFalse(agrees(snapshot(6, key_value("a", 2))))
        self.assertTrue(agrees(snapshot(6, key_value("a", 2), is_whole=False)))
        self.entries.heard(Written(entry=key_value("c", 9)))
        self.assertTrue(agrees(snapshot(8, key_value("a", 2), key_value("b", 3))))
        self.entries.adopt(snapshot(10, key_value("a", 2), key_value("c", 9)), 1.0)
        self.assertTrue(agrees(snapshot(10, key_value("a", 2), key_value("c", 9))))

    def test_names(self) -> None:
        """What can be nobody's name is passed over."""
        for key in (b"/k/", b"/k/\xff", b"/k/a\nb", b"/other/a", b"", b"a"):
            self.entries.heard(Written(entry=KeyValue(key=key, value=b"v", revision=1)))
            self.entries.heard(Deleted(key=key, revision=2))
        self.assertEqual((self.user.there, self.user.gone), ({}, []))

    def test_bound(self) -> None:
        """So many entries are known and no more; one that goes makes room."""
        for number in range(ENTRIES_MAXIMUM + 10):
            self.entries.heard(Written(entry=key_value(f"n{number}", number + 1)))
        self.assertEqual(len(self.user.there), ENTRIES_MAXIMUM)
        self.entries.heard(Written(entry=key_value("own", 999)))
        self.assertIn("own", self.entries)
        self.entries.heard(Deleted(key=b"/k/own", revision=1000))
        self.entries.heard(Deleted(key=b"/k/n0", revision=1001))
        self.entries.heard(Written(entry=key_value("late", 1002)))
        self.assertIn("late", self.user.there)

    def test_clear(self) -> None:
        """Everything can be forgotten without a word."""
        self.entries.adopt(snapshot(5, key_value("a", 2)), 0.0)
        self.entries.clear()
        self.entries.adopt(snapshot(6), 1.0)
        self.entries.expire(100.0)
        self.assertEqual(self.user.gone, [])

    @settings(max_examples=300)
    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from(["on", "off"])), max_size=40
        )
    )
    def test_any_history(self, steps: list[tuple[str, bool, str]]) -> None:
        """Whatever happens, heard of or not, all is known some time after a session has begun."""
        user = Recording()
        entries = Entries(PREFIX, "own", STAY_S, user)
        truth: dict[str, KeyValue] = {}
        was_on, now_s = False, 0.0
        for revision, (name, is_written, state) in enumerate(steps, 1):
            now_s += 1.0
            if is_written:
                truth[name] = key_value(name, revision, b"%d" % revision)
                event: Written | Deleted = Written(entry=truth[name])
            else:
                truth.pop(name, None)
                event = Deleted(key=PREFIX + name.encode(), revision=revision)
            if state == "on" and was_on:
                entries.heard(event)
                entries.expire(now_s)
            elif state == "on":
                entries.adopt(snapshot(revision, *truth.values()), now_s)
            was_on = state == "on"
            if was_on:
                self.assertTrue(entries.agree_with(snapshot(revision, *truth.values())))
                self.assertLessEqual(
                    {(key, entry.value) for key, entry in truth.items()}, set(user.there.items())
                )
        entries.adopt(snapshot(1000, *truth.values()), now_s)
        entries.expire(now_s + STAY_S)
        self.assertEqual(user.there, {name: entry.value for name, entry in truth.items()})
