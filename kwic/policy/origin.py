"""Which web pages may open a WebSocket here (``cross-site-constraint``).

Browsers say in Origin which page asks; they send it always, and programs that are no browsers need not. Refusing foreign
pages is what keeps a stranger's page from using a visitor's way into the network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from kwic.config.model import CrossSite

ANY_ORIGIN = "*"

_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[0-9a-z_.-]+)(?::(\d{1,5}))?\Z")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def canonical_origin(origin: str) -> tuple[str, str] | None:
    """:returns: the scheme and ``host:port`` of an Origin; None for ``null`` and whatever else is not a web page's."""
    match = _ORIGIN.match(origin.strip().lower())
    if match is None:
        return None
    return match[1], f"{match[2]}:{match[3] or _DEFAULT_PORTS[match[1]]}"


def origin_allowed(
    origin: str | None, authorities: Collection[str], cross_sites: Iterable[CrossSite] = ()
) -> bool:
    """Whether a request with this Origin may become a WebSocket.

    :param origin: as sent; None when there was none.
    :param authorities: ``host:port`` of the service and of the balancers that may have sent the client here.
    :param cross_sites: the service's constraints.
    """
    if origin is None:
        return True
    asked = canonical_origin(origin)
    if asked is not None and asked[1] in authorities:
        return True
    return any(
        site.allow_origin == ANY_ORIGIN
        or (asked is not None and canonical_origin(site.allow_origin) == asked)
        for site in cross_sites
        if "GET" in site.allow_methods
    )
