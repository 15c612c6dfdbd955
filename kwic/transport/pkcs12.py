"""PKCS#12 stores (RFC 7292), with all the private keys in them and not only the first.

`cryptography` decrypts everything but hands out one key; JDK keystores commonly hold several. The others are found by
walking the outer layer, which is not encrypted: each is an EncryptedPrivateKeyInfo, which `cryptography` can open.
Which certificate belongs to which key is decided by the key itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_der_private_key, pkcs12

from kwic.errors import MisuseError, SetupError
from kwic.transport import der
from kwic.transport.entries import (
    PARSE_FAULTS,
    Contents,
    KeyEntry,
    PrivateKey,
    Store,
    StoreFormat,
    ordered_chain,
    private_key_identity,
    public_key_bytes,
    unreadable,
)
from kwic.transport.pem import skipped, usable_key

_DATA = bytes.fromhex("2a864886f70d010701")  # pkcs7-data
_KEY_BAG = bytes.fromhex("2a864886f70d010c0a0101")
_SHROUDED_KEY_BAG = bytes.fromhex("2a864886f70d010c0a0102")
_FRIENDLY_NAME = bytes.fromhex("2a864886f70d010914")
_BMP_STRING = 0x1E

_Named = tuple[str, x509.Certificate]


def read_pkcs12(file: Path, data: bytes, password: bytes | None) -> Store:
    """:returns: what the file holds; :raises SetupError: it is damaged, or the password is wrong or missing."""
    try:
        loaded = pkcs12.load_pkcs12(data, password)
        named_keys = list(_keys(file, data, password or b""))
    except PARSE_FAULTS as error:
        raise SetupError(_complaint(file, data, password)) from error
    named = [_named(item) for item in (loaded.cert, *loaded.additional_certs) if item is not None]
    certificates = [item for item in named if unreadable(item[1]) is None]
    notes = tuple(
        skipped(file, fault) for fault in (unreadable(item) for _, item in named) if fault is not None
    )
    if loaded.key is not None:
        first = usable_key(file, loaded.key)
        if all(private_key_identity(key) != private_key_identity(first) for _, key in named_keys):
            named_keys.insert(0, ("", first))
    return replace(_matched(file, named_keys, certificates), notes=notes)


def _complaint(file: Path, data: bytes, password: bytes | None) -> str:
    try:
        der.single(data)
    except der.DerError:
        return f"{file}: not a store, or a PKCS12 store that is cut short or damaged; copy it again"
    if password is None:
        return f"{file}: the PKCS12 store cannot be opened without a password; name its password-file"
    return f"{file}: the PKCS12 store cannot be opened: wrong password, or damaged; check the password-file"


def _named(item: pkcs12.PKCS12Certificate) -> _Named:
    return (item.friendly_name or b"").decode("utf-8", "replace"), item.certificate


def _matched(file: Path, keys: list[tuple[str, PrivateKey]], certificates: list[_Named]) -> Store:
    entries: list[KeyEntry] = []
    used: set[x509.Certificate] = set()
    everything = [certificate for _, certificate in certificates]
    for alias, key in keys:
        identity = private_key_identity(key)
        leaf = next((item for item in certificates if public_key_bytes(item[1]) == identity), None)
        if leaf is None:
            raise SetupError(
                f"{file}: the private key {alias or '(without a name)'} has no certificate in the store"
            )
        chain = ordered_chain(leaf[1], everything)
        used.update(chain)
        entries.append(KeyEntry(alias=alias or leaf[0] or str(len(entries) + 1), key=key, chain=chain))
    trusted = tuple(
        (alias or str(n), item) for n, (alias, item) in enumerate(certificates, 1) if item not in used
    )
    return Store(file=file, format=StoreFormat.PKCS12, entries=tuple(entries), certificates=trusted)


def _keys(file: Path, data: bytes, password: bytes) -> Iterator[tuple[str, PrivateKey]]:
    for bag_id, value, attributes in _bags(data):
        if bag_id == _SHROUDED_KEY_BAG:
            key = load_der_private_key(value.encoded, password)
        elif bag_id == _KEY_BAG:
            key = load_der_private_key(value.encoded, None)
        else:
            continue
        yield _friendly_name(attributes), usable_key(file, key)


def _bags(data: bytes) -> Iterator[tuple[bytes, der.Element, tuple[der.Element, ...]]]:
    """:returns: type, value and attributes of each SafeBag outside an encrypted part."""
    _, auth_safe, *_ = der.single(data).children()
    for info in der.single(_data_content(auth_safe)).children():
        kind, *_ = info.children()
        if kind.content != _DATA:
            continue
        for bag in der.single(_data_content(info)).children():
            bag_id, value, *attributes = bag.children()
            inner = der.single(value.expect(der.CONTEXT_0))
            yield bag_id.content, inner, attributes[0].children(der.SET) if attributes else ()


def _data_content(content_info: der.Element) -> bytes:
    kind, content = content_info.children()
    if kind.content != _DATA:
        raise der.DerError("not a password-protected store")
    return der.single(content.expect(der.CONTEXT_0)).expect(der.OCTET_STRING)


def _friendly_name(attributes: tuple[der.Element, ...]) -> str:
    for attribute in attributes:
        kind, values = attribute.children()
        if kind.content == _FRIENDLY_NAME:
            return der.single(values.expect(der.SET)).expect(_BMP_STRING).decode("utf-16-be", "replace")
    return ""


def write_pkcs12(contents: Contents, password: bytes) -> bytes:
    """:returns: a store with one key, or with trusted certificates that a JDK sees as such.

    :raises MisuseError: asked for more than one key, or for keys and trusted certificates in one.
    """
    protection = BestAvailableEncryption(password)
    trusted = [
        pkcs12.PKCS12Certificate(certificate, alias.encode()) for alias, certificate in contents.certificates
    ]
    if not contents.entries:
        return pkcs12.serialize_java_truststore(trusted, protection)
    if len(contents.entries) > 1 or trusted:
        raise MisuseError("a PKCS12 store is written with one key or with trusted certificates")
    entry = contents.entries[0]
    return pkcs12.serialize_key_and_certificates(
        entry.alias.encode(), entry.key, entry.certificate, entry.chain[1:], protection
    )
