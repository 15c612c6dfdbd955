"""What a fault did to the load: which connections count, and whether the targets were met. Pure: no clock, no network.

A connection counts as on a *living* listener when its instance was neither broken nor coming back while it lasted. What counts
apart, and is reported apart:

- *own*: made to the broken instance itself while it was broken (for an orderly stop: after it was told to stop);
- *in flight*: begun before a sudden fault was complete and not finished by then. Its bytes may already have been handed to the
  instance that died, and streams die with the process that holds their TCP end. Nothing begun later is excused;
- *returning*: made to an instance that is back, but before everything is redundant again. Refused is not yet back; accepted and
  then not served is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

from test.lab.load import CLOSED, OK, REFUSED, RESET, SHED, SILENT, UNANSWERED, UNREACHABLE, WRONG

LONGEST = 5  # of the longest stalls are told one by one
NOT_ACCEPTED = {REFUSED, UNREACHABLE, UNANSWERED}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One new connection: its target instance, when it began, how long until the echo, how it ended."""

    target: str
    start_s: float
    stall_s: float
    outcome: str
    exit: str = ""
    lag_s: float = 0.0

    @property
    def end_s(self) -> float:
        return self.start_s + self.stall_s


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One long stream: its target instance, its life, how it ended, and the instance that reached the back end."""

    target: str
    start_s: float
    end_s: float
    outcome: str
    exit: str = ""
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, kw_only=True)
class Window:
    """One time that something was broken.

    :param victims: the instances it was done to.
    :param deaf: whether their listeners are not living meanwhile.
    :param orderly: what promises that nothing is cut: an orderly stop, or an impairment.
    :param line: done to the line between the victims: a tunnel on it may be given up, and the streams in it.
    :param begun_s: just before it was done.
    :param done_s: just after it was done.
    :param healing_s: just before it was healed.
    :param returned_s: healed; a restarted instance accepts again.
    :param whole_s: full redundancy; inf when it was not reached.
    """

    victims: frozenset[str]
    deaf: bool
    orderly: bool
    begun_s: float
    done_s: float
    healing_s: float
    returned_s: float
    whole_s: float = inf
    line: bool = False

    def touches(self, stream: Stream) -> bool:
        """Whether a stream had to do with it."""
        overlaps = stream.start_s < self.whole_s and stream.end_s > self.begun_s
        ends = {stream.target, stream.exit}
        return overlaps and (ends <= self.victims if self.line else bool(self.victims & ends))


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures that a kind of fault must reach.

    :param title: the fault in the words of the table.
    :param stall_s: the longest stall of a new connection; None: no figure is promised.
    :param whole_s: the longest time from an instance's return to full redundancy.
    :param grace_s: for how long after its return an instance's own listener may still fail.
    """

    title: str
    stall_s: float | None
    whole_s: float | None = 3.0
    grace_s: float = 0.0


@dataclass(kw_only=True)
class Verdict:
    """The figures of one fault."""

    fault: str
    row: Row
    connects: int = 0
    failed: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    stall_s: float = 0.0
    typical_s: float = 0.0
    direct_s: float = 0.0
    in_flight: int = 0
    in_flight_failed: int = 0
    own: int = 0
    own_failed: int = 0
    returning: int = 0
    returning_failed: int = 0
    returning_stall_s: float = 0.0
    streams: int = 0
    streams_whole: int = 0
    streams_cut: int = 0
    streams_cut_unexplained: int = 0
    wrong: int = 0
    whole_s: float | None = None
    start_up_s: float | None = None
    lag_s: float = 0.0
    other_work: float = 0.0
    processors: dict[str, float] = field(default_factory=dict)
    longest: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)

    def misses(self) -> list[str]:
        """Every target that was missed, in words."""
        row, found = self.row, list(self.flaws)
        if self.connects == 0:
            found.append("no connection was made")
        if self.failed:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
            found.append(f"{self.failed} failed connects ({kinds})")
        if self.returning_failed:
            found.append(f"{self.returning_failed} failed connects on the listener that came back")
        # what a connection that bypasses the gateway had to wait meanwhile is not the gateway's
        if row.stall_s is not None and self.stall_s > row.stall_s + self.direct_s:
            direct = f" (direct connections: {self.direct_s:.2f} s)"
            found.append(f"longest stall {self.stall_s:.2f} s, more than {row.stall_s:g} s{direct}")
        if self.wrong:
            found.append(f"{self.wrong} connections with wrong, lost or repeated bytes")
        if self.streams_cut_unexplained:
            found.append(f"{self.streams_cut_unexplained} streams cut without need")
        if row.whole_s is not None and (self.whole_s is None or self.whole_s > row.whole_s):
            said = "not reached" if self.whole_s is None else f"after {self.whole_s:.1f} s"
            found.append(f"full redundancy {said}, promised within {row.whole_s:g} s")
        return found


def kind_of(probe: Probe, windows: Sequence[Window], grace_s: float = 0.0) -> str:
    """How a connection counts.

    :param probe: the connection.
    :param windows: the times that something was broken.
    :param grace_s: see :class:`Row`.
    :returns: ``living``, ``own``, ``in flight``, ``returning`` or ``grace``.
    """
    for window in windows:
        mine = window.deaf and probe.target in window.victims
        if window.orderly:
            if mine and window.begun_s <= probe.start_s < window.returned_s:
                return "own"
        elif mine and probe.start_s < window.returned_s and probe.end_s > window.begun_s:
            return "own"
        elif probe.start_s < window.done_s and probe.end_s > window.begun_s:
            return "in flight"
        if mine and window.returned_s <= probe.start_s < max(window.whole_s, window.returned_s + grace_s):
            return "grace" if probe.start_s < window.returned_s + grace_s else "returning"
    return "living"


def judge(
    fault: str, row: Row, probes: Iterable[Probe], streams: Iterable[Stream], windows: Sequence[Window],
    earlier: Sequence[Window] = (),
) -> Verdict:  # fmt: skip
    """Count what a fault did.

    :param fault: its name.
    :param row: its targets.
    :param probes: all connections of its time.
    :param streams: all streams of its time.
    :param windows: when what was broken.
    :param earlier: those of the faults before: what they broke may come to light only now.
    """
    verdict = Verdict(fault=fault, row=row)
    everything = [*earlier, *windows]
    probes = list(probes)
    stalls: list[float] = []
    for probe in probes:
        verdict.lag_s = max(verdict.lag_s, probe.lag_s)
        verdict.wrong += probe.outcome == WRONG
        count(verdict, probe, kind_of(probe, everything, row.grace_s), stalls)
    living = [probe for probe in probes if kind_of(probe, everything, row.grace_s) == "living"]
    for probe in sorted(living, key=lambda probe: -probe.stall_s)[:LONGEST]:
        at_s = probe.start_s - (windows[0].begun_s if windows else living[0].start_s)
        verdict.longest.append(
            f"{probe.stall_s:.2f} s at {at_s:+.2f} s to {probe.target} through {probe.exit or '?'}"
        )
    if stalls:
        verdict.typical_s = sorted(stalls)[len(stalls) // 2]
        verdict.stall_s = max(stalls)
    for stream in streams:
        count_stream(verdict, stream, everything)
    if served := sum(served_while_broken(probe, windows) for probe in probes):
        verdict.flaws.append(f"the fault did not take hold: the broken instance served {served} connections")
    if windows and all(window.whole_s < inf for window in windows):
        verdict.whole_s = max(window.whole_s - window.returned_s for window in windows)
    return verdict


def served_while_broken(probe: Probe, windows: Sequence[Window]) -> bool:
    """Whether an instance served somebody when it could not: then the laboratory itself is at fault."""
    return any(
        window.deaf
        and not window.orderly
        and probe.target in window.victims
        and probe.outcome == OK
        and window.done_s <= probe.start_s
        and probe.end_s < window.healing_s
        for window in windows
    )


def count(verdict: Verdict, probe: Probe, kind: str, stalls: list[float]) -> None:
    """Add one connection."""
    bad = probe.outcome != OK
    if kind == "living":
        verdict.connects += 1
        stalls.append(probe.stall_s)
        if bad:
            verdict.failed += 1
            verdict.kinds[probe.outcome] = verdict.kinds.get(probe.outcome, 0) + 1
            say(
                verdict, f"{probe.target}: {probe.outcome} at {probe.start_s:.3f} after {probe.stall_s:.3f} s"
            )
    elif kind == "in flight":
        verdict.in_flight += 1
        verdict.in_flight_failed += bad
    elif kind == "returning":
        verdict.returning += 1
        verdict.returning_stall_s = max(verdict.returning_stall_s, probe.stall_s)
        if bad and probe.outcome not in NOT_ACCEPTED:
            verdict.returning_failed += 1
            say(
                verdict,
                f"{probe.target} (back): {probe.outcome} at {probe.start_s:.3f} after {probe.stall_s:.3f} s",
            )
    else:
        verdict.own += 1
        verdict.own_failed += bad


def count_stream(verdict: Verdict, stream: Stream, windows: Sequence[Window]) -> None:
    """Add one stream."""
    if stream.outcome in NOT_ACCEPTED | {SHED}:
        return
    verdict.streams += 1
    touching = [window for window in windows if window.touches(stream)]
    # the kernel ends the connections of a process that was killed with FIN: only then is an early end not a lie
    entry_died = any(
        window.deaf and not window.orderly and stream.target in window.victims for window in touching
    )
    if stream.outcome == OK:
        verdict.streams_whole += 1
    elif stream.outcome == WRONG or (stream.outcome == CLOSED and not entry_died):
        verdict.wrong += 1
        say(verdict, f"{stream.target} stream to {stream.exit or '?'}: {stream.outcome} at byte {stream.received} of {stream.sent}, "
                     f"begun {stream.start_s:.3f}, ended {stream.end_s:.3f}")  # fmt: skip
    elif excused(stream, windows, touching):
        verdict.streams_cut += 1
    else:
        verdict.streams_cut_unexplained += 1
        say(verdict, f"{stream.target} stream to {stream.exit or '?'}: {stream.outcome}, begun {stream.start_s:.3f}, "
                     f"ended {stream.end_s:.3f}")  # fmt: skip


def excused(stream: Stream, windows: Sequence[Window], touching: Sequence[Window]) -> bool:
    """Whether a stream had to die: a sudden fault at an end of it, or one that was there before it knew its far end."""
    if stream.exit:
        return any(not window.orderly or window.line for window in touching) or any(
            window.orderly and stream.target in window.victims and stream.start_s >= window.begun_s
            for window in touching
        )
    return any(stream.start_s < window.whole_s and stream.end_s > window.begun_s for window in windows)


def say(verdict: Verdict, text: str) -> None:
    """Keep the first few failures in words."""
    if len(verdict.examples) < 12:
        verdict.examples.append(text)


__all__ = ["RESET", "SILENT", "Probe", "Row", "Stream", "Verdict", "Window", "judge", "kind_of"]
