"""The Java keystore formats JKS and JCEKS, read and written.

Both have one layout: magic, version, number of entries, entries, SHA-1 over a salted password and all before. They differ
in how a private key is sealed (:mod:`kwic.transport.java_seal`). A key's password equals the store's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from kwic.errors import SetupError
from kwic.transport.bounded_reader import BoundedReader, ShortError
from kwic.transport.entries import (
    JAVA_MAGIC,
    PARSE_FAULTS,
    Contents,
    KeyEntry,
    Store,
    StoreFormat,
    unreadable,
)
from kwic.transport.java_objects import JavaObjectSkipper
from kwic.transport.java_seal import seal_jceks, seal_jks, unseal, utf16
from kwic.transport.pem import skipped, usable_key

_SALT_OF_DIGEST = b"Mighty Aphrodite"
_SHA1_BYTES = 20
_PRIVATE_KEY, _TRUSTED_CERTIFICATE, _SECRET_KEY = 1, 2, 3
_SMALLEST_ENTRY_BYTES = 18  # tag, empty alias, date, length
_X509 = b"X.509"


@dataclass(kw_only=True)
class _Contents:
    """What was read so far."""

    sealed: list[tuple[str, bytes, tuple[x509.Certificate, ...]]] = field(default_factory=list)
    certificates: list[tuple[str, x509.Certificate]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_jks(file: Path, data: bytes, password: bytes | None) -> Store:
    """Read a JKS or JCEKS store.

    :param password: of the store and of its keys, in UTF-8; None to read trusted certificates without a check of
        integrity, as keytool does.
    :raises SetupError: wrong password, changed, cut short, or a key without password.
    """
    store_format = JAVA_MAGIC[data[:4]]
    body = data[:-_SHA1_BYTES]
    if password is not None and not hmac.compare_digest(_digest(password, body), data[-_SHA1_BYTES:]):
        raise SetupError(
            f"{file}: the {store_format.value} store's check sum does not match: wrong password, or the file is damaged; "
            "check the password-file"
        )
    try:
        contents = _read_contents(file, BoundedReader(body[4:]))
    except ShortError as error:
        raise SetupError(
            f"{file}: the {store_format.value} store is damaged: {error}; copy it again"
        ) from error
    return Store(
        file=file,
        format=store_format,
        entries=tuple(_opened(file, sealed, password) for sealed in contents.sealed),
        certificates=tuple(contents.certificates),
        notes=tuple(contents.notes),
    )


def _read_contents(file: Path, reader: BoundedReader) -> _Contents:
    contents = _Contents()
    version = reader.u32()
    if version not in {1, 2}:
        raise ShortError(f"version {version}, only 1 and 2 exist")
    count = reader.u32()
    if count * _SMALLEST_ENTRY_BYTES > reader.remaining:
        raise ShortError(f"{count} entries announced, {reader.remaining} bytes there")
    for _ in range(count):
        _read_entry(file, reader, version, contents)
    if reader.remaining:
        raise ShortError(f"{reader.remaining} bytes after the last entry")
    return contents


def _read_entry(file: Path, reader: BoundedReader, version: int, contents: _Contents) -> None:
    tag = reader.u32()
    alias = _read_text(reader)
    reader.u64()  # creation date
    if tag == _PRIVATE_KEY:
        sealed = reader.take(reader.u32())
        chain = tuple(_read_certificate(reader, version) for _ in range(_counted(reader)))
        contents.sealed.append((alias, sealed, chain))
    elif tag == _TRUSTED_CERTIFICATE:
        _keep(file, alias, _read_certificate(reader, version), contents)
    elif tag == _SECRET_KEY:
        JavaObjectSkipper(reader).skip()
        contents.notes.append(f"{file}: skipped the secret key {alias}; TLS has no use for it")
    else:
        raise ShortError(f"an entry of unknown kind {tag}")


def _keep(file: Path, alias: str, certificate: x509.Certificate, contents: _Contents) -> None:
    fault = unreadable(certificate)
    if fault is None:
        contents.certificates.append((alias, certificate))
    else:
        contents.notes.append(skipped(file, fault))


def _counted(reader: BoundedReader) -> int:
    count = reader.u32()
    if count * 4 > reader.remaining:
        raise ShortError(f"a chain of {count} certificates announced, {reader.remaining} bytes there")
    return count


def _read_text(reader: BoundedReader) -> str:
    # Java's modified UTF-8 differs for NUL and beyond the basic plane only: good enough for a name that is shown
    return reader.take(reader.u16()).decode("utf-8", "replace")


def _read_certificate(reader: BoundedReader, version: int) -> x509.Certificate:
    kind = reader.take(reader.u16()) if version == 2 else _X509
    if kind != _X509:
        raise ShortError("a certificate that is not X.509")
    try:
        return x509.load_der_x509_certificate(reader.take(reader.u32()))
    except ShortError:
        raise
    except PARSE_FAULTS as error:
        raise ShortError("a certificate in it cannot be read") from error


def _opened(
    file: Path, sealed: tuple[str, bytes, tuple[x509.Certificate, ...]], password: bytes | None
) -> KeyEntry:
    alias, envelope, chain = sealed
    if password is None:
        raise SetupError(
            f"{file}: the private key {alias} needs the store's password; name its password-file"
        )
    fault = next(filter(None, map(unreadable, chain)), None)
    if fault is not None:
        raise SetupError(
            f"{file}: the certificate of the private key {alias} cannot be read: {fault}; get a new one"
        )
    if not chain:
        raise SetupError(
            f"{file}: the private key {alias} has no certificate; import one with keytool -importcert"
        )
    try:
        return KeyEntry(
            alias=alias,
            key=usable_key(file, load_der_private_key(unseal(envelope, password), None)),
            chain=chain,
        )
    except PARSE_FAULTS as error:
        raise SetupError(
            f"{file}: the private key {alias} cannot be opened with the store's password; "
            "give both the same password (keytool -keypasswd)"
        ) from error


def _digest(password: bytes, body: bytes) -> bytes:
    return hashlib.sha1(utf16(password) + _SALT_OF_DIGEST + body, usedforsecurity=False).digest()


def write_jks(
    contents: Contents,
    store_format: StoreFormat,
    password: bytes,
    *,
    created_s: float,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Lay out a store.

    :param store_format: JKS or JCEKS.
    :param password: of the store and of each key.
    :param created_s: seconds since the epoch, for the entries' dates.
    :param random_bytes: source of salts.
    """
    magic = next(magic for magic, known in JAVA_MAGIC.items() if known is store_format)
    seal = seal_jks if store_format is StoreFormat.JKS else seal_jceks
    date = struct.pack(">Q", int(created_s * 1000))
    pieces = [magic, struct.pack(">II", 2, len(contents.entries) + len(contents.certificates))]
    for entry in contents.entries:
        plain = entry.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        pieces += [struct.pack(">I", _PRIVATE_KEY), _text(entry.alias), date]
        pieces += [_counted_bytes(seal(plain, password, random_bytes)), struct.pack(">I", len(entry.chain))]
        pieces += [_certificate(certificate) for certificate in entry.chain]
    for alias, certificate in contents.certificates:
        pieces += [struct.pack(">I", _TRUSTED_CERTIFICATE), _text(alias), date, _certificate(certificate)]
    body = b"".join(pieces)
    return body + _digest(password, body)


def _text(text: str) -> bytes:
    data = text.lower().encode()  # keytool folds aliases and finds only folded ones
    return struct.pack(">H", len(data)) + data


def _counted_bytes(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _certificate(certificate: x509.Certificate) -> bytes:
    return struct.pack(">H", len(_X509)) + _X509 + _counted_bytes(certificate.public_bytes(Encoding.DER))
