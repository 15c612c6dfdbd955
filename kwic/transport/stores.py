"""Keystores and truststores of any format, recognised by content and never by what the configuration calls them.

In the wild a store declared JCEKS is often JKS or PKCS12 on disk: `keytool` changed its default over the years. What reads a format is imported when a file of it
comes along: most gateways have stores of one format, and hold the code of that one alone in memory.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from kwic.errors import SetupError
from kwic.transport import pem
from kwic.transport.entries import (
    JAVA_MAGIC,
    PARSE_FAULTS,
    Contents,
    KeyEntry,
    PrivateKey,
    Store,
    StoreFormat,
    readable,
    unreadable,
)

__all__ = [
    "Contents",
    "KeyEntry",
    "PrivateKey",
    "Store",
    "StoreFormat",
    "encode_store",
    "is_directory",
    "load_store",
    "read_password",
    "read_revocations",
]

STORE_BYTES_LIMIT = 32 * 1024 * 1024
"""A truststore with every public CA is 0.3 MB, a large CRL a few; beyond this somebody named the wrong file."""
PASSWORD_BYTES_LIMIT = 4096
"""A password file is one line; beyond this somebody named the wrong file."""
_PEM_SUFFIXES = frozenset({".pem", ".crt", ".cer", ".key", ".crl"})
_DER_SEQUENCE = 0x30


def load_store(path: Path, password: bytes | None) -> Store:
    """Read a keystore or truststore.

    :param path: a file, or a directory of PEM files.
    :param password: of the store and the keys in it; None when it has none.
    :raises SetupError: one line: which file, what is wrong with it, what to do.
    """
    if is_directory(path):
        try:
            files = sorted(
                item for item in path.iterdir() if item.suffix.lower() in _PEM_SUFFIXES and item.is_file()
            )
        except OSError as error:
            raise SetupError(f"{path}: cannot be read: {error.strerror or error}") from error
        if not files:
            raise SetupError(
                f"{path}: no .pem, .crt, .cer or .key file in this directory; put the certificates there"
            )
        return pem.read_pem(path, [(file, read_bounded(file)) for file in files], password)
    return read_store(path, read_bounded(path), password)


def read_store(path: Path, data: bytes, password: bytes | None) -> Store:
    """As :func:`load_store`, for the content of one file."""
    if data[:4] in JAVA_MAGIC:
        from kwic.transport import jks

        return jks.read_jks(path, data, password)
    if pem.MARK in data:
        return pem.read_pem(path, [(path, data)], password)
    if data[:1] == bytes((_DER_SEQUENCE,)):
        return _read_der_certificate(path, data) or _read_pkcs12(path, data, password)
    what = "it is empty" if not data else "its content is none of JKS, JCEKS, PKCS12 and PEM"
    raise SetupError(f"{path}: not a store: {what}; check the file, or make one with 'kwic certs'")


def _read_pkcs12(path: Path, data: bytes, password: bytes | None) -> Store:
    from kwic.transport.pkcs12 import read_pkcs12

    return read_pkcs12(path, data, password)


def _read_der_certificate(path: Path, data: bytes) -> Store | None:
    try:
        certificate = x509.load_der_x509_certificate(data)
    except PARSE_FAULTS:
        return None
    fault = unreadable(certificate)
    if fault is not None:
        return Store(file=path, format=StoreFormat.PEM, notes=(pem.skipped(path, fault),))
    return Store(file=path, format=StoreFormat.PEM, certificates=((path.stem, certificate),))


def encode_store(contents: Contents, store_format: StoreFormat, password: bytes, *, now_s: float) -> bytes:
    """Lay out a store for writing. Keys in PEM are not encrypted, in the others they are.

    :param password: of the store, in UTF-8; not used for PEM.
    :param now_s: the time, in seconds since the epoch, for formats that note when an entry was made.
    """
    if store_format is StoreFormat.PEM:
        return pem.write_pem(contents, None)
    if store_format is StoreFormat.PKCS12:
        from kwic.transport.pkcs12 import write_pkcs12

        return write_pkcs12(contents, password)
    from kwic.transport import jks

    return jks.write_jks(contents, store_format, password, created_s=now_s)


def read_bounded(path: Path, limit: int = STORE_BYTES_LIMIT) -> bytes:
    """:returns: the content of a file; :raises SetupError: missing, not readable, not a file, or larger than `limit`."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise SetupError(f"{path}: there is no such file; check the path in the configuration") from error
    except PermissionError as error:
        raise SetupError(f"{path}: not readable for this user; check its owner and mode") from error
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > limit:
        raise SetupError(f"{path}: larger than {limit} bytes, so not what it should be; check the path")
    return data


def is_directory(path: Path) -> bool:
    """:returns: whether it is a directory; one that this user may not reach is none, and reading it will say why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_password(path: Path) -> bytes:
    """:returns: the first line of a password file, without its end; :raises SetupError: missing, or that line is empty."""
    lines = read_bounded(path, PASSWORD_BYTES_LIMIT).splitlines()
    if not lines or not lines[0]:
        raise SetupError(f"{path}: its first line is empty; write the store's password there")
    return lines[0]


def read_revocations(beside: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists that lie next to a truststore: each ``*.crl`` in its directory, PEM or DER.

    :param beside: the truststore's path.
    :raises SetupError: one of them is damaged: to go on without it would accept what was revoked.
    """
    if is_directory(beside):
        return ()  # load_store has read them with the rest
    found: list[x509.CertificateRevocationList] = []
    for file in revocation_files(beside):
        data = read_bounded(file)
        try:
            if pem.MARK in data:
                found.extend(pem.read_pem(file, [(file, data)], None).crls)
            else:
                found.append(readable(x509.load_der_x509_crl(data)))
        except PARSE_FAULTS as error:
            raise SetupError(
                f"{file}: not a certificate revocation list: {pem.one_line(error)}; remove or replace it"
            ) from error
    return tuple(found)


def revocation_files(beside: Path) -> list[Path]:
    """:returns: the paths that :func:`read_revocations` reads."""
    directory = beside.parent
    return sorted(directory.glob("*.crl")) if is_directory(directory) else []
