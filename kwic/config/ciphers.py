"""The names of ciphers, in Java's and OpenSSL's words, and which of them are spoken: the one table that decides it.

The names in a file are judged here, and what OpenSSL is told to leave out comes from here too, so that both never disagree.
What a whole string leaves is for OpenSSL to say (:mod:`kwic.transport.tls_policy`): ``kRSA+CHACHA20`` has nothing in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from kwic.config.problem import BadValueError
from kwic.config.words import did_you_mean, listed, shown


class Verdict(Enum):
    """Whether a cipher is spoken; the value says why not."""

    SPOKEN = ""
    UNSAFE = "unsafe"
    ABSENT = "not spoken here"


# fmt: off
KEYWORDS = (
    "DEFAULT", "COMPLEMENTOFDEFAULT", "ALL", "HIGH", "MEDIUM", "SUITEB128", "SUITEB128ONLY", "SUITEB128C2", "SUITEB192",
    "kRSA", "aRSA", "RSA", "kDHE", "kEDH", "DHE", "EDH", "DH", "kECDHE", "kEECDH", "ECDHE", "EECDH", "ECDH",
    "aDSS", "DSS", "aECDSA", "ECDSA", "TLSv1.2", "TLSv1.0", "TLSv1",
    "AES128", "AES256", "AES", "AESGCM", "AESCCM", "AESCCM8", "ARIA128", "ARIA256", "ARIA", "ARIAGCM",
    "CAMELLIA128", "CAMELLIA256", "CAMELLIA", "CHACHA20", "CBC", "SHA1", "SHA", "SHA256", "SHA384",
)
"""OpenSSL's words for many suites at once, some of which are spoken."""
_NEVER_SAFE = (
    "aNULL", "eNULL", "NULL", "ADH", "AECDH", "LOW", "EXPORT", "EXPORT40", "EXPORT56", "EXP", "DES", "3DES", "RC4", "RC2", "IDEA",
    "MD5",
)
_NEVER_HERE = ("SEED", "PSK", "kPSK", "kECDHEPSK", "kDHEPSK", "kRSAPSK", "aPSK", "SRP", "kSRP", "aSRP")
_GONE = (
    "KRB5", "kKRB5", "aKRB5", "kDH", "kDHr", "kDHd", "aDH", "kECDH", "kECDHr", "kECDHe", "aECDH", "FZA", "kFZA", "aFZA", "eFZA",
    "GOST", "kGOST", "kGOST18", "aGOST", "aGOST01", "aGOST12", "GOST94", "GOST89", "GOST89MAC", "GOST12",
)
"""OpenSSL's words of old, which it must not be told: it would take kECDHe (without forward secrecy) for kECDHE (with it)."""
_OLD = ("SSLv2", "SSLv3", "COMPLEMENTOFALL")
"""Unsafe to ask for; taken away, the last two would take what is spoken with them."""
NEVER = (*_NEVER_SAFE, *_NEVER_HERE)
"""What OpenSSL is told never to use."""

_GCM = ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
_ARIA = ("ARIA128-GCM-SHA256", "ARIA256-GCM-SHA384")
_CCM = ("AES128-CCM", "AES256-CCM", "AES128-CCM8", "AES256-CCM8")
_CHACHA = ("CHACHA20-POLY1305",)
_CBC = ("AES128-SHA", "AES256-SHA", "AES128-SHA256", "AES256-SHA256")
_CAMELLIA = ("CAMELLIA128-SHA", "CAMELLIA256-SHA", "CAMELLIA128-SHA256", "CAMELLIA256-SHA256")
_EC_CBC = (
    "AES128-SHA", "AES256-SHA", "AES128-SHA256", "AES256-SHA384", "CAMELLIA128-SHA256", "CAMELLIA256-SHA384",
)
_EXCHANGES = {
    # Java's name of the key exchange: OpenSSL's, and what goes with it
    "ECDHE_RSA": ("ECDHE-RSA-", (*_GCM, *_CHACHA, *_ARIA, *_EC_CBC)),
    "ECDHE_ECDSA": ("ECDHE-ECDSA-", (*_GCM, *_CHACHA, *_CCM, *_ARIA, *_EC_CBC)),
    "DHE_RSA": ("DHE-RSA-", (*_GCM, *_CHACHA, *_CCM, *_ARIA, *_CBC, *_CAMELLIA)),
    "DHE_DSS": ("DHE-DSS-", (*_GCM, *_ARIA, *_CBC, *_CAMELLIA)),
    "RSA": ("", (*_GCM, *_CCM, *_ARIA, *_CBC, *_CAMELLIA)),
}
SUITES_OF_TLS_1_3 = (
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
)
"""Both vocabularies have the same names for them."""

_UNSAFE_WORDS = frozenset({
    "NULL", "ANON", "ADH", "AECDH", "RC4", "RC2", "DES", "DES40", "3DES", "IDEA", "EXPORT", "EXPORT1024", "EXP", "EXP1024", "MD5",
})
"""Parts of a suite's name that make it unsafe. 3DES is a word of its own; so is the CBC3 of DES-CBC3-SHA."""
_OTHER_WORDS = frozenset({
    "TLS", "SSL", "WITH", "RSA", "DHE", "EDH", "DH", "DSS", "ECDHE", "ECDH", "ECDSA", "PSK", "SRP", "KRB5", "FIPS", "FORTEZZA", "KEA",
    "AES", "AES128", "AES256", "ARIA", "ARIA128", "ARIA256", "CAMELLIA", "CAMELLIA128", "CAMELLIA256", "CHACHA20", "POLY1305",
    "SEED", "GOST", "GOST94", "GOST2001", "GOST2012", "GOST89", "GOSTR341094", "GOSTR341001", "28147", "8", "40", "56", "64", "128",
    "256", "CBC", "CNT", "IMIT", "CCM", "CCM8", "GCM", "EDE", "SHA", "SHA1", "SHA256", "SHA384", "EMPTY", "RENEGOTIATION", "FALLBACK", "INFO",
    "SCSV",
})
"""What else the names of suites are made of."""
# fmt: on
_SEPARATOR = re.compile(r"[,: ]+")
_NAME = re.compile(r"[!+-]?[A-Za-z0-9@=_.+-]+")
_WORDS = re.compile(r"[A-Z0-9]+")
_LEVEL = re.compile(r"@SECLEVEL=([0-5])")
_STRENGTH = "@STRENGTH"
_LOWEST_LEVEL = 2
"""OpenSSL's own: a file may raise it."""
_NOT_ASKED_FOR = ("!", "-", "+", "@")
"""How the elements of an OpenSSL cipher string begin that take suites away or only sort them."""


def _suites() -> Iterator[tuple[str, str]]:
    for exchange, (prefix, ciphers) in _EXCHANGES.items():
        for cipher in ciphers:
            name = f"{prefix}{cipher}"
            if name.startswith("ECDHE-RSA-ARIA"):
                name = f"ECDHE-{cipher}"  # OpenSSL leaves the RSA out of these two
            java = f"{exchange}_WITH_{_java_cipher(cipher)}"
            yield name, name
            yield f"TLS_{java}", name
            yield f"SSL_{java}", name


def _java_cipher(cipher: str) -> str:
    if cipher == "CHACHA20-POLY1305":
        return "CHACHA20_POLY1305_SHA256"
    family, bits, mode = re.fullmatch(r"([A-Z]+)(\d+)-(.*)", cipher).groups()  # type: ignore[union-attr]  # all others are
    mode = f"CBC_{mode}" if mode.startswith("SHA") else mode.replace("-", "_").replace("CCM8", "CCM_8")
    return f"{family}_{bits}_{mode}"


SUITES = dict(_suites())
"""OpenSSL's name for each name of a suite of TLS 1.2 that is spoken; Java's names begin with TLS, IBM's with SSL."""
_VERDICTS = {
    **dict.fromkeys((*_NEVER_HERE, *_GONE), Verdict.ABSENT),
    **dict.fromkeys((*_NEVER_SAFE, *_OLD), Verdict.UNSAFE),
    **dict.fromkeys((*KEYWORDS, *SUITES, *SUITES_OF_TLS_1_3), Verdict.SPOKEN),
}
_IN_ANY_CASE = {name.lower(): name for name in _VERDICTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Element:
    """One element of a list: ``HIGH``, ``!aNULL``, ``ECDHE+AESGCM``, ``@STRENGTH``."""

    written: str
    text: str
    """The same with its names as OpenSSL has them, in upper or lower case."""
    verdict: Verdict
    """Of what is asked for; whatever is taken away may be."""
    is_vain: bool = False
    """Whether it takes away what nobody speaks."""


def parse_ciphers(text: str) -> tuple[str, ...]:
    """A list of cipher suites by their Java or OpenSSL names, or an OpenSSL cipher string.

    :returns: its elements without those that are not spoken, in order.
    :raises BadValueError: an element is no name, or nothing that is spoken is asked for.
    """
    elements = _elements(text)
    spoken = [
        element.text for element in elements if element.verdict is Verdict.SPOKEN and not element.is_vain
    ]
    if not any(map(asks, spoken)):
        verdicts = {element.verdict for element in elements}
        is_absent = Verdict.ABSENT in verdicts and Verdict.UNSAFE not in verdicts
        raise BadValueError(
            f"{shown(text)} asks for no {'cipher that is spoken here' if is_absent else 'safe cipher'}",
            "leave the option out: the default has forward secrecy only",
        )
    return tuple(dict.fromkeys(spoken))


def unspoken_ciphers(text: str) -> str:
    """:returns: a warning about the elements that :func:`parse_ciphers` leaves out; empty when there are none."""
    elements = _elements(text)
    said = []
    for verdict in (Verdict.UNSAFE, Verdict.ABSENT):
        found = dict.fromkeys(element.written for element in elements if element.verdict is verdict)
        if found:
            said.append(f"{listed(found, 'and')} will not be used: {verdict.value}")
    vain = [
        element.written
        for element in elements
        if element.text[:1] in "!-" and element.text[1:] in SUITES_OF_TLS_1_3
    ]
    if vain:
        said.append(f"{listed(vain, 'and')} has no effect: name those suites of TLS 1.3 that may be used")
    return ", ".join(said)


def asks(element: str) -> bool:
    """:returns: whether an element asks for suites, and does not only take some away or sort them."""
    return not element.startswith(_NOT_ASKED_FOR)


def _elements(text: str) -> list[_Element]:
    return [_element(written) for written in _SEPARATOR.split(text) if written]


def _element(written: str) -> _Element:
    """:raises BadValueError: it is none."""
    if _NAME.fullmatch(written) is None:
        raise BadValueError(f"{shown(written)} is not the name of a cipher", "separate the names by commas")
    if written.startswith("@"):
        return _Element(written=written, text=written, verdict=_command(written))
    sign = written[0] if written[0] in "!-+" else ""
    names = [_canonical(name) for name in written.removeprefix(sign).split("+")]
    verdicts = [_verdict(name, written) for name in names]
    unspoken = next((verdict for verdict in verdicts if verdict is not Verdict.SPOKEN), Verdict.SPOKEN)
    return _Element(
        written=written,
        text=sign + "+".join(names),
        verdict=Verdict.SPOKEN if sign else unspoken,
        is_vain=bool(sign) and unspoken is Verdict.ABSENT,
    )


def _canonical(name: str) -> str:
    return name if name in _VERDICTS else _IN_ANY_CASE.get(name.lower(), name)


def _command(written: str) -> Verdict:
    level = _LEVEL.fullmatch(written)
    if level is None and written != _STRENGTH:
        raise BadValueError(
            f"{shown(written)} is not a cipher, nor a word about ciphers", f"use {_STRENGTH}, or remove it"
        )
    return Verdict.UNSAFE if level is not None and int(level[1]) < _LOWEST_LEVEL else Verdict.SPOKEN


def _verdict(name: str, written: str) -> Verdict:
    """:raises BadValueError: there is no such name. :param written: where it stands."""
    if name in _VERDICTS:
        return _VERDICTS[name]
    words = _WORDS.findall(name.upper().replace("DES-CBC3", "3DES"))
    if len(words) < 2 or not _UNSAFE_WORDS.union(_OTHER_WORDS).issuperset(words):
        suites = [suite for suite in SUITES if suite.startswith("TLS_") is name.startswith("TLS_")]
        hint = did_you_mean(name, KEYWORDS) or did_you_mean(name, suites)
        raise BadValueError(
            f"{shown(name or written)} is not the name of a cipher",
            hint or "use the names of Java or of OpenSSL",
        )
    return Verdict.ABSENT if _UNSAFE_WORDS.isdisjoint(words) else Verdict.UNSAFE
