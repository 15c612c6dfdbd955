"""Whole gateways through schedules of faults, and proof that the simulation sees what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.policy.attempts import Attempts, Rules
from kwic.policy.liveness import Action, Liveness, Verdict
from kwic.service import dial
from kwic.service.seeds import _Name
from kwic.transport.leg import Leg
from kwic.transport.stream import Stream
from test.sim.client import PROBED_S, RECOVERY_S, Client
from test.sim.command import ROOT, Report, outcome, run_all
from test.sim.instance import GRACE_S
from test.sim.ledger import NAMES, Ledger, cut_off, host, leaving, link, way
from test.sim.run import Run, topology
from test.sim.topology import SERVER_A, Finding, Topology
from test.sim.traffic import Script
from test.sim.ways import Way
from test.sim.world import World

#: The same schedules each time, so that a change that breaks one is the one that is tested. `KWIC_SIM_FIRST` looks at others.
SCHEDULES = 1000
FIRST = int(os.environ.get("KWIC_SIM_FIRST", "0"))


class ScheduleTests(SynchronousTestCase):
    """Whatever happens, what must always be true stays true."""

    def test_schedules(self) -> None:
        """A thousand schedules go well; the seed of one that does not is told, and how to replay it."""
        report = run_all(SCHEDULES, first=FIRST)
        print(f"\n  seeds {FIRST} to {FIRST + SCHEDULES - 1}: {report}")
        self.assertFalse(report.broken, str(report))
        self.assertEqual(len(report.results), SCHEDULES)


class ReplayTests(SynchronousTestCase):
    """A seed is all that a run depends on."""

    def replay(self, seed: int, hash_seed: str) -> str:
        """What a process of its own says about a seed."""
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "test.sim", "--seed", str(seed)]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_in_other_processes(self) -> None:
        """It replays exactly in another process, whatever the order of its sets may be there."""
        first = self.replay(11, "1")
        self.assertIn("seed 11 went well: ", first)
        self.assertIn("digest=", first)
        self.assertEqual(self.replay(11, "2"), first)

    def test_etcd(self) -> None:
        """It replays exactly when members find each other in an etcd that fails, too."""
        seed = next(seed for seed in count() if topology(seed).finding is Finding.ETCD)
        self.assertEqual(Run(seed).run(), Run(seed).run())

    def test_watched(self) -> None:
        """It is the same run when its timeline is printed."""
        lines: list[str] = []
        result = Run(3, lines.append).run()
        self.assertEqual(Run(3).run(), result)
        self.assertGreater(len(lines), 100)

    def test_others(self) -> None:
        """Another seed is another run."""
        self.assertNotEqual(Run(3).run().digest, Run(4).run().digest)


class InterruptTests(SynchronousTestCase):
    """An interrupt says nothing about a seed."""

    def test_interrupt(self) -> None:
        """It is let through."""
        with patch("test.sim.run.checks.look", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, Run(0).run)


class MutationTests(SynchronousTestCase):
    """A gateway that is broken on purpose is found out, within some schedules."""

    def assert_found(
        self, owner: Any, name: str, mutated: Callable[..., Any], *what: str, first: int = 0
    ) -> None:
        """
        A schedule is broken; its report says which, and how to replay it.

        :param what: one of these is said to be wrong.
        :param first: the first seed that is tried.
        """
        report = Report()
        self.patch(owner, name, mutated)
        for seed in range(first, first + 40):
            report.add(outcome(seed))
            if report.broken:
                break
        self.flushLoggedErrors()
        ((self.seed, self.why),) = report.broken.items()
        self.assertTrue(any(part in self.why for part in what), self.why)
        self.assertIn(f"seed {self.seed} is broken: {self.why}", str(report))
        self.assertIn(f"python -m test.sim --seed {self.seed} --trace", str(report))

    def test_paths_that_come_are_ignored(self) -> None:
        """Clients that wait do not learn that there is a path."""
        self.assert_found(
            dial.Dial, "_available", lambda one: None, "it was turned away", "nobody answered", first=17
        )

    def test_one_path_only(self) -> None:
        """A path that fails is not followed by another."""
        self.assert_found(
            dial,
            "Attempts",
            lambda **how: Attempts(**how, rules=Rules(paths_maximum=1)),
            "it was turned away",
            "nobody answered",
        )

    def test_silent_paths_are_waited_for(self) -> None:
        """A path that does not answer is left late."""
        self.assert_found(
            dial,
            "Attempts",
            lambda **how: Attempts(**how, rules=Rules(acknowledge_s=4)),
            "was joined after",
            first=8,
        )

    def test_silence_is_ignored(self) -> None:
        """Nobody notices that nothing comes any more."""

        def check(liveness: Liveness, now_s: float, last_received_s: float) -> Verdict:
            return Verdict(action=Action.PING, next_check_s=now_s + 1)

        self.assert_found(Liveness, "check", check, "of silence")

    def test_a_byte_is_changed(self) -> None:
        """One byte of what passes through a tunnel is another than was sent."""
        write = Stream.send_now

        def flip(stream: Stream, data: bytes) -> None:
            write(stream, data if len(data) < 1000 else bytes([data[0] ^ 1]) + data[1:])

        self.assert_found(
            Stream, "send_now", flip, "that were not sent like this", "got the hello of another"
        )

    def test_a_byte_is_lost(self) -> None:
        """One byte of what passes through a tunnel is left out."""
        write = Stream.send_now
        self.assert_found(
            Stream,
            "send_now",
            lambda stream, data: write(stream, data if len(data) < 1000 else data[:-1]),
            "that were not sent like this",
            "got an end of stream after",
        )

    def test_a_reset_becomes_an_end(self) -> None:
        """A client cannot tell a connection that broke from one that ended."""
        self.assert_found(
            Leg, "reset", lambda leg: leg.transport.loseConnection(), "instead of a reset", "closed in order"
        )

    def test_something_is_left(self) -> None:
        """An instance that has stopped still waits for an answer."""
        stop = _Name.stop

        def leave(name: Any) -> None:
            stop(name)
            name._reactor.callLater(60, name._ask)

        self.assert_found(_Name, "stop", leave, "has stopped and left delayed calls")
        # What was found is found again, to the letter.
        self.assertEqual(outcome(self.seed), {"seed": self.seed, "why": self.why})


class LedgerTests(SynchronousTestCase):
    """What was broken when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.clock.advance(10)

    def test_whole(self) -> None:
        """What never broke was clean all the time."""
        self.assertTrue(self.ledger.clean(NAMES, 0))
        self.assertIsNone(self.ledger.since(NAMES))
        self.assertFalse(self.ledger.is_broken(NAMES))
        self.assertEqual(self.ledger.quiet_s(), float("inf"))

    def test_broken(self) -> None:
        """What is broken was clean at no time until now, and is so since it broke first."""
        self.ledger.broke(host("a"))
        self.clock.advance(5)
        self.ledger.broke(host("a"))
        self.assertEqual(self.ledger.since(host("a")), 10)
        self.assertTrue(self.ledger.is_broken(host("a")))
        self.assertFalse(self.ledger.clean(host("a"), 15))
        self.assertEqual(self.ledger.quiet_s(), 0)
        self.assertTrue(self.ledger.clean(host("b"), 0))

    def test_mended(self) -> None:
        """What was mended is clean from a later moment on."""
        self.ledger.broke(host("a"))
        self.clock.advance(5)
        self.ledger.mended(host("a"))
        self.clock.advance(5)
        self.assertFalse(self.ledger.clean(host("a"), 12))
        self.assertFalse(self.ledger.clean(host("a"), 15))
        self.assertTrue(self.ledger.clean(host("a"), 15.001))
        self.assertIsNone(self.ledger.since(host("a")))
        self.assertEqual(self.ledger.quiet_s(), 5)

    def test_mended_without_need(self) -> None:
        """Mending what is whole does nothing."""
        self.ledger.mended(host("a"))
        self.assertTrue(self.ledger.clean(host("a"), 0))

    def test_again(self) -> None:
        """The last time counts."""
        for _ in range(2):
            self.ledger.broke(NAMES)
            self.clock.advance(1)
            self.ledger.mended(NAMES)
            self.clock.advance(1)
        self.assertFalse(self.ledger.clean(NAMES, 12.5))
        self.assertTrue(self.ledger.clean(NAMES, 13.5))

    def test_links(self) -> None:
        """A link has two ends and no direction, a way has one."""
        self.assertEqual(link("b", "a"), link("a", "b"))
        self.assertNotEqual(way("b", "a"), way("a", "b"))


class JudgeCase(SynchronousTestCase):
    """A client that connects to `cloud1` of two clouds and two agents, nothing of which runs."""

    def setUp(self) -> None:
        self.world = World(0, Topology(own_names=False))
        self.clock = self.world.clock
        self.ledger = self.world.ledger
        self.listener = self.world.topology.listeners[0]
        self.assertEqual((self.listener.host, self.listener.server), ("cloud1", SERVER_A))
        self.clock.run(2 * RECOVERY_S)

    def client(self, *ways: Way, joined: str | None = None, served: bool = False) -> Client:
        """
        One that has just connected.

        :param ways: those that were there when it did.
        :param joined: the agent that the gateway has joined it with.
        :param served: the back end has its connection too.
        """
        client = Client(self.world, self.listener, Script(number=1))
        client._ways = ways
        client._deadline = self.clock.callLater(1000, lambda: None)
        if joined is not None:
            client.joined(joined)
        if served:
            client._chain.append(SERVER_A)
        return client

    def way(self) -> Way:
        """Through the first agent."""
        return Way(hosts=("cloud1", "agent1", SERVER_A))

    def passes(self, seconds: float, *broken: tuple[str, ...]) -> None:
        """Something is broken for a while."""
        for thing in broken:
            self.ledger.broke(thing)
        self.clock.run(seconds)
        for thing in broken:
            self.ledger.mended(thing)

    def assert_wronged(self, client: Client) -> None:
        self.assertEqual(client.verdict, "wronged")
        self.assertEqual(len(self.world.wrongs), 1)
        self.assertIn("client 1 of cloud1", self.world.wrongs[0])

    def assert_excused(self, client: Client, why: str) -> None:
        self.assertEqual(client.verdict, why)
        self.assertEqual(self.world.wrongs, [])


class TurnedAwayTests(JudgeCase):
    """A client that was not served, and whether it ought to have been."""

    def test_nothing_was_broken(self) -> None:
        """While nothing is broken everybody is served."""
        client = self.client()
        client.not_connected("it was refused")
        self.assertTrue(client.over)
        self.assert_wronged(client)

    def test_listener(self) -> None:
        """A listener that died or left while the client waited owes it nothing."""
        for thing in (host("cloud1"), leaving("cloud1")):
            client = self.client(self.way())
            self.passes(0.1, thing)
            client.not_connected("it was refused")
            self.assert_excused(client, f"its listener was broken ({' '.join(thing)})")
            self.clock.run(2 * RECOVERY_S)

    def test_listener_before(self) -> None:
        """One that was dead only before does."""
        self.passes(0.1, host("cloud1"))
        self.clock.run(0.1)
        client = self.client(self.way())
        client.not_connected("it was refused")
        self.assert_wronged(client)

    def test_back_end(self) -> None:
        """Nobody is served without the back end, nor before it was probed again."""
        self.passes(0.1, host(SERVER_A))
        self.clock.run(PROBED_S - 1)
        client = self.client(self.way())
        client.not_connected("it was reset")
        self.assert_excused(client, "its back end was broken")

    def test_way(self) -> None:
        """A way on which nothing broke while the client waited is one for it, whatever else is broken."""
        client = self.client(self.way())
        self.passes(1, host("agent2"), host("cloud2"), link("cloud1", "agent2"))
        client.not_connected("it was reset")
        self.assert_wronged(client)

    def test_way_breaks(self) -> None:
        """Without a whole way there is an excuse: a host of it is dead or leaves, or a link is cut."""
        things = [host("agent1"), leaving("agent1"), link("cloud1", "agent1"), link("agent1", SERVER_A)]
        for thing in things:
            client = self.client(self.way())
            self.passes(0.1, thing, host("agent2"))
            client.not_connected("it was reset")
            self.assert_excused(client, "no way was whole while it waited")
            self.clock.run(2 * RECOVERY_S)

    def test_no_way_yet(self) -> None:
        """One that was open to nobody when the client came counts when it ought to have been open again for long."""
        for quiet_s, is_excused in ((RECOVERY_S - 1, True), (RECOVERY_S + 1, False)):
            self.passes(0.1, host("agent1"), host("agent2"))
            self.clock.run(quiet_s)
            client = self.client()
            client.not_connected("it was reset")
            self.assertEqual(client.verdict != "wronged", is_excused, quiet_s)

    def test_names(self) -> None:
        """The end of a way must be found: a name that was never resolved is not while the name servers are broken."""
        for known, verdict in ((False, "no way was whole while it waited"), (True, "wronged")):
            client = self.client(self.way())
            with patch.object(self.world, "knows", lambda name, wanted, known=known: known):
                self.passes(0.1, NAMES, host("agent2"))
                client.not_connected("it was reset")
            self.assertEqual(client.verdict, verdict)
            self.clock.run(2 * RECOVERY_S)

    def test_names_before(self) -> None:
        """Name servers that are well again help nobody before the back end was probed again."""
        for strict in (False, True):
            self.world.strict = strict
            for quiet_s, verdict in (
                (PROBED_S - 1, "no way was whole while it waited"),
                (PROBED_S + 1, "wronged"),
            ):
                self.passes(1, NAMES)
                self.clock.run(quiet_s)
                client = self.client(self.way())
                client.not_connected("it was reset")
                self.assertEqual(client.verdict, verdict)
                self.clock.run(2 * RECOVERY_S)

    def test_strict(self) -> None:
        """When one thing is broken at a time there is always a way, even if none was seen."""
        self.world.strict = True
        client = self.client()
        self.passes(1, host("agent1"))
        client.not_connected("it was reset")
        self.assert_wronged(client)

    def test_strict_cut_off(self) -> None:
        """But not from a listener whose cable is pulled."""
        self.world.strict = True
        client = self.client()
        self.passes(1, cut_off("cloud1"))
        client.not_connected("it was reset")
        self.assert_excused(client, "its listener was cut off")

    def test_forgotten(self) -> None:
        """Who has no answer for longer than anybody may wait was wronged as if it had been turned away."""
        client = self.client()
        client.give_up = lambda: None  # type: ignore[method-assign]
        client._forgotten()
        self.assert_wronged(client)


class StallTests(JudgeCase):
    """A client that had to wait."""

    def setUp(self) -> None:
        super().setUp()
        self.world.one_at_a_time = True

    def waits(self, seconds: float, *broken: tuple[str, ...]) -> bool:
        """Whether one that was joined so late was wronged."""
        client = self.client()
        self.passes(seconds, *broken)
        client.joined("agent1")
        wronged, self.world.wrongs = bool(self.world.wrongs), []
        self.clock.run(2 * RECOVERY_S)
        return wronged

    def test_bound(self) -> None:
        """While one thing is broken it is joined within two seconds."""
        self.assertFalse(self.waits(1.9, host("agent2")))
        self.assertTrue(self.waits(2.1, host("agent2")))

    def test_slow_network(self) -> None:
        """What the network needs is not counted."""
        self.world.slow("cloud1", "agent1", 0.1)
        self.assertFalse(self.waits(3, host("agent2")))
        self.assertTrue(self.waits(3.3, host("agent2")))

    def test_back_end(self) -> None:
        """A far dial that nobody answers may take five seconds."""
        self.assertFalse(self.waits(6.9, link("agent1", SERVER_A)))
        self.assertTrue(self.waits(7.1, link("agent1", SERVER_A)))

    def test_no_bound(self) -> None:
        """There is no bound when its listener is the one, when names are, or when more is broken."""
        for thing in (host("cloud1"), leaving("cloud1"), cut_off("cloud1"), NAMES):
            self.assertFalse(self.waits(9, thing))
        self.world.one_at_a_time = False
        self.assertFalse(self.waits(9, host("agent2")))


class CutShortTests(JudgeCase):
    """A client whose connection ended before its time."""

    def test_nothing_was_broken(self) -> None:
        """While nothing on its way is broken a connection lasts."""
        client = self.client(joined="agent1", served=True)
        self.passes(1, host("agent2"), host("cloud2"), link("cloud2", "agent1"), NAMES)
        client._cut_short("it was cut")
        self.assert_wronged(client)

    def test_broken(self) -> None:
        """What breaks on its way ends it."""
        for thing in (host("cloud1"), host("agent1"), host(SERVER_A), link("cloud1", "agent1")):
            client = self.client(joined="agent1", served=True)
            self.passes(0.1, thing)
            client._cut_short("it was cut")
            self.assert_excused(client, f"something on its way was broken ({' '.join(thing)})")
            self.clock.run(2 * RECOVERY_S)

    def test_broken_before(self) -> None:
        """What broke long before it was joined does not."""
        self.passes(0.1, host("agent1"))
        self.clock.run(1.5)
        client = self.client(joined="agent1", served=True)
        client._cut_short("it was cut")
        self.assert_wronged(client)

    def test_grace(self) -> None:
        """An instance that leaves cuts nothing before its grace is over."""
        for after_s, is_excused in ((GRACE_S - 0.1, False), (GRACE_S, True)):
            client = self.client(joined="agent1", served=True)
            self.ledger.broke(leaving("agent1"))
            self.clock.run(after_s)
            client._cut_short("it was cut")
            self.assertEqual(client.verdict != "wronged", is_excused, client.verdict)
            self.ledger.mended(leaving("agent1"))

    def test_unknown_way(self) -> None:
        """When the back end never heard of it, anything that its way may have led along is an excuse, and nothing else."""
        for thing, is_excused in (
            (host("agent2"), True),
            (link("agent2", SERVER_A), True),
            (host("cloud2"), False),
        ):
            client = self.client(joined="agent1")
            self.passes(0.1, thing)
            client._cut_short("it was cut")
            self.assertEqual(client.verdict != "wronged", is_excused, client.verdict)
            self.clock.run(2 * RECOVERY_S)
