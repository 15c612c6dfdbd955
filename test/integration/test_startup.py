"""What an operator's mistakes get: one clear line each, and an exit status that is not 0."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from kwic.cli.demo.process import gateway_environment, twistd_command
from kwic.transport.demo_pki import DemoPlan, make_demo_pki
from test.integration.certificates import stores
from test.integration.gateways import ADMIN_PORT, ETC, START_S, GatewayTestCase

WS_PORT, TLS_PORT = "8080", "8443"
SIMPLE = ETC / "simple" / "cloud-config.xml"
TLS = ETC / "tls" / "cloud-config.xml"


class StartupTests(GatewayTestCase):
    """Gateways that cannot start."""

    hosts = {"example.com": (11,)}
    admin_options: tuple[str, ...] = ()

    def _options(self, host: str, defines: Mapping[str, str]) -> list[str]:
        """With another admin address, where a test names one: the last one counts."""
        return [*super()._options(host, defines), *self.admin_options]

    def complaint(self, config: Path, **defines: str) -> str:
        """Start a gateway that cannot start; the line that it prints about that."""
        status, printed = self.fail_to_start("example.com", config, **defines)
        self.assertNotIn(status, (0, None), printed)
        self.assertNotIn("Traceback", printed)
        lines = [line for line in printed.splitlines() if line.lower().startswith(("error", str(config)))]
        lines = lines or [line for line in printed.splitlines() if "error" in line.lower()]
        self.assertEqual(len(lines), 1, printed)
        return lines[0]

    def check(self, line: str, *parts: str) -> None:
        """A complaint says each of these."""
        for part in parts:
            self.assertIn(part, line)

    def edited(self, old: str, new: str) -> Path:
        """The file of the cloud with a mistake in it."""
        text = SIMPLE.read_text()
        self.assertIn(old, text)
        file = (self.folder / "cloud.xml").absolute()
        file.write_text(text.replace(old, new, 1))
        return file

    def test_unknown_element(self) -> None:
        """A misspelt element is named with file, line and column, and what was probably meant."""
        file = self.edited("<socks.mode>reverse</socks.mode>", "<socks.mod>reverse</socks.mod>")
        self.check(self.complaint(file, ws_port=WS_PORT), f"{file}:13:7", "socks.mod", "socks.mode")

    def test_every_mistake_in_one_run(self) -> None:
        """All mistakes of a file are reported at once."""
        text = (
            SIMPLE.read_text().replace("<socks.mode>", "<socks.mod>").replace("</socks.mode>", "</socks.mod>")
        )
        file = self.folder / "cloud.xml"
        file.write_text(text.replace("tcp://server-b:6661", "tcp://server-b"))
        status, printed = self.fail_to_start("example.com", file.absolute(), ws_port=WS_PORT)
        self.assertNotEqual(status, 0)
        for place in (":13:7: ", ":38:7: ", ":23:14: "):
            self.assertIn(f"{file.absolute()}{place}", printed)

    def test_no_xml(self) -> None:
        """A file that is not XML is said to be that."""
        file = self.edited("</gateway-config>", "")
        self.check(self.complaint(file, ws_port=WS_PORT), str(file))

    def test_words_that_make_no_sense(self) -> None:
        """A command line that makes no sense gets its mistake, where the whole help is, and nothing else."""
        for words, mistake in (
            (["--config", "a.xml", "b.xml"], "'b.xml' belongs to no option; nothing more is expected here"),
            (["--confg", "a.xml"], "option --confg not recognized"),
        ):
            command = twistd_command(SIMPLE)
            done = subprocess.run(
                [*command[: command.index("kwic") + 1], *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=gateway_environment(os.environ),
                cwd=self.folder,
                timeout=START_S,
                check=False,
            )
            self.assertEqual(
                (done.returncode, done.stdout, done.stderr),
                (1, "", f"error: {mistake}\nsee twistd kwic --help\n"),
            )

    def test_missing_file(self) -> None:
        """A file that is not there is named."""
        file = (self.folder / "none.xml").absolute()
        self.check(self.complaint(file), str(file))

    def test_unresolved_property(self) -> None:
        """A property that was not given is named, with how to give it."""
        config = ETC / "ha" / "cloud-config.xml"
        status, printed = self.fail_to_start("example.com", config, tls_port=TLS_PORT, stores=stores())
        self.assertNotEqual(status, 0)
        for line in printed.splitlines():
            self.check(line, str(config), "-D cloud-node-hostname=")

    def test_missing_store(self) -> None:
        """A store that is not there is named."""
        copy = self.copied_stores()
        (copy / "keystore-cloud.jceks").unlink()
        line = self.complaint(TLS, tls_port=TLS_PORT, stores=str(copy))
        self.check(line, str(copy / "keystore-cloud.jceks"))

    def test_wrong_password(self) -> None:
        """A wrong password is said to be that, with the store's name."""
        copy = self.copied_stores()
        (copy / "keystore-cloud.pw").write_text("wrong\n")
        line = self.complaint(TLS, tls_port=TLS_PORT, stores=str(copy))
        self.check(line, str(copy / "keystore-cloud.jceks"), "password")

    def test_both_stores(self) -> None:
        """What is wrong with either store is said in one run, with the place in the file and whose password-file is missing."""
        copy = self.copied_stores()
        (copy / "keystore-cloud.pw").unlink()
        (copy / "truststore-cloud.pw").write_text("wrong\n")
        status, printed = self.fail_to_start("example.com", TLS, tls_port=TLS_PORT, stores=str(copy))
        self.assertEqual(status, 1)
        keystore, truststore = printed.splitlines()
        self.check(
            keystore, f"{TLS}:", " error: ", "password-file of the keystore", str(copy / "keystore-cloud.pw")
        )
        self.check(truststore, f"{TLS}:", " error: ", str(copy / "truststore-cloud.jceks"), "password")

    def copied_stores(self) -> Path:
        """The stores, to be damaged."""
        copy = (self.folder / "stores").absolute()
        shutil.copytree(stores(), copy)
        return copy

    def test_damaged_store(self) -> None:
        """A store that is none is said to be that."""
        copy = self.copied_stores()
        (copy / "truststore-cloud.jceks").write_bytes(b"\xca\xfe\xba\xbe")
        self.check(self.complaint(TLS, tls_port=TLS_PORT, stores=str(copy)), "truststore-cloud.jceks")

    def test_port_in_use(self) -> None:
        """A port that another program holds is named."""
        with socket.create_server((self.address("example.com"), int(WS_PORT))):
            line = self.complaint(SIMPLE, ws_port=WS_PORT)
        self.check(line, f"{self.address('example.com')}:{WS_PORT}", "use")

    def test_admin_port_in_use(self) -> None:
        """So is the admin port."""
        with socket.create_server((self.address("example.com"), ADMIN_PORT)):
            line = self.complaint(SIMPLE, ws_port=WS_PORT)
        self.check(line, f"{self.address('example.com')}:{ADMIN_PORT}", "use")

    def test_admin_address_that_is_none(self) -> None:
        """An admin address that cannot be is named."""
        for address in ("127.0.0.1:65536", f"unix:{self.folder.absolute()}/none/admin"):
            self.admin_options = (f"--admin={address}",)
            self.check(self.complaint(SIMPLE, ws_port=WS_PORT), address)

    def test_unknown_interface(self) -> None:
        """An interface that is not there is named, with the accept that asks for it and those that are there."""
        file = self.edited("tcp://@eth0:5551", "tcp://@none0:5551")
        self.check(self.complaint(file, ws_port=WS_PORT), "tcp://@none0:5551", "interface none0", "lo")

    def test_unknown_host_name(self) -> None:
        """A host name that cannot be resolved is named, with its place and what can be done about it."""
        file = self.edited("tcp://@eth0:5551", "tcp://nowhere.invalid:5551")
        line = self.complaint(file, ws_port=WS_PORT)
        self.check(line, f"{file}:", "tcp://nowhere.invalid:5551", "--resolve", "DNS", "tcp.bind")

    def test_daemon_that_cannot_start(self) -> None:
        """A daemon that cannot start ends the command that was called, too, and leaves no pid file."""
        pidfile, logfile = self.folder.absolute() / "kwic.pid", self.folder.absolute() / "kwic.log"
        command = twistd_command(SIMPLE, *self._options("example.com", {"ws-port": WS_PORT}))
        at = command.index("-n")
        command[at : at + 2] = [f"--pidfile={pidfile}", f"--logfile={logfile}"]
        with socket.create_server((self.address("example.com"), int(WS_PORT))):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=gateway_environment(os.environ),
                cwd=self.folder,
                timeout=START_S,
                check=False,
            )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("look at log", done.stderr)
        log = logfile.read_text()
        self.check(log, f"{self.address('example.com')}:{WS_PORT} is in use")
        self.assertNotIn("Traceback", log + done.stderr)
        self.assertFalse(pidfile.exists())

    def test_certificate_that_does_not_fit(self) -> None:
        """A keystore without a certificate for an accept's host is said to be that, with both names."""
        plan = DemoPlan(hosts=("other.example.net",), days=30)
        made = make_demo_pki(self.folder.absolute() / "pki", plan, now_s=time.time())
        line = self.complaint(TLS, tls_port=TLS_PORT, stores=str(made.directory / "stores"))
        self.check(line, "example.com", "other.example.net")

    def test_hosts_without_a_certificate(self) -> None:
        """Every accept without a certificate is named in one run, each with its place, and so are names that cannot be resolved."""
        file = self.edited_tls(
            ("tcp://@eth0:5551", "tcp://nowhere.invalid:5551"),
            ("<accept>wss://example.com:", "<accept>wss://cloud.invalid:"),
        )
        plan = DemoPlan(hosts=("other.example.net",), days=30)
        made = make_demo_pki(self.folder.absolute() / "pki", plan, now_s=time.time())
        stores = str(made.directory / "stores")
        status, printed = self.fail_to_start("example.com", file, tls_port=TLS_PORT, stores=stores)
        self.assertEqual(status, 1)
        nowhere, reverse, forward, cloud = printed.splitlines()
        self.check(nowhere, f"{file}:21:13: error: tcp://nowhere.invalid:5551: ")
        self.check(reverse, f"{file}:27:24: error: service “proxy service A”: ", "for example.com;")
        self.check(forward, f"{file}:36:13: error: service “proxy service B”: ", "for cloud.invalid;")
        self.check(cloud, f"{file}:36:13: error: wss://cloud.invalid:{TLS_PORT}/serviceB: ")

    def test_ciphers_that_leave_none(self) -> None:
        """So is an option that leaves nothing to speak."""
        verify = "<ssl.verify-client>required</ssl.verify-client>"
        file = self.edited_tls((verify, f"<ssl.ciphers>HIGH:!HIGH</ssl.ciphers>{verify}"))
        self.check(self.complaint(file, tls_port=TLS_PORT, stores=stores()), f"{file}:40:20: error: ", "HIGH")

    def edited_tls(self, *changes: tuple[str, str]) -> Path:
        """The file of the cloud that speaks TLS, with mistakes in it."""
        text = TLS.read_text()
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new, 1)
        file = (self.folder / "cloud.xml").absolute()
        file.write_text(text)
        return file

    def test_expired_certificate(self) -> None:
        """An expired certificate is said to be that, with the day."""
        past_s = time.time() - 60 * 86400
        made = make_demo_pki(self.folder.absolute() / "pki", DemoPlan(days=30), now_s=past_s)
        line = self.complaint(TLS, tls_port=TLS_PORT, stores=str(made.directory / "stores"))
        ended = time.strftime("%Y-%m-%d", time.gmtime(past_s + 30 * 86400))
        self.check(line, "expired", ended)
