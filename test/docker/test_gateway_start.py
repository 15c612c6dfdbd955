"""`entrypoint` and `gateway.start`: what a container does with its command, its variables and its mounts."""

from __future__ import annotations

import signal
import subprocess

from test.docker.scripts import TIMEOUT_S, ScriptTestCase

ADMIN = "unix:/run/kwic/admin.sock"


class GatewayStartTests(ScriptTestCase):
    """The command that KWIC 5's images had."""

    def test_plain(self) -> None:
        """Without arguments, twistd runs in the foreground with the mounted configuration."""
        ran = self.run_script("gateway.start")
        self.assertEqual(
            ran.twistd,
            [
                "--nodaemon",
                "--pidfile=",
                "kwic",
                "--config",
                str(self.config),
                "--admin",
                ADMIN,
                "--grace",
                "8",
            ],
        )
        self.assertEqual(ran.errors, [])

    def test_becomes_twistd(self) -> None:
        """The script is twistd's process in the end, so that signals reach it, and its exit status is twistd's."""
        ran = self.run_script("gateway.start", TWISTD_STATUS="3")
        self.assertIn(f"pid {ran.pid}", ran.out)
        self.assertEqual(ran.status, 3)

    def test_arguments(self) -> None:
        """Arguments go to twistd behind those of the image, each in one piece: the last of two counts."""
        ran = self.run_script("gateway.start", "-D", "name=two words", "--grace", "20")
        assert ran.twistd is not None
        self.assertEqual(ran.twistd[-4:], ["-D", "name=two words", "--grace", "20"])

    def test_variables(self) -> None:
        """KWIC_ADMIN and KWIC_GRACE change where the gateway answers and how long it drains."""
        ran = self.run_script("gateway.start", KWIC_ADMIN="127.0.0.1:8900", KWIC_GRACE="30")
        assert ran.twistd is not None
        self.assertEqual(ran.twistd[-4:], ["--admin", "127.0.0.1:8900", "--grace", "30"])

    def test_no_configuration(self) -> None:
        """Without a configuration nothing is run, and one line says where it belongs."""
        self.config.unlink()
        ran = self.run_script("gateway.start")
        self.assertEqual((ran.status, ran.twistd), (1, None))
        (line,) = ran.errors
        self.assertIn(f"there is no {self.config}", line)

    def test_other_configuration(self) -> None:
        """A configuration that is named needs none in conf/."""
        self.config.unlink()
        for words in (["--config", "/a.xml"], ["--config=/a.xml"], ["-c", "/a.xml"], ["-c/a.xml"]):
            ran = self.run_script("gateway.start", *words)
            assert ran.twistd is not None
            self.assertEqual(ran.twistd[-len(words) :], words)

    def test_help_needs_no_configuration(self) -> None:
        """Somebody who asks what can be said is told."""
        self.config.unlink()
        for word in ("--help", "--version"):
            ran = self.run_script("gateway.start", word)
            assert ran.twistd is not None
            self.assertEqual(ran.twistd[-1], word)

    def test_gateway_config_property(self) -> None:
        """-DGATEWAY_CONFIG in GATEWAY_OPTS names the configuration, as it did in KWIC 5."""
        other = self.conf / "other.xml"
        other.write_text("<gateway-config/>")
        ran = self.run_script("gateway.start", GATEWAY_OPTS=f"-Xmx512m -DGATEWAY_CONFIG={other} -Dx=*")
        assert ran.twistd is not None
        self.assertEqual(ran.twistd[3:5], ["--config", str(other)])

    def test_gateway_config_property_to_nowhere(self) -> None:
        """A configuration named there that does not exist is the one that is missing."""
        ran = self.run_script("gateway.start", GATEWAY_OPTS="-DGATEWAY_CONFIG=/nowhere.xml")
        self.assertEqual(ran.status, 1)
        self.assertIn("/nowhere.xml", ran.errors[0])

    def test_log4j(self) -> None:
        """A log4j file beside the configuration gets one line, and no more."""
        (self.conf / "log4j-config.xml").write_text("<configuration/>")
        ran = self.run_script("gateway.start")
        self.assertIsNotNone(ran.twistd)
        (line,) = ran.errors
        self.assertIn("log4j-config.xml has no effect", line)

    def test_signal(self) -> None:
        """SIGTERM to the container's process reaches twistd."""
        self.program("twistd", '#!/bin/sh\ntrap "exit 5" TERM\necho ready\nwhile :; do sleep 0.05; done\n')
        process = subprocess.Popen(
            [str(self.bin / "entrypoint")], env=self.environ({}), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as out:
            self.assertEqual(out.readline(), "ready\n")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(TIMEOUT_S), 5)


class LeftSocketTests(ScriptTestCase):
    """What a gateway that was killed leaves behind."""

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.home / "admin.sock"
        self.lock = self.home / "admin.sock.lock"
        self.socket.touch()  # trial's folders are too deep for the path of a real one
        self.lock.symlink_to("1")

    def start(self) -> None:
        """Start a gateway whose socket is that."""
        self.assertIsNotNone(self.run_script("gateway.start", KWIC_ADMIN=f"unix:{self.socket}").twistd)

    def test_nobody_there(self) -> None:
        """The socket and its lock are removed when nobody answers there: the lock names process 1, which is now another."""
        self.program("gateway.ask", "#!/bin/sh\nexit 1\n")
        self.start()
        self.assertFalse(self.socket.exists() or self.lock.is_symlink())

    def test_somebody_there(self) -> None:
        """The socket of a gateway that answers is left alone."""
        self.program("gateway.ask", '#!/bin/sh\n[ "$KWIC_ADMIN" ] && exit 0\n')
        self.start()
        self.assertTrue(self.socket.exists() and self.lock.is_symlink())


class EntrypointTests(ScriptTestCase):
    """What runs for the command of a container."""

    def test_nothing(self) -> None:
        """No command is gateway.start."""
        ran = self.run_script("entrypoint")
        assert ran.twistd is not None
        self.assertIn(str(self.config), ran.twistd)
        self.assertIn(f"pid {ran.pid}", ran.out)

    def test_options(self) -> None:
        """Options alone are for the gateway."""
        ran = self.run_script("entrypoint", "--log-level", "debug")
        assert ran.twistd is not None
        self.assertEqual(ran.twistd[-2:], ["--log-level", "debug"])

    def test_command(self) -> None:
        """A command is run as it is, as compose files of KWIC 5 have it."""
        ran = self.run_script("entrypoint", "bash", "-c", "echo first && sleep 0 && gateway.start")
        self.assertEqual(ran.out[0], "first")
        self.assertIsNotNone(ran.twistd)

    def test_shell_is_replaced(self) -> None:
        """The bash of such a command is gateway.start's process in the end: it is told when the container is stopped."""
        ran = self.run_script("entrypoint", "bash", "-c", "sleep 0 && gateway.start")
        self.assertIn(f"pid {ran.pid}", ran.out)

    def test_unknown_command(self) -> None:
        """A command that there is not fails with the shell's line and status."""
        ran = self.run_script("entrypoint", "no-such-command")
        self.assertEqual(ran.status, 127)
        self.assertIn("no-such-command", ran.errors[0])
