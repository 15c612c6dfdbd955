"""What several workers say of themselves, as one instance says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: What is added up of each service; of the rest, any worker's word will do.
_COUNTS = ("waiting", "served", "failed")
#: Figures that are the same for the whole instance, or are so as soon as one worker has them: the largest counts.
_LARGEST = frozenset({"kwic_members", "kwic_draining"})

Status = Mapping[str, Any]


def total_status(node: str, workers: Sequence[Status | None]) -> dict[str, Any]:
    """
    Add up what the workers say.

    :param node: what the instance is called.
    :param workers: the status of each, None for one that does not answer.
    """
    found = [status for status in workers if status is not None]
    own = {status["instance"] for status in found}
    first: Status = found[0] if found else {}
    return {
        **first,
        "node": node,
        "instance": ", ".join(status["instance"] for status in found),
        "draining": any(status["draining"] for status in found),
        "uptime_s": max((status["uptime_s"] for status in found), default=0.0),
        "clients": sum(status["clients"] for status in found),
        "services": _services(found),
        "tunnels": [tunnel for status in found for tunnel in status["tunnels"]],
        "socks": [waiting for status in found for waiting in status["socks"]],
        "names": _names(found),
        "members": _members(found, own),
        "workers": [_worker(number, status) for number, status in enumerate(workers, 1)],
    }


def _worker(number: int, status: Status | None) -> dict[str, Any]:
    if status is None:
        return {"number": number, "answers": False}
    return {
        "number": number,
        "answers": True,
        "instance": status["instance"],
        "clients": status["clients"],
        "tunnels": len(status["tunnels"]),
        "uptime_s": status["uptime_s"],
    }


def _services(found: Sequence[Status]) -> list[dict[str, Any]]:
    totals: dict[str, dict[str, Any]] = {}
    for status in found:
        for service in status["services"]:
            total = totals.setdefault(
                service["name"], {**service, **dict.fromkeys(_COUNTS & service.keys(), 0)}
            )
            for count in _COUNTS & service.keys():
                total[count] += service[count]
            if "paths" in service:
                total["paths"] = max(total["paths"], service["paths"])
    return list(totals.values())


def _names(found: Sequence[Status]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for status in found:
        for name, holders in status["names"].items():
            names.setdefault(name, []).extend(holders)
    return names


def _members(found: Sequence[Status], own: set[str]) -> list[Any]:
    members = {
        member["instance"]: member
        for status in found
        for member in status["members"]
        if member["instance"] not in own
    }
    return list(members.values())


def total_metrics(workers: Sequence[str], siblings: int) -> str:
    """
    Add up the figures of all workers.

    :param workers: of each, in the Prometheus text format as `status.metrics` writes it.
    :param siblings: how many other workers each of them counts among the members of its cluster.
    """
    values: dict[str, float] = {}
    lines: dict[str, None] = {}
    for text in workers:
        for line in text.splitlines():
            lines.setdefault(line if line.startswith("#") else _sample(line), None)
            if not line.startswith("#"):
                sample, value = _sample(line), float(line.rpartition(" ")[2])
                name = sample.partition("{")[0]
                largest = max(value, values.get(sample, value))
                values[sample] = largest if name in _LARGEST else values.get(sample, 0.0) + value
    if "kwic_members" in values:
        values["kwic_members"] = max(0.0, values["kwic_members"] - siblings)
    return "".join(f"{line}\n" if line not in values else f"{line} {values[line]:g}\n" for line in lines)


def _sample(line: str) -> str:
    return line.rpartition(" ")[0]
