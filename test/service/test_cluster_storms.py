"""Members through storms of random faults: whatever happened, when it is over all see all, over one link for each pair."""

from __future__ import annotations

import random
from collections.abc import Callable

from kwic.service.membership import OwnState
from test.service.cluster_case import GROUP, ClusterCase, uuid

SEEDS = range(40)
NAMES = ("n1", "n2", "n3", "n4")
CALM_S = 15.0


class StormTests(ClusterCase):
    """Storms, each from a seed."""

    def test_storms(self) -> None:
        """After every storm the members are as if nothing had happened."""
        for seed in SEEDS:
            self.setUp()
            try:
                self.storm(seed)
            except BaseException:
                print(f"the storm was that of seed {seed}")
                raise
            finally:
                self.doCleanups()

    def storm(self, seed: int) -> None:
        """Twenty faults, then calm."""
        self.dice = random.Random(seed)
        self.starts = 0
        self.network.names["all.example.com"] = tuple(f"10.0.0.{number}" for number in range(1, 5))
        self.connects = self.dice.choice(
            [
                (GROUP,),
                ("tcp://all.example.com:5941",),
                ("tcp://10.0.0.1:5941",),
                (GROUP, "tcp://10.0.0.2:5941"),
            ]
        )
        random.seed(seed)
        for name in NAMES:
            self.begin(name)
        for _ in range(20):
            self.pass_time(self.dice.choice((0.01, 0.3, 1.0, 3.0, 6.0)))
            name, other = self.dice.sample(NAMES, 2)
            self.dice.choice(self.faults())(name, other)
        self.end_of_storm()
        self.check()

    def begin(self, name: str) -> None:
        """Start a member anew; a larger start does not always have the larger instance."""
        self.starts += 1
        instance = uuid(self.dice.randrange(2**32))
        self.start(name, f"10.0.0.{name[1]}", *self.connects, instance=instance)
        self.clusters[name].publish(OwnState(names={name: self.starts}))

    def faults(self) -> list[Callable[[str, str], None]]:
        network = self.network
        return [
            lambda name, other: network.crash(name),
            lambda name, other: network.power_off(name),
            lambda name, other: network.freeze(name),
            lambda name, other: network.thaw(name),
            lambda name, other: network.cut(name, other),
            lambda name, other: network.cut(name, other, both=False),
            lambda name, other: network.isolate(name),
            lambda name, other: network.heal(),
            lambda name, other: network.latency(name, other, self.dice.choice((0.0001, 0.05, 0.4))),
            self.restart,
            self.restart,
            self.leave,
        ]

    def restart(self, name: str, other: str) -> None:
        self.network.power_off(name) if self.dice.random() < 0.5 else self.network.crash(name)
        self.begin(name)

    def leave(self, name: str, other: str) -> None:
        host = self.network.hosts[name]
        if host.alive and not host.frozen and self.clusters[name].running:
            self.clusters[name].stopService()
            self.pass_time(self.dice.choice((0.0, 0.01, 2.0)))
        self.restart(name, other)

    def end_of_storm(self) -> None:
        self.network.heal()
        for name in NAMES:
            host = self.network.hosts[name]
            self.network.thaw(name)
            for other in NAMES:
                self.network.latency(name, other, 0.001)
            if not host.alive:
                self.begin(name)
        self.pass_time(CALM_S)

    def check(self) -> None:
        for name in NAMES:
            others = sorted({*NAMES} - {name})
            self.assertEqual(self.nodes(name), others)
            self.assertEqual([len(n.links) for n in self.clusters[name]._mesh.neighbours.values()], [1, 1, 1])
            for member in self.clusters[name].members():
                self.assertEqual(dict(member.names), dict(self.clusters[member.node].own.names))
        self.assertEqual([event for event in self.events if "log_failure" in event], [])
        for name in NAMES:
            self.clusters[name].stopService()
        self.pass_time(3)
        for name in NAMES:
            host = self.network.hosts[name]
            self.assertEqual((host.getDelayedCalls(), host.transports, host.ports), ([], set(), {}))
            self.assertEqual(host.multicast_ports, [])
