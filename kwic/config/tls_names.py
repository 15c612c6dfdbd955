"""The names of TLS versions, as KWIC 5 (JSSE) writes them.

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


def _protocol_names(text: str) -> list[str]:
    names = [name for name in _SEPARATOR.split(text) if name]
    for name in names:
        if name not in PROTOCOLS:
            hint = did_you_mean(name, PROTOCOLS)
            raise BadValueError(f"{shown(name)} is not a TLS version", hint or "use TLSv1.2, TLSv1.3 or both")
    if not names:
        raise BadValueError("no TLS version is given", "use TLSv1.2, TLSv1.3 or both")
    return list(dict.fromkeys(names))
