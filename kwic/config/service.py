"""Reads one ``<service>``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kwic.config.address import parse_address
from kwic.config.document import Element
from kwic.config.ends import Side
from kwic.config.model import ANY_USER, SOCKS_SCHEMES, Address, CrossSite, Liveness, Service
from kwic.config.options import build_options, pointless_options, read_options
from kwic.config.problem import BadValueError, Place
from kwic.config.reading import Reading, Written
from kwic.config.service_types import REFUSED_TYPES, TYPES, ServiceType
from kwic.config.units import count_from, one_of
from kwic.config.words import did_you_mean, listed, shown

RECOVERY_INTERVAL_S = 5.0
"""The longest wait between two probes of a back end that others can stand in for, unless told otherwise."""
LONGEST_PREFLIGHT_S = 10**9
OPENING_METHOD = "GET"
"""The method of the request that opens a WebSocket (RFC 6455 §4.1)."""

DEFAULT_METHODS = ("GET", "POST")


def read_service(
    element: Element, defaults: Mapping[Side, Mapping[str, Written]], reading: Reading
) -> Service | None:
    """One service.

    :param defaults: the options of ``service-defaults``.
    :returns: the service as far as it could be read; None when not even its name and type could.
    """
    name = reading.value(element.first("name"), str)
    kind = _read_type(element, reading)
    own = {side: read_options(element.first(side.value), reading) for side in Side}
    if name is None or kind is None:
        reading.address_lost()
        return None
    properties = _read_properties(element, kind, reading)
    liveness = reading.attribute(element, "liveness", one_of(Liveness)) or Liveness.NORMAL
    options = {side: build_options({**defaults[side], **own[side]}, liveness) for side in Side}
    service = Service(
        name=name,
        type=kind,
        accept_options=options[Side.ACCEPT],
        connect_options=options[Side.CONNECT],
        require_roles=_read_constraints(element, reading),
        cross_sites=_read_cross_sites(element, reading),
        place=element.place,
        **_read_description(element, reading),
        **_read_addresses(element, kind, reading),
        **properties,
    )
    if not reading.addresses_lost:
        for side in Side:
            reading.report.extend(pointless_options(service, side, own[side]))
    return _with_recovery(service, is_given="maximum_recovery_interval_s" in properties)


def _read_type(element: Element, reading: Reading) -> str | None:
    def parse(text: str) -> str:
        if text in REFUSED_TYPES:
            raise BadValueError(f"services of type {shown(text)} are not supported", REFUSED_TYPES[text])
        if text.startswith("class:"):
            raise BadValueError(f"{shown(text)} is a Java class", f"use {listed(TYPES)}")
        if text not in TYPES:
            hint = did_you_mean(text, [*TYPES, *REFUSED_TYPES]) or f"use {listed(TYPES)}"
            raise BadValueError(f"{shown(text)} is not a type of service", hint)
        return text

    return reading.value(element.first("type"), parse)


def _read_description(element: Element, reading: Reading) -> dict[str, Any]:
    description = element.first("description")
    return {"description": (reading.text(description) or "") if description is not None else ""}


def _read_addresses(element: Element, kind: str, reading: Reading) -> dict[str, Any]:
    """:returns: accepts, connects and balances with their places, each of a scheme that the type allows."""
    rules = TYPES[kind]
    _check_counts(element, kind, rules, reading)
    found: dict[str, Any] = {}
    for tag, verb, schemes in (
        ("accept", "accept", rules.accepts),
        ("connect", "connect to", rules.connects),
        ("balance", "stand behind", ("ws", "wss")),
    ):
        addresses: dict[Address, Place] = {}
        for address, place in reading.values(element, tag, parse_address):
            if schemes and address.scheme not in schemes:
                message = f"{_a(kind)} service cannot {verb} {address.scheme} addresses"
                reading.report.error(place, message, _instead(address, schemes))
                reading.address_lost()
            elif address in addresses:
                reading.report.warning(place, f"{address} is given twice", "remove one of them")
            else:
                addresses[address] = place
        found[f"{tag}s"] = tuple(addresses)
        found[f"{tag}_places"] = tuple(addresses.values())
    return found


def _instead(address: Address, schemes: tuple[str, ...]) -> str:
    if address.scheme in SOCKS_SCHEMES:
        return "a socks address stands in pipe.transport"
    if address.scheme in {"http", "https"}:
        return (
            f"for WebSocket write ws{'s' if address.secure else ''}, for anything else over HTTP tcp or ssl"
        )
    return f"use {listed(schemes)}"


def _check_counts(element: Element, kind: str, rules: ServiceType, reading: Reading) -> None:
    if element.first("accept") is None:
        reading.report.error(
            element.place, f"{_a(kind)} service needs an <accept>", "say where its clients come in"
        )
    connect = element.first("connect")
    if connect is None and rules.connects:
        reading.report.error(
            element.place, f"{_a(kind)} service needs a <connect>", "say where its clients are taken"
        )
    if connect is not None and not rules.connects:
        reading.report.error(connect.place, f"{_a(kind)} service connects to nothing", "remove <connect>")
    balance = element.first("balance")
    if balance is not None and not rules.is_balanced:
        reading.report.error(
            balance.place, f"{_a(kind)} service cannot stand behind a balancer", "remove <balance>"
        )


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith(tuple("aeiou")) else f"a {kind}"


def _read_properties(element: Element, kind: str, reading: Reading) -> dict[str, Any]:
    rows = TYPES[kind].properties
    written = reading.named_values(element.first("properties"), rows)
    values = {rows[name].attribute: value.value for name, value in written.items() if rows[name].attribute}
    if "maximum_recovery_interval_s" in values:
        values["maximum_recovery_interval_s"] = values["maximum_recovery_interval_s"] or None
    return values


def _read_constraints(element: Element, reading: Reading) -> tuple[frozenset[str], ...]:
    found = []
    for constraint in element.all("authorization-constraint"):
        roles = frozenset(role for role, _ in reading.values(constraint, "require-role", str))
        anyone = constraint.first("require-valid-user") is not None
        if anyone == (constraint.first("require-role") is not None):
            reading.report.error(
                constraint.place,
                "an <authorization-constraint> needs <require-role> or <require-valid-user/>, and not both",
                "name who may pass, or let every verified certificate pass",
            )
        found.append(roles | {ANY_USER} if anyone else roles)
    return tuple(found)


def _read_cross_sites(element: Element, reading: Reading) -> tuple[CrossSite, ...]:
    found: dict[str, CrossSite] = {}
    for constraint in element.all("cross-site-constraint"):
        site = _read_cross_site(constraint, reading)
        if site is None:
            continue
        if site.allow_origin in found:
            message = f"the origin {shown(site.allow_origin)} is allowed twice"
            reading.report.error(constraint.place, message, "keep one of them")
        elif "*" in found or (found and site.allow_origin == "*"):
            message = "“*” allows every origin, and others are named beside it"
            reading.report.error(constraint.place, message, "keep “*” or the others")
        found[site.allow_origin] = site
    return tuple(site for site in found.values() if OPENING_METHOD in site.allow_methods)


def _read_cross_site(constraint: Element, reading: Reading) -> CrossSite | None:
    """:returns: one rule; None when its origin could not be read."""
    origin = reading.value(constraint.first("allow-origin"), _parse_origin)
    methods = reading.value(constraint.first("allow-methods"), _parse_list)
    headers = reading.value(constraint.first("allow-headers"), _parse_list)
    age_s = reading.value(constraint.first("maximum-age"), count_from(0, LONGEST_PREFLIGHT_S))
    if methods is not None and OPENING_METHOD not in methods:
        message = f"the origin {shown(origin or '')} stays refused: WebSockets open with {OPENING_METHOD}"
        reading.report.warning(constraint.place, message, f"add {OPENING_METHOD} to <allow-methods>")
    for element in (constraint.first("allow-headers"), constraint.first("maximum-age")):
        if element is not None:
            message = f"<{element.name}> has no effect: browsers do not ask before they open a WebSocket"
            reading.report.warning_once(element.place, message)
    if origin is None:
        return None
    return CrossSite(
        allow_origin=origin,
        allow_methods=methods or DEFAULT_METHODS,
        allow_headers=headers or (),
        maximum_age_s=age_s,
    )


def _parse_origin(text: str) -> str:
    if text == "*":
        return text
    address = parse_address(text)
    if address.scheme not in {"http", "https"} or address.target != "/":
        raise BadValueError(
            f"{shown(text)} is not an origin", "write * or an origin like https://www.example.com"
        )
    return f"{address.scheme}://{address.authority}"


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _with_recovery(service: Service, *, is_given: bool) -> Service:
    """:returns: the service, probing its back end by default when others can take its clients meanwhile."""
    has_stand_ins = service.balances or service.is_reverse_agent or service.is_forward_listener
    if is_given or not has_stand_ins or not service.connects:
        return service
    return replace(service, maximum_recovery_interval_s=RECOVERY_INTERVAL_S)
