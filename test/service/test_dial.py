"""Tests of one client's dial: the plan, carried out on paths that the test controls."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.choice import Candidate
from kwic.service.dial import Dial
from kwic.service.watch import Watched
from kwic.transport.leg import Leg
from kwic.wire.socks5 import Rep


class Way:
    """A path that does what the test says."""

    def __init__(self, name: str, *, load: int = 0, at_once: str = "", peer: str | None = None) -> None:
        self.label = name
        self.load = load
        self.peer = peer
        self.healthy = True
        self.at_once = at_once
        self.attempt = None
        self.abandoned = False

    @property
    def facts(self) -> Candidate:
        return Candidate(key=self.label, peer=self.peer, healthy=self.healthy, load=self.load)

    def dial(self, attempt):
        self.attempt = attempt
        if self.at_once == "connected":
            self.connect()
        elif self.at_once == "refused":
            attempt.refused(Rep.CONNECTION_REFUSED, "connection refused")

        def abandon() -> None:
            self.abandoned = True

        return abandon

    def connect(self) -> Leg:
        leg = Leg()
        leg.makeConnection(StringTransport())
        self.attempt.connected(leg)
        return leg

    def ask(self, answered) -> None:
        self.asked = answered

    def suspect(self) -> None:
        self.healthy = False


class Ways(Watched):
    """Where the paths come from."""

    timeout_s = 10.0

    def __init__(self, *ways: Way) -> None:
        super().__init__()
        self.ways = list(ways)

    def paths(self):
        return list(self.ways)

    def watchers(self) -> int:
        return len(self._watchers)


class DialTests(SynchronousTestCase):
    """A client that wants to get through."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.legs: list[Leg] = []
        self.failures: list[tuple[Rep, str]] = []

    def dial(self, *ways: Way) -> Dial:
        self.ways = Ways(*ways)
        dial = Dial(
            self.clock,
            self.ways,
            on_success=self.legs.append,
            on_failure=lambda rep, why: self.failures.append((rep, why)),
        )
        dial.start()
        return dial

    def over(self) -> None:
        """Nothing is left of the dial."""
        self.assertEqual((self.clock.getDelayedCalls(), self.ways.watchers()), ([], 0))

    def test_the_least_busy_path(self) -> None:
        """The path with the fewest streams is taken."""
        busy, idle = Way("busy", load=5), Way("idle")
        self.dial(busy, idle)
        leg = idle.connect()
        self.assertEqual((self.legs, busy.attempt), ([leg], None))
        self.over()

    def test_at_once(self) -> None:
        """A path that connects within the call is as good as any."""
        self.dial(Way("quick", at_once="connected"))
        self.assertEqual(len(self.legs), 1)
        self.over()

    def test_refused_on_one_path(self) -> None:
        """A refusal moves on to the next path at once."""
        closed, open_ = Way("closed", at_once="refused"), Way("open", load=1, at_once="connected")
        self.dial(closed, open_)
        self.assertEqual((len(self.legs), self.failures), (1, []))
        self.over()

    def test_refused_on_every_path(self) -> None:
        """The client fails at once, with the reason of the last path."""
        self.dial(Way("one", at_once="refused"), Way("two", at_once="refused"))
        self.assertEqual(self.failures[0][0], Rep.CONNECTION_REFUSED)
        self.assertIn("connection refused", self.failures[0][1])
        self.over()

    def test_a_silent_path_is_suspected_and_left(self) -> None:
        """No acknowledgement within 1.5 s: the path is suspect, another is dialled, and the first to connect wins."""
        silent, live = Way("silent"), Way("live", load=9)
        self.dial(silent, live)
        self.clock.advance(1.5)
        self.assertFalse(silent.healthy)
        live.attempt.acknowledged()
        live.connect()
        self.assertEqual(len(self.legs), 1)
        self.assertTrue(silent.abandoned)
        self.over()

    def test_a_silent_peer_is_tried_once(self) -> None:
        """A peer with many silent paths costs a client one of its three attempts: it is served by another peer after 1.5 s."""
        silent = [Way(f"silent {number}", load=number, peer="frozen") for number in range(4)]
        live = Way("live", load=9, peer="live")
        self.dial(*silent, live)
        self.clock.advance(1.5)
        live.connect()
        self.assertEqual(len(self.legs), 1)
        self.assertEqual([way.label for way in silent if way.attempt is not None], ["silent 0"])
        self.assertTrue(silent[0].abandoned)
        self.over()

    def test_a_peer_that_refuses_is_tried_once(self) -> None:
        """A peer whose server refuses costs one attempt likewise, and is tried again when there is nobody else."""
        closed = [
            Way(f"closed {number}", at_once="refused", load=number, peer="closed") for number in range(3)
        ]
        self.dial(*closed, Way("open", load=9, at_once="connected", peer="open"))
        self.assertEqual((len(self.legs), closed[1].attempt), (1, None))
        self.over()
        self.dial(*closed)
        self.assertTrue(all(way.attempt is not None for way in closed))
        self.over()

    def test_a_slow_far_dial_moves_on(self) -> None:
        """An acknowledged path may take five seconds; then another is tried beside it, and the slow one is not suspected."""
        slow, other = Way("slow"), Way("other", load=9)
        self.dial(slow, other)
        slow.attempt.acknowledged()
        self.clock.advance(0.5)
        slow.asked()
        self.clock.advance(4.4)
        self.assertIsNone(other.attempt)
        self.clock.advance(0.2)
        self.assertIsNotNone(other.attempt)
        self.assertTrue(slow.healthy)
        slow.connect()
        self.assertTrue(other.abandoned)
        self.over()

    def test_a_peer_that_dies_while_it_dials(self) -> None:
        """One that has acknowledged and gives no sign of life any more is suspected, and another is dialled, after 1.5 s too."""
        dead, live = Way("dead"), Way("live", load=9)
        self.dial(dead, live)
        dead.attempt.acknowledged()
        self.clock.advance(0.5)
        self.assertTrue(dead.healthy)
        self.clock.advance(1)
        self.assertFalse(dead.healthy)
        live.connect()
        self.assertEqual(len(self.legs), 1)
        dead.asked()
        self.over()

    def test_a_late_leg_is_reset(self) -> None:
        """A path that connects after another has won is let go."""
        silent, live = Way("silent"), Way("live", load=9)
        self.dial(silent, live)
        self.clock.advance(1.5)
        live.connect()
        late = silent.connect()
        self.assertEqual(len(self.legs), 1)
        self.assertTrue(late.transport.disconnecting or late.transport.disconnected)

    def test_waits_for_a_path(self) -> None:
        """A client that comes while agents reconnect is served when one is there."""
        self.dial()
        self.clock.advance(3)
        way = Way("new", at_once="connected")
        self.ways.ways.append(way)
        self.ways.changed()
        self.assertEqual(len(self.legs), 1)
        self.over()

    def test_waits_not_for_ever(self) -> None:
        """Without any path the client fails after the timeout."""
        self.dial()
        self.clock.advance(9.9)
        self.assertEqual(self.failures, [])
        self.clock.advance(0.2)
        self.assertEqual(self.failures[0][0], Rep.HOST_UNREACHABLE)
        self.over()

    def test_a_path_that_breaks(self) -> None:
        """A path that breaks while it is dialled costs a retry on the next one."""
        breaking, other = Way("breaking"), Way("other", load=9, at_once="connected")
        self.dial(breaking, other)
        breaking.attempt.lost("the stream was reset")
        self.assertEqual(len(self.legs), 1)
        self.over()

    def test_the_client_leaves(self) -> None:
        """A client that goes away takes its attempts along."""
        way = Way("way")
        self.dial(way).cancel()
        self.assertTrue(way.abandoned)
        self.assertEqual((self.legs, self.failures), ([], []))
        self.over()

    def test_we_stop(self) -> None:
        """When the gateway stops, a client that still waits is told so, and its attempts end; one that was served is left alone."""
        way = Way("way")
        dial = self.dial(way)
        dial.give_up("the gateway stops")
        self.assertTrue(way.abandoned)
        self.assertEqual(self.failures, [(Rep.GENERAL_FAILURE, "the gateway stops")])
        self.over()
        served = self.dial(Way("quick", at_once="connected"))
        served.give_up("the gateway stops")
        self.assertEqual(len(self.failures), 1)

    def test_says_when_it_is_over(self) -> None:
        """Whoever counts the clients that wait hears once of each that waits no longer, whatever became of it."""
        done: list[Dial] = []
        ends = (
            lambda dial, way: dial.cancel(),
            lambda dial, way: dial.give_up(""),
            lambda dial, way: way.connect(),
        )
        for end in ends:
            way = Way("way")
            dial = Dial(
                self.clock,
                Ways(way),
                on_success=lambda leg: self.assertEqual(done, []),
                on_failure=lambda rep, why: None,
                on_over=done.append,
            )
            dial.start()
            self.assertEqual(done, [])
            end(dial, way)
            dial.cancel()
            self.assertEqual(done, [dial])
            done.clear()

    def test_everything_hangs(self) -> None:
        """Three silent paths are the most that is tried, and the timeout ends them all."""
        ways = [Way(f"way {number}", load=number) for number in range(5)]
        self.dial(*ways)
        for _ in range(101):
            self.clock.advance(0.1)
        self.assertEqual([way.attempt is not None for way in ways], [True, True, True, False, False])
        self.assertTrue(all(way.abandoned for way in ways[:3]))
        self.assertEqual(self.failures[0][0], Rep.TTL_EXPIRED)
        self.over()
