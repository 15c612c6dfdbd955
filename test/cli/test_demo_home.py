"""The demo's folder and the addresses it needs."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo import Options
from kwic.cli.demo.cast import Cast, Player
from kwic.cli.demo.home import Home, Settings
from kwic.cli.demo.loopback import check_free
from kwic.errors import SetupError

SETTINGS = Settings(network="127.1.2", tls_port=8443)


class HomeTests(SynchronousTestCase):
    """The folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.home = Home(self.folder)

    def test_found_again(self) -> None:
        """The settings a demo was started with are found by a later command."""
        self.home.prepare(SETTINGS)
        self.assertEqual(Home(self.folder).settings(), SETTINGS)

    def test_private(self) -> None:
        """Nobody else may look into the folder: keys are in it."""
        self.home.prepare(SETTINGS)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

    def test_no_demo(self) -> None:
        """Without a demo, the message says how to start one."""
        error = self.assertRaises(SetupError, self.home.settings)
        self.assertIn("--keep", str(error))

    def test_damaged_record(self) -> None:
        """A damaged record is named, with what to do."""
        self.home.prepare(SETTINGS)
        (self.folder / "demo.json").write_text('{"network": 1, "more": 2}')
        self.assertIn("demo.json cannot be read", str(self.assertRaises(SetupError, self.home.settings)))

    def test_foreign_folder(self) -> None:
        """A folder with other things in it is left alone."""
        self.folder.mkdir()
        (self.folder / "thesis.tex").write_text("x")
        self.assertIn("other things", str(self.assertRaises(SetupError, self.home.prepare, SETTINGS)))
        self.assertTrue((self.folder / "thesis.tex").exists())

    def test_prepared_anew(self) -> None:
        """What an earlier demo left is gone when the next begins."""
        self.home.prepare(SETTINGS)
        (self.home.run / "cloud1.log").write_text("old")
        self.home.prepare(SETTINGS)
        self.assertEqual(list(self.home.run.iterdir()), [])

    def test_remove(self) -> None:
        """Taking a demo away takes its folder away, but nothing that somebody else put there."""
        self.home.prepare(SETTINGS)
        (self.folder / "notes").write_text("x")
        self.home.remove()
        self.assertEqual([path.name for path in self.folder.iterdir()], ["notes"])
        (self.folder / "notes").unlink()
        self.home.remove()
        self.assertFalse(self.folder.exists())


class LoopbackTests(SynchronousTestCase):
    """The addresses and ports."""

    def test_port_in_use(self) -> None:
        """A port that another program holds is named, with whose it should have been and what to do."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            player = Player(name="cloud1", side="cloud", config=Path(), address="127.0.0.1", ports=(port,))
            error = str(self.assertRaises(SetupError, check_free, [player]))
        self.assertIn(f"127.0.0.1:{port} (cloud1)", error)
        self.assertIn("--network", error)

    def test_foreign_address(self) -> None:
        """An address that the machine does not have is named."""
        player = Player(name="cloud1", side="cloud", config=Path(), address="203.0.113.9", ports=(5551,))
        self.assertIn("no address 203.0.113.9", str(self.assertRaises(SetupError, check_free, [player])))

    def test_different_addresses(self) -> None:
        """Everybody has an address of its own."""
        cast = Cast(network="127.1.2", scenarios=Path(), stores=Path())
        self.assertEqual(len({player.address for player in cast.players.values()}), 6)


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def test_network_that_is_none(self) -> None:
        """Addresses that are not this machine's own are refused before anything is done."""
        for network in ("10.0.0", "127.0", "127.0.300", "x", "127.0.0.1"):
            self.assertRaises(UsageError, Options().parseOptions, ["--network", network])

    def test_port_that_is_none(self) -> None:
        """So is a port that is no number."""
        for port in ("0", "70000", "x"):
            self.assertRaises(UsageError, Options().parseOptions, ["--tls-port", port])

    def test_actions(self) -> None:
        """Stop and start take a name."""
        options = Options()
        options.parseOptions(["--directory", "d", "stop", "cloud1"])
        self.assertEqual((options.subCommand, options.subOptions["name"]), ("stop", "cloud1"))
        self.assertRaises(UsageError, Options().parseOptions, ["stop"])
