"""Stores of every format: what is read from them, and that nothing but a clear error comes of a bad one."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError, SetupError
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH
from kwic.transport.entries import Contents, KeyEntry, PrivateKey, StoreFormat, ordered_chain
from kwic.transport.pki import Authority
from kwic.transport.stores import (
    STORE_BYTES_LIMIT,
    encode_store,
    load_store,
    read_bounded,
    read_password,
    read_revocations,
    read_store,
)
from test.transport.tls_ends import NOW_S, request

PASSWORD = b"ab987c"
FILE = Path("keystore.any")
AUTHORITY = Authority.create("Test CA", now_s=NOW_S, days=30)
SERVER = AUTHORITY.issue(request("server", hosts=("example.com",), purposes=(SERVER_AUTH,)))
CLIENT = AUTHORITY.issue(request("tenant101", purposes=(CLIENT_AUTH,)))
RSA = AUTHORITY.issue(request("rsa", hosts=("rsa.example.com",)), use_rsa=True)
TRUST = (("test-ca", AUTHORITY.certificate),)
CRL = AUTHORITY.revoke([CLIENT.certificate], now_s=NOW_S, days=3).public_bytes(Encoding.DER)
EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
ODD_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0205")
SEALED = [StoreFormat.JKS, StoreFormat.JCEKS, StoreFormat.PKCS12]


def encoded(store_format: StoreFormat, *entries: KeyEntry, trusted=(), password: bytes = PASSWORD) -> bytes:
    return encode_store(Contents(entries=entries, certificates=trusted), store_format, password, now_s=NOW_S)


def secret(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def pem(*items) -> bytes:
    """Keys and certificates, as they come."""
    return b"".join(
        item.public_bytes(Encoding.PEM)
        if isinstance(item, x509.Certificate | x509.CertificateRevocationList)
        else item.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for item in items
    )


class StoreTestCase(SynchronousTestCase):
    def refused(self, data: bytes, password: bytes | None = PASSWORD) -> str:
        """The one line that comes of a store that does not do."""
        text = str(self.assertRaises(SetupError, read_store, FILE, data, password))
        self.assertTrue(text.startswith("keystore.any: "), text)
        self.assertNotIn("\n", text)
        return text


class RoundTripTests(StoreTestCase):
    """What was written is read again."""

    def test_keys(self) -> None:
        """A key comes back with its alias and chain, whatever the format, EC or RSA."""
        for store_format in StoreFormat:
            for entry in (SERVER, RSA):
                store = read_store(FILE, encoded(store_format, entry), PASSWORD)
                self.assertIs(store.format, store_format)
                (found,) = store.entries
                self.assertEqual(secret(found.key), secret(entry.key))
                self.assertEqual(found.chain, entry.chain)
                self.assertEqual(store.certificates, ())
                if store_format is not StoreFormat.PEM:
                    self.assertEqual(found.alias, entry.alias)

    def test_trusted_certificates(self) -> None:
        """A truststore comes back with its aliases."""
        for store_format in StoreFormat:
            store = read_store(FILE, encoded(store_format, trusted=TRUST), PASSWORD)
            self.assertEqual(store.entries, ())
            ((alias, certificate),) = store.certificates
            self.assertEqual(certificate, AUTHORITY.certificate)
            self.assertEqual(alias, "keystore" if store_format is StoreFormat.PEM else "test-ca")

    def test_several(self) -> None:
        """Java and PEM stores hold several keys, and trusted certificates beside them."""
        other = Authority.create("Other CA", now_s=NOW_S, days=3)
        for store_format in (StoreFormat.JKS, StoreFormat.JCEKS, StoreFormat.PEM):
            data = encoded(store_format, SERVER, CLIENT, RSA, trusted=(("other", other.certificate),))
            store = read_store(FILE, data, PASSWORD)
            self.assertEqual(
                [entry.chain for entry in store.entries], [SERVER.chain, CLIENT.chain, RSA.chain]
            )
            self.assertEqual([certificate for _, certificate in store.certificates], [other.certificate])

    def test_pkcs12_is_written_for_one_key(self) -> None:
        """More than one key in PKCS12 is read but not written."""
        self.assertRaises(MisuseError, encoded, StoreFormat.PKCS12, SERVER, CLIENT)
        self.assertRaises(MisuseError, encoded, StoreFormat.PKCS12, SERVER, trusted=TRUST)

    def test_passwords(self) -> None:
        """Passwords of any letters do; those of JCEKS have to be ASCII for Java's sake."""
        for store_format in (StoreFormat.JKS, StoreFormat.PKCS12):
            password = "pässwörd \U0001f511".encode()
            store = read_store(FILE, encoded(store_format, SERVER, password=password), password)
            self.assertEqual(store.entries[0].chain, SERVER.chain)

    def test_aliases_are_folded(self) -> None:
        """Java finds aliases in lower case only, so that is what is written."""
        entry = KeyEntry(alias="Server", key=SERVER.key, chain=SERVER.chain)
        self.assertEqual(
            read_store(FILE, encoded(StoreFormat.JKS, entry), PASSWORD).entries[0].alias, "server"
        )


class PasswordTests(StoreTestCase):
    """Wrong and missing passwords."""

    def test_wrong(self) -> None:
        """A wrong password is called that."""
        for store_format in SEALED:
            text = self.refused(encoded(store_format, SERVER), b"wrong")
            self.assertIn("wrong password", text)
            self.assertIn("check the password-file", text)

    def test_missing(self) -> None:
        """A key without password is refused with a word about the password-file."""
        for store_format in SEALED:
            self.assertIn("name its password-file", self.refused(encoded(store_format, SERVER), None))

    def test_java_truststore_without_password(self) -> None:
        """A Java truststore is read without a password, as Java does."""
        for store_format in (StoreFormat.JKS, StoreFormat.JCEKS):
            store = read_store(FILE, encoded(store_format, trusted=TRUST), None)
            self.assertEqual(store.certificates, TRUST)

    def test_encrypted_pem(self) -> None:
        """An encrypted PEM key needs the right password; a plain one does not mind."""
        key = SERVER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
        data = key + pem(*SERVER.chain)
        self.assertEqual(read_store(FILE, data, PASSWORD).entries[0].chain, SERVER.chain)
        self.assertIn("wrong password", self.refused(data, b"wrong"))
        self.assertIn("name its password-file", self.refused(data, None))
        self.assertEqual(
            read_store(FILE, encoded(StoreFormat.PEM, SERVER), b"any").entries[0].chain, SERVER.chain
        )

    def test_password_file(self) -> None:
        """The password is the first line, without its end and whatever follows."""
        file = Path(self.mktemp())
        for content in (b"ab987c", b"ab987c\n", b"ab987c\r\n", b"ab987c\nnot this\n"):
            file.write_bytes(content)
            self.assertEqual(read_password(file), b"ab987c")
        file.write_bytes(b" spaces count \n")
        self.assertEqual(read_password(file), b" spaces count ")
        for content in (b"", b"\n", b"\r\nsecond"):
            file.write_bytes(content)
            self.assertIn("its first line is empty", str(self.assertRaises(SetupError, read_password, file)))
        file.write_bytes(b"x" * 5000)
        self.assertIn("larger than 4096 bytes", str(self.assertRaises(SetupError, read_password, file)))


class PemTests(StoreTestCase):
    """PEM in all its disorder."""

    def test_any_order(self) -> None:
        """Keys find their certificates and chains in any order, text around them is passed over."""
        data = b"Subject: x\n" + pem(AUTHORITY.certificate, CLIENT.certificate, SERVER.key) + b"\n# my key\n"
        data += pem(SERVER.certificate, CLIENT.key)
        store = read_store(FILE, data.replace(b"\n", b"\r\n"), None)
        self.assertEqual([entry.chain for entry in store.entries], [SERVER.chain, CLIENT.chain])
        self.assertEqual(store.certificates, ())

    def test_chain_is_put_in_order(self) -> None:
        """A chain is ordered from the leaf up; what does not belong is trusted material, not chain."""
        other = Authority.create("Other CA", now_s=NOW_S, days=3).certificate
        self.assertEqual(
            ordered_chain(SERVER.certificate, [other, AUTHORITY.certificate, SERVER.certificate]),
            SERVER.chain,
        )

    def test_key_without_certificate(self) -> None:
        """A key without certificate is refused."""
        self.assertIn(
            "no certificate in it belongs to the private key",
            self.refused(pem(SERVER.key, CLIENT.certificate)),
        )

    def test_damaged(self) -> None:
        """Damaged blocks are refused by kind; an unknown kind is passed over with a note."""
        certificate = pem(SERVER.certificate)
        self.assertIn(
            "the PEM block CERTIFICATE is damaged", self.refused(certificate.replace(b"MII", b"MIJ", 1))
        )
        key = pem(SERVER.key)
        self.assertIn("private key is damaged", self.refused(key.replace(b"MIG", b"AIG", 1) + certificate))
        block = b"-----BEGIN PGP MESSAGE-----\nAAAA\n-----END PGP MESSAGE-----\n"
        self.assertIn("PGP MESSAGE", read_store(FILE, certificate + block, None).notes[0])
        self.assertEqual(read_store(FILE, certificate[:-10], None).certificates, ())

    def test_parameters_are_passed_over(self) -> None:
        """What `openssl ecparam` writes in front of a key does no harm."""
        block = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        key = SERVER.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        store = read_store(FILE, block + key + pem(*SERVER.chain), None)
        self.assertEqual((len(store.entries), store.notes), (1, ()))

    def test_kinds_of_key(self) -> None:
        """Ed25519 is fine, DSA is not."""
        entry = AUTHORITY.issue(request("x"))
        text = self.refused(pem(dsa.generate_private_key(1024), entry.certificate))
        self.assertIn("TLS cannot use a key of kind", text)
        key = ed25519.Ed25519PrivateKey.generate()
        self.assertIn("no certificate in it belongs", self.refused(pem(key, entry.certificate)))

    def test_directory(self) -> None:
        """A directory is read as one store: keys and certificates may lie in different files, other files are not read."""
        directory = Path(self.mktemp())
        directory.mkdir()
        self.assertIn(
            "no .pem, .crt, .cer or .key file",
            str(self.assertRaises(SetupError, load_store, directory, None)),
        )
        (directory / "a.key").write_bytes(pem(SERVER.key))
        (directory / "b.crt").write_bytes(pem(SERVER.certificate))
        (directory / "ca.PEM").write_bytes(pem(AUTHORITY.certificate))
        (directory / "both.pem").write_bytes(pem(CLIENT.key, *CLIENT.chain))
        (directory / "revoked.crl").write_bytes(
            pem(AUTHORITY.revoke([CLIENT.certificate], now_s=NOW_S, days=3))
        )
        (directory / "README").write_bytes(b"\x00garbage")
        (directory / "sub.pem").mkdir()
        store = load_store(directory, None)
        self.assertEqual(
            [(entry.alias, entry.chain) for entry in store.entries],
            [("a", SERVER.chain), ("both", CLIENT.chain)],
        )
        self.assertEqual(len(store.crls), 1)
        self.assertEqual(read_revocations(directory), ())
        self.assertEqual(store.anchors, {AUTHORITY.certificate})

    def test_der_certificate(self) -> None:
        """A bare DER certificate does for a truststore."""
        store = read_store(FILE, AUTHORITY.certificate.public_bytes(Encoding.DER), None)
        self.assertEqual(store.certificates, (("keystore", AUTHORITY.certificate),))


class Pkcs12Tests(StoreTestCase):
    """PKCS12 as other programs write it."""

    def test_without_names_and_encryption(self) -> None:
        """A key without a name, in a store without encryption, gets a name of ours."""
        data = pkcs12.serialize_key_and_certificates(
            None, SERVER.key, SERVER.certificate, [AUTHORITY.certificate], NoEncryption()
        )
        for password in (None, b""):
            (entry,) = read_store(FILE, data, password).entries
            self.assertEqual((entry.alias, entry.chain), ("1", SERVER.chain))

    def test_key_without_certificate(self) -> None:
        """A key without certificate is refused."""
        data = pkcs12.serialize_key_and_certificates(
            b"lone", SERVER.key, None, None, BestAvailableEncryption(PASSWORD)
        )
        self.assertIn("the private key lone has no certificate in the store", self.refused(data))

    def test_old_encryption(self) -> None:
        """The encryption that old JDKs and OpenSSL used is read."""
        protection = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(50)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())
            .build(PASSWORD)
        )
        data = pkcs12.serialize_key_and_certificates(b"old", SERVER.key, SERVER.certificate, None, protection)
        self.assertEqual(read_store(FILE, data, PASSWORD).entries[0].alias, "old")

    def test_unusable_key(self) -> None:
        """A kind of key that TLS cannot use is called that."""
        key = dsa.generate_private_key(1024)
        data = pkcs12.serialize_key_and_certificates(
            b"dsa", key, None, None, BestAvailableEncryption(PASSWORD)
        )
        self.assertIn("TLS cannot use a key of kind", self.refused(data))


class BadStoreTests(StoreTestCase):
    """What is no store."""

    def test_not_a_store(self) -> None:
        """Other files are told apart from stores."""
        self.assertIn("it is empty", self.refused(b""))
        for data in (b"hello", b"\xfe\xed\xfe\xee", os.urandom(1) * 0 + b"<gateway-config/>"):
            self.assertIn("none of JKS, JCEKS, PKCS12 and PEM", self.refused(data))
        self.assertIn("cut short or damaged", self.refused(b"\x30\x82\xff\xff"))

    def test_files(self) -> None:
        """Missing, unreadable and oversized files are told apart, a directory is no file."""
        file = Path(self.mktemp())
        for path, words in (
            (file, "there is no such file"),
            (Path.cwd(), "cannot be read: Is a directory"),
        ):
            self.assertIn(words, str(self.assertRaises(SetupError, read_bounded, path)))
        with file.open("wb") as stream:
            stream.truncate(STORE_BYTES_LIMIT + 1)
        self.assertIn("larger than", str(self.assertRaises(SetupError, load_store, file, None)))

    def test_unreadable(self) -> None:
        """A file of another user is called not readable."""

        def denied(*_args, **_more):
            raise PermissionError(13, "Permission denied")

        self.patch(Path, "open", denied)
        self.assertIn("check its owner and mode", str(self.assertRaises(SetupError, read_bounded, FILE)))


class DamagedStoreTests(StoreTestCase):
    """Every store that is cut short or changed gives a SetupError or is read; nothing else happens."""

    stores = {
        store_format: (encoded(store_format, SERVER), encoded(store_format, trusted=TRUST))
        for store_format in StoreFormat
    }

    def survives(self, data: bytes, password: bytes | None) -> None:
        try:
            read_store(FILE, data, password)
        except SetupError as error:
            self.assertNotIn("\n", str(error))

    def test_odd_certificates(self) -> None:
        """A certificate with a key of an unknown kind is left out of a truststore with a note, and refused for a key."""
        odd = AUTHORITY.certificate.public_bytes(Encoding.DER).replace(EC_PUBLIC_KEY, ODD_PUBLIC_KEY)
        odd_pem = x509.load_der_x509_certificate(odd).public_bytes(Encoding.PEM)
        self.assertIn("skipped a certificate that cannot be read", read_store(FILE, odd_pem, None).notes[0])
        self.assertIn("skipped a certificate that cannot be read", read_store(FILE, odd, None).notes[0])
        certificate = x509.load_der_x509_certificate(odd)
        for store_format in SEALED:
            store = read_store(FILE, encoded(store_format, trusted=(("odd", certificate),)), PASSWORD)
            self.assertEqual(store.certificates, ())
            self.assertIn("skipped a certificate that cannot be read", store.notes[0])
        entry = KeyEntry(alias="odd", key=AUTHORITY.entry.key, chain=(certificate,))
        text = self.refused(encoded(StoreFormat.JKS, entry))
        self.assertIn("the certificate of the private key odd cannot be read", text)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)
    )
    def test_changed_revocation_list(self, changes) -> None:
        """A changed revocation list is refused or read as a whole."""
        data = bytearray(CRL)
        for where, value in changes:
            data[int(where * len(data))] = value
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        (directory / "x.crl").write_bytes(data)
        try:
            (crl,) = read_revocations(directory / "truststore.jks")
        except SetupError:
            return
        self.assertIsNotNone(crl.issuer)

    def test_cut_short(self) -> None:
        """A Java or PKCS12 store that ends early is refused wherever it ends."""
        for store_format in SEALED:
            for whole in self.stores[store_format]:
                for size in (*range(80), *range(80, len(whole), 37), len(whole) - 1):
                    self.assertRaises(SetupError, read_store, FILE, whole[:size], PASSWORD)

    @settings(max_examples=300, deadline=None)
    @given(
        store_format=st.sampled_from(list(StoreFormat)),
        which=st.integers(0, 1),
        password=st.sampled_from([PASSWORD, None, b""]),
        changes=st.lists(
            st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=4
        ),
        size=st.floats(0, 1),
    )
    def test_changed(self, store_format, which, password, changes, size) -> None:
        """Changed bytes anywhere, and cuts."""
        data = bytearray(self.stores[store_format][which])
        for where, new in changes:
            start = int(where * len(data))
            data[start : start + len(new)] = new
        self.survives(bytes(data[: round(size * len(data))]), password)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(
            [bytes.fromhex("feedfeed00000002"), bytes.fromhex("cececece00000002"), b"\x30\x82", b""]
        ),
        st.binary(max_size=200),
    )
    def test_garbage(self, start: bytes, rest: bytes) -> None:
        """Garbage behind the right beginning."""
        self.survives(start + rest, None)
        self.survives(start + rest, PASSWORD)
