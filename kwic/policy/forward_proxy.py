"""Which outgoing WebSocket connections go through an HTTP CONNECT proxy, and through which.

1. Properties win over the environment, and those of ``https.`` over those of ``http.`` for wss, so that the one pair
   ``http.proxyHost`` and ``http.proxyPort`` serves both. An empty host means: none, whatever the environment says.
2. With proxy properties, ``http.nonProxyHosts`` (or ``https.``) lists what is reached directly: names with ``*`` at an end,
   separated by ``|``. When it is not given, this machine itself is reached directly.
3. Else ``HTTPS_PROXY`` serves wss and ``HTTP_PROXY`` ws (lower case wins, as everywhere), and ``NO_PROXY`` lists what is
   reached directly: names with or without a leading dot (both cover subdomains), addresses, networks, ``*``, each with a port
   if that matters. This machine itself is always reached directly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from kwic.config.ends import ends
from kwic.config.model import Address, GatewayConfig, bracketed
from kwic.config.problem import Problem, Severity, refusal
from kwic.errors import SetupError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DIRECT = "localhost|127.*|[::1]|0.0.0.0|[::]"
"""What Java's own default says: this machine."""
_MAXIMUM_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """An HTTP CONNECT proxy."""

    host: str
    port: int
    secure: bool = False
    """Whether TLS is spoken to the proxy itself."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def proxy_for(address: Address, properties: Mapping[str, str], environ: Mapping[str, str]) -> Proxy | None:
    """:returns: the proxy for an outgoing connection, None when it is to be direct.

    :param address: where to; only WebSockets go through proxies.
    :param properties: of the configuration and the command line.
    :param environ: of the process.
    :raises SetupError: when the proxy is written so that it cannot be used.
    """
    if not address.is_websocket:
        return None
    prefix = _prefix(address, properties)
    return (
        _from_environment(address, environ)
        if prefix is None
        else _from_properties(address, properties, prefix)
    )


def unusable_proxies(config: GatewayConfig, environ: Mapping[str, str]) -> Iterator[Problem]:
    """:returns: a warning for each proxy of the environment that cannot be used, at the first address that would need it."""
    said: set[str] = set()
    for service in config.services:
        for end in ends(service):
            if (
                end.listens
                or not end.address.is_websocket
                or _prefix(end.address, config.properties) is not None
            ):
                continue
            try:
                _from_environment(end.address, environ)
            except SetupError as error:
                if str(error) not in said:
                    said.add(str(error))
                    prefix = f"{end.address} cannot be dialled: "
                    yield refusal(end.place, error, prefix, severity=Severity.WARNING)


def _prefix(address: Address, properties: Mapping[str, str]) -> str | None:
    """:returns: how the properties begin that say through what an address is dialled; None when none does."""
    prefixes = ("https", "http") if address.secure else ("http",)
    return next((prefix for prefix in prefixes if f"{prefix}.proxyHost" in properties), None)


# -- properties ------------------------------------------------------------------------------------------------------------


def _from_properties(address: Address, properties: Mapping[str, str], prefix: str) -> Proxy | None:
    host = properties[f"{prefix}.proxyHost"].strip()
    direct = properties.get(f"{prefix}.nonProxyHosts", properties.get("http.nonProxyHosts", _DIRECT))
    if not host or _is_listed(address.host, direct):
        return None
    return Proxy(
        host=host.strip("[]").lower(),
        port=_port(
            properties.get(f"{prefix}.proxyPort") or str(_DEFAULT_PORTS[prefix]), f"{prefix}.proxyPort"
        ),
        user=properties.get(f"{prefix}.proxyUser"),
        password=properties.get(f"{prefix}.proxyPassword"),
    )


def _is_listed(host: str, patterns: str) -> bool:
    """Whether a host is in a Java list."""
    names = (host, f"[{host}]")
    return any(
        _java_pattern(pattern.strip()).match(name) for pattern in patterns.split("|") for name in names
    )


def _java_pattern(pattern: str) -> re.Pattern[str]:
    """``*`` stands for anything, at either end only."""
    head = ".*" if pattern.startswith("*") else ""
    tail = ".*" if pattern.endswith("*") and len(pattern) > 1 else ""
    return re.compile(f"{head}{re.escape(pattern.strip('*'))}{tail}\\Z", re.IGNORECASE)


# -- environment -----------------------------------------------------------------------------------------------------------


def _from_environment(address: Address, environ: Mapping[str, str]) -> Proxy | None:
    name = "https_proxy" if address.secure else "http_proxy"
    text = _variable(environ, name)
    if not text or _is_listed(address.host, _DIRECT) or _is_excluded(address, _variable(environ, "no_proxy")):
        return None
    return _parse_proxy(text, name.upper())


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _parse_proxy(text: str, source: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as e:
        raise SetupError(f"{source} is not the address of a proxy: {e}") from e
    if parts.scheme not in _DEFAULT_PORTS:
        raise SetupError(f"{source} names a {parts.scheme} proxy: only http and https proxies are supported")
    if not parts.hostname:
        raise SetupError(f"{source} names no host: write it as http://host:port")
    return Proxy(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        secure=parts.scheme == "https",
        user=_unquoted(parts.username),
        password=_unquoted(parts.password),
    )


def _unquoted(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def _is_excluded(address: Address, patterns: str) -> bool:
    """Whether an address is in a NO_PROXY list."""
    return any(_excludes(pattern, address) for pattern in re.split(r"[,\s]+", patterns.lower()) if pattern)


def _excludes(pattern: str, address: Address) -> bool:
    if pattern == "*":
        return True
    name, port = _split_port(pattern)
    if port is not None and port != address.port:
        return False
    network = _network_covers(name, address.host)
    if network is not None:
        return network
    suffix = name.removeprefix("*").removeprefix(".")
    return address.host == suffix or address.host.endswith(f".{suffix}")


def _split_port(pattern: str) -> tuple[str, int | None]:
    """A pattern and its port: ``host:1``, ``[v6]:1``; a bare IPv6 address has none."""
    match = re.match(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?\Z", pattern)
    if match is None:
        return pattern, None
    return match[1].strip("[]"), None if match[2] is None else int(match[2])


def _network_covers(pattern: str, host: str) -> bool | None:
    """Whether an address is in a network; None when the pattern is neither address nor network."""
    try:
        network = ip_network(pattern, strict=False)
    except ValueError:
        return None
    try:
        return ip_address(host.partition("%")[0]) in network
    except ValueError:
        return False


def _port(text: str, source: str) -> int:
    if not text.strip().isdecimal() or not 0 < int(text) <= _MAXIMUM_PORT:
        raise SetupError(f"{source} is {text!r}: a port is a number from 1 to {_MAXIMUM_PORT}")
    return int(text)
