"""The plan of one client's dial."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.policy.attempts import (
    ACKNOWLEDGE_S,
    ANSWER_S,
    ASK_S,
    PATHS_MAXIMUM,
    Abandon,
    Ask,
    Attempts,
    Fail,
    Reason,
    Rules,
    Step,
    Succeed,
    Suspect,
    TryPath,
)


class AttemptsCase(SynchronousTestCase):
    """A plan that begins at 100 s and has 10 s."""

    def setUp(self) -> None:
        """The plan, begun."""
        self.plan = Attempts(now_s=100.0, timeout_s=10.0)
        self.assertEqual(self.plan.start(), [TryPath(attempt=0)])

    def begin(self, attempt: int, now_s: float = 100.0) -> None:
        """A path was found for an attempt."""
        self.assertEqual(self.plan.started(attempt, now_s), [])

    def assert_over(self) -> None:
        """Nothing changes any more."""
        self.assertTrue(self.plan.over)
        self.assertIsNone(self.plan.deadline_s)
        self.assertEqual(self.plan.tick(1e9) + self.plan.available() + self.plan.cancel(), [])


class FirstPathTests(AttemptsCase):
    """When all goes well, or nearly so."""

    def test_success(self) -> None:
        """Opened, acknowledged, connected."""
        self.begin(0)
        self.assertEqual(self.plan.deadline_s, 101.5)
        self.assertEqual(self.plan.acknowledged(0, 100.2), [])
        self.assertEqual(self.plan.deadline_s, 100.7)
        self.assertEqual(self.plan.connected(0), [Succeed(attempt=0)])
        self.assert_over()

    def test_too_late(self) -> None:
        """What happens to a path after the plan is over changes nothing."""
        self.begin(0)
        self.plan.connected(0)
        self.assertEqual(self.plan.connected(0) + self.plan.refused(0, "") + self.plan.lost(0), [])

    def test_refused(self) -> None:
        """A refusal moves on to the next path at once."""
        self.begin(0)
        self.assertEqual(self.plan.refused(0, "connection refused"), [TryPath(attempt=1)])
        self.begin(1)
        self.assertEqual(self.plan.connected(1), [Succeed(attempt=1)])

    def test_lost(self) -> None:
        """So does a tunnel that breaks, and it is counted once."""
        self.begin(0)
        self.assertEqual(self.plan.lost(0), [TryPath(attempt=1)])
        self.assertEqual(self.plan.lost(0) + self.plan.refused(0, "") + self.plan.connected(0), [])

    def test_client_goes(self) -> None:
        """When the client has gone, what is pending is abandoned."""
        self.begin(0)
        self.assertEqual(self.plan.cancel(), [Abandon(attempt=0)])
        self.assert_over()

    def test_client_goes_while_choosing(self) -> None:
        """A path that was about to be chosen is not wanted any more."""
        self.assertEqual(self.plan.cancel(), [])
        with self.assertRaises(MisuseError):
            self.plan.started(0, 100.0)


class SlowPathTests(AttemptsCase):
    """Paths that do not answer in time."""

    def test_no_acknowledgement(self) -> None:
        """After 1.5 s without a sign the path is suspected, and the next one tried beside it."""
        self.begin(0)
        self.assertEqual(self.plan.tick(101.4), [])
        self.assertEqual(self.plan.tick(101.5), [Suspect(attempt=0), TryPath(attempt=1)])
        self.begin(1, 101.5)
        self.assertEqual(self.plan.connected(1), [Succeed(attempt=1), Abandon(attempt=0)])

    def test_slow_dial(self) -> None:
        """A peer whose dial takes its time is asked for a sign of life; after 5 s the next path is tried, and nobody is suspected."""
        self.begin(0)
        self.plan.acknowledged(0, 100.5)
        self.assertEqual(self.plan.tick(101.0), [Ask(attempt=0)])
        self.assertEqual(self.plan.deadline_s, 102.0)
        self.assertEqual(self.plan.alive(0), [])
        self.assertEqual(self.plan.deadline_s, 105.5)
        self.assertEqual(self.plan.tick(105.5), [TryPath(attempt=1)])

    def test_dead_after_the_acknowledgement(self) -> None:
        """A peer that gives no sign of life is suspected, and the next path tried beside it."""
        self.begin(0)
        self.plan.acknowledged(0, 100.5)
        self.plan.tick(101.0)
        self.assertEqual(self.plan.tick(101.9), [])
        self.assertEqual(self.plan.tick(102.0), [Suspect(attempt=0), TryPath(attempt=1)])
        self.begin(1, 102.0)
        self.assertEqual(self.plan.alive(0), [])
        self.assertEqual(self.plan.connected(0), [Succeed(attempt=0), Abandon(attempt=1)])

    def test_slow_twice(self) -> None:
        """What an acknowledgement was late by is taken from the time for a sign of life, of which at least half is left."""
        for late_s, answer_s in ((0.0, 1.0), (0.5, 1.0), (0.75, 0.75), (1.0, 0.5), (1.4, 0.5)):
            self.setUp()
            self.begin(0)
            self.plan.acknowledged(0, 100.0 + late_s)
            self.plan.tick(100.0 + late_s + ASK_S)
            self.assertAlmostEqual(self.plan.deadline_s, 100.0 + late_s + ASK_S + answer_s)

    def test_signs_of_life_unasked(self) -> None:
        """They change nothing."""
        self.begin(0)
        self.plan.alive(0)
        self.assertEqual(self.plan.deadline_s, 101.5)
        self.plan.acknowledged(0, 100.2)
        self.plan.alive(0)
        self.assertEqual(self.plan.deadline_s, 100.7)

    def test_a_peer_may_die_at_any_time(self) -> None:
        """It is found out within the time that it has to acknowledge."""
        self.assertEqual(ASK_S + ANSWER_S, ACKNOWLEDGE_S)

    def test_slow_path_wins_after_all(self) -> None:
        """A slow path that connects before the next one is taken."""
        self.begin(0)
        self.plan.tick(101.5)
        self.begin(1, 101.5)
        self.plan.acknowledged(0, 102.0)
        self.assertEqual(self.plan.connected(0), [Succeed(attempt=0), Abandon(attempt=1)])

    def test_slow_path_fails_while_another_runs(self) -> None:
        """A slow path that fails is no news: the next one is on its way."""
        self.begin(0)
        self.plan.tick(101.5)
        self.assertEqual(self.plan.lost(0), [])
        self.begin(1, 101.5)
        self.assertEqual(self.plan.refused(1, "no"), [TryPath(attempt=2)])

    def test_only_path_is_slow(self) -> None:
        """When there is no other path the slow one is waited for, and a new path is welcome."""
        self.begin(0)
        self.plan.tick(101.5)
        self.assertEqual(self.plan.unavailable(), [])
        self.assertTrue(self.plan.waiting)
        self.assertEqual(self.plan.deadline_s, 110.0)
        self.assertEqual(self.plan.tick(105.0), [])
        self.assertEqual(self.plan.available(), [TryPath(attempt=1)])
        self.assertEqual(self.plan.unavailable(), [])
        self.assertEqual(self.plan.connected(0), [Succeed(attempt=0)])

    def test_only_path_is_slow_and_refuses(self) -> None:
        """When it refuses in the end, that is the answer."""
        self.begin(0)
        self.plan.tick(101.5)
        self.plan.unavailable()
        self.assertEqual(self.plan.refused(0, "timed out"), [Fail(reason=Reason.REFUSED, detail="timed out")])
        self.assert_over()

    def test_all_paths_are_slow(self) -> None:
        """Three slow paths are waited for until the time is over; no fourth is tried."""
        self.begin(0)
        self.plan.tick(101.5)
        self.begin(1, 101.5)
        self.plan.tick(103.0)
        self.begin(2, 103.0)
        self.assertEqual(self.plan.tick(104.5), [Suspect(attempt=2)])
        self.assertEqual(
            self.plan.tick(110.0),
            [*(Abandon(attempt=n) for n in range(3)), Fail(reason=Reason.TIMED_OUT, detail="")],
        )
        self.assert_over()

    def test_all_slow_paths_fail(self) -> None:
        """When three slow paths fail one after another, in any order, the client fails with the last of them."""
        self.begin(0)
        self.plan.tick(101.5)
        self.begin(1, 101.5)
        self.plan.tick(103.0)
        self.begin(2, 103.0)
        self.plan.tick(104.5)
        self.assertEqual(self.plan.lost(2) + self.plan.lost(0) + self.plan.available(), [])
        self.assertEqual(self.plan.refused(1, "no"), [Fail(reason=Reason.REFUSED, detail="no")])

    def test_two_due_at_once(self) -> None:
        """When several steps are due together, each comes once."""
        self.begin(0)
        self.plan.tick(101.5)
        self.begin(1, 101.5)
        self.plan.acknowledged(1, 101.5)
        self.plan.tick(102.0)
        self.plan.alive(1)
        self.assertEqual(self.plan.tick(106.5), [TryPath(attempt=2)])
        self.assertEqual(self.plan.tick(106.6), [])


class NoPathTests(AttemptsCase):
    """When there is nothing to try."""

    def test_none_at_all(self) -> None:
        """A client waits for the first path, and fails when none comes in time."""
        self.assertEqual(self.plan.unavailable(), [])
        self.assertEqual(self.plan.tick(109.9), [])
        self.assertEqual(self.plan.tick(110.0), [Fail(reason=Reason.NO_PATH, detail="")])
        self.assert_over()

    def test_one_comes(self) -> None:
        """A path that comes in time is tried; one that comes unasked is not."""
        self.plan.unavailable()
        self.assertEqual(self.plan.available(), [TryPath(attempt=0)])
        self.assertEqual(self.plan.available(), [])

    def test_all_refused(self) -> None:
        """When every path has refused, the client need not wait."""
        self.begin(0)
        self.plan.refused(0, "connection refused")
        self.assertEqual(self.plan.unavailable(), [Fail(reason=Reason.REFUSED, detail="connection refused")])
        self.assert_over()

    def test_lost_and_none_left(self) -> None:
        """When the only path was lost, its return is waited for."""
        self.begin(0)
        self.plan.lost(0, "reset")
        self.assertEqual(self.plan.unavailable(), [])
        self.assertEqual(self.plan.tick(110.0), [Fail(reason=Reason.LOST, detail="reset")])

    def test_three_tried(self) -> None:
        """After three paths there is no fourth."""
        for attempt in range(PATHS_MAXIMUM):
            self.begin(attempt)
            steps = self.plan.lost(attempt, "reset")
        self.assertEqual(steps, [Fail(reason=Reason.LOST, detail="reset")])
        self.assert_over()

    def test_other_rules(self) -> None:
        """The figures can be others."""
        plan = Attempts(now_s=0, timeout_s=99, rules=Rules(paths_maximum=1, acknowledge_s=7, dial_s=8))
        plan.start()
        plan.started(0, 1.0)
        self.assertEqual(plan.deadline_s, 8.0)
        self.assertEqual(plan.refused(0, "no"), [Fail(reason=Reason.REFUSED, detail="no")])


class MisuseTests(AttemptsCase):
    """Inputs that make no sense are our own mistake, and change nothing."""

    def test_not_asked_for(self) -> None:
        """Only the attempt that was asked for can be begun, and only when it was."""
        for act in (
            lambda: self.plan.started(1, 100.0),
            lambda: self.plan.connected(0),
            lambda: self.plan.lost(-1),
        ):
            with self.assertRaises(MisuseError):
                act()
        self.begin(0)
        for act in (lambda: self.plan.started(1, 100.0), self.plan.unavailable):
            with self.assertRaises(MisuseError):
                act()


class PlanMachine(RuleBasedStateMachine):
    """A plan under everything that can happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.plan = Attempts(now_s=0.0, timeout_s=10.0)
        self.asked: int | None = None
        self.pending: set[int] = set()
        self.tried = 0
        self.outcome: Step | None = None
        self.take(self.plan.start())

    def take(self, steps: list[Step]) -> None:
        """Do what the plan says, and check that it makes sense."""
        for step in steps:
            if isinstance(step, TryPath):
                assert self.asked is None
                assert self.outcome is None
                self.asked = step.attempt
            elif isinstance(step, Abandon):
                self.pending.remove(step.attempt)
            elif isinstance(step, Suspect | Ask):
                assert step.attempt in self.pending
            else:
                assert self.outcome is None
                self.outcome = step
                if isinstance(step, Succeed):
                    self.pending.remove(step.attempt)

    @rule(found=st.booleans())
    def choose(self, found: bool) -> None:
        """A path is chosen, or there is none."""
        if self.asked is None or self.outcome:
            return
        attempt, self.asked = self.asked, None
        if found:
            self.pending.add(attempt)
            self.tried += 1
            self.take(self.plan.started(attempt, self.now_s))
        else:
            self.take(self.plan.unavailable())

    @rule()
    def path_comes_up(self) -> None:
        """A path becomes available."""
        self.take(self.plan.available())

    @rule(
        attempt=st.integers(0, 2),
        what=st.sampled_from(["acknowledged", "alive", "connected", "refused", "lost"]),
    )
    def something_happens(self, attempt: int, what: str) -> None:
        """A pending attempt makes progress, or fails."""
        if attempt not in self.pending:
            return
        if what == "acknowledged":
            self.take(self.plan.acknowledged(attempt, self.now_s))
        elif what == "alive":
            self.take(self.plan.alive(attempt))
        elif what == "connected":
            self.take(self.plan.connected(attempt))
            assert self.outcome == Succeed(attempt=attempt)
        else:
            self.pending.discard(attempt)
            self.take(self.plan.refused(attempt, "no") if what == "refused" else self.plan.lost(attempt))

    @rule(pause_s=st.floats(0, 4))
    def time_passes(self, pause_s: float) -> None:
        """The clock goes on, calling at every deadline on the way."""
        until_s = self.now_s + pause_s
        for _ in range(20):
            deadline_s = self.plan.deadline_s
            if deadline_s is None or deadline_s > until_s:
                break
            self.now_s = max(self.now_s, deadline_s)
            self.take(self.plan.tick(self.now_s))
        else:
            raise AssertionError("deadlines that do not pass")
        self.now_s = until_s

    @invariant()
    def makes_sense(self) -> None:
        """At most three paths, an outcome exactly when it is over, nothing pending after it, never over the time."""
        assert self.tried <= PATHS_MAXIMUM
        assert self.plan.over == (self.outcome is not None)
        if self.plan.over:
            assert not self.pending
        else:
            assert self.now_s < 10.0
            assert self.asked is not None or self.pending or self.plan.waiting


class PlanPropertyTests(SynchronousTestCase):
    """Any history."""

    def test_any_history(self) -> None:
        """The plan always ends in time, with one outcome, and leaves nothing open."""
        run_state_machine_as_test(PlanMachine, settings=settings(max_examples=100, deadline=None))
