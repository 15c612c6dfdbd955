"""What an upgrade request must look like (RFC 6455 4.2.1), and what is answered when it does not.

The checks come in two steps, because between them somebody looks up whether the host and the path are served at all:
:func:`read_target` says where a request wants to go, :func:`read_upgrade` whether it is a proper upgrade. Both raise
:class:`~kwic.wire.http_head.HttpError` with the answer.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from kwic.wire.http_head import Headers, HttpError, RequestHead

WEBSOCKET_VERSION = "13"

_KEY_BYTES = 16
_DEFAULT_PORTS = {False: 80, True: 443}
_MAXIMUM_PORT = 65535
_ABSOLUTE_FORM = re.compile(r"(https?|wss?)://([^/?#]*)([/?].*)?\Z", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.~%-]+)(?::(\d{1,5}))?\Z")
_UPGRADE_ANSWER = (("Upgrade", "websocket"), ("Connection", "Upgrade"))


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a request wants to go."""

    authority: str
    """``host:port``, lower case, port explicit, brackets around IPv6."""
    path: str
    query: str


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """A proper upgrade request."""

    key: str
    protocols: tuple[str, ...]
    """Subprotocols in the client's order of preference."""
    origin: str | None


def canonical_authority(text: str, *, secure: bool) -> str:
    """:returns: ``host:port`` in the one form that can be compared.

    :param text: the value of a Host field, or the authority of a URI.
    :param secure: whether the default port is 443 or 80.
    :raises HttpError: 400 when it is not ``host`` or ``host:port``.
    """
    match = _HOST.match(text)
    if match is None:
        raise HttpError(400, "the Host is malformed")
    host, port = match[1].lower().removesuffix("."), int(match[2] or _DEFAULT_PORTS[secure])
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError as e:
            raise HttpError(400, "the Host is malformed") from e
    if not host or not 0 < port <= _MAXIMUM_PORT:
        raise HttpError(400, "the Host is malformed")
    return f"{host}:{port}"


def read_target(request: RequestHead, *, secure: bool) -> Target:
    """:returns: where a request wants to go, of its target and its Host.

    :param secure: whether it came over TLS.
    :raises HttpError: 400.
    """
    hosts = request.headers.all("host")
    if len(hosts) != 1 or not hosts[0]:
        raise HttpError(400, "exactly one Host is needed")
    authority = canonical_authority(hosts[0], secure=secure)
    target = request.target
    absolute = _ABSOLUTE_FORM.match(target)
    if absolute is not None:
        if canonical_authority(absolute[2], secure=absolute[1].lower() in ("https", "wss")) != authority:
            raise HttpError(400, "the target and the Host differ")
        target = absolute[3] or "/"
        target = target if target.startswith("/") else f"/{target}"
    if not target.startswith("/") or "#" in target:
        raise HttpError(400, "the target is malformed")
    path, _, query = target.partition("?")
    return Target(authority=authority, path=path, query=query)


def read_upgrade(request: RequestHead) -> Upgrade:
    """:returns: what a proper upgrade request asks for.

    :raises HttpError: 400, 405, 426 or 505.
    """
    headers = request.headers
    if request.method != "GET":
        raise HttpError(405, "only GET can be upgraded to a WebSocket", (("Allow", "GET"),))
    if request.version != (1, 1):
        raise HttpError(505, "only HTTP/1.1 can be upgraded to a WebSocket")
    if headers.get("upgrade") is None and headers.get("sec-websocket-key") is None:
        raise HttpError(426, "only WebSockets are served here", _UPGRADE_ANSWER)
    if not headers.has_element("upgrade", "websocket") or not headers.has_element("connection", "upgrade"):
        raise HttpError(400, "not an upgrade to WebSocket: Upgrade or Connection is missing or wrong")
    if headers.get("transfer-encoding") is not None or (headers.get("content-length") or "0") != "0":
        raise HttpError(400, "an upgrade request has no body")
    if headers.get("sec-websocket-version") != WEBSOCKET_VERSION:
        raise HttpError(
            426,
            f"only version {WEBSOCKET_VERSION} of WebSocket is spoken here",
            (("Sec-WebSocket-Version", WEBSOCKET_VERSION), *_UPGRADE_ANSWER),
        )
    return Upgrade(key=_key(headers), protocols=_protocols(headers), origin=_origin(headers))


def _key(headers: Headers) -> str:
    keys = headers.all("sec-websocket-key")
    try:
        proper = len(keys) == 1 and len(binascii.a2b_base64(keys[0], strict_mode=True)) == _KEY_BYTES
    except ValueError:
        proper = False
    if not proper:
        raise HttpError(400, f"one Sec-WebSocket-Key of {_KEY_BYTES} bytes is needed")
    return keys[0]


def _protocols(headers: Headers) -> tuple[str, ...]:
    protocols = headers.elements("sec-websocket-protocol")
    if len(set(protocols)) != len(protocols):
        raise HttpError(400, "a subprotocol is offered twice")
    return protocols


def _origin(headers: Headers) -> str | None:
    origins = headers.all("origin")
    if len(origins) > 1:
        raise HttpError(400, "there is more than one Origin")
    return origins[0] if origins else None
