"""
The entries of the members as etcd told of them last: what a snapshot and the events after it say, and what stays for a while when a snapshot does not have it.

    1. A session with etcd begins with a snapshot. Entries that it has are there, as it has them.
    2. Entries that were known before and that it lacks are *missed*: they stay for as long as a lease lasts. When etcd itself was gone, their owners are on
       their way back, too; when it has lost its data, they have yet to enter themselves again.
    3. Afterwards every event counts at once.
    4. While there is no session, nothing changes.
"""

from __future__ import annotations

from typing import Protocol as Interface

from twisted.logger import Logger

from kwic.wire.etcd_messages import Deleted, KeyValue, Snapshot, Written

#: Entries that are known, far more than a cluster has members.
ENTRIES_MAXIMUM = 256


class EntriesUser(Interface):
    """Whoever wants to know."""

    def entry_written(self, name: str, value: bytes) -> None:
        """An entry is there; perhaps as before. Ours, too."""

    def entry_gone(self, name: str) -> None:
        """An entry is there no more."""


class Entries:
    """
    What is known.

    :param prefix: what the keys of all entries begin with; what follows is an entry's name.
    :param own: the name of our own entry, for which there is always room.
    :param stay_s: how long entries stay that are missed.
    :param user: whoever wants to know.
    """

    log = Logger()

    def __init__(self, prefix: bytes, own: str, stay_s: float, user: EntriesUser) -> None:
        self._prefix = prefix
        self._own = own
        self._stay_s = stay_s
        self._user = user
        #: The revision of each entry.
        self._known: dict[str, int] = {}
        #: When those that are missed go.
        self._missed: dict[str, float] = {}
        self._complained = False

    def __contains__(self, name: str) -> bool:
        return name in self._known and name not in self._missed

    def adopt(self, snapshot: Snapshot, now_s: float) -> None:
        """A session begins with this."""
        named = self._named(snapshot.entries)
        for name in self._known:
            if name not in named:
                self._missed[name] = now_s + self._stay_s
        for name, entry in named.items():
            self._write(name, entry)
        if not snapshot.is_whole:
            self._complain()

    def heard(self, event: Written | Deleted) -> None:
        """Something happened."""
        if isinstance(event, Written):
            for name, entry in self._named([event.entry]).items():
                self._write(name, entry)
        else:
            self._drop(self._name(event.key))

    def expire(self, now_s: float) -> None:
        """Let go of those that were missed for long enough."""
        for name in [name for name, until_s in self._missed.items() if until_s <= now_s]:
            self._drop(name)

    def agree_with(self, snapshot: Snapshot) -> bool:
        """Whether a later snapshot holds nothing that should have been heard of before."""
        if not snapshot.is_whole:
            return True
        there = {name: entry.revision for name, entry in self._named(snapshot.entries).items()}
        told_of = all(self._known.get(name, -1) >= revision for name, revision in there.items())
        gone = [name for name in self._known if name not in there and name not in self._missed]
        return told_of and all(self._known[name] > snapshot.revision for name in gone)

    def clear(self) -> None:
        """Forget all, without a word."""
        self._known.clear()
        self._missed.clear()

    def _name(self, key: bytes) -> str:
        """What follows the prefix; empty when that can be nobody's name."""
        name = key.removeprefix(self._prefix).decode("ascii", "replace")
        return name if key.startswith(self._prefix) and name.isascii() and name.isprintable() else ""

    def _named(self, entries: tuple[KeyValue, ...] | list[KeyValue]) -> dict[str, KeyValue]:
        named = {self._name(entry.key): entry for entry in entries}
        named.pop("", None)
        return named

    def _write(self, name: str, entry: KeyValue) -> None:
        if name not in self._known and len(self._known) >= ENTRIES_MAXIMUM and name != self._own:
            self._complain()
            return
        self._known[name] = entry.revision
        self._missed.pop(name, None)
        self._user.entry_written(name, entry.value)

    def _drop(self, name: str) -> None:
        self._missed.pop(name, None)
        if self._known.pop(name, None) is not None:
            self._user.entry_gone(name)

    def _complain(self) -> None:
        """Say once that somebody fills the register."""
        if not self._complained:
            self._complained = True
            self.log.error(
                "cluster: there are more than {count} entries below {prefix} in etcd; the others are not looked at",
                count=ENTRIES_MAXIMUM,
                prefix=self._prefix.decode("ascii", "replace"),
            )
