"""What the instances say of themselves: ``GET /status`` on their admin sockets, and what is missing for full redundancy."""

from __future__ import annotations

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


def lacking(statuses: Mapping[str, Status | None], cloud: Sequence[str], onprem: Sequence[str], *, cluster: bool) -> list[str]:  # fmt: skip
    """What full redundancy lacks, in words.

    :param statuses: instance → what it said.
    :param cloud: the cloud instances.
    :param onprem: the agents; each must have a tunnel to every cloud instance.
    :param cluster: whether the cloud instances must know each other.
    """
    found = [f"{name} gives no status" for name, status in statuses.items() if status is None]
    for agent in onprem:
        status = statuses.get(agent)
        if status is not None:
            there = peers(status)
            found += [
                f"{agent} has no tunnel to {node}"
                for node in cloud
                if not any(node in peer for peer in there)
            ]
    for node in cloud:
        status = statuses.get(node)
        if status is not None:
            there = peers(status)
            found += [
                f"{node} has no tunnel from {agent}"
                for agent in onprem
                if not any(agent in peer for peer in there)
            ]
            if cluster and len(status.get("members") or ()) < len(cloud) - 1:
                found.append(f"{node} knows no other member")
    return found


def peers(status: Status) -> list[str]:
    """The nodes to which there is a tunnel that is not suspected."""
    return [
        str(tunnel.get("peer_node") or tunnel.get("peer") or tunnel.get("node") or "")
        for tunnel in status.get("tunnels") or ()
        if not tunnel.get("suspect")
    ]
