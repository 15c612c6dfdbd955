"""The Java formats: what only they can have, and can do wrong."""

from __future__ import annotations

import struct
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import SetupError
from kwic.transport import der, java_seal
from kwic.transport.bounded_reader import BoundedReader, ShortError
from kwic.transport.java_objects import JavaObjectSkipper
from kwic.transport.java_seal import seal_jceks, seal_jks, unseal
from kwic.transport.jks import _digest, read_jks
from kwic.transport.stores import StoreFormat
from test.transport.test_stores import AUTHORITY, PASSWORD, SERVER, encoded

FILE = Path("store.jceks")
CERTIFICATE = AUTHORITY.certificate.public_bytes(Encoding.DER)
EMPTY_DATE = bytes(8)


def java_text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def sealed_object(*, paramsAlg: bytes = b"PBEWithMD5AndTripleDES") -> bytes:
    """A serialized SealedObject as keytool's, field by field."""
    parent = (
        b"\x72" + java_text(b"javax.crypto.SealedObject") + bytes(8) + b"\x02" + struct.pack(">H", 4)
        + b"[" + java_text(b"encodedParams") + b"\x74" + java_text(b"[B")
        + b"[" + java_text(b"encryptedContent") + b"\x71" + struct.pack(">I", 0x7E0002)
        + b"L" + java_text(b"paramsAlg") + b"\x74" + java_text(b"Ljava/lang/String;")
        + b"L" + java_text(b"sealAlg") + b"\x71" + struct.pack(">I", 0x7E0003)
        + b"\x78\x70"
    )  # fmt: skip
    klass = (
        b"\x72"
        + java_text(b"com.sun.crypto.provider.SealedObjectForKeyProtector")
        + bytes(8)
        + b"\x02\x00\x00\x78"
    )
    array_class = b"\x72" + java_text(b"[B") + bytes(8) + b"\x02\x00\x00\x78\x70"
    values = (
        b"\x75" + array_class + struct.pack(">I", 3) + b"abc"
        + b"\x75\x71" + struct.pack(">I", 0x7E0005) + struct.pack(">I", 2) + b"de"
        + b"\x74" + java_text(paramsAlg) + b"\x74" + java_text(paramsAlg)
    )  # fmt: skip
    return bytes.fromhex("aced0005") + b"\x73" + klass + parent + values


def store_of(*entries: bytes, version: int = 2, count: int | None = None, magic: str = "cececece") -> bytes:
    body = (
        bytes.fromhex(magic)
        + struct.pack(">II", version, len(entries) if count is None else count)
        + b"".join(entries)
    )
    return body + _digest(PASSWORD, body)


def trusted_entry(alias: bytes = b"ca", certificate: bytes = CERTIFICATE, kind: bytes = b"X.509") -> bytes:
    return (
        struct.pack(">I", 2)
        + java_text(alias)
        + EMPTY_DATE
        + java_text(kind)
        + struct.pack(">I", len(certificate))
        + certificate
    )


def key_entry(envelope: bytes, chain: int = 1) -> bytes:
    certificate = java_text(b"X.509") + struct.pack(">I", len(CERTIFICATE)) + CERTIFICATE
    return (
        struct.pack(">I", 1) + java_text(b"k") + EMPTY_DATE + struct.pack(">I", len(envelope)) + envelope
        + struct.pack(">I", chain) + certificate * min(chain, 1)
    )  # fmt: skip


class JavaStoreTests(SynchronousTestCase):
    """Entries of every kind, right and wrong."""

    def refused(self, data: bytes) -> str:
        return str(self.assertRaises(SetupError, read_jks, FILE, data, PASSWORD))

    def test_secret_keys_are_skipped(self) -> None:
        """A sealed secret key is passed over with a note; the entries behind it are read."""
        secret = struct.pack(">I", 3) + java_text(b"aes") + EMPTY_DATE + sealed_object()
        store = read_jks(FILE, store_of(secret, trusted_entry()), PASSWORD)
        self.assertEqual([alias for alias, _ in store.certificates], ["ca"])
        self.assertEqual(store.notes, ("store.jceks: skipped the secret key aes; TLS has no use for it",))

    def test_version_1(self) -> None:
        """The old version, whose certificates state no kind, is read."""
        entry = (
            struct.pack(">I", 2)
            + java_text(b"ca")
            + EMPTY_DATE
            + struct.pack(">I", len(CERTIFICATE))
            + CERTIFICATE
        )
        self.assertEqual(len(read_jks(FILE, store_of(entry, version=1), PASSWORD).certificates), 1)

    def test_lies(self) -> None:
        """A store whose check sum is right and whose numbers are not is refused with what is wrong."""
        for data, words in (
            (store_of(version=3), "version 3"),
            (store_of(count=2**32 - 1), "4294967295 entries announced"),
            (
                store_of(trusted_entry(), count=2),
                "entries announced" if len(CERTIFICATE) < 18 else "announced at offset",
            ),
            (store_of(trusted_entry(), count=0), "bytes after the last entry"),
            (store_of(struct.pack(">I", 9) + java_text(b"x") + EMPTY_DATE + bytes(9)), "unknown kind 9"),
            (store_of(trusted_entry(kind=b"PGP")), "not X.509"),
            (store_of(trusted_entry(certificate=b"\x30\x00" * 9)), "a certificate in it cannot be read"),
            (store_of(key_entry(b"x" * 50, chain=2**31)), "a chain of 2147483648 certificates announced"),
            (store_of(key_entry(b"", chain=0)), "has no certificate"),
            (store_of(key_entry(b"x" * 50)), "cannot be opened with the store's password"),
            (store_of(key_entry(der.encode(der.SEQUENCE))), "cannot be opened with the store's password"),
        ):
            self.assertIn(words, self.refused(data))

    def test_password_of_the_key_differs(self) -> None:
        """A key sealed with another password than the store's is refused, and the text says what to do."""
        for seal in (seal_jks, seal_jceks):
            envelope = seal(b"any key", b"other", bytes)
            self.assertIn("give both the same password", self.refused(store_of(key_entry(envelope))))

    def test_changed_anywhere(self) -> None:
        """One changed bit anywhere is found by the check sum."""
        for store_format in (StoreFormat.JKS, StoreFormat.JCEKS):
            data = bytearray(encoded(store_format, SERVER))
            for position in range(4, len(data), 61):
                data[position] ^= 1
                self.assertIn("check sum does not match", self.refused(bytes(data)))
                data[position] ^= 1


class SealTests(SynchronousTestCase):
    """The two ways a key is sealed."""

    @settings(max_examples=50, deadline=None)
    @given(st.binary(min_size=1, max_size=100), st.text(max_size=20), st.binary(min_size=20, max_size=20))
    def test_round_trip(self, plain: bytes, password: str, salt: bytes) -> None:
        """What was sealed is opened with the same password."""
        self.patch(java_seal, "_ITERATIONS_WRITTEN", 3)
        for seal in (seal_jks, seal_jceks):
            envelope = seal(plain, password.encode(), lambda size: salt[:size])
            self.assertEqual(unseal(envelope, password.encode()), plain)

    def test_equal_halves_of_the_salt(self) -> None:
        """Keys whose salt has two equal halves are opened, whether sealed by a JDK of today or by an old one."""
        self.patch(java_seal, "_ITERATIONS_WRITTEN", 1)
        salt = bytes.fromhex("0102030401020304")
        for first in ("04030201", "04010204"):
            halves = (bytes.fromhex(first), salt[4:])
            with_these = self.patch(java_seal, "_halves", lambda _salt, halves=halves: (halves,))
            envelope = seal_jceks(b"kwic", b"a", lambda _size: salt)
            with_these.restore()
            self.assertEqual(unseal(envelope, b"a"), b"kwic")

    def test_bounds(self) -> None:
        """Iterations and salts that no JDK writes are refused before any work is done."""
        for salt, iterations in ((bytes(7), 10), (bytes(8), 0), (bytes(8), 5_000_001), (bytes(8), 2**63)):
            parameters = der.encode(
                der.SEQUENCE, der.encode(der.OCTET_STRING, salt), der.encode_integer(iterations)
            )
            algorithm = der.encode(
                der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, java_seal._JCEKS_PROTECTOR), parameters
            )
            envelope = der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, bytes(16)))
            self.assertRaises(ValueError, unseal, envelope, b"x")

    def test_other_seals(self) -> None:
        """Unknown algorithms, missing parameters and too little data are refused."""
        for identifier, sealed in (
            (b"\x2a", bytes(60)),
            (java_seal._JCEKS_PROTECTOR, bytes(8)),
            (java_seal._JKS_PROTECTOR, bytes(40)),
        ):
            algorithm = der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, identifier))
            envelope = der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, sealed))
            self.assertRaises(ValueError, unseal, envelope, b"x")


class JavaObjectTests(SynchronousTestCase):
    """The end of a serialized object is found, or an error."""

    def test_end(self) -> None:
        """The reader stands right behind the object."""
        reader = BoundedReader(sealed_object() + b"rest")
        JavaObjectSkipper(reader).skip()
        self.assertEqual(reader.take(reader.remaining), b"rest")

    def test_cut_short(self) -> None:
        """An object that ends early is an error wherever it ends."""
        whole = sealed_object()
        for size in range(len(whole)):
            self.assertRaises(ShortError, JavaObjectSkipper(BoundedReader(whole[:size])).skip)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), min_size=1, max_size=6))
    def test_changed(self, changes: list[tuple[int, int]]) -> None:
        """A changed object is an error or ends somewhere; it never runs on."""
        data = bytearray(sealed_object())
        for position, value in changes:
            data[position % len(data)] = value
        try:
            JavaObjectSkipper(BoundedReader(bytes(data))).skip()
        except ShortError:
            pass

    def test_depth_and_number(self) -> None:
        """Nesting and the number of parts are bounded."""
        magic = bytes.fromhex("aced0005")
        nested = magic + (b"\x73\x72" + java_text(b"C") + bytes(8) + b"\x03\x00\x00") * 1
        deep = magic + b"\x73" + (b"\x72" + java_text(b"C") + bytes(8) + b"\x02\x00\x00\x78") * 40
        many = magic + b"\x73\x72" + java_text(b"C") + bytes(8) + b"\x03\x00\x00" + b"\x74\x00\x00" * 400
        for data, words in ((nested, "announced"), (deep, "too deeply"), (many, "too many parts")):
            self.assertIn(
                words, str(self.assertRaises(ShortError, JavaObjectSkipper(BoundedReader(data)).skip))
            )

    def test_unusual_parts(self) -> None:
        """Long strings, blocks of a class's own data and nulls are walked; arrays of objects and odd classes are not."""
        magic = bytes.fromhex("aced0005")
        klass = b"\x73\x72" + java_text(b"C") + bytes(8)
        string_field = b"\x00\x01L" + java_text(b"f") + b"\x74" + java_text(b"X")
        number_field = b"\x00\x01I" + java_text(b"f")
        for part in (
            b"\x70",
            b"\x7c" + struct.pack(">Q", 3) + b"abc",
            klass + b"\x03\x00\x00\x78\x70" + b"\x77\x02ab\x70\x78",
            klass + b"\x02" + string_field + b"\x78\x70" + b"\x70",
            klass + b"\x02" + number_field + b"\x78\x70" + bytes(4),
        ):
            reader = BoundedReader(magic + part)
            JavaObjectSkipper(reader).skip()
            self.assertEqual(reader.remaining, 0, part)
        for part in (
            b"\x76",
            b"\x73\x74",
            b"\x73\x71" + struct.pack(">I", 0x7E0009),
            b"\x75\x72" + java_text(b"[Ljava.lang.Object;") + bytes(8) + b"\x02\x00\x00\x78\x70" + bytes(4),
            b"\x75\x70",
            klass + b"\x02\x00\x01?" + java_text(b"f"),
            klass + b"\x04\x00\x00\x78\x70",
        ):
            self.assertRaises(ShortError, JavaObjectSkipper(BoundedReader(magic + part)).skip)


class DerTests(SynchronousTestCase):
    """The little of DER."""

    @given(st.integers(0, 2**70))
    def test_integers(self, value: int) -> None:
        """Numbers are encoded without a sign and read again."""
        content = der.single(der.encode_integer(value)).expect(der.INTEGER)
        self.assertEqual(int.from_bytes(content, "big", signed=True), value)

    @given(st.binary(max_size=70000))
    def test_lengths(self, content: bytes) -> None:
        """Contents of any length come back, in short and long form."""
        element = der.single(der.encode(der.OCTET_STRING, content))
        self.assertEqual(element.expect(der.OCTET_STRING), content)

    def test_refusals(self) -> None:
        """Short, endless and unexpected values are refused."""
        for data in (
            b"",
            b"\x30",
            b"\x30\x80",
            b"\x30\x85\x01\x01\x01\x01\x01",
            b"\x30\x82\x01",
            b"\x04\x00\x04\x00",
            b"\x04\x02x",
        ):
            self.assertRaises(der.DerError, der.single, data)
        self.assertRaises(der.DerError, der.single(b"\x04\x00").children)
