"""What can happen, drawn from a seed: each fault begins, and ends with its remedy."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from test.sim.instance import Instance
from test.sim.topology import CLOUD_CLIENT, ETCD, PREM_CLIENT, SERVER_A, SERVER_B, Finding
from test.sim.world import World

#: Seconds that a fault lasts: moments, less than silence takes to be noticed, about as long, longer.
LASTS_S = (0.05, 0.3, 1.0, 1.0, 2.5, 2.5, 3.7, 4.5, 6.0, 9.0)
#: One way, in seconds.
LATENCIES_S = (0.02, 0.1, 0.3)

Remedy = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong for a while."""

    begin: Callable[[], Remedy]
    lasts_s: float


class Faults:
    """
    Draws faults.

    :param world: what they happen to.
    :param dice: what they are drawn with.
    """

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._dice = dice

    # -- drawing ------------------------------------------------------------------------------------------------------------

    def one(self) -> Fault:
        """A fault of one thing, of which others like it are left."""
        kinds = [
            (4, self._killed),
            (2, self._without_power),
            (4, self._frozen),
            (4, self._stopped),
            (2, self._isolated),
            (4, self._cut),
            (2, self._slow),
            (1, self._names),
        ]
        if self._world.topology.finding is Finding.ETCD:
            kinds.append((6, self._etcd))
        return self._draw(kinds)

    def any(self) -> Fault:
        """A fault that may leave no way for some."""
        kinds = [(20, self.one), (1, self._back_end), (1, self._split), (1, self.pair)]
        weights = [weight for weight, _ in kinds]
        return self._dice.choices([kind for _, kind in kinds], weights)[0]()

    def pair(self) -> Fault:
        """One instance of each side is gone at the same moment."""
        dice = self._dice
        names = (dice.choice(self._world.topology.cloud_nodes), dice.choice(self._world.topology.agent_nodes))
        kinds = [dice.choice((self._world.crash, self._world.power_off)) for _ in names]

        def begin() -> Remedy:
            remedies = [self._end(name, kind) for name, kind in zip(names, kinds, strict=True)]

            def remedy() -> None:
                for each in remedies:
                    each()

            return remedy

        return Fault(begin=begin, lasts_s=self._lasts())

    def _draw(self, kinds: list[tuple[int, Callable[[], Callable[[], Remedy]]]]) -> Fault:
        weights = [weight for weight, _ in kinds]
        kind = self._dice.choices([kind for _, kind in kinds], weights)[0]
        return Fault(begin=kind(), lasts_s=self._lasts())

    def _lasts(self) -> float:
        return self._dice.choice(LASTS_S)

    def _node(self) -> str:
        return self._dice.choice(self._world.topology.nodes)

    # -- processes and machines ---------------------------------------------------------------------------------------------

    def _killed(self) -> Callable[[], Remedy]:
        name = self._node()
        return lambda: self._end(name, self._world.crash)

    def _without_power(self) -> Callable[[], Remedy]:
        name = self._node()
        return lambda: self._end(name, self._world.power_off)

    def _end(self, name: str, how: Callable[[str], None]) -> Remedy:
        """An instance that lives is gone, and started anew afterwards."""
        instance = self._world.instances[name]
        if not instance.alive:
            return _nothing
        how(name)
        return self._starting(instance)

    def _starting(self, instance: Instance) -> Remedy:
        start = instance.starts

        def remedy() -> None:
            if instance.starts == start and not instance.alive:
                self._world.start(instance.name)

        return remedy

    def _frozen(self) -> Callable[[], Remedy]:
        name = self._node()
        return lambda: self._freeze(name)

    def _freeze(self, name: str) -> Remedy:
        instance = self._world.instances[name]
        if not instance.alive or instance.reactor.frozen:
            return _nothing
        self._world.freeze(name)
        start = instance.starts

        def remedy() -> None:
            if instance.starts == start and instance.alive and instance.reactor.frozen:
                self._world.thaw(name)

        return remedy

    def _stopped(self) -> Callable[[], Remedy]:
        name = self._node()
        return lambda: self._stop(name)

    def _stop(self, name: str) -> Remedy:
        instance = self._world.instances[name]
        if not instance.serving:
            return _nothing
        again = self._starting(instance)
        wanted = False

        def stopped() -> None:
            if wanted:
                self._world.clock.callLater(0, again)

        def remedy() -> None:
            nonlocal wanted
            wanted = True
            again()

        self._world.stop(name, stopped)
        return remedy

    # -- the network --------------------------------------------------------------------------------------------------------

    def _isolated(self) -> Callable[[], Remedy]:
        world, name = self._world, self._node()
        others = [other for other in world.network.hosts if other not in (name, CLOUD_CLIENT, PREM_CLIENT)]
        outward = [(name, other) for other in others]
        inward = [(other, name) for other in others]
        pairs = self._dice.choice((outward + inward, outward + inward, outward, inward))

        def begin() -> Remedy:
            world.cut_off(name)
            return self._sever(f"{name} is cut off ({_ways(pairs, outward, inward)})", pairs, name)

        return begin

    def _cut(self) -> Callable[[], Remedy]:
        a, b = self._linked()
        pairs = self._dice.choice(([(a, b), (b, a)], [(a, b)], [(b, a)]))
        text = f"{a} -/- {b}" if len(pairs) == 2 else "{} -/-> {}".format(*pairs[0])
        return lambda: self._sever(text, pairs)

    def _linked(self) -> tuple[str, str]:
        """Two hosts that talk with each other."""
        dice, topology = self._dice, self._world.topology
        kind = dice.random()
        if topology.finding is Finding.ETCD and dice.random() < 0.1:
            return dice.choice(topology.cloud_nodes), ETCD
        if kind < 0.6:
            return dice.choice(topology.cloud_nodes), dice.choice(topology.agent_nodes)
        if kind < 0.8:
            a, b = dice.sample(topology.cloud_nodes, 2)
            return a, b
        if kind < 0.9:
            return dice.choice(topology.cloud_nodes), SERVER_B
        return dice.choice(topology.agent_nodes), SERVER_A

    def _split(self) -> Fault:
        """The cloud's members do not see each other."""
        nodes = self._world.topology.cloud_nodes
        pairs = [(a, b) for a in nodes for b in nodes if a != b]
        return Fault(begin=lambda: self._sever("the cluster is split", pairs), lasts_s=self._lasts())

    def _sever(self, text: str, pairs: list[tuple[str, str]], cut_off_name: str = "") -> Remedy:
        self._world.say(text)
        self._world.cut(pairs)

        def remedy() -> None:
            self._world.say(f"no longer: {text}")
            self._world.mend(pairs)
            if cut_off_name:
                self._world.reaches_all(cut_off_name)

        return remedy

    def _slow(self) -> Callable[[], Remedy]:
        a, b = self._linked()
        latency_s = self._dice.choice(LATENCIES_S)

        def begin() -> Remedy:
            self._world.slow(a, b, latency_s)
            return lambda: self._world.slow(a, b, None)

        return begin

    # -- what the gateways need of others -----------------------------------------------------------------------------------

    def _names(self) -> Callable[[], Remedy]:
        how = self._dice.choice(("late", "silent", "ignorant"))
        world = self._world

        def begin() -> Remedy:
            world.say(f"the name servers are {how}")
            world.names_fail({"late": 2.0, "silent": None, "ignorant": 0.0}[how], unknown=how == "ignorant")

            def remedy() -> None:
                world.say("the name servers are well")
                world.names_work()

            return remedy

        return begin

    def _etcd(self) -> Callable[[], Remedy]:
        world = self._world
        how = self._dice.choice(("killed", "without power", "frozen"))

        def begin() -> Remedy:
            reactor = world.network.hosts[ETCD]
            if not reactor.alive or reactor.frozen:
                return _nothing
            if how == "frozen":
                world.stall_etcd()
                return world.go_on_etcd
            world.end_etcd(silently=how == "without power")
            return world.begin_etcd

        return begin

    def _back_end(self) -> Fault:
        world = self._world
        name, silently = self._dice.choice((SERVER_A, SERVER_B)), self._dice.random() < 0.5

        def begin() -> Remedy:
            if not world.network.hosts[name].alive:
                return _nothing
            world.end_back_end(name, silently=silently)
            return lambda: world.begin_back_end(name)

        return Fault(begin=begin, lasts_s=self._lasts())


def _nothing() -> None:
    """It did not come to pass."""


def _ways(pairs: list[tuple[str, str]], outward: list[tuple[str, str]], inward: list[tuple[str, str]]) -> str:
    if pairs == outward:
        return "sends in vain"
    return "hears nothing" if pairs == inward else "both ways"


def outstanding(begun: list[Remedy]) -> Iterator[Remedy]:
    """The remedies that were not given yet, oldest first."""
    while begun:
        yield begun.pop(0)
