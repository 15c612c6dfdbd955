"""The accept-options and connect-options (configuration.md §2, §4, §5, §6): one table of names, and what they become.

Every option is read on both sides. One that means nothing on the side where it stands costs a warning that says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from kwic.config.address import address_of, parse_bind
from kwic.config.ciphers import parse_ciphers, unspoken_ciphers
from kwic.config.document import Element
from kwic.config.ends import End, Side, accept_ends, connect_ends
from kwic.config.model import Liveness, Options, Service, SocksMode, TlsOptions, VerifyClient
from kwic.config.problem import BadValueError, Problem, Severity
from kwic.config.reading import Named, Reading, Written
from kwic.config.tls_names import parse_protocols, unsafe_protocols
from kwic.config.units import count_from, one_of, parse_flag, parse_rate, parse_size, parse_time_s
from kwic.config.words import shown


class Role(Enum):
    """What one side of a service does; the value says what is so when it does not."""

    LISTENS = "nothing listens on this side of the service"
    DIALS = "nothing is dialled on this side of the service"
    SOCKS = "nothing on this side of the service rides on socks://"
    TLS = "nothing on this side of the service speaks TLS"
    TUNNEL_TLS = "the socks.transport does not speak TLS"
    WEBSOCKET = "nothing on this side of the service is a WebSocket"
    MESSAGES = "nothing on this side of the service is a WebSocket of a client's own; tunnels have flow control instead"
    CLIENTS = "no clients arrive over the network on this side of the service"
    CONNECTS = "it belongs into connect-options"


def positive_time_s(text: str) -> float:
    """:returns: seconds, more than none."""
    seconds = parse_time_s(text)
    if not seconds:
        raise BadValueError(
            f"{shown(text)} is no time at all", "write a time above 0, or leave the option out"
        )
    return seconds


def _ws_version(text: str) -> str:
    if text != "rfc6455":
        raise BadValueError(f"{shown(text)} is not spoken here", "write rfc6455, or leave the option out")
    return text


_SOCKS = address_of("socks", "socks+ssl")
_BELOW_HTTP = address_of("tcp", "ssl", "socks", "socks+ssl")

OPTIONS: Mapping[str, Named] = {
    **{
        f"{scheme}.bind": Named(parse=parse_bind, attribute=f"bind.{scheme}")
        for scheme in ("tcp", "ssl", "ws", "wss", "http", "https")
    },
    "pipe.transport": Named(parse=_SOCKS, attribute="transport.pipe"),
    "tcp.transport": Named(parse=_SOCKS, attribute="transport.tcp"),
    "ssl.transport": Named(parse=address_of("tcp", "socks", "socks+ssl"), attribute="transport.ssl"),
    "http.transport": Named(parse=_BELOW_HTTP, attribute="transport.http"),
    "socks.transport": Named(parse=address_of("tcp", "ssl", "ws", "wss"), attribute="transport.socks"),
    "socks.mode": Named(parse=one_of(SocksMode), attribute="socks_mode"),
    "socks.timeout": Named(parse=positive_time_s, attribute="socks_timeout_s"),
    "socks.retry.maximum.interval": Named(parse=positive_time_s, attribute="socks_retry_maximum_interval_s"),
    **{
        f"{layer}{name}": Named(parse=row.parse, attribute=f"{group}.{row.attribute}", caution=row.caution)
        for layer, group in (("", "tls"), ("socks.", "socks_tls"))
        for name, row in {
            "ssl.verify-client": Named(parse=one_of(VerifyClient), attribute="verify_client"),
            "ssl.protocols": Named(parse=parse_protocols, attribute="protocols", caution=unsafe_protocols),
            "ssl.ciphers": Named(parse=parse_ciphers, attribute="ciphers", caution=unspoken_ciphers),
            "ssl.encryption": Named(parse=parse_flag, attribute="encryption"),
        }.items()
    },
    "ws.inactivity.timeout": Named(parse=parse_time_s, attribute="ws_inactivity_timeout_s"),
    "ws.maximum.message.size": Named(parse=parse_size, attribute="ws_maximum_message_bytes"),
    "ws.version": Named(parse=_ws_version),
    "http.maximum.redirects": Named(parse=count_from(0, 100), attribute="http_maximum_redirects"),
    "http.keepalive.timeout": Named(
        parse=parse_time_s,
        attribute="http_keepalive_timeout_s",
        idle="an HTTP connection here becomes a WebSocket or is closed",
    ),
    "http.keepalive": Named(
        parse=parse_flag, idle="an HTTP connection here becomes a WebSocket or is closed"
    ),
    "http.keepalive.connections": Named(
        parse=count_from(1), idle="an HTTP connection here becomes a WebSocket or is closed"
    ),
    "http.server.header": Named(parse=parse_flag, idle="no Server header is sent"),
    "http.realm": Named(parse=str, idle="nobody logs in here"),
    "http.max.authentication.attempts": Named(parse=count_from(0), idle="nobody logs in here"),
    "tcp.maximum.outbound.rate": Named(parse=parse_rate, attribute="tcp_maximum_outbound_rate"),
    "udp.transport": Named(parse=str),
    "udp.interface": Named(parse=str, idle="no service speaks UDP"),
    "udp.padding.alignment": Named(parse=count_from(0), idle="no service speaks UDP"),
}

NEEDS: Mapping[str, tuple[Role, ...]] = {
    "tcp.bind": (Role.LISTENS,),
    "socks.transport": (Role.SOCKS,),
    "socks.mode": (Role.SOCKS,),
    "socks.timeout": (Role.SOCKS, Role.CONNECTS),
    "socks.retry.maximum.interval": (Role.SOCKS, Role.DIALS),
    "ssl.verify-client": (Role.TLS, Role.LISTENS),
    "ssl.protocols": (Role.TLS,),
    "ssl.ciphers": (Role.TLS,),
    "ssl.encryption": (Role.TLS,),
    "socks.ssl.verify-client": (Role.SOCKS, Role.TUNNEL_TLS, Role.LISTENS),
    "socks.ssl.protocols": (Role.SOCKS, Role.TUNNEL_TLS),
    "socks.ssl.ciphers": (Role.SOCKS, Role.TUNNEL_TLS),
    "socks.ssl.encryption": (Role.SOCKS, Role.TUNNEL_TLS),
    "ws.inactivity.timeout": (Role.WEBSOCKET,),
    "ws.maximum.message.size": (Role.WEBSOCKET, Role.MESSAGES),
    "http.maximum.redirects": (Role.WEBSOCKET, Role.DIALS),
    "tcp.maximum.outbound.rate": (Role.CLIENTS,),
}
"""What a side of a service must do for an option to mean something there. Unless all of it is so, a warning says what is not."""


def canonical_name(name: str) -> str:
    """:returns: the name of an option with ``ssl`` where KWIC 5 also takes ``tls``."""
    return ".".join("ssl" if part == "tls" else part for part in name.split("."))


def read_options(element: Element | None, reading: Reading) -> dict[str, Written]:
    """:returns: the options of one block, by their canonical names."""
    written = reading.named_values(element, OPTIONS, canonical_name)
    for child in element.children if element is not None else ():
        name = canonical_name(child.name)
        if name not in OPTIONS or (name.endswith(".transport") and name not in written):
            reading.address_lost()
    return written


def build_options(written: Mapping[str, Written], liveness: Liveness = Liveness.NORMAL) -> Options:
    """:returns: the options that were written, defaults for the others."""
    groups: dict[str, dict[str, Any]] = {"": {}, "bind": {}, "transport": {}, "tls": {}, "socks_tls": {}}
    for name, option in written.items():
        group, _, attribute = OPTIONS[name].attribute.rpartition(".")
        if attribute:
            groups[group][attribute] = option.value
    # An inactivity timeout of 0 is written to turn off the one of service-defaults.
    groups[""]["ws_inactivity_timeout_s"] = groups[""].get("ws_inactivity_timeout_s") or None
    return Options(
        **groups[""],
        bind=groups["bind"],
        transport=groups["transport"],
        tls=TlsOptions(**groups["tls"]),
        socks_tls=TlsOptions(**groups["socks_tls"]),
        liveness=liveness,
        places={name: option.place for name, option in written.items()},
    )


def pointless_options(service: Service, side: Side, written: Mapping[str, Written]) -> Iterator[Problem]:
    """:returns: a warning for each option of a block that means nothing there."""
    found = accept_ends(service) if side is Side.ACCEPT else connect_ends(service)
    roles = _roles(side, found)
    for name, option in written.items():
        missing = [role for role in NEEDS.get(name, ()) if role not in roles]
        reason = missing[0].value if missing else _untouched(name, service, side, found)
        if reason:
            yield Problem(
                place=option.place, message=f"{name} has no effect: {reason}", severity=Severity.WARNING
            )


def _roles(side: Side, found: tuple[End, ...]) -> set[Role]:
    roles = {Role.CONNECTS} if side is Side.CONNECT else set()
    for end in found:
        facts = {
            Role.LISTENS: end.listens,
            Role.DIALS: not end.listens,
            Role.SOCKS: end.is_tunnel,
            Role.TLS: end.address.secure,
            Role.TUNNEL_TLS: end.is_tunnel and end.address.secure,
            Role.WEBSOCKET: end.address.is_websocket,
            Role.MESSAGES: end.address.is_websocket and not end.is_tunnel,
            Role.CLIENTS: end.listens and not end.is_tunnel,
        }
        roles.update(role for role, so in facts.items() if so)
    return roles


def _untouched(name: str, service: Service, side: Side, found: tuple[End, ...]) -> str:
    """:returns: why a ``*.bind`` or ``*.transport`` finds no layer to move; empty when it does."""
    layer, _, what = name.rpartition(".")
    if (
        what == "bind"
        and layer != "tcp"
        and not any(end.listens and end.address.scheme == layer for end in found)
    ):
        return f"nothing on this side of the service listens at {layer}://"
    written = service.accepts if side is Side.ACCEPT else service.connects
    layers = {name for address in (*written, *(end.address for end in found)) for name in address.layers}
    if what == "transport" and layer not in {"socks", *layers}:
        return f"nothing on this side of the service speaks {layer}"
    return ""
