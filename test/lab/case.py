"""One fault on its way: what is broken, what is healed, and when everything is whole again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf

from test.lab.feed import Feed
from test.lab.meter import Reading
from test.lab.verdict import Row, Window

HOLD_S = 7.0  # longer than silence may go unnoticed (5 s), so that what comes after is seen too
WHOLE_LIMIT_S = 30.0
POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One moment for the timeline."""

    at_s: float
    text: str


class Case:
    """One fault and its times.

    :param fault: its name.
    :param row: its targets.
    :param feed: the load.
    :param missing: what is not redundant now, in words.
    :param say: writes a progress line.
    """

    def __init__(
        self, fault: str, row: Row, feed: Feed, missing: Callable[[], list[str]], say: Callable[[str], None],
        hold_s: float = HOLD_S,
    ) -> None:  # fmt: skip
        self.fault = fault
        self.row = row
        self.feed = feed
        self.hold_s = hold_s
        self.start_s = time.monotonic()
        self.end_s = inf
        self.windows: list[Window] = []
        self.marks: list[Mark] = []
        self.notes: list[str] = []
        self.flaws: list[str] = []
        self.start_up_s: float | None = None
        self.other_work = 0.0
        self.used: dict[str, float] = {}
        self._missing = missing
        self._say = say

    def processors(self, before: Reading, after: Reading, names: Mapping[int, str]) -> None:
        """Note who used the processors meanwhile.

        :param names: process id → instance.
        """
        time_s = after.at_s - before.at_s
        self.other_work = after.other_work(before)
        self.used = {
            name: (after.ours_s.get(pid, 0.0) - before.ours_s.get(pid, 0.0)) / time_s
            for pid, name in names.items()
        }

    def mark(self, text: str) -> None:
        """Say what happens now."""
        self.marks.append(Mark(at_s=time.monotonic(), text=text))
        self._say(f"{self.fault}: {text}")

    @contextmanager
    def breaking(
        self,
        victims: Iterable[str],
        text: str,
        *,
        deaf: bool = True,
        orderly: bool = False,
        line: bool = False,
    ) -> Iterator[None]:
        """Around the deed.

        :param victims: the instances it is done to.
        :param text: what it is.
        :param deaf: whether the victims' listeners are not living meanwhile.
        :param orderly: whether it promises that nothing is cut.
        :param line: whether it is done to the line between the victims.
        """
        self.mark(text)
        begun = time.monotonic()
        yield
        self.windows.append(
            Window(victims=frozenset(victims), deaf=deaf, orderly=orderly, begun_s=begun, done_s=time.monotonic(),
                   healing_s=inf, returned_s=inf, line=line,)
        )  # fmt: skip

    def hold(self, seconds: float | None = None) -> None:
        """Let it be broken for a while."""
        time.sleep(self.hold_s if seconds is None else seconds)

    @contextmanager
    def healing(self, text: str) -> Iterator[None]:
        """Around the healing of what was broken last; it counts from its end."""
        self.mark(text)
        begun = time.monotonic()
        yield
        self.windows[-1] = replace(self.windows[-1], healing_s=begun, returned_s=time.monotonic())
        self.start_up_s = max(self.start_up_s or 0.0, time.monotonic() - begun)

    def whole(self) -> bool:
        """Wait for full redundancy after the last healing.

        :returns: whether it came.
        """
        window = self.windows[-1]
        limit = window.returned_s + WHOLE_LIMIT_S
        lacking: list[str] = []
        while time.monotonic() < limit:
            lacking = self._missing()
            served = self.feed.served_since(window.returned_s)
            deaf = [name for name in self.feed.targets if name not in served]
            if not lacking and not deaf:
                self.windows[-1] = replace(window, whole_s=max(time.monotonic(), *served.values()))
                self.mark(f"whole again after {self.windows[-1].whole_s - window.returned_s:.1f} s")
                return True
            lacking += [f"{name} does not serve" for name in deaf]
            time.sleep(POLL_S)
        self.mark(f"not whole after {WHOLE_LIMIT_S:g} s: {'; '.join(lacking)}")
        self.notes.append(f"lacking at the end: {'; '.join(lacking)}")
        return False
