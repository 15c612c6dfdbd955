"""`kwic certs` as it is typed."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from kwic import __version__
from kwic.cli import certs
from kwic.cli.main import main
from kwic.transport.entries import StoreFormat
from kwic.transport.pki import Authority


class CertsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())

    def type(self, *words: str | Path) -> tuple[int, str, str]:
        """:returns: exit status, standard output, standard error."""
        options = certs.Options()
        options.parseOptions([str(word) for word in words])
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return certs.run(options), out.getvalue(), err.getvalue()

    def shown(self, *words: str) -> str:
        """:returns: what the command prints before it ends well."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        error = self.assertRaises(SystemExit, main, ["certs", *words])
        self.assertFalse(error.code)
        self.assertTrue(all(len(line) <= 110 for line in out.getvalue().splitlines()))
        return out.getvalue()

    def wrong(self, *words: str) -> str:
        return str(self.assertRaises(usage.UsageError, certs.Options().parseOptions, list(words)))


class MakeTests(CertsTestCase):
    """`kwic certs DIR`"""

    def test_default(self) -> None:
        """One word makes everything and tells where it is."""
        status, out, err = self.type(self.directory)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("cloud: example.com, *.example.com", out)
        self.assertIn("onprem: CN=tenant101", out)
        for word in out.split():
            if word.startswith("/"):
                self.assertTrue(Path(word).is_file(), word)

    def test_everything_said(self) -> None:
        """Options may stand before and behind the directory."""
        words = (
            "--host",
            "gw.example.net",
            "--host=192.0.2.7",
            "--client",
            "tenant101",
            "--client",
            "b=tenant201",
        )
        more = ("--days", "30", "--format", "PKCS12", "--format", "pem", "--password", "geheim")
        status, out, _ = self.type(*words, self.directory, *more)
        self.assertEqual(status, 0)
        self.assertIn("certificates for 30 days", out)
        self.assertIn("cloud: gw.example.net, 192.0.2.7", out)
        self.assertIn("b: CN=tenant201", out)
        self.assertEqual((self.directory / "stores" / "keystore-b.pw").read_text(), "geheim\n")
        self.assertTrue((self.directory / "stores" / "truststore-tenant101.p12").is_file())
        self.assertTrue((self.directory / "stores" / "keystore-cloud.pem").is_file())
        self.assertFalse((self.directory / "stores" / "keystore-cloud.jceks").exists())

    def test_twice(self) -> None:
        """Typed twice it refuses, with --if-missing it is content, with --force and --renew it makes new ones."""
        self.assertEqual(self.type(self.directory, "--if-missing")[0], 0)
        status, out, err = self.type(self.directory)
        self.assertEqual((status, out), (1, ""))
        self.assertTrue(err.startswith("kwic certs: "), err)
        self.assertEqual(err.count("\n"), 1)
        status, out, _ = self.type("--if-missing", self.directory)
        self.assertEqual(status, 0)
        self.assertIn("the stores are there and hold today", out)
        self.assertEqual(self.type(self.directory, "--renew")[0], 0)
        self.assertEqual(self.type(self.directory, "--force")[0], 0)
        (self.directory / "stores" / "keystore-cloud.pw").unlink()
        self.assertEqual(self.type(self.directory, "--if-missing")[0], 1)

    def test_wrong_usage(self) -> None:
        """What cannot be understood is refused with a word about it."""
        self.assertIn("Wrong number of arguments", self.wrong())
        self.assertIn("Wrong number of arguments", self.wrong("a", "b"))
        self.assertIn("--formt", self.wrong("a", "--formt", "pem"))
        self.assertIn("use one of jceks, jks, pem, pkcs12", self.wrong("a", "--format", "zip"))
        self.assertIn("a host name", self.wrong("a", "--host", "http://example.com"))
        self.assertIn("up to 64 letters", self.wrong("a", "--client", "../../etc"))
        self.assertIn("up to 64 letters", self.wrong("a", "--client", "x=" + "y" * 65))
        self.assertIn("exclude each other", self.wrong("a", "--force", "--if-missing"))
        self.wrong("a", "--days", "soon")

    def test_help_teaches(self) -> None:
        """The help names the stores it makes and every option's meaning, and has examples on lines of their own."""
        text = self.shown("--help")
        for word in ("keystore-cloud.jceks", "--if-missing", "--renew", "tenant101", "kwic certs show"):
            self.assertIn(word, text)
        self.assertIn("\n  kwic certs x509 --host cloud.example.com --client office\n", text)

    def test_version(self) -> None:
        """The version is that of the gateway."""
        self.assertEqual(self.shown("--version"), f"KWIC {__version__}\n")
        self.assertEqual(self.shown("show", "--version"), f"KWIC {__version__}\n")


class ShowTests(CertsTestCase):
    """`kwic certs show STORE`"""

    def setUp(self) -> None:
        super().setUp()
        self.stores = self.directory / "stores"
        self.type(self.directory, *[f"--format={store_format.value}" for store_format in StoreFormat])

    def test_every_format(self) -> None:
        """The same is shown whatever the format, and never a private key."""
        shown = []
        for suffix in ("jceks", "jks", "p12", "pem"):
            status, out, err = self.type("show", self.stores / f"keystore-cloud.{suffix}")
            self.assertEqual((status, err), (0, ""))
            self.assertNotIn("PRIVATE", out)
            shown.append(out.partition(": private key")[2])
        self.assertEqual(len(set(shown)), 1)
        for words in (
            "CN=*.example.com",
            "names         example.com, *.example.com",
            "serverAuth",
            "EC secp256r1",
            "364 days left",
        ):
            self.assertIn(words, shown[0])

    def test_truststore(self) -> None:
        """Trusted certificates are shown with their alias."""
        _, out, _ = self.type("show", self.stores / "truststore-cloud.jks")
        self.assertIn("0 private keys, 1 trusted certificate\n", out)
        self.assertIn("client-ca: trusted certificate", out)
        self.assertIn("any (no extended key usage)", out)

    def test_password_file(self) -> None:
        """The password file may lie elsewhere; without any, a keystore cannot be opened."""
        store, password_file = self.stores / "keystore-cloud.jks", self.directory / "secret"
        store.with_suffix(".pw").rename(password_file)
        status, _, err = self.type("show", store)
        self.assertEqual(status, 1)
        self.assertIn("name its password-file", err)
        self.assertEqual(self.type("show", store, "--password-file", password_file)[0], 0)
        self.assertEqual(self.type("show", "--password-file", self.directory / "none", store)[0], 1)

    def test_directory_with_revocations(self) -> None:
        """A directory of PEM files is shown as one store, revocation lists too."""
        authority = Authority.create("X", now_s=time.time(), days=3)
        crl = authority.revoke([authority.certificate], now_s=time.time(), days=3)
        (self.directory / "certs" / "x.crl").write_bytes(crl.public_bytes(Encoding.PEM))
        _, out, _ = self.type("show", self.directory / "certs")
        self.assertIn("PEM, 2 private keys, 0 trusted certificates, 1 revocation list", out)
        self.assertIn("revokes       1 certificate\n", out)

    def test_expired(self) -> None:
        """An expired certificate is shown, and the exit status is 1."""
        later = time.time() + 400 * 86400
        self.patch(time, "time", lambda: later)
        status, out, err = self.type("show", self.stores / "keystore-cloud.jks")
        self.assertEqual(status, 1)
        self.assertIn("EXPIRED ON", out)
        self.assertIn("example.com expired on", err)

    def test_wrong_usage(self) -> None:
        """No store, or two."""
        self.assertIn("Wrong number of arguments", self.wrong("show"))
        self.assertIn("Wrong number of arguments", self.wrong("show", "a", "b"))

    def test_help(self) -> None:
        """The help of show is its own."""
        text = self.shown("show", "--help")
        self.assertIn("kwic certs show STORE", text)
        self.assertIn("never a private key", text)
        self.assertNotIn("--renew", text)
