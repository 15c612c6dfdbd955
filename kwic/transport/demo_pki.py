"""The certificates of a trial, laid out as the KWIC tutorials expect them.

Two authorities, one for servers and one for clients; one certificate for all cloud gateways, one for each tenant::

    DIR/ca/server-ca.crt, client-ca.crt           what to trust
    DIR/ca/private/server-ca.key, client-ca.key   for more certificates later (--renew)
    DIR/certs/cloud.crt, cloud.key, onprem.crt …  PEM, for other programs
    DIR/stores/keystore-cloud.jceks, .pw          the gateways' stores and their passwords
    DIR/stores/truststore-cloud.jceks, .pw        (holds the client CA)
    DIR/stores/keystore-onprem.jceks, .pw         one for each tenant
    DIR/stores/truststore-onprem.jceks, .pw       (holds the server CA)

Everything is made in memory first; each file appears whole, under its name, or not at all.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kwic.config import model
from kwic.config.problem import Place
from kwic.errors import SetupError
from kwic.transport.certificates import Fit, common_name, fit, subject, validity_problem
from kwic.transport.entries import Contents, KeyEntry, StoreFormat
from kwic.transport.pem import read_pem
from kwic.transport.pki import Authority, client_request, server_request
from kwic.transport.stores import encode_store, load_store, read_bounded, read_password

CLOUD = "cloud"
DEFAULT_HOSTS = ("example.com", "*.example.com")
DEFAULT_CLIENTS: Mapping[str, str] = {"onprem": "tenant101"}
DEFAULT_DAYS = 365
SUFFIXES = {
    StoreFormat.JCEKS: ".jceks",
    StoreFormat.JKS: ".jks",
    StoreFormat.PKCS12: ".p12",
    StoreFormat.PEM: ".pem",
}

_SERVER_CA = "server-ca"
_CLIENT_CA = "client-ca"
_CA_NAMES = {_SERVER_CA: "KWIC Demo Server CA", _CLIENT_CA: "KWIC Demo Client CA"}
_PRIVATE_MODE = 0o600
_PUBLIC_MODE = 0o644
_PRIVATE_DIRECTORY_MODE = 0o700
_PUBLIC_DIRECTORY_MODE = 0o755
_PASSWORD_BYTES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoPlan:
    """What to make."""

    hosts: Sequence[str] = DEFAULT_HOSTS
    """What the cloud gateways are called by."""
    clients: Mapping[str, str] = field(default_factory=lambda: DEFAULT_CLIENTS)
    """The certificate's common name for each on-prem side; the side's name is in the names of its stores."""
    days: float = DEFAULT_DAYS
    use_rsa: bool = False
    formats: Sequence[StoreFormat] = (StoreFormat.JCEKS,)
    password: str | None = None
    """For every store; None: a random one each."""

    def __post_init__(self) -> None:
        if CLOUD in self.clients:
            raise SetupError(f"a client cannot be called {CLOUD!r}: that is the server's side")
        if not self.hosts or not self.formats or self.days <= 0:
            raise SetupError("at least one host, one format and a time longer than nothing are needed")

    @property
    def sides(self) -> tuple[str, ...]:
        """``cloud`` and each on-prem side."""
        return (CLOUD, *self.clients)


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoPki:
    """Where everything is."""

    directory: Path
    format: StoreFormat
    """The format that :meth:`security` names, the first that was asked for."""

    def ca(self, name: str = _SERVER_CA) -> Path:
        """:returns: the certificate of an authority, ``server-ca`` or ``client-ca``."""
        return self.directory / "ca" / f"{name}.crt"

    def ca_key(self, name: str = _SERVER_CA) -> Path:
        """:returns: the private key of an authority."""
        return self.directory / "ca" / "private" / f"{name}.key"

    def certificate(self, side: str) -> Path:
        """:returns: a side's certificate and chain in PEM."""
        return self.directory / "certs" / f"{side}.crt"

    def key(self, side: str) -> Path:
        """:returns: a side's private key in PEM."""
        return self.directory / "certs" / f"{side}.key"

    def keystore(self, side: str, store_format: StoreFormat | None = None) -> Path:
        """:returns: the keystore of ``cloud`` or of an on-prem side."""
        return self._store("keystore", side, SUFFIXES[store_format or self.format])

    def truststore(self, side: str, store_format: StoreFormat | None = None) -> Path:
        """:returns: the truststore of ``cloud`` or of an on-prem side."""
        return self._store("truststore", side, SUFFIXES[store_format or self.format])

    def password_file(self, store: Path) -> Path:
        """:returns: the password file of one of the stores."""
        return store.with_suffix(".pw")

    def security(self, side: str) -> model.Security:
        """:returns: what a configuration would say for ``cloud`` or for an on-prem side."""
        return model.Security(
            keystore=self._model(self.keystore(side)), truststore=self._model(self.truststore(side))
        )

    def _store(self, what: str, side: str, suffix: str) -> Path:
        return self.directory / "stores" / f"{what}-{side}{suffix}"

    def _model(self, store: Path) -> model.Store:
        return model.Store(
            kind=model.StoreKind(self.format.value),
            file=store,
            password_file=self.password_file(store),
            place=Place(file=str(self.directory), line=1, column=1, path="security"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    path: Path
    data: bytes
    private: bool = True


def make_demo_pki(
    directory: Path, plan: DemoPlan | None = None, *, now_s: float, force: bool = False, renew: bool = False
) -> DemoPki:
    """Make the authorities, the certificates and the stores.

    :param now_s: the time, in seconds since the epoch.
    :param force: replace what is there.
    :param renew: keep the authorities and passwords that are there and replace the certificates they signed.
    :raises SetupError: something is there already, or cannot be written.
    """
    plan = plan or DemoPlan()
    pki = DemoPki(directory=directory.absolute(), format=plan.formats[0])
    there = [path for path in stores_of(pki, plan) if path.exists()]
    if there and not force and not renew:
        raise SetupError(
            f"{there[0]}: is there already; --force replaces everything, --renew only the certificates"
        )
    try:
        for file in list(_files(pki, plan, now_s, renew=renew)):
            _write(file)
    except OSError as error:
        raise SetupError(
            f"{error.filename or directory}: cannot be written: {error.strerror or error}"
        ) from error
    return pki


def check_demo_pki(directory: Path, plan: DemoPlan, *, now_s: float) -> DemoPki | None:
    """Look at what is there.

    :returns: None when no store is there at all.
    :raises SetupError: some are missing, cannot be opened, do not hold today, or are not for these hosts and clients.
    """
    pki = DemoPki(directory=directory.absolute(), format=plan.formats[0])
    paths = stores_of(pki, plan)
    missing = [path for path in paths if not path.exists()]
    if len(missing) == len(paths):
        return None
    if missing:
        raise SetupError(f"{missing[0]}: missing, while others are there; --force makes all of them again")
    for store_format in plan.formats:
        for side in plan.sides:
            _check_side(pki, plan, side, store_format, now_s)
    return pki


def stores_of(pki: DemoPki, plan: DemoPlan) -> tuple[Path, ...]:
    """:returns: every store of a plan."""
    return tuple(
        path
        for store_format in plan.formats
        for side in plan.sides
        for path in (pki.keystore(side, store_format), pki.truststore(side, store_format))
    )


def _check_side(pki: DemoPki, plan: DemoPlan, side: str, store_format: StoreFormat, now_s: float) -> None:
    for path in (pki.keystore(side, store_format), pki.truststore(side, store_format)):
        store = load_store(path, read_password(pki.password_file(path)))
        certificates = [entry.certificate for entry in store.entries] + [
            item for _, item in store.certificates
        ]
        if not certificates:
            raise SetupError(f"{path}: nothing in it; --force makes it again")
        for certificate in certificates:
            problem = validity_problem(certificate, now_s)
            if problem:
                raise SetupError(f"{path}: {subject(certificate)} {problem}; --force makes new ones")
        if store.entries:
            _check_names(path, plan, side, store.entries[0])


def _check_names(path: Path, plan: DemoPlan, side: str, entry: KeyEntry) -> None:
    if side != CLOUD:
        if common_name(entry.certificate) != plan.clients[side]:
            raise SetupError(
                f"{path}: is for {subject(entry.certificate)}, not {plan.clients[side]}; --renew changes that"
            )
        return
    for host in plan.hosts:
        if fit(entry.certificate, host.replace("*", "any", 1)) is Fit.NOT:
            raise SetupError(f"{path}: does not name {host}; --renew changes that")


def _files(pki: DemoPki, plan: DemoPlan, now_s: float, *, renew: bool) -> Iterator[_File]:
    """Everything to write, the stores last: who waits for a store finds all it needs when it appears."""
    authorities = {name: _authority(pki, plan, name, now_s, renew=renew) for name in _CA_NAMES}
    server = server_request(plan.hosts, now_s=now_s, days=plan.days)
    entries = {CLOUD: authorities[_SERVER_CA].issue(server, use_rsa=plan.use_rsa)}
    for side, name in plan.clients.items():
        client = client_request(name, now_s=now_s, days=plan.days)
        entries[side] = authorities[_CLIENT_CA].issue(client, use_rsa=plan.use_rsa)
    for name, authority in authorities.items():
        yield _File(path=pki.ca_key(name), data=_key_pem(authority.entry))
        yield _File(path=pki.ca(name), data=_chain_pem(authority.entry), private=False)
    for side, entry in entries.items():
        yield _File(path=pki.key(side), data=_key_pem(entry))
        yield _File(path=pki.certificate(side), data=_chain_pem(entry), private=False)
    for side, entry in entries.items():
        ca = _CLIENT_CA if side == CLOUD else _SERVER_CA
        trusted = ((ca, authorities[ca].certificate),)
        yield from _store_files(
            pki, plan, pki.truststore(side), Contents(certificates=trusted), now_s, renew=renew
        )
        yield from _store_files(pki, plan, pki.keystore(side), Contents(entries=(entry,)), now_s, renew=renew)


def _authority(pki: DemoPki, plan: DemoPlan, name: str, now_s: float, *, renew: bool) -> Authority:
    if not renew:
        return Authority.create(_CA_NAMES[name], now_s=now_s, days=plan.days, use_rsa=plan.use_rsa)
    parts = [(path, read_bounded(path)) for path in (pki.ca(name), pki.ca_key(name))]
    return Authority(entry=read_pem(pki.ca(name), parts, None).entries[0])


def _store_files(
    pki: DemoPki, plan: DemoPlan, path: Path, contents: Contents, now_s: float, *, renew: bool
) -> Iterator[_File]:
    password_file = pki.password_file(path)
    if renew and password_file.exists():
        password = read_password(password_file)
    else:
        password = (plan.password or secrets.token_hex(_PASSWORD_BYTES)).encode()
    yield _File(path=password_file, data=password + b"\n")
    for store_format in plan.formats:
        data = encode_store(contents, store_format, password, now_s=now_s)
        yield _File(path=path.with_suffix(SUFFIXES[store_format]), data=data, private=bool(contents.entries))


def _key_pem(entry: KeyEntry) -> bytes:
    return entry.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _chain_pem(entry: KeyEntry) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in entry.chain)


def _write(file: _File) -> None:
    """Make a file appear whole, readable for its owner only when it is private."""
    mode = _PRIVATE_DIRECTORY_MODE if file.path.parent.name == "private" else _PUBLIC_DIRECTORY_MODE
    file.path.parent.mkdir(mode=mode, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.path.parent, prefix=f".{file.path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, _PRIVATE_MODE if file.private else _PUBLIC_MODE)
            stream.write(file.data)
        Path(name).replace(file.path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
