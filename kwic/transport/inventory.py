"""What a store holds, in words: everything but the private keys themselves."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from kwic.transport.certificates import (
    alternative_names,
    day,
    fingerprint,
    key_kind,
    purposes,
    seconds_left,
    validity_problem,
)
from kwic.transport.entries import Store

_LABEL_WIDTH = 13


def inventory(store: Store, now_s: float) -> Iterator[str]:
    """:returns: the lines that describe a store.

    :param now_s: the time, in seconds since the epoch.
    """
    counted = [
        _count(len(store.entries), "private key"),
        _count(len(store.certificates), "trusted certificate"),
    ]
    if store.crls:
        counted.append(_count(len(store.crls), "revocation list"))
    yield f"{store.file}: {store.format.value}, {', '.join(counted)}"
    for entry in store.entries:
        yield ""
        yield f"{entry.alias}: private key"
        yield from _certificate(entry.certificate, now_s)
        for number, certificate in enumerate(entry.chain[1:], 1):
            yield _line(f"chain {number}", certificate.subject.rfc4514_string())
    for alias, certificate in store.certificates:
        yield ""
        yield f"{alias}: trusted certificate"
        yield from _certificate(certificate, now_s)
    for crl in store.crls:
        yield ""
        yield f"revocation list of {crl.issuer.rfc4514_string()}"
        yield _line("revokes", _count(len(crl), "certificate"))
        yield _line("next one due", day(crl.next_update_utc) if crl.next_update_utc else "not stated")
    yield from store.notes


def problems(store: Store, now_s: float) -> tuple[str, ...]:
    """:returns: one line for each certificate of a store that does not hold now."""
    named = [(entry.alias, entry.certificate) for entry in store.entries] + list(store.certificates)
    found = ((alias, validity_problem(certificate, now_s)) for alias, certificate in named)
    return tuple(f"{store.file}: {alias} {problem}" for alias, problem in found if problem is not None)


def _certificate(certificate: x509.Certificate, now_s: float) -> Iterator[str]:
    yield _line("subject", certificate.subject.rfc4514_string() or "(none)")
    yield _line("names", ", ".join(_names(certificate)) or "(no subject alternative name)")
    yield _line("issuer", certificate.issuer.rfc4514_string() or "(none)")
    yield _line("valid", _validity(certificate, now_s))
    yield _line("usage", ", ".join(purposes(certificate)) or "any (no extended key usage)")
    yield _line("key", key_kind(certificate))
    yield _line("SHA-256", fingerprint(certificate))


def _names(certificate: x509.Certificate) -> list[str]:
    san = alternative_names(certificate)
    if san is None:
        return []
    names = list(san.get_values_for_type(x509.DNSName))
    names += [str(address) for address in san.get_values_for_type(x509.IPAddress)]
    return names + list(san.get_values_for_type(x509.UniformResourceIdentifier))


def _validity(certificate: x509.Certificate, now_s: float) -> str:
    span = f"{day(certificate.not_valid_before_utc)} to {day(certificate.not_valid_after_utc)}"
    problem = validity_problem(certificate, now_s)
    if problem is not None:
        return f"{span}: {problem.upper()}"
    return f"{span}, {int(seconds_left(certificate, now_s) // 86400)} days left"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}} {text}"
