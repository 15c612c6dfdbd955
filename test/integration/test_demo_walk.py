"""The demo's own conduct, with stand-ins for the gateways: what it prints, when it fails, what it leaves behind."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo import stage as stage_module
from kwic.cli.demo.cast import ADMIN_PORT, Cast, Player
from kwic.cli.demo.home import Home, Settings
from kwic.cli.demo.screen import Screen
from kwic.cli.demo.script import Chapter, Crash, Echo, Join, ReadLogs, Start, Stop, the_walk
from kwic.cli.demo.stage import Stage
from kwic.cli.demo.walk import Walk
from test.integration import standin
from test.integration.network import claim_network


class StandInCast(Cast):
    """The cast, played by stand-ins.

    :param faults: the faults of some, by name.
    """

    def __init__(self, *, folder: Path, faults: dict[str, str]) -> None:
        self._folder = folder
        self._faults = faults
        super().__init__(network=claim_network(), scenarios=folder, stores=folder)

    def command(self, player: Player) -> list[str]:
        role = {
            "name": player.name,
            "address": player.address,
            "ports": [port for port in player.ports if port != ADMIN_PORT],
            "admin_port": ADMIN_PORT,
            "folder": str(self._folder),
            "fault": self._faults.get(player.name, ""),
        }
        return [sys.executable, "-S", standin.__file__, json.dumps(role)]


class WalkTests(SynchronousTestCase):
    """The walk through the scenario."""

    def stage(self, **faults: str) -> Stage:
        """A stage of stand-ins, which are gone when the test is over."""
        home = Home(Path(self.mktemp()))
        home.prepare(Settings(network="127.0.0", tls_port=8443))
        cast = StandInCast(folder=home.run, faults=faults)
        stage = Stage(cast, home)
        self.addCleanup(stage.stop_all)
        return stage

    def walk(self, stage: Stage, *steps: object) -> tuple[bool, str]:
        """Perform steps; whether all passed, and what was printed."""
        out = io.StringIO()
        script = (Chapter(title="The steps", steps=steps),)
        return Walk(stage, Screen(out, live=False)).perform(script), out.getvalue()

    def everybody(self, stage: Stage) -> Start:
        """The step that starts everybody."""
        return Start(names=tuple(stage.cast.players))

    def test_whole_walk(self) -> None:
        """When everything works, every step of the script passes, with a line for each."""
        stage = self.stage()
        script = [
            Chapter(
                title=chapter.title,
                steps=tuple(step for step in chapter.steps if type(step).__name__ != "Certify"),
            )
            for chapter in the_walk(stage.cast)
        ]
        out = io.StringIO()
        walk = Walk(stage, Screen(out, live=False))
        self.assertTrue(walk.perform(script), out.getvalue())
        self.assertEqual(walk.tally.passed, sum(len(chapter.steps) for chapter in script))
        self.assertNotIn("✗", out.getvalue())
        self.assertIn("✓ client A → server A via cloud2: says world, hears world", out.getvalue())
        self.assertIn("onprem2           tunnel, 0.4 ms, 0 clients", out.getvalue())
        self.assertRegex(out.getvalue(), r"✓ onprem1 is killed: \d+ new clients, all served")

    def test_echo_that_fails(self) -> None:
        """A client that is not served is a failed step, with the end of the log of the instance it went to."""
        stage = self.stage(cloud1="deaf")
        route = stage.cast.routes[0]
        passed, printed = self.walk(
            stage, self.everybody(stage), Echo(route=route), Echo(route=stage.cast.routes[1])
        )
        self.assertFalse(passed)
        self.assertIn("✗ client A → server A via cloud1", printed)
        self.assertIn("| INFO  up", printed)
        self.assertIn("✓ client A → server A via cloud2", printed)

    def test_instance_that_ends(self) -> None:
        """An instance that cannot start is a failed step that shows why."""
        stage = self.stage(onprem1="exit")
        passed, printed = self.walk(stage, self.everybody(stage))
        self.assertFalse(passed)
        self.assertIn("onprem1 ended at once, exit status 1", printed)
        self.assertIn("| ERROR nothing works today", printed)

    def test_missing_tunnels(self) -> None:
        """Tunnels that do not come up within the time are named."""
        self.patch(stage_module, "JOIN_S", 0.2)
        stage = self.stage(cloud2="apart")
        passed, printed = self.walk(stage, self.everybody(stage), Join())
        self.assertFalse(passed)
        self.assertIn("onprem1 serves nothing through cloud2; onprem2 serves nothing through cloud2", printed)

    def test_crash_that_is_felt(self) -> None:
        """A crash during which clients of the others fail is a failed step."""
        stage = self.stage(cloud2="deaf")
        others = tuple(route for route in stage.cast.routes if route.via != "cloud1")
        passed, printed = self.walk(stage, self.everybody(stage), Crash(name="cloud1", others=others))
        self.assertFalse(passed)
        self.assertIn(
            "clients failed, the first: client A → server A via cloud2: closed without an answer", printed
        )

    def test_traceback(self) -> None:
        """A traceback in any log is a failed step, even when all clients were served."""
        stage = self.stage(cloud2="traceback")
        passed, printed = self.walk(stage, self.everybody(stage), ReadLogs())
        self.assertFalse(passed)
        self.assertIn("cloud2 logged 1", printed)

    def test_found_again(self) -> None:
        """What one command left running, another finds, stops and starts again."""
        stage = self.stage()
        self.walk(stage, self.everybody(stage))
        later = Stage(stage.cast, stage.home)
        self.assertEqual(later.running, list(stage.cast.players))
        _, printed = self.walk(later, Stop(name="cloud1"))
        self.assertIn("cloud1 is stopped", printed)
        self.assertEqual(later.running, [name for name in stage.cast.players if name != "cloud1"])
        self.assertTrue(self.walk(later, Start(names=("cloud1",)), Join())[0])

    def test_pid_of_somebody_else(self) -> None:
        """A record whose pid now belongs to another program is not taken for the process."""
        stage = self.stage()
        (stage.home.run / "cloud1.pid").write_text(
            json.dumps({"pid": os.getpid(), "command": ["python", "other"]})
        )
        self.assertEqual(stage.running, [])
