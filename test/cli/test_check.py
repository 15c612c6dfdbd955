"""`kwic check` as it is typed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.python import usage

from kwic.cli import check
from kwic.cli.main import main
from test.cli.files import FilesTestCase, StoresTestCase, security_of
from test.config.test_etc import ETC
from test.config.test_pair import PAIRS
from test.config.text import KEYSTORE, options, proxy, reverse
from test.transport.tls_ends import Scene

ROOT = ETC.parent
MISTAKE = """\
<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">
  <service>
    <name>A</name>
    <accept>tcp://127.0.0.1:5551</accept>
    <connect>tcp://${back-end}:1</connect>
    <type>proxy</type>
    <accept-options><ssl.verify-client>maybe</ssl.verify-client></accept-options>
  </service>
</gateway-config>
"""
GOLDEN = """\
a.xml:5:14: error: the property “back-end” has no value
     5 |     <connect>tcp://${back-end}:1</connect>
       |              ^~~~~~~~~~~~~~~~~~~
       = give it with -D back-end=…, in <properties>, or write ${back-end:default}
       = in gateway-config/service/connect

a.xml:7:40: error: “maybe” is not none, optional or required
     7 |     <accept-options><ssl.verify-client>maybe</ssl.verify-client></accept-options>
       |                                        ^~~~~
       = in gateway-config/service/accept-options/ssl.verify-client

1 file: 2 errors
"""


class TextTests(FilesTestCase):
    """What people read."""

    def mistaken(self) -> str:
        """:returns: the path of a file with two mistakes."""
        path = self.folder / "a.xml"
        path.write_text(MISTAKE)
        return str(path)

    def test_golden(self) -> None:
        """Every mistake with its line, a caret under the column, what to do, and a summary."""
        self.assertEqual(self.type(check, self.mistaken()), (1, GOLDEN, ""))

    def test_right(self) -> None:
        """A file that is right costs one line."""
        self.assertEqual(
            self.type(check, self.write("a.xml", proxy())), (0, "1 file, 1 service: no problems\n", "")
        )

    def test_colours(self) -> None:
        """On a terminal mistakes are red, unless its user is against it."""

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        for environ, wanted in (({}, True), ({"NO_COLOR": "1"}, False)):
            self.patch(os, "environ", environ)
            self.patch(sys, "stdout", Terminal())
            options = check.Options()
            options.parseOptions([self.mistaken()])
            check.run(options)
            self.assertEqual("\x1b[31merror\x1b[0m: " in sys.stdout.getvalue(), wanted)
            self.assertEqual("^~~~~\x1b[0m" in sys.stdout.getvalue(), wanted)

    def test_both_sides(self) -> None:
        """What is wrong between two files is told in the file where it stands."""
        onprem = self.write("onprem.xml", proxy("pipe://b", accept_options=reverse("ws://cloud/kwic")))
        cloud = self.write("cloud.xml", proxy(connect="pipe://a", connect_options=reverse("ws://cloud/kwic")))
        status, out, _ = self.type(check, cloud, onprem)
        self.assertEqual(status, 1)
        self.assertIn("onprem.xml:2:", out)
        self.assertIn("nobody there listens for that name", out)
        self.assertTrue(out.endswith("2 files, 2 services: 2 errors\n"), out)

    def test_comparing_waits(self) -> None:
        """Files are held against each other when each is right by itself."""
        status, out, _ = self.type(check, self.mistaken(), self.write("b.xml", proxy()))
        self.assertEqual(status, 1)
        self.assertTrue(
            out.endswith("(the files are compared with each other when each is right by itself)\n"), out
        )

    def test_file_that_cannot_be_read(self) -> None:
        """A file that is no configuration is a problem like others."""
        path = self.folder / "a.xml"
        path.write_bytes(b"\xff\x00 no XML")
        status, out, _ = self.type(check, str(path))
        self.assertEqual(status, 1)
        self.assertIn("a.xml:1:3: error: ", out)


class OptionTests(FilesTestCase):
    """What can be said."""

    def wrong(self, *words: str) -> str:
        return str(self.assertRaises(usage.UsageError, check.Options().parseOptions, list(words)))

    def test_properties(self) -> None:
        """-D counts for all files, before and behind them, and wins over GATEWAY_OPTS."""
        path = self.write("a.xml", proxy("tcp://127.0.0.1:${port}"))
        self.assertEqual(self.type(check, path)[0], 1)
        for words in (("-D", "port=1", path), (path, "-Dport=1"), ("--define=port=1", path)):
            self.assertEqual(self.type(check, *words)[0], 0, words)
        self.patch(os, "environ", {"GATEWAY_OPTS": "-Dport=x -Xmx512m"})
        status, out, _ = self.type(check, path, "-D", "port=1")
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith("warning: GATEWAY_OPTS: “-Xmx512m” has no effect"), out)
        self.assertEqual(self.type(check, path)[0], 1)

    def test_broken_gateway_opts(self) -> None:
        """Options that cannot be read are told before any file is read."""
        self.patch(os, "environ", {"GATEWAY_OPTS": "'"})
        status, out, err = self.type(check, self.write("a.xml", proxy()))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("GATEWAY_OPTS cannot be read", err)

    def test_proxy_of_the_environment(self) -> None:
        """A proxy that cannot be used is told at what would be dialled through it."""
        self.patch(os, "environ", {"HTTPS_PROXY": "socks5://squid:1080"})
        status, out, _ = self.type(check, self.write("a.xml", proxy(connect="wss://cloud/a")))
        self.assertEqual(status, 0)
        self.assertIn("warning: wss://cloud:443/a cannot be dialled: HTTPS_PROXY names a socks5 proxy", out)
        self.patch(os, "environ", {"HTTPS_PROXY": "http://squid:3128"})
        out = self.type(check, self.write("a.xml", proxy(connect="wss://cloud/a")))[1]
        self.assertEqual(out, "1 file, 1 service: no problems\n")

    def test_properties_of_one_file(self) -> None:
        """One file can stand for several nodes, with what differs behind commas."""
        path = self.write("a.xml", proxy("tcp://${host}:${port}"))
        status, out, _ = self.type(check, f"{path},host=one,port=1", f"{path},host=two", "-D", "port=2")
        self.assertEqual((status, out), (0, "1 file, 2 services: no problems\n"))
        self.assertIn("write name=value after each comma", self.wrong(f"{path},host"))

    def test_name_with_a_comma(self) -> None:
        """A file whose name has a comma is a file."""
        self.assertEqual(self.type(check, self.write("a,b.xml", proxy()))[0], 0)

    def test_resolve(self) -> None:
        """Two names of one address must agree on what they share."""
        path = self.write(
            "a.xml",
            proxy("tcp://one:7000", name="A"),
            proxy("tcp://two:7000", name="B"),
            proxy("tcp://@eth0:7000", name="C"),
        )
        self.assertEqual(self.type(check, path)[0], 0)
        status, out, _ = self.type(
            check, path, "--resolve", "one=10.0.0.1", "--resolve", "two=10.0.0.1,10.0.0.2"
        )
        self.assertEqual(status, 1)
        self.assertIn("service “A” (plain bytes) and service “B” (plain bytes) cannot be told apart", out)
        self.assertEqual(out.count("error"), 2)
        status, out, _ = self.type(check, path, "--resolve", "one=10.0.0.1", "--resolve", "@eth0=10.0.0.1")
        self.assertIn("service “C”", out)
        self.assertIn("write HOST=ADDR", self.wrong(path, "--resolve", "one=two"))

    def test_wrong_calls(self) -> None:
        """What makes no sense is told in one line."""
        path = self.write("a.xml", proxy())
        self.assertIn("say which", self.wrong())
        self.assertIn("there is no such file", self.wrong(str(self.folder / "nosuch.xml")))
        self.assertIn("there is no such file", self.wrong(str(self.folder)))
        self.assertIn("use text or json", self.wrong(path, "--format", "xml"))
        self.assertIn("write -D NAME=VALUE", self.wrong(path, "-D", "port"))
        self.assertIn("--nonsense", self.wrong(path, "--nonsense"))

    def test_exit_status_of_a_wrong_call(self) -> None:
        """Called wrongly is 2, and says where to read on."""
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        error = self.assertRaises(SystemExit, main, ["check"])
        self.assertEqual(error.code, 2)
        self.assertIn("`kwic check --help` says what can be said", err.getvalue())

    def test_help_teaches(self) -> None:
        """The help has the examples on lines of their own."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.assertRaises(SystemExit, main, ["check", "--help"])
        text = out.getvalue()
        self.assertIn("kwic check FILE… [options]", text)
        self.assertIn("Exit status: 0 no errors", text)
        self.assertIn("\n  kwic check cloud-config.xml\n", text)
        self.assertTrue(all(len(line) <= 110 for line in text.splitlines()), text)


class JsonTests(FilesTestCase):
    """What machines read."""

    def test_shape(self) -> None:
        """One object, with every problem in a list."""
        path = self.folder / "a.xml"
        path.write_text(MISTAKE)
        status, out, _ = self.type(check, "--format", "json", str(path))
        self.assertEqual(status, 1)
        found = json.loads(out)
        self.assertEqual(
            found["problems"][1],
            {
                "file": "a.xml",
                "line": 7,
                "column": 40,
                "path": "gateway-config/service/accept-options/ssl.verify-client",
                "severity": "error",
                "message": "“maybe” is not none, optional or required",
                "hint": None,
            },
        )
        del found["problems"]
        self.assertEqual(
            found, {"files": ["a.xml"], "compared": False, "handshakes": 0, "errors": 2, "warnings": 0}
        )

    def test_without_a_place(self) -> None:
        """What stands in no file has no place."""
        self.patch(os, "environ", {"GATEWAY_OPTS": "-Xmx512m"})
        out = self.type(check, "-f", "json", self.write("a.xml", proxy()))[1]
        (problem,) = json.loads(out)["problems"]
        self.assertEqual([problem[key] for key in ("file", "line", "column", "path")], [None] * 4)
        self.assertEqual((problem["severity"], problem["hint"]), ("warning", None))


class StoresTests(StoresTestCase):
    """Keystores and truststores of one file."""

    def check(self, *parts: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        """What is said about a file."""
        status, out, err = self.type(check, self.write("a.xml", *parts), *options)
        self.assertEqual(err, "")
        return status, out

    def test_not_on_this_machine(self) -> None:
        """A missing store is a warning, an error for the strict, and nothing where stores do not matter."""
        status, out = self.check(KEYSTORE, proxy("wss://cloud/a"))
        self.assertEqual(status, 0)
        self.assertIn(
            "a.xml:2:27: warning: keystore is not on this machine: what depends on it is not checked", out
        )
        self.assertIn("or say --no-stores", out)
        self.assertEqual(self.check(KEYSTORE, proxy("wss://cloud/a"), options=("--strict",))[0], 1)
        status, out = self.check(KEYSTORE, proxy("wss://cloud/a"), options=("--strict", "--no-stores"))
        self.assertEqual((status, out), (0, "1 file, 1 service: no problems\n"))

    def test_misspelt(self) -> None:
        """Another file in the folder may be meant, but not the other store."""
        security = self.scene.security(
            "a", self.scene.server("cloud"), trusted=[self.scene.client_ca.certificate]
        )
        text = security_of(security)
        (self.folder / "keystore-a.jks").rename(self.folder / "keystore-b.jks")
        self.assertIn("did you mean “keystore-b.jks”?", self.check(text, proxy())[1])
        (self.folder / "keystore-b.jks").unlink()
        self.assertIn("check where the stores are", self.check(text, proxy())[1])
        (self.folder / "truststore-a.pw").unlink()
        self.assertIn("truststore-a.pw is not on this machine", self.check(text, proxy())[1])

    def test_folder_that_must_not_be_looked_into(self) -> None:
        """What may not even be looked for is not on this machine either."""

        def forbid(path: Path) -> bool:
            raise PermissionError(13, "no")

        self.patch(Path, "exists", forbid)
        self.patch(Path, "iterdir", forbid)
        self.assertIn("is not on this machine", self.check(KEYSTORE, proxy())[1])

    def test_damaged(self) -> None:
        """A store that is here and cannot be read is an error where it is named."""
        security = self.scene.security("a", self.scene.server("cloud"))
        (self.folder / "keystore-a.pw").write_text("wrong")
        status, out = self.check(security_of(security), proxy("wss://cloud/a"))
        self.assertEqual(status, 1)
        self.assertIn("a.xml:2:27: error: keystore-a.jks: ", out)

    def test_several_listeners(self) -> None:
        """Each host of each listener needs a certificate; one that has none is named with its service."""
        security = self.scene.security("a", self.scene.server("one"))
        status, out = self.check(
            security_of(security),
            proxy("wss://one/a", name="A"),
            proxy("wss://two/b", name="B"),
            proxy("ssl://@eth0:1", name="C"),
        )
        self.assertEqual((status, out.count("error:")), (1, 1))
        self.assertIn("error: service “B”: keystore-a.jks: no certificate for two", out)
        self.assertIn("there are only some for one", out)

    def test_expires_soon(self) -> None:
        """A certificate that ends within two weeks is a warning."""
        security = self.scene.security("a", self.scene.server("one", days=3))
        status, out = self.check(security_of(security), proxy("wss://one/a"))
        self.assertEqual((status, out.count("warning:")), (0, 1))
        self.assertIn("renew it", out)

    def test_ciphers_of_one_of_several_services(self) -> None:
        """Ciphers that leave nothing are wrong where they stand, with stores and without, whoever shares the listener."""
        security = security_of(self.scene.security("a", self.scene.server("cloud")))
        tunnel = reverse("wss://cloud/kwic")
        for ciphers, message in (
            ("FOOBAR", "“FOOBAR” is not the name of a cipher"),
            ("DES-CBC3-SHA", "“DES-CBC3-SHA” asks for no safe cipher"),
            ("HIGH:!HIGH", "ssl.ciphers 'HIGH:!HIGH' leaves no safe cipher"),
            ("ECDHE+CHACHA20+DSS", "ssl.ciphers 'ECDHE+CHACHA20+DSS' leaves no safe cipher"),
        ):
            parts = (
                proxy(connect="pipe://a", name="A", connect_options=tunnel),
                proxy("wss://cloud/b", name="B", accept_options=options(ssl_ciphers=ciphers)),
                proxy("tcp://127.0.0.1:7002", connect="wss://other/c", name="C"),
            )
            for words in ((), ("--no-stores",)):
                status, out = self.check(security, *parts, options=words)
                self.assertEqual((status, out.count("error:")), (1, 1), out)
                self.assertIn(f"a.xml:4:{parts[1].index(ciphers) + 1}: error: {message}", out)
        for ciphers in ("HIGH:@STRENGTH", "HIGH:!kECDHe:@SECLEVEL=2"):
            fine = proxy("wss://cloud/b", accept_options=options(ssl_ciphers=ciphers))
            self.assertEqual(self.check(security, fine), (0, "1 file, 1 service: no problems\n"))

    def test_ciphers_of_everybody(self) -> None:
        """What stands in service-defaults is wrong once, also with other mistakes, and also where it is dialled."""
        defaults = "<service-defaults><connect-options><ssl.ciphers>HIGH:!HIGH</ssl.ciphers></connect-options></service-defaults>"
        status, out = self.check(
            defaults,
            proxy(connect="wss://one/a", name="A"),
            proxy("tcp://127.0.0.1:7001", "ssl://two:1", name="B"),
            proxy("tcp://127.0.0.1", name="C"),
        )
        self.assertEqual((status, out.count("error:")), (1, 2), out)
        self.assertIn("a.xml:2:49: error: ssl.ciphers 'HIGH:!HIGH' leaves no safe cipher", out)
        self.assertIn("= remove ssl.ciphers to get TLS 1.3 and 1.2 with forward secrecy", out)

    def test_optional_certificate_that_nobody_has(self) -> None:
        """Where a certificate is not required, clients get in without one."""
        scene: Scene = self.scene
        server = scene.server("one")
        security = scene.security(
            "a", server, trusted=[server.certificate, scene.client(starts=-9, days=-1).certificate]
        )
        status, out = self.check(
            security_of(security),
            proxy("wss://one/a", accept_options="<ssl.verify-client>optional</ssl.verify-client>"),
        )
        self.assertEqual(status, 0)
        self.assertIn("warning: nobody can satisfy ssl.verify-client optional", out)
        self.assertIn("and 1 more like it", out)


class CorpusTests(FilesTestCase):
    """The corpus of pairs, through the command."""

    def test_every_pair(self) -> None:
        """Each mismatch is told, and the valid pairs are left alone."""
        for folder in PAIRS:
            files = sorted(str(path) for path in folder.glob("*.xml"))
            status, out, _ = self.type(check, "--strict", "--no-stores", *files)
            self.assertEqual(status, 0 if folder.name.startswith("valid-") else 1, f"{folder.name}: {out}")


class ProcessTests(FilesTestCase):
    """As a process."""

    def test_ha(self) -> None:
        """The high-availability scenario, on a machine that has none of its stores."""
        command = [
            sys.executable,
            "-m",
            "kwic.cli.main",
            "check",
            *sorted(str(path) for path in (ETC / "ha").glob("*.xml")),
        ]
        command += ["-D", "cloud-node-hostname=cloud1.example.com", "-D", "stores=/nowhere/stores"]
        done = subprocess.run(
            command, capture_output=True, check=False, cwd=ROOT, env={"PYTHONIOENCODING": "ascii"}, timeout=60
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"warning: /nowhere/stores/keystore-cloud.jceks is not on this machine", done.stdout)
        self.assertTrue(done.stdout.endswith(b"2 files, 6 services: 4 warnings\n"), done.stdout)
