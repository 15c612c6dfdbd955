"""The names of TLS versions and cipher suites, as KWIC 5 (JSSE) and OpenSSL write them.

What is unsafe is never spoken. A list that asks for something safe as well keeps that and costs a warning; a list of
nothing but unsafe names is an error, because taking the default instead would not be what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kwic.config.problem import BadValueError
from kwic.config.words import did_you_mean, listed, shown

PROTOCOLS: Mapping[str, bool] = {
    # name: whether it is safe
    "SSLv2": False,
    "SSLv2Hello": False,
    "SSLv3": False,
    "TLSv1": False,
    "TLSv1.0": False,
    "TLSv1.1": False,
    "TLSv1.2": True,
    "TLSv1.3": True,
}

_SEPARATOR = re.compile(r"[,: ]+")
_CIPHER = re.compile(r"[!+-]?[A-Za-z0-9@=_.+-]+")
_WORDS = re.compile(r"[A-Z0-9]+")
# fmt: off
_UNSAFE_WORDS = frozenset({
    "NULL", "ENULL", "ANULL", "ANON", "ADH", "AECDH", "RC4", "RC2", "DES", "EXPORT", "EXP", "EXPORT40", "EXPORT56",
    "LOW", "MD5", "SSLV2", "KRB5",
})
# fmt: on
"""Parts of a suite's name that make it unsafe. 3DES is a word of its own; so is the CBC3 of DES-CBC3-SHA."""
_NOT_ASKED_FOR = ("!", "-", "+", "@")
"""How the elements of an OpenSSL cipher string begin that take suites away or only sort them."""


def parse_protocols(text: str) -> tuple[str, ...]:
    """A list of TLS versions: ``TLSv1.2,TLSv1.3``.

    :returns: the safe ones, ascending.
    :raises BadValueError: a name is unknown, or none of them is safe.
    """
    names = _protocol_names(text)
    safe = tuple(name for name, is_safe in PROTOCOLS.items() if is_safe and name in names)
    if not safe:
        raise BadValueError(f"{listed(names, 'and')} cannot be used: unsafe", "use TLSv1.2, TLSv1.3 or both")
    return safe


def unsafe_protocols(text: str) -> str:
    """:returns: a warning about the versions that :func:`parse_protocols` leaves out; empty when there are none."""
    unsafe = [name for name in _protocol_names(text) if not PROTOCOLS[name]]
    return f"{listed(unsafe, 'and')} will not be used: unsafe" if unsafe else ""


def parse_ciphers(text: str) -> tuple[str, ...]:
    """A list of cipher suites by their JSSE or OpenSSL names, or an OpenSSL cipher string.

    :returns: its elements without the unsafe ones, in order.
    :raises BadValueError: an element is no name, or nothing safe is asked for.
    """
    elements = _cipher_elements(text)
    safe = tuple(element for element in elements if not _is_unsafe(element))
    if not any(_asks(element) for element in safe):
        raise BadValueError(
            f"{shown(text)} asks for no safe cipher",
            "leave the option out: the default has forward secrecy only",
        )
    return safe


def unsafe_ciphers(text: str) -> str:
    """:returns: a warning about the elements that :func:`parse_ciphers` leaves out; empty when there are none."""
    unsafe = [element for element in _cipher_elements(text) if _is_unsafe(element)]
    return f"{listed(unsafe, 'and')} will not be used: unsafe" if unsafe else ""


def _protocol_names(text: str) -> list[str]:
    names = [name for name in _SEPARATOR.split(text) if name]
    for name in names:
        if name not in PROTOCOLS:
            hint = did_you_mean(name, PROTOCOLS)
            raise BadValueError(f"{shown(name)} is not a TLS version", hint or "use TLSv1.2, TLSv1.3 or both")
    if not names:
        raise BadValueError("no TLS version is given", "use TLSv1.2, TLSv1.3 or both")
    return list(dict.fromkeys(names))


def _cipher_elements(text: str) -> list[str]:
    elements = [element for element in _SEPARATOR.split(text) if element]
    for element in elements:
        if _CIPHER.fullmatch(element) is None:
            raise BadValueError(
                f"{shown(element)} is not the name of a cipher", "separate the names by commas"
            )
    return list(dict.fromkeys(elements))


def _asks(element: str) -> bool:
    return not element.startswith(_NOT_ASKED_FOR)


def _is_unsafe(element: str) -> bool:
    words = _WORDS.findall(element.upper().replace("DES-CBC3", "3DES"))
    return _asks(element) and not _UNSAFE_WORDS.isdisjoint(words)
