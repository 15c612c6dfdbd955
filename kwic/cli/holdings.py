"""What the stores of an instance hold, as far as they are on this machine: a configuration is often looked at elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kwic.config.model import GatewayConfig, Security, Store
from kwic.config.problem import ConfigError, Problem, Severity, refusal
from kwic.config.words import closest, shown
from kwic.transport.tls import Credentials
from kwic.transport.tls_material import Material


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """The stores of one instance, read."""

    material: Material = Material(keystore=None, truststore=None)
    """As much as could be read."""
    credentials: Credentials | None = None
    """What the gateway would make of them; None when a store that is configured could not be read."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the stores themselves."""


def read_holdings(config: GatewayConfig, now_s: float) -> Holdings:
    """Reads the stores that a configuration names.

    :param now_s: the time, in seconds since the epoch.
    """
    found = Holdings()
    security = config.security
    for one in (Security(keystore=security.keystore), Security(truststore=security.truststore)):
        found = _add(found, one, security, now_s)
    if any(problem.severity is Severity.ERROR for problem in found.problems) or _missing(security):
        return found
    return replace(found, credentials=Credentials.from_security(security, lambda: now_s))


def _add(found: Holdings, one: Security, security: Security, now_s: float) -> Holdings:
    """:returns: the holdings with one more store; each is read by itself, so that one counts when the other is not here."""
    store = one.keystore or one.truststore
    if store is None:
        return found
    if _missing(one):
        return replace(found, problems=(*found.problems, _not_here(store, security)))
    try:
        read = Material.read(one)
    except ConfigError as error:
        return replace(found, problems=(*found.problems, *error.problems))
    warnings = tuple(refusal(store.place, line, severity=Severity.WARNING) for line in read.warnings(now_s))
    material = Material(
        keystore=read.keystore or found.material.keystore,
        truststore=read.truststore or found.material.truststore,
    )
    return replace(found, material=material, problems=(*found.problems, *warnings))


def _missing(security: Security) -> list[Path]:
    """:returns: the files that are not on this machine, or that this user may not even look for."""
    return [file for file in _files(security) if not _is_here(file)]


def _files(security: Security) -> list[Path]:
    stores = [store for store in (security.keystore, security.truststore) if store is not None]
    return [file for store in stores for file in (store.file, store.password_file) if file is not None]


def _is_here(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:
        return False


def _not_here(store: Store, security: Security) -> Problem:
    file = next(file for file in (store.file, store.password_file) if file is not None and not _is_here(file))
    # The other stores of the instance have similar names, and are not what was meant.
    guess = closest(
        file.name, {path.name for path in _beside(file)} - {path.name for path in _files(security)}
    )
    return Problem(
        place=store.place,
        message=f"{file} is not on this machine: what depends on it is not checked",
        hint=f"did you mean {shown(guess)}?" if guess else "check where the stores are, or say --no-stores",
        severity=Severity.WARNING,
    )


def _beside(file: Path) -> list[Path]:
    try:
        return sorted(file.parent.iterdir())
    except OSError:
        return []
