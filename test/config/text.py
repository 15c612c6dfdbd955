"""Configurations for tests, written with as little XML as possible."""

from __future__ import annotations

from collections.abc import Mapping

from kwic.config.model import GatewayConfig, Service
from kwic.config.problem import ConfigError
from kwic.config.reader import read_text
from kwic.config.shape import NAMESPACE

KEYSTORE = "<security><keystore><file>keystore</file></keystore></security>"


def gateway(*parts: str, namespace: str = NAMESPACE) -> str:
    """A whole file, one line per part; ours is the prefix kwic."""
    lines = "\n".join(parts)
    return f'<gateway-config xmlns="{namespace}" xmlns:kwic="urn:kwic:gateway:1">\n{lines}\n</gateway-config>'


def proxy(
    accept: str = "tcp://127.0.0.1:7000",
    connect: str = "tcp://server:7000",
    name: str = "A",
    accept_options: str = "",
    connect_options: str = "",
    properties: str = "",
    rest: str = "",
) -> str:
    """One proxy service on one line."""
    blocks = {"properties": properties, "accept-options": accept_options, "connect-options": connect_options}
    written = "".join(f"<{tag}>{content}</{tag}>" for tag, content in blocks.items() if content)
    return (
        f"<service><name>{name}</name><accept>{accept}</accept><connect>{connect}</connect><type>proxy</type>"
        f"{written}{rest}</service>"
    )


def echo(accept: str = "tcp://127.0.0.1:7000", name: str = "A") -> str:
    """One echo service on one line."""
    return f"<service><name>{name}</name><accept>{accept}</accept><type>echo</type></service>"


def options(**values: str) -> str:
    """The elements of options; ``__`` stands for a dash and ``_`` for a dot."""
    names = {name: name.replace("__", "-").replace("_", ".") for name in values}
    return "".join(f"<{names[name]}>{value}</{names[name]}>" for name, value in values.items())


def reverse(transport: str = "", socks: str = "socks://cloud", **more: str) -> str:
    """The options of one side of a reverse service."""
    carried = {"socks_transport": transport} if transport else {}
    return options(pipe_transport=socks, socks_mode="reverse", **carried, **more)


def read(
    *parts: str,
    defines: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    hostname: str = "localhost",
) -> GatewayConfig:
    """The configuration of a file with these parts, called ``/etc/kwic/test.xml``."""
    return read_text(
        gateway(*parts).encode(), "/etc/kwic/test.xml", defines=defines, environ=environ, hostname=hostname
    )


def read_one(*parts: str, **more: Mapping[str, str]) -> Service:
    """The first service of such a file."""
    return read(*parts, **more).services[0]  # type: ignore[arg-type]


def complaints(*parts: str, **more: Mapping[str, str]) -> list[str]:
    """The messages about such a file, errors and warnings, without places and hints."""
    try:
        problems = read(*parts, **more).warnings  # type: ignore[arg-type]
    except ConfigError as error:
        problems = error.problems
    return [f"{problem.severity.value}: {problem.message}" for problem in problems]
