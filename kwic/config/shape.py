"""Which element may stand where, how often and in what order (configuration.md §1), as a table.

A wrong order costs a warning; an element or attribute that the table does not have is always an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from kwic.config.document import Element
from kwic.config.problem import Report
from kwic.config.words import did_you_mean, listed, shown

NAMESPACE = "http://xmlns.kaazing.org/2016/06/gateway"
NAMESPACES = (
    NAMESPACE,
    "http://xmlns.kaazing.org/2015/11/gateway",
    "http://xmlns.kaazing.org/2014/09/gateway",
)
OUR_NAMESPACE = "urn:kwic:gateway:1"
_HARMLESS_ATTRIBUTES = ("http://www.w3.org/2001/XMLSchema-instance", "http://www.w3.org/XML/1998/namespace")
"""Namespaces whose attributes speak to editors and schema validators, not to us."""


class Content(Enum):
    """What stands between the tags of an element."""

    TEXT = "text"
    ELEMENTS = "elements"
    NAMED_VALUES = "elements that another table names (options, properties)"
    ANYTHING = "what we do not read, and say so"


class Order(Enum):
    """In which order the children of an element should stand."""

    AS_LISTED = "as in the table"
    FIRST_FIRST = "the first of the table before all others"

    def rank(self, index: int) -> int:
        """:returns: a number that does not fall from one child to the next when their order is right."""
        return index if self is Order.AS_LISTED else min(index, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What one element may contain."""

    content: Content = Content.ELEMENTS
    children: Mapping[str, Child] = field(default_factory=dict)
    order: Order = Order.AS_LISTED
    attributes: tuple[str, ...] = ()
    """Those in our own namespace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """How an element may occur in its parent."""

    shape: Shape
    least: int = 0
    most: int | None = 1
    refused: str = ""
    """Why it cannot be used here, and what to do; empty when it can."""
    idle: str = ""
    """Why it has no effect here; empty when it has one."""


TEXT = Shape(content=Content.TEXT)
VALUES = Shape(content=Content.NAMED_VALUES)
IGNORED = Shape(content=Content.ANYTHING)


def optional(shape: Shape = TEXT, refused: str = "") -> Child:
    """:returns: at most one."""
    return Child(shape=shape, refused=refused)


def one(shape: Shape = TEXT) -> Child:
    """:returns: exactly one."""
    return Child(shape=shape, least=1)


def many(shape: Shape = TEXT, least: int = 0, refused: str = "", idle: str = "") -> Child:
    """:returns: any number."""
    return Child(shape=shape, least=least, most=None, refused=refused, idle=idle)


_MIME_MAPPING = many(
    Shape(children={"extension": one(), "mime-type": one()}), idle="files are not served here"
)
_STORE = Shape(children={"type": optional(), "file": one(), "password-file": optional()})
_CONSTRAINT = Shape(children={"require-role": many(), "require-valid-user": optional()})
_CROSS_SITE = Shape(
    children={
        "allow-origin": one(),
        "allow-methods": optional(),
        "allow-headers": optional(),
        "maximum-age": optional(),
    }
)
SERVICE = Shape(
    attributes=("liveness",),
    children={
        "name": one(),
        "description": optional(),
        "accept": many(),
        "connect": many(),
        "balance": many(),
        "notify": many(refused="push notifications are not sent here: remove it"),
        "type": one(),
        "properties": optional(VALUES),
        "accept-options": optional(VALUES),
        "connect-options": optional(VALUES),
        "realm-name": optional(
            refused="nobody logs in here: remove it, ask for certificates with ssl.verify-client,"
            " and name who may pass in <authorization-constraint>"
        ),
        "authorization-constraint": many(_CONSTRAINT),
        "mime-mapping": _MIME_MAPPING,
        "cross-site-constraint": many(_CROSS_SITE),
    },
)
SERVICE_DEFAULTS = Shape(
    children={
        "accept-options": optional(VALUES),
        "connect-options": optional(VALUES),
        "mime-mapping": _MIME_MAPPING,
    }
)
SECURITY = Shape(
    children={
        "keystore": optional(_STORE),
        "truststore": optional(_STORE),
        "realm": many(IGNORED, idle="nobody logs in here"),
    }
)
CLUSTER = Shape(
    attributes=("insecure", "etcd-user", "etcd-password-file"),
    children={
        "name": one(),
        "accept": many(),
        "connect": many(),
        "connect-options": optional(
            IGNORED,
            refused="members are not looked up in a cloud provider's directory: remove it, use tcp, udp or etcd",
        ),
    },
)
GATEWAY_CONFIG = Shape(
    order=Order.FIRST_FIRST,
    children={
        "properties": optional(
            Shape(children={"property": many(Shape(children={"name": one(), "value": one()}))})
        ),
        "service": many(SERVICE),
        "service-defaults": optional(SERVICE_DEFAULTS),
        "security": optional(SECURITY),
        "cluster": optional(CLUSTER),
    },
)


def check_root(root: Element, report: Report) -> bool:
    """:returns: whether this is a gateway's configuration at all; if not, nothing in it is worth looking at."""
    if root.name != "gateway-config":
        report.error(
            root.place, f"the root element is <{root.name}>", f'write <gateway-config xmlns="{NAMESPACE}">'
        )
    elif root.namespace.lower() not in NAMESPACES:
        written = shown(root.namespace) if root.namespace else "(none)"
        report.error(
            root.place,
            f"the namespace {written} is not supported",
            f"write one of {listed(NAMESPACES)}",
        )
    return not report.failed


def check_shape(element: Element, shape: Shape, report: Report) -> None:
    """Reports whatever the table does not allow, here and in every element below."""
    if report.full or shape.content is Content.ANYTHING:
        return
    _check_attributes(element, shape, report)
    if shape.content is Content.TEXT:
        check_text(element, report)
        return
    if element.text.strip():
        report.error(
            element.value_place,
            f"<{element.name}> has text of its own: {shown(element.text.strip())}",
            "remove it",
        )
    if shape.content is Content.ELEMENTS:
        _check_children(element, shape, report)


def check_text(element: Element, report: Report) -> None:
    """Reports elements where only text may be."""
    for child in element.children:
        report.error(child.place, f"<{child.name}> cannot stand in <{element.name}>", "only a value can")


def _check_attributes(element: Element, shape: Shape, report: Report) -> None:
    for namespace, name in element.attributes:
        if (namespace == OUR_NAMESPACE and name in shape.attributes) or namespace in _HARMLESS_ATTRIBUTES:
            continue
        hint = did_you_mean(name, shape.attributes) or "remove it"
        if name in shape.attributes:
            hint = f'write kwic:{name}, and xmlns:kwic="{OUR_NAMESPACE}" on the root element'
        report.error(element.place, f"<{element.name}> has no attribute {shown(name)}", hint)


def _check_children(element: Element, shape: Shape, report: Report) -> None:
    counts = dict.fromkeys(shape.children, 0)
    furthest = ""
    rank = {name: shape.order.rank(index) for index, name in enumerate(shape.children)}
    for child in element.children:
        if report.full:
            return
        rule = shape.children.get(child.name)
        if rule is None or child.namespace != element.namespace:
            _report_unknown(child, element, shape, report)
            continue
        counts[child.name] += 1
        if rule.most is not None and counts[child.name] == rule.most + 1:
            report.error(
                child.place, f"<{element.name}> has more than one <{child.name}>", "keep one of them"
            )
        if furthest and rank[child.name] < rank[furthest]:
            report.warning(child.place, f"<{child.name}> stands after <{furthest}>", "KWIC 5 wants it before")
        else:
            furthest = child.name
        _report_unusable(child, rule, report)
        check_shape(child, rule.shape, report)
    for name, rule in shape.children.items():
        if counts[name] < rule.least:
            report.error(element.place, f"<{element.name}> has no <{name}>", f"add <{name}>…</{name}>")


def _report_unusable(child: Element, rule: Child, report: Report) -> None:
    if rule.refused:
        report.error(child.place, f"<{child.name}> is not supported", rule.refused)
    if rule.idle:
        report.warning_once(child.place, f"<{child.name}> has no effect", rule.idle)


def _report_unknown(child: Element, parent: Element, shape: Shape, report: Report) -> None:
    if child.namespace != parent.namespace:
        namespace = shown(child.namespace) if child.namespace else "no namespace"
        hint = (
            "extensions of ours are attributes"
            if child.namespace == OUR_NAMESPACE
            else "remove its xmlns or prefix"
        )
        report.error(child.place, f"<{child.name}> of {namespace} is unknown here", hint)
        return
    hint = did_you_mean(child.name, shape.children) or f"it can hold {listed(shape.children)}"
    report.error(child.place, f"<{parent.name}> cannot hold <{child.name}>", hint)
