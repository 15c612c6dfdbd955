"""PEM stores: one file with keys, chains and revocation lists in any order, or a directory of such files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from kwic.errors import SetupError
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
    readable,
    unreadable,
)

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----.*?-----END \1-----", re.DOTALL)
MARK = b"-----BEGIN "


@dataclass(kw_only=True)
class _Pile:
    """What was found so far, before keys and certificates are matched."""

    keys: list[tuple[str, PrivateKey]] = field(default_factory=list)
    certificates: list[tuple[str, x509.Certificate]] = field(default_factory=list)
    crls: list[x509.CertificateRevocationList] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_pem(file: Path, parts: list[tuple[Path, bytes]], password: bytes | None) -> Store:
    """Match the keys and certificates of one or more PEM files.

    :param file: the store's own path, for the result and for messages.
    :param parts: each file that belongs to it, with its content.
    :param password: for encrypted keys.
    :raises SetupError: a block is damaged, a password is missing or wrong, or a key has no certificate.
    """
    pile = _Pile()
    for path, data in parts:
        for match in _BLOCK.finditer(data):
            _read_block(path, match.group(1).decode("ascii"), match.group(0) + b"\n", password, pile)
    return _matched(file, pile)


def _read_block(path: Path, label: str, block: bytes, password: bytes | None, pile: _Pile) -> None:
    alias = path.stem
    try:
        if label.endswith("PRIVATE KEY"):
            pile.keys.append((alias, read_key(path, block, password)))
        elif label in {"CERTIFICATE", "X509 CERTIFICATE"}:
            _keep(path, x509.load_pem_x509_certificate(block), pile)
        elif label == "X509 CRL":
            pile.crls.append(readable(x509.load_pem_x509_crl(block)))
        elif label not in {"EC PARAMETERS", "DH PARAMETERS"}:
            pile.notes.append(f"{path}: skipped a PEM block of kind {label}")
    except PARSE_FAULTS as error:
        raise SetupError(f"{path}: the PEM block {label} is damaged: {one_line(error)}") from error


def _keep(path: Path, certificate: x509.Certificate, pile: _Pile) -> None:
    fault = unreadable(certificate)
    if fault is None:
        pile.certificates.append((path.stem, certificate))
    else:
        pile.notes.append(skipped(path, fault))


def skipped(path: Path, fault: str) -> str:
    """:returns: the note about a certificate that is left out of a store."""
    return f"{path}: skipped a certificate that cannot be read: {fault}"


def read_key(path: Path, block: bytes, password: bytes | None) -> PrivateKey:
    """:returns: the key of one PEM block; :raises SetupError: with what is wrong and what to do."""
    encrypted = b"ENCRYPTED" in block
    if encrypted and not password:
        raise SetupError(f"{path}: the private key is encrypted; name its password-file")
    try:
        key = load_pem_private_key(block, password if encrypted else None)
    except PARSE_FAULTS as error:
        if encrypted:
            raise SetupError(
                f"{path}: the private key cannot be decrypted: wrong password, or damaged; check the password-file"
            ) from error
        raise SetupError(
            f"{path}: the private key is damaged or of an unknown kind: {one_line(error)}"
        ) from error
    return usable_key(path, key)


def usable_key(path: Path, key: object) -> PrivateKey:
    """:returns: the key; :raises SetupError: when TLS cannot sign with a key of this kind."""
    if not isinstance(key, PrivateKey):
        raise SetupError(f"{path}: TLS cannot use a key of kind {type(key).__name__}; use RSA, EC or Ed25519")
    return key


def one_line(error: BaseException) -> str:
    """:returns: the first line of an exception's text, without what `cryptography` adds for its own bug reports."""
    text = str(error).split("\n", 1)[0].split(". This is usually", 1)[0]
    return text[:200] or type(error).__name__


def _matched(file: Path, pile: _Pile) -> Store:
    by_key: dict[bytes, x509.Certificate] = {}
    for _, certificate in pile.certificates:
        by_key.setdefault(public_key_bytes(certificate), certificate)
    everything = [certificate for _, certificate in pile.certificates]
    entries: list[KeyEntry] = []
    used: set[x509.Certificate] = set()
    for alias, key in pile.keys:
        leaf = by_key.get(private_key_identity(key))
        if leaf is None:
            raise SetupError(
                f"{file}: no certificate in it belongs to the private key {alias}; add the certificate"
            )
        chain = ordered_chain(leaf, everything)
        used.update(chain)
        entries.append(KeyEntry(alias=alias, key=key, chain=chain))
    return Store(
        file=file,
        format=StoreFormat.PEM,
        entries=tuple(entries),
        certificates=tuple(item for item in pile.certificates if item[1] not in used),
        crls=tuple(pile.crls),
        notes=tuple(pile.notes),
    )


def write_pem(contents: Contents, password: bytes | None) -> bytes:
    """:returns: keys (encrypted when there is a password), each with its chain, then the trusted certificates."""
    protection: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    pieces = []
    for entry in contents.entries:
        pieces.append(entry.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        pieces.extend(certificate.public_bytes(Encoding.PEM) for certificate in entry.chain)
    pieces.extend(certificate.public_bytes(Encoding.PEM) for _, certificate in contents.certificates)
    return b"".join(pieces)
