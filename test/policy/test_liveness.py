"""Silence, suspicion and death."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.liveness import FAST, NORMAL, STALL_S, Action, Liveness, Timing


def silence(timing: Timing, start_s: float) -> list[tuple[float, Action]]:
    """What is done, and when, about a peer that never says a word."""
    liveness = Liveness(timing, start_s)
    done: list[tuple[float, Action]] = []
    now_s = start_s
    while not done or done[-1][1] is not Action.DEAD:
        verdict = liveness.check(now_s, start_s)
        if verdict.action is not Action.NOTHING:
            done.append((now_s, verdict.action))
        now_s = verdict.next_check_s
    return done


class LivenessTests(SynchronousTestCase):
    """Watching one peer."""

    def test_silence(self) -> None:
        """Ping at 2 s, suspected at 3.5 s, second ping at 4 s, dead at 5 s."""
        self.assertEqual(
            silence(NORMAL, 0.0),
            [(2.0, Action.PING), (3.5, Action.SUSPECT), (4.0, Action.PING), (5.0, Action.DEAD)],
        )

    def test_fast(self) -> None:
        """The fast timing notices within 1.5 s."""
        when_s, action = silence(FAST, 0.0)[-1]
        self.assertEqual((round(when_s, 9), action), (1.5, Action.DEAD))

    @given(st.floats(0, 1e9), st.floats(0.01, 10), st.floats(0.01, 10))
    def test_no_busy_loop(self, start_s: float, ping_s: float, more_s: float) -> None:
        """With any timing and at any hour, checks at the times asked for end with death and are few."""
        timing = Timing(ping_after_s=ping_s, dead_after_s=ping_s + more_s)
        done = silence(timing, start_s)
        self.assertLessEqual(len(done), 4 + more_s / ping_s + 1)

    def test_traffic(self) -> None:
        """While bytes come, nothing is done, and checks are as rare as pings would be."""
        liveness = Liveness(NORMAL, 0.0)
        now_s, checks = 0.0, 0
        while now_s < 100:
            verdict = liveness.check(now_s, now_s - 0.1)
            self.assertIs(verdict.action, Action.NOTHING)
            now_s, checks = verdict.next_check_s, checks + 1
        self.assertLess(checks, 60)

    def test_answer_clears_suspicion(self) -> None:
        """A byte is a sign of life, and silence is counted from it."""
        liveness = Liveness(NORMAL, 0.0)
        liveness.check(2.0, 0.0)
        self.assertIs(liveness.check(3.5, 0.0).action, Action.SUSPECT)
        self.assertTrue(liveness.suspected)
        verdict = liveness.check(3.6, 3.55)
        self.assertFalse(liveness.suspected)
        self.assertEqual((verdict.action, verdict.next_check_s), (Action.NOTHING, 5.55))

    def test_heard(self) -> None:
        """Suspicion can be cleared at once, without waiting for the next check."""
        liveness = Liveness(NORMAL, 0.0)
        liveness.check(2.0, 0.0)
        liveness.check(3.5, 0.0)
        liveness.heard(3.6)
        self.assertFalse(liveness.suspected)

    def test_we_slept(self) -> None:
        """A check that comes far too late blames ourselves: the peer is asked, and has its time to answer."""
        liveness = Liveness(NORMAL, 0.0)
        verdict = liveness.check(60.0, 0.0)
        self.assertEqual((verdict.action, verdict.next_check_s), (Action.PING, 62.0))
        self.assertIs(liveness.check(62.0, 0.0).action, Action.PING)
        self.assertIs(liveness.check(63.5, 0.0).action, Action.SUSPECT)
        self.assertIs(liveness.check(64.0, 0.0).action, Action.PING)
        self.assertIs(liveness.check(65.0, 0.0).action, Action.DEAD)

    def test_a_little_late(self) -> None:
        """A busy reactor is late by less, and that excuses no peer."""
        liveness = Liveness(NORMAL, 0.0)
        self.assertIs(liveness.check(2.0 + STALL_S, 0.0).action, Action.PING)
        self.assertIs(liveness.check(3.5 + STALL_S, 0.0).action, Action.SUSPECT)
        self.assertIs(liveness.check(5.0, 0.0).action, Action.DEAD)

    def test_early_checks(self) -> None:
        """Checking more often than asked for changes nothing."""
        liveness = Liveness(NORMAL, 0.0)
        actions = [liveness.check(n / 10, 0.0).action for n in range(51)]
        done = [(n / 10, action) for n, action in enumerate(actions) if action is not Action.NOTHING]
        self.assertEqual(done, silence(NORMAL, 0.0))
