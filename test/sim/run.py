"""
One run: two sites start, things go wrong, all is mended, all is well again, everything stops and nothing is left.

A run is drawn from its seed and replays exactly.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from test.sim import checks
from test.sim.faults import Faults, Remedy, outstanding
from test.sim.ledger import NAMES
from test.sim.network import ASK_AGAIN_S
from test.sim.topology import Finding, Topology
from test.sim.traffic import Ending, Script
from test.sim.world import World

#: Between two looks at what must always be true, in seconds of the simulation.
LOOK_S = 0.25
#: From the start until all is redundant.
START_S = 6.0
#: From the last remedy until all is redundant: the longest back-off of a forward service is 30 s, and a dial may take 5 s.
HEAL_S = 40.0
#: One thing that was broken is whole, and all is redundant again within this time.
STRICT_HEAL_S = 40.0
#: A client that was served may live so long beyond its script once all is well: a closing leg is reset after 60 s.
CLIENTS_S = 75.0
#: Clients that connect while nothing happens any more but that the gateways find each other again: so many of the others.
FEWER = 0.25
#: What happens to clients after a remedy is of interest for so long.
AFTER_S = 1.0
#: A client that connects when all is well is served within this time.
WELL_S = 1.0
#: Stopping may take the grace, the goodbyes and a moment.
STOP_S = 10.0

_ERROR, _CRITICAL = LogLevel.error, LogLevel.critical


class BrokenError(AssertionError):
    """Something was not as it must be."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to."""

    seed: int
    kind: str
    digest: str
    steps: int
    clients: int
    served: int
    excused: int
    longest_stall_s: float
    faults: int


class Run:
    """
    A run.

    :param seed: what it is drawn from.
    :param trace: called with each line of its timeline.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self._tracing = trace is not None
        self.world = World(seed, topology(seed), trace)
        self._dice = self.world.dice("run")
        self._faults = Faults(self.world, self.world.dice("faults"))
        self._remedies: list[Remedy] = []
        self._numbers = count(1)
        self._client_timer: Any = None
        self._rate = self._dice.uniform(2, 5.5)
        #: From then on there are fewer clients.
        self._quiet_s = float("inf")
        self._fault_count = 0
        self.kind = self._dice.choices(("one", "pair", "storm"), (4, 1, 5))[0]

    def run(self) -> Result:
        """
        Go.

        :raises BrokenError: something was not as it must be; it says what.
        """
        globalLogPublisher.addObserver(self._hear)
        try:
            self._begin()
            (self._storm if self.kind == "storm" else self._one_by_one)()
            self._mend()
            self._all_is_well()
            self._end()
        except BrokenError:
            raise
        except Exception as error:
            raise BrokenError(f"{error!r} at {self.world.now_s:.3f} s") from error
        finally:
            globalLogPublisher.removeObserver(self._hear)
        return self._result()

    def _result(self) -> Result:
        clients = list(self.world.clients.values())
        stalls = [client.stall_s for client in clients if client.stall_s is not None]
        return Result(
            seed=self.seed,
            kind=self.kind,
            digest=self.world.digest,
            steps=self.world.network.next_number(),
            clients=len(clients),
            served=len(stalls),
            excused=sum(client.verdict not in ("", "well") for client in clients),
            longest_stall_s=max(stalls, default=0.0),
            faults=self._fault_count,
        )

    # -- the parts of a run -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        world = self.world
        world.say(f"seed {self.seed}: {self.kind}, {world.topology}")
        self._set_jitter()
        for name in self._dice.sample(world.topology.nodes, len(world.topology.nodes)):
            world.start(name)
            self._pass(self._dice.choice((0.0, 0.0, 0.0, 0.1, 0.5)))
        self._until(lambda: next(checks.missing(world), ""), START_S)
        world.say("all is redundant")
        self._client_timer = world.clock.callLater(0, self._next_client)
        self._pass(0.3)

    def _set_jitter(self) -> None:
        if self._dice.random() < 0.5:
            dice, network = self.world.dice("jitter"), self.world.network
            network.jitter_s = self._dice.choice((0.001, 0.01, 0.05))
            network.jitter = dice.random

    def _one_by_one(self) -> None:
        """One fault at a time, or one on each side."""
        self.world.strict = True
        self.world.one_at_a_time = self.kind == "one"
        for _ in range(self._dice.choice((2, 2, 3, 4))):
            self._quiet_s = float("inf")
            fault = self._faults.pair() if self.kind == "pair" else self._faults.one()
            self._fault_count += 1
            remedy = fault.begin()
            self._remedies.append(remedy)
            self._pass(fault.lasts_s)
            self._remedies.remove(remedy)
            remedy()
            mended_s = self.world.now_s
            self._quiet_s = mended_s + AFTER_S
            self._until(lambda: next(checks.missing(self.world), ""), STRICT_HEAL_S)
            self.world.say(f"all is redundant after {self.world.now_s - mended_s:.1f} s")
            self._pass(self._dice.choice((0.0, 0.3, 1.0)))
        self.world.strict = self.world.one_at_a_time = False

    def _storm(self) -> None:
        """Faults at any time."""
        ends_s = self.world.now_s + self._dice.uniform(6, 11)
        mean_s = self._dice.choice((0.3, 1.0, 2.0))
        while self.world.now_s < ends_s:
            self._pass(self._dice.expovariate(1 / mean_s))
            fault = self._faults.any()
            self._fault_count += 1
            remedy = fault.begin()
            self._remedies.append(remedy)
            self.world.clock.callLater(fault.lasts_s, self._remedy, remedy)

    def _remedy(self, remedy: Remedy) -> None:
        if remedy in self._remedies:
            self._remedies.remove(remedy)
            remedy()

    def _mend(self) -> None:
        """Everything is mended at once."""
        for remedy in outstanding(self._remedies):
            remedy()
        mended_s = self.world.now_s
        self._quiet_s = mended_s + AFTER_S
        self.world.say("all is mended")
        if not self.world.ledger.clean(NAMES, self.world.clock.seconds() - ASK_AGAIN_S):
            # Whoever asks when nobody answers asks again so much later.
            self._pass(ASK_AGAIN_S)
        self._until(lambda: next(checks.missing(self.world), ""), HEAL_S)
        self.world.say(f"all is redundant after {self.world.now_s - mended_s:.1f} s")

    def _all_is_well(self) -> None:
        """Clients are served at once, and then all go."""
        world = self.world
        self._client_timer.cancel()
        last = [world.connect(listener, self._script(Ending.BOTH)) for listener in world.topology.listeners]
        self._pass(WELL_S)
        for client in last:
            if client.stall_s is None:
                world.wrong(f"{client} was not served within {WELL_S} s when all was well")
        for client in world.clients.values():
            if not client.over and client.orphaned:
                client.give_up()
        self._until(self._unsettled, CLIENTS_S)

    def _unsettled(self) -> str:
        world = self.world
        for client in world.clients.values():
            if not client.over:
                return f"{client} is not over"
        return next(checks.unsettled(world), "")

    def _end(self) -> None:
        """Stop everything."""
        world = self.world
        left = list(world.topology.nodes)
        for name in self._dice.sample(left, len(left)):
            world.stop(name, lambda name=name: left.remove(name))  # type: ignore[misc]
            self._pass(self._dice.choice((0.0, 0.0, 0.1, 0.7)))
        self._until(lambda: f"{left} have not stopped" if left else "", STOP_S)

    # -- time ---------------------------------------------------------------------------------------------------------------

    def _pass(self, seconds: float) -> None:
        """Let time pass, and look all the while."""
        world = self.world
        ends_s = world.now_s + seconds
        # Differences of large numbers: a nanosecond is nothing.
        while (left_s := ends_s - world.now_s) > 1e-9:
            world.network.run(min(LOOK_S, left_s))
            checks.look(world)
            if world.wrongs:
                raise BrokenError("; ".join(world.wrongs))

    def _until(self, why_not: Callable[[], str], timeout_s: float) -> None:
        """Let time pass until there is no reason any more to wait."""
        ends_s = self.world.now_s + timeout_s
        while reason := why_not():
            if self.world.now_s >= ends_s:
                raise BrokenError(f"after {timeout_s} s at {self.world.now_s:.3f} s still {reason}")
            self._pass(LOOK_S)

    # -- clients ------------------------------------------------------------------------------------------------------------

    def _next_client(self) -> None:
        world, dice = self.world, self._dice
        rate = self._rate * FEWER if world.now_s > self._quiet_s else self._rate
        self._client_timer = world.clock.callLater(dice.expovariate(rate), self._next_client)
        listener = dice.choice(world.topology.listeners)
        if world.instances[listener.host].serving or dice.random() < 0.2:
            world.connect(listener, self._script(dice.choice(tuple(Ending))))

    def _script(self, ending: Ending) -> Script:
        dice = self._dice
        kind = dice.random()
        sizes = {"up_bytes": dice.randrange(2, 3000), "down_bytes": dice.randrange(2, 3000)}
        more: dict[str, Any] = {}
        if kind < 0.06:
            sizes = {"up_bytes": dice.randrange(2, 200_000), "down_bytes": dice.randrange(2, 200_000)}
        elif kind < 0.08:
            slow = dice.choice(("client_slow_s", "server_slow_s"))
            sizes = {
                slow.replace("client_slow_s", "down_bytes").replace("server_slow_s", "up_bytes"): 1_000_000
            }
            sizes = {"up_bytes": 2, "down_bytes": 2, **sizes}
            more = {slow: dice.choice((0.5, 2.0))}
        elif kind < 0.22:
            more = {"pieces": dice.randint(2, 8), "gap_s": dice.uniform(0.1, 0.6)}
        return Script(number=next(self._numbers), ending=ending, **sizes, **more)

    # -- the log ------------------------------------------------------------------------------------------------------------

    def _hear(self, event: dict[str, Any]) -> None:
        """A line of somebody's log."""
        level = event.get("log_level")
        failure = event.get("log_failure")
        if failure is not None:
            self.world.wrong(f"{formatEvent(event)}\n{failure.getTraceback()}")
        elif level is _ERROR or level is _CRITICAL:
            self.world.wrong(f"logged: {formatEvent(event)}")
        elif self._tracing and "took" not in event:
            acting = self.world.clock.acting
            self.world.note(f"    {getattr(acting, 'name', '')}: {formatEvent(event)}")


def prepare(seed: int) -> None:
    """Read the files that the run of a seed needs."""
    drawn = topology(seed)
    for node in drawn.nodes:
        drawn.config(node)


def topology(seed: int) -> Topology:
    """What the schedule of a seed happens to."""
    dice = random.Random(f"{seed} topology")
    own, shared = dice.choices(((True, False), (False, True), (True, True)), (2, 2, 1))[0]
    return Topology(
        clouds=dice.choice((2, 2, 2, 2, 3)),
        agents=dice.choice((2, 2, 2, 2, 3)),
        own_names=own,
        shared_name=shared,
        finding=dice.choices(tuple(Finding), (6, 5, 1))[0],
        retry_s=dice.choice((5, 30)),
        prepared=dice.choices((1, 2, 4), (30, 4, 1))[0],
        fast=dice.random() < 0.12,
    )
