"""What counts against a fault, and what does not."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from test.lab.load import CLOSED, OK, REFUSED, RESET, SILENT, WRONG
from test.lab.verdict import Probe, Row, Stream, Verdict, Window, judge, kind_of

ROW = Row(title="a fault", stall_s=0.5)


def window(
    *, deaf: bool = True, orderly: bool = False, whole_s: float = 22.0, victims: str = "cloud1"
) -> Window:
    """Broken from 10 to 20, complete at 10.1."""
    return Window(
        victims=frozenset(victims.split()),
        deaf=deaf,
        orderly=orderly,
        begun_s=10.0,
        done_s=10.1,
        healing_s=19.9,
        returned_s=20.0,
        whole_s=whole_s,
    )


def probe(start_s: float, outcome: str = OK, target: str = "cloud2", stall_s: float = 0.01) -> Probe:
    """One connection."""
    return Probe(target=target, start_s=start_s, stall_s=stall_s, outcome=outcome)


def stream(
    start_s: float, end_s: float, outcome: str, target: str = "cloud2", far: str = "onprem2"
) -> Stream:
    """One stream."""
    return Stream(target=target, start_s=start_s, end_s=end_s, outcome=outcome, exit=far)


def verdict(probes: list[Probe], streams: list[Stream] | None = None, **more: object) -> Verdict:
    """What is found with one window."""
    return judge("kill", ROW, probes, streams or [], [window(**more)])  # type: ignore[arg-type]


class KindTests(SynchronousTestCase):
    """Which connections count."""

    def test_living(self) -> None:
        """A connection to another instance counts, before, during and after."""
        for start_s in (5, 10.1, 15, 21, 30):
            self.assertEqual(kind_of(probe(start_s), [window()]), "living")

    def test_own(self) -> None:
        """The broken instance's own connections do not count while it is broken, nor what they had begun just before."""
        for start_s, stall_s in ((9.99, 3.0), (10.05, 0.01), (19.9, 5.0)):
            found = kind_of(probe(start_s, target="cloud1", stall_s=stall_s), [window()])
            self.assertEqual(found, "own")

    def test_in_flight(self) -> None:
        """What was open elsewhere at the moment of a sudden fault counts apart; what begins after it is not excused."""
        self.assertEqual(kind_of(probe(9.9, stall_s=0.3), [window()]), "in flight")
        self.assertEqual(kind_of(probe(9.9, stall_s=0.05), [window()]), "living")
        self.assertEqual(kind_of(probe(10.1, stall_s=0.3), [window()]), "living")

    def test_orderly_excuses_nothing(self) -> None:
        """At an orderly stop only connections begun after the signal, to that instance, do not count."""
        orderly = window(orderly=True)
        self.assertEqual(kind_of(probe(9.9, stall_s=0.3), [orderly]), "living")
        self.assertEqual(kind_of(probe(9.9, target="cloud1", stall_s=0.3), [orderly]), "living")
        self.assertEqual(kind_of(probe(10.0, target="cloud1"), [orderly]), "own")

    def test_bad_line_excuses_nothing(self) -> None:
        """An impaired line leaves every listener living."""
        bad = window(deaf=False, orderly=True, victims="cloud1 onprem1")
        for start_s in (9.9, 10.05, 15, 21):
            self.assertEqual(kind_of(probe(start_s, target="cloud1", stall_s=0.3), [bad]), "living")

    def test_returning(self) -> None:
        """A listener that is back counts apart until all is redundant, and is excused for a promised grace only."""
        self.assertEqual(kind_of(probe(20.5, target="cloud1"), [window()]), "returning")
        self.assertEqual(kind_of(probe(22.5, target="cloud1"), [window()]), "living")
        self.assertEqual(kind_of(probe(20.5, target="cloud1"), [window()], grace_s=1), "grace")
        self.assertEqual(kind_of(probe(21.5, target="cloud1"), [window()], grace_s=1), "returning")
        self.assertEqual(kind_of(probe(99, target="cloud1"), [window(whole_s=inf)]), "returning")


class JudgeTests(SynchronousTestCase):
    """The figures and the targets."""

    def test_all_well(self) -> None:
        """Nothing is missed when every living listener served in time."""
        found = verdict([probe(5), probe(15), probe(15, REFUSED, "cloud1"), probe(30)])
        self.assertEqual(found.misses(), [])
        self.assertEqual((found.connects, found.failed, found.own_failed, found.whole_s), (3, 0, 1, 2.0))

    def test_failed(self) -> None:
        """One failed connect on a living listener is a miss, with its kind."""
        found = verdict([probe(5), probe(15, RESET), probe(16, RESET), probe(17, SILENT)])
        self.assertEqual(found.misses(), ["3 failed connects (2 reset, 1 silent)"])
        self.assertEqual(len(found.examples), 3)

    def test_stall(self) -> None:
        """The longest stall is that of living listeners."""
        found = verdict([probe(15, stall_s=0.6), probe(15, target="cloud1", stall_s=9.0)])
        self.assertEqual(
            found.misses(), ["longest stall 0.60 s, more than 0.5 s (direct connections: 0.00 s)"]
        )

    def test_what_the_computer_costs(self) -> None:
        """A pause that direct connections had too is not the gateway's."""
        found = verdict([probe(15, stall_s=0.6)])
        found.direct_s = 0.2
        self.assertEqual(found.misses(), [])

    def test_returning_refused(self) -> None:
        """A listener that is coming back may refuse; it may not accept and then fail."""
        self.assertEqual(verdict([probe(5), probe(20.5, REFUSED, "cloud1")]).misses(), [])
        found = verdict([probe(5), probe(20.5, CLOSED, "cloud1")])
        self.assertEqual(found.misses(), ["1 failed connects on the listener that came back"])

    def test_redundancy(self) -> None:
        """Full redundancy too late, or never, is a miss."""
        self.assertEqual(
            verdict([probe(5)], whole_s=24.0).misses(), ["full redundancy after 4.0 s, promised within 3 s"]
        )
        self.assertEqual(
            verdict([probe(5)], whole_s=inf).misses(), ["full redundancy not reached, promised within 3 s"]
        )

    def test_no_effect(self) -> None:
        """A fault that leaves its victim serving was none."""
        found = verdict([probe(5), probe(15, target="cloud1"), probe(15, target="cloud1", stall_s=5.2)])
        self.assertEqual(
            found.misses(), ["the fault did not take hold: the broken instance served 1 connections"]
        )

    def test_nothing_measured(self) -> None:
        """A run without connections is no success."""
        self.assertIn("no connection was made", verdict([]).misses())

    def test_streams(self) -> None:
        """A stream over the broken instance may be cut; one that had nothing to do with it may not."""
        found = verdict(
            [probe(5)], [stream(8, 13, OK), stream(8, 10.2, RESET, far="cloud1"), stream(8, 12, RESET)]
        )
        self.assertEqual((found.streams_whole, found.streams_cut, found.streams_cut_unexplained), (1, 1, 1))

    def test_streams_at_orderly_stop(self) -> None:
        """At an orderly stop no stream is cut, not even one over the instance that stops."""
        streams = [stream(8, 12, RESET, far="cloud1"), stream(8, 12, SILENT, target="cloud1")]
        found = verdict([probe(5)], streams, orderly=True)
        self.assertEqual(found.streams_cut_unexplained, 2)

    def test_streams_on_a_bad_line(self) -> None:
        """A tunnel on a bad line may be given up; streams in other tunnels have nothing to do with it."""
        line = Window(
            victims=frozenset({"cloud1", "onprem1"}),
            deaf=False,
            orderly=True,
            line=True,
            begun_s=10,
            done_s=10,
            healing_s=20,
            returned_s=20,
            whole_s=20,
        )
        streams = [
            stream(8, 16, RESET, target="cloud1", far="onprem1"),
            stream(8, 16, RESET, target="cloud1", far="onprem2"),
        ]
        found = judge("bad-line", ROW, [probe(15)], streams, [line])
        self.assertEqual((found.streams_cut, found.streams_cut_unexplained), (1, 1))

    def test_orderly_end_with_bytes_missing(self) -> None:
        """FIN in place of a reset lies about the bytes; only the kernel of a dead entry may do so."""
        streams = [stream(8, 10.2, CLOSED, target="cloud1"), stream(8, 10.2, CLOSED, far="cloud1")]
        self.assertEqual(verdict([probe(5)], streams).wrong, 1)

    def test_wrong_bytes(self) -> None:
        """A wrong byte is a miss wherever it comes from."""
        found = verdict([probe(5), probe(15, WRONG, "cloud1")], [stream(8, 12, WRONG, target="cloud1")])
        self.assertEqual(found.wrong, 2)

    def test_earlier_windows(self) -> None:
        """What an earlier fault broke is not laid to the next one's account."""
        later = stream(8, 45, SILENT, far="cloud1")
        found = judge("none", ROW, [probe(40)], [later], [], earlier=[window()])
        self.assertEqual((found.streams_cut, found.streams_cut_unexplained), (1, 0))
