"""What the instances say of themselves: ``GET /status`` on their admin sockets, and what is missing for full redundancy."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT_S = 1.0
Status = Mapping[str, Any]


def fetch(path: Path) -> Status | None:
    """The status of one instance.

    :param path: its admin socket.
    :returns: None when it does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(TIMEOUT_S)
            sock.connect(str(path))
            sock.sendall(b"GET /status HTTP/1.0\r\nHost: lab\r\n\r\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
    except OSError:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        return None
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def lacking(
    statuses: Mapping[str, Status | None], cloud: Sequence[str], onprem: Sequence[str], *, cluster: bool
) -> list[str]:
    """What full redundancy lacks, in words.

    :param statuses: instance → what it said.
    :param cloud: the cloud instances.
    :param onprem: the agents; each must have a tunnel to every cloud instance, and both ends must say so.
    :param cluster: whether the cloud instances must know each other.
    """
    found = [f"{name} gives no status" for name, status in statuses.items() if status is None]
    for agent in onprem:
        for node in cloud:
            if not joined(statuses[agent], statuses[node]):
                found.append(f"{agent} has no tunnel to {node}")
            if not joined(statuses[node], statuses[agent]):
                found.append(f"{node} has no tunnel from {agent}")
    if cluster:
        for one, other in itertools.permutations(cloud, 2):
            if not knows(statuses[one], statuses[other]):
                found.append(f"{one} does not know {other}")
    return found


def joined(one: Status | None, other: Status | None) -> bool:
    """Whether an instance has a tunnel to another's present process, and does not suspect it."""
    if one is None or other is None:
        return False
    return any(
        tunnel.get("peer_instance") == other.get("instance") and not tunnel.get("suspect")
        for tunnel in one.get("tunnels") or ()
    )


def knows(one: Status | None, other: Status | None) -> bool:
    """Whether a member knows another's present process."""
    if one is None or other is None:
        return False
    return any(member.get("instance") == other.get("instance") for member in one.get("members") or ())
