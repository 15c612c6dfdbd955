"""The demo's script: it does everything that the tutorial has a person do."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.cast import Cast, Route
from kwic.cli.demo.script import Crash, Echo, Join, ReadLogs, Start, Step, Stop, the_walk

GATEWAYS = ("cloud1", "cloud2", "onprem1", "onprem2")


class ScriptTests(SynchronousTestCase):
    """The steps."""

    def setUp(self) -> None:
        self.cast = Cast(network="127.0.0", scenarios=Path(), stores=Path())
        self.chapters = the_walk(self.cast)
        self.steps: list[Step] = [step for chapter in self.chapters for step in chapter.steps]

    def echoes(self, steps: tuple[Step, ...]) -> list[Route]:
        """The routes that steps try."""
        return [step.route for step in steps if isinstance(step, Echo)]

    def test_routes(self) -> None:
        """Client A has a way through each cloud instance, client B through each on-prem instance."""
        self.assertEqual(
            [(route.client, route.via, route.netcat) for route in self.cast.routes],
            [
                ("A", "cloud1", "nc 127.0.0.11 5551"),
                ("A", "cloud2", "nc 127.0.0.12 5551"),
                ("B", "onprem1", "nc 127.0.0.21 6661"),
                ("B", "onprem2", "nc 127.0.0.22 6661"),
            ],
        )

    def test_all_routes_first_and_last(self) -> None:
        """Every way is tried before anything is stopped, and again at the end."""
        self.assertEqual(self.echoes(self.chapters[1].steps), list(self.cast.routes))
        self.assertEqual(self.echoes(self.chapters[-1].steps), list(self.cast.routes))
        self.assertEqual(self.steps[-1], ReadLogs())

    def test_each_is_stopped(self) -> None:
        """Each instance is stopped, the three ways that do not begin there are tried, and it is started again."""
        for name in GATEWAYS:
            (steps,) = [chapter.steps for chapter in self.chapters if chapter.steps[0] == Stop(name=name)]
            self.assertEqual(self.echoes(steps), [route for route in self.cast.routes if route.via != name])
            self.assertEqual(steps[-2:], (Start(names=(name,)), Join()))

    def test_each_is_killed(self) -> None:
        """Each instance is killed while clients connect through all the others, and is started again."""
        for name in GATEWAYS:
            others = tuple(route for route in self.cast.routes if route.via != name)
            (steps,) = [
                chapter.steps
                for chapter in self.chapters
                if chapter.steps[0] == Crash(name=name, others=others)
            ]
            self.assertEqual(steps[1:], (Start(names=(name,)), Join()))


class CastTests(SynchronousTestCase):
    """The processes."""

    def test_command(self) -> None:
        """A cloud instance runs its own file, knows its name and every other's address, and answers on its own."""
        cast = Cast(network="127.9.9", scenarios=Path("/etc"), stores=Path("/stores"), tls_port=9443)
        command = " ".join(cast.command(cast.players["cloud2"]))
        for part in (
            "-n --pidfile= kwic --config /etc/ha/cloud-config.xml --node=cloud2",
            "-Dcloud-node-hostname=cloud2.example.com",
            "-Dtls-port=9443",
            "--resolve=@eth0=127.9.9.12",
            "--resolve=example.com=127.9.9.11,127.9.9.12",
            "--resolve=server-b=127.9.9.32",
            "--admin=127.9.9.12:8900",
        ):
            self.assertIn(part, command)
