"""Reads ``<security>``: our keys, and whom we trust."""

from __future__ import annotations

from kwic.config.document import Element
from kwic.config.model import Security, Store, StoreKind
from kwic.config.reading import Reading
from kwic.config.units import one_of


def read_security(element: Element | None, reading: Reading) -> Security:
    """:returns: both stores; None for one that is absent or could not be read."""
    if element is None:
        return Security()
    return Security(
        keystore=_read_store(element.first("keystore"), reading),
        truststore=_read_store(element.first("truststore"), reading),
    )


def _read_store(element: Element | None, reading: Reading) -> Store | None:
    if element is None:
        return None
    kind = reading.value(element.first("type"), one_of(StoreKind))
    named = element.first("file")
    file = reading.value(named, reading.path)
    password_file = reading.value(element.first("password-file"), reading.path)
    if named is None or file is None:
        return None
    return Store(kind=kind or StoreKind.JKS, file=file, password_file=password_file, place=named.value_place)
