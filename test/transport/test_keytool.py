"""Stores in both directions between us and the JDK's keytool. Starts processes; skipped where there is no keytool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from kwic.transport.certificates import common_name, fingerprint
from kwic.transport.entries import Contents, StoreFormat
from kwic.transport.jks import write_jks
from kwic.transport.stores import load_store
from test.transport.test_stores import AUTHORITY, CLIENT, NOW_S, RSA, SERVER, TRUST, encoded

KEYTOOL = shutil.which("keytool")
PASSWORD = "ab987c"


class KeytoolTests(SynchronousTestCase):
    """What keytool makes of our stores, and we of its."""

    def setUp(self) -> None:
        if KEYTOOL is None:
            raise SkipTest(
                "no keytool here (part of any JDK or JRE): stores are not tried against Java's own tool"
            )
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def keytool(self, *words: str | Path) -> str:
        assert KEYTOOL is not None
        command = [KEYTOOL, "-J-Xshare:auto", "-J-XX:TieredStopAtLevel=1", *map(str, words)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def generated(self, store_type: str, alias: str, *more: str) -> Path:
        store = self.directory / f"generated.{store_type.lower()}"
        words = ["-dname", f"CN={alias}.example.com", "-ext", f"san=dns:{alias}.example.com", *more]
        secrets = ["-storepass", PASSWORD, "-keypass", PASSWORD]
        self.keytool(
            "-genkeypair", "-alias", alias, *words, "-storetype", store_type, "-keystore", store, *secrets
        )
        return store

    def test_ours_are_listed(self) -> None:
        """Keytool lists our keystores and truststores, with the same fingerprints."""
        for store_format in (StoreFormat.JKS, StoreFormat.JCEKS, StoreFormat.PKCS12):
            store = self.directory / "ours"
            for data, certificate in (
                (encoded(store_format, SERVER), SERVER.certificate),
                (encoded(store_format, trusted=TRUST), AUTHORITY.certificate),
            ):
                store.write_bytes(data)
                words = (
                    "-list",
                    "-v",
                    "-keystore",
                    store,
                    "-storetype",
                    store_format.value,
                    "-storepass",
                    PASSWORD,
                )
                listed = self.keytool(*words)
                self.assertIn(fingerprint(certificate), listed)
                self.assertIn(
                    "trustedCertEntry" if certificate == AUTHORITY.certificate else "PrivateKeyEntry", listed
                )

    def test_our_keys_are_opened(self) -> None:
        """Keytool opens the keys we sealed, also with salt whose halves are equal, and we read what it makes of them."""
        contents = Contents(entries=(SERVER, RSA, CLIENT))
        for store_format, random_bytes in (
            (StoreFormat.JKS, bytes),
            (StoreFormat.JCEKS, lambda size: bytes(range(1, size + 1))),
            (StoreFormat.JCEKS, lambda size: bytes((1, 2, 3, 4)) * (size // 4)),
        ):
            ours, theirs = self.directory / "ours", self.directory / "theirs.p12"
            theirs.unlink(missing_ok=True)
            ours.write_bytes(
                write_jks(
                    contents, store_format, PASSWORD.encode(), created_s=NOW_S, random_bytes=random_bytes
                )
            )
            source = ("-srckeystore", ours, "-srcstoretype", store_format.value, "-srcstorepass", PASSWORD)
            self.keytool(
                "-importkeystore",
                *source,
                "-destkeystore",
                theirs,
                "-deststoretype",
                "PKCS12",
                "-deststorepass",
                PASSWORD,
            )
            found = load_store(theirs, PASSWORD.encode())
            self.assertEqual(
                {entry.chain for entry in found.entries}, {SERVER.chain, RSA.chain, CLIENT.chain}
            )
            numbers = {entry.chain: entry.key.private_numbers() for entry in found.entries}
            self.assertEqual(numbers[SERVER.chain], SERVER.key.private_numbers())

    def test_theirs_are_read(self) -> None:
        """Keystores that keytool made are read, whatever their type, with several keys and a secret key in them."""
        for store_type in ("JKS", "JCEKS", "PKCS12"):
            self.generated(store_type, "one", "-keyalg", "EC")
            store = self.generated(store_type, "two", "-keyalg", "RSA", "-keysize", "2048")
            if store_type != "JKS":
                words = (
                    "-alias",
                    "aes",
                    "-keyalg",
                    "AES",
                    "-keysize",
                    "128",
                    "-storepass",
                    PASSWORD,
                    "-keypass",
                    PASSWORD,
                )
                self.keytool("-genseckey", *words, "-storetype", store_type, "-keystore", store)
            found = load_store(store, PASSWORD.encode())
            self.assertEqual(found.format.value, store_type)
            self.assertEqual(
                {(entry.alias, common_name(entry.certificate)) for entry in found.entries},
                {("one", "one.example.com"), ("two", "two.example.com")},
            )
            self.assertEqual(len(found.notes), 1 if store_type == "JCEKS" else 0)

    def test_their_truststores_are_read(self) -> None:
        """Truststores that keytool made are read."""
        certificate = self.directory / "ca.crt"
        certificate.write_bytes(AUTHORITY.certificate.public_bytes(Encoding.PEM))
        for store_type in ("JKS", "JCEKS", "PKCS12"):
            store = self.directory / store_type
            words = (
                "-noprompt",
                "-alias",
                "ca",
                "-file",
                certificate,
                "-storetype",
                store_type,
                "-keystore",
                store,
            )
            self.keytool("-importcert", *words, "-storepass", PASSWORD)
            self.assertEqual(
                load_store(store, PASSWORD.encode()).certificates, (("ca", AUTHORITY.certificate),)
            )
