"""Reads a configuration file into a :class:`GatewayConfig`, or into every reason why it cannot be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kwic.config.cluster import read_cluster
from kwic.config.document import LARGEST_FILE, Element, parse_document
from kwic.config.ends import Side
from kwic.config.model import GatewayConfig
from kwic.config.options import read_options
from kwic.config.problem import ConfigError, Problem, Report
from kwic.config.properties import Properties
from kwic.config.reading import Reading
from kwic.config.security import read_security
from kwic.config.service import read_service
from kwic.config.shape import GATEWAY_CONFIG, check_root, check_shape
from kwic.config.validate import Check, validate
from kwic.config.words import shown


def read_config(
    path: Path,
    *,
    defines: Mapping[str, str],
    environ: Mapping[str, str],
    hostname: str,
    checks: Sequence[Check] = (),
) -> GatewayConfig:
    """Reads a file.

    :param defines: the ``-D`` properties of the command line.
    :param environ: the environment, for ``${env:NAME}``.
    :param hostname: the name of this machine, for ``${hostname}``.
    :param checks: what else must be so, known to the caller alone: what this machine's libraries can do.
    :raises ConfigError: it cannot be started from; all problems are in it, warnings included.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise ConfigError([Problem(place=None, message=message)]) from error
    return read_text(data, str(path), defines=defines, environ=environ, hostname=hostname, checks=checks)


def read_text(
    data: bytes,
    file: str,
    *,
    defines: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    hostname: str = "localhost",
    checks: Sequence[Check] = (),
) -> GatewayConfig:
    """Reads what stands in a file.

    :param data: all of it.
    :param file: its name, for messages; relative paths in it start from its folder.
    :raises ConfigError: see :func:`read_config`.
    """
    root = parse_document(data, file)
    report = Report()
    if not check_root(root, report):
        raise ConfigError(report.problems())
    check_shape(root, GATEWAY_CONFIG, report)
    properties = Properties(defines=defines or {}, environ=environ or {}, hostname=hostname)
    reading = Reading(properties=properties, report=report, folder=Path(file).absolute().parent)
    _read_properties(root.first("properties"), reading)
    config = _read_root(root, file, reading)
    report.extend(validate(config, is_whole=not reading.addresses_lost))
    for check in checks:
        report.extend(check(config))
    if report.failed:
        raise ConfigError(report.problems())
    return replace(config, warnings=report.problems())


def _read_properties(element: Element | None, reading: Reading) -> None:
    """Adds all properties before any is resolved: they may refer to each other in any order."""
    values: dict[str, Element] = {}
    for item in element.all("property") if element is not None else ():
        name, value = item.first("name"), item.first("value")
        if name is None or value is None:
            continue
        key = " ".join(name.text.split())
        if key in values:
            reading.report.warning(
                name.place, f"the property {shown(key)} is given twice", "the last one counts"
            )
        values[key] = value
        reading.properties.add(key, " ".join(value.text.split()))
    for key, value in values.items():
        if not reading.properties.is_defined(key):
            reading.text(value)


def _read_root(root: Element, file: str, reading: Reading) -> GatewayConfig:
    defaults = root.first("service-defaults")
    default_options = {
        side: read_options(defaults.first(side.value) if defaults is not None else None, reading)
        for side in Side
    }
    services = [read_service(element, default_options, reading) for element in root.all("service")]
    return GatewayConfig(
        file=file,
        properties=reading.properties.effective(),
        services=tuple(service for service in services if service is not None),
        security=read_security(root.first("security"), reading),
        cluster=read_cluster(root.first("cluster"), reading),
    )
