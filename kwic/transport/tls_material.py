"""The keys and the trust of a gateway as they were read at one time, and which key is for what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from kwic.config import model
from kwic.config.problem import ConfigError, Problem, refusal
from kwic.errors import SetupError
from kwic.transport.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    WARN_BEFORE_EXPIRY_S,
    Fit,
    alternative_names,
    day,
    fit,
    good_for,
    host_names,
    seconds_left,
    states_usage,
    subject,
    validity_problem,
)
from kwic.transport.entries import KeyEntry, Store, private_key_identity
from kwic.transport.stores import is_directory, load_store, read_password, read_revocations, revocation_files

_NAMED_ROOTS = 3
ANY_HOSTS = frozenset({"", "*", "0.0.0.0", "::"})
"""Hosts of accepts that every certificate fits; so do interfaces (``@eth0``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """One generation of keys and trust."""

    keystore: Store | None
    truststore: Store | None

    @classmethod
    def read(cls, security: model.Security) -> Material:
        """:raises ConfigError: stores that are missing, damaged, empty, or whose password is wrong: all of them, each with its place."""
        problems: list[Problem] = []
        keystore = _read(security.keystore, _keystore, problems)
        truststore = _read(security.truststore, _truststore, problems)
        if problems:
            raise ConfigError(problems)
        return cls(keystore=keystore, truststore=truststore)

    @property
    def entries(self) -> tuple[KeyEntry, ...]:
        """Our keys, in the order of the store."""
        return self.keystore.entries if self.keystore is not None else ()

    @property
    def own_keys(self) -> frozenset[bytes]:
        """The public keys of our keystore."""
        return frozenset(private_key_identity(entry.key) for entry in self.entries)

    def server_entries(self, now_s: float) -> tuple[KeyEntry, ...]:
        """:returns: the keys that a server may present now."""
        return tuple(self._usable(SERVER_AUTH, now_s))

    def server_entry(self, host: str, now_s: float) -> KeyEntry:
        """The key to present for a host: exact name before wildcard, then the order of the store.

        :raises SetupError: there is none; the text says what there is instead.
        """
        if self.keystore is None:
            raise SetupError(
                f"TLS on {host or 'a listener'} needs a keystore; add security/keystore to the configuration"
            )
        found = best_fit(self.server_entries(now_s), host)
        if found is None:
            raise SetupError(f"{self.keystore.file}: {self._why_none_fits(host, now_s)}")
        return found

    def _why_none_fits(self, host: str, now_s: float) -> str:
        near = best_fit(self.entries, host)
        if near is None:
            named = sorted({name for entry in self.entries for name in host_names(entry.certificate)})
            return f"no certificate for {host}; there are only some for {', '.join(named) or 'no host'}; add one whose SAN has it"
        what = f"the certificate {subject(near.certificate)} (alias {near.alias})"
        problem = validity_problem(near.certificate, now_s)
        if problem is not None:
            return f"{what} {problem}; renew it"
        return f"{what} is not for servers: its extended key usage lacks serverAuth"

    def client_entry(self, now_s: float) -> KeyEntry | None:
        """The key to present to servers that ask: one that states clientAuth before one that states nothing.

        :returns: None when no key of ours is meant for it.
        :raises SetupError: those that are have expired, or are not valid yet.
        """
        meant = [entry for entry in self.entries if good_for(entry.certificate, CLIENT_AUTH)]
        meant.sort(key=lambda entry: not states_usage(entry.certificate))
        usable = [entry for entry in meant if validity_problem(entry.certificate, now_s) is None]
        if meant and not usable:
            self._refuse_invalid(meant[0], now_s)
        return usable[0] if usable else None

    def cluster_entry(self, now_s: float) -> KeyEntry:
        """The key to present to other members; :raises SetupError: there is none."""
        if self.keystore is None:
            raise SetupError("the cluster needs a keystore to know its members by; add security/keystore")
        usable = self.server_entries(now_s) or tuple(
            entry for entry in self.entries if validity_problem(entry.certificate, now_s) is None
        )
        if not usable:
            self._refuse_invalid(self.entries[0], now_s)
        return usable[0]

    def _refuse_invalid(self, entry: KeyEntry, now_s: float) -> None:
        assert self.keystore is not None
        raise SetupError(
            f"{self.keystore.file}: the certificate {subject(entry.certificate)} (alias {entry.alias}) "
            f"{validity_problem(entry.certificate, now_s)}; renew it"
        )

    def _usable(self, purpose: x509.ObjectIdentifier, now_s: float) -> Iterator[KeyEntry]:
        for entry in self.entries:
            if good_for(entry.certificate, purpose) and validity_problem(entry.certificate, now_s) is None:
                yield entry

    def warnings(self, now_s: float) -> tuple[str, ...]:
        """:returns: one line for each thing about the stores that works today and will not for ever."""
        lines: list[str] = []
        for store in filter(None, (self.keystore, self.truststore)):
            lines += store.notes
            lines += filter(
                None, (_ageing(store, entry.alias, entry.certificate, now_s) for entry in store.entries)
            )
            lines += _ageing_roots(store, now_s)
            lines += filter(None, (_outdated(store, crl, now_s) for crl in store.crls))
        for entry in self.entries:
            if alternative_names(entry.certificate) is None and good_for(entry.certificate, SERVER_AUTH):
                lines.append(
                    f"{self.keystore and self.keystore.file}: the certificate {subject(entry.certificate)} has no subject "
                    "alternative name; clients of today, ours among them, refuse it for a server"
                )
        return tuple(lines)


def best_fit(entries: tuple[KeyEntry, ...], host: str) -> KeyEntry | None:
    """:returns: the entry whose certificate names the host best, the first among equals; None when none does."""
    if host in ANY_HOSTS or host.startswith("@"):
        return entries[0] if entries else None
    best = max(entries, key=lambda entry: fit(entry.certificate, host), default=None)
    return best if best is not None and fit(best.certificate, host) is not Fit.NOT else None


def _ageing(store: Store, alias: str, certificate: x509.Certificate, now_s: float) -> str | None:
    problem = validity_problem(certificate, now_s)
    what = f"{store.file}: the certificate {subject(certificate)} (alias {alias})"
    if problem is not None:
        return f"{what} {problem}"
    if seconds_left(certificate, now_s) < WARN_BEFORE_EXPIRY_S:
        days = int(seconds_left(certificate, now_s) // 86400)
        return f"{what} expires on {day(certificate.not_valid_after_utc)}, in {days} days; renew it"
    return None


def _ageing_roots(store: Store, now_s: float) -> list[str]:
    """One line for all: a truststore made from a system's has dozens that ended long ago."""
    old = [alias for alias, item in store.certificates if seconds_left(item, now_s) < WARN_BEFORE_EXPIRY_S]
    if not old:
        return []
    named = ", ".join(old[:_NAMED_ROOTS]) + (", …" if len(old) > _NAMED_ROOTS else "")
    return [f"{store.file}: {len(old)} trusted certificates have expired or will within 14 days: {named}"]


def _outdated(store: Store, crl: x509.CertificateRevocationList, now_s: float) -> str | None:
    due = crl.next_update_utc
    if due is None or due.timestamp() > now_s:
        return None
    return (
        f"{store.file}: the revocation list of {crl.issuer.rfc4514_string()} should have been replaced on {day(due)}; "
        "what it revokes stays refused, get a new one"
    )


def _read(
    asked: model.Store | None, read: Callable[[model.Store], Store], problems: list[Problem]
) -> Store | None:
    """A store, if it is asked for; what is wrong with it is added to the problems."""
    if asked is None:
        return None
    try:
        return read(asked)
    except SetupError as error:
        problems.append(refusal(asked.place, error))
        return None


def _keystore(asked: model.Store) -> Store:
    keystore = load_store(asked.file, _password(asked, "keystore"))
    if not keystore.entries:
        raise SetupError(f"{keystore.file}: no private key in this keystore; is it the truststore?")
    return keystore


def _truststore(asked: model.Store) -> Store:
    truststore = load_store(asked.file, _password(asked, "truststore"))
    if not truststore.certificates and not truststore.entries:
        raise SetupError(f"{truststore.file}: no certificate in this truststore; import the CA's certificate")
    return replace(truststore, crls=truststore.crls + read_revocations(asked.file))


def _password(asked: model.Store, whose: str) -> bytes | None:
    if asked.password_file is None:
        return None
    try:
        return read_password(asked.password_file)
    except SetupError as error:
        raise SetupError(f"the password-file of the {whose}, {error}") from error


def stamps_of(security: model.Security) -> tuple[object, ...]:
    """:returns: the state of every file that :meth:`Material.read` reads; equal as long as none has changed."""
    paths: set[Path] = set()
    for store in filter(None, (security.keystore, security.truststore)):
        paths.add(store.file)
        if is_directory(store.file):
            paths.update(store.file.glob("*"))
        if store.password_file is not None:
            paths.add(store.password_file)
    if security.truststore is not None:
        paths.update(revocation_files(security.truststore.file))
    return tuple(_stamp(path) for path in sorted(paths))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return (path, None)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
