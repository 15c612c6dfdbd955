"""Where a running gateway answers questions about itself, and asking it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import Any

from kwic.errors import SetupError

ASK_S = 5.0
"""How long a gateway may take to answer."""
LARGEST_ANSWER = 1 << 26
"""Bytes; 10000 tunnels are a twentieth of it."""
LOCAL = "127.0.0.1"
_PLACE = re.compile(r"(?:http://)?(?:(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]*):)?(\d{1,5})(?:/(?:status)?)?")
_MAXIMUM_PORT = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminAddress:
    """What stands behind ``--admin``: a host and a port, or a path."""

    host: str = ""
    port: int = 0
    path: str = ""
    """Of a socket in the file system; empty for host and port."""

    @classmethod
    def parse(cls, text: str) -> AdminAddress:
        """``HOST:PORT``, ``http://HOST:PORT``, ``unix:PATH``; no host means this machine.

        :raises SetupError: it is none of them.
        """
        if text.startswith("unix:") and text != "unix:":
            return cls(path=text.removeprefix("unix:"))
        match = _PLACE.fullmatch(text)
        if match is None or not 0 < int(match[2]) <= _MAXIMUM_PORT:
            raise SetupError(f"--admin {text}: write HOST:PORT, http://HOST:PORT or unix:PATH")
        return cls(host=(match[1] or LOCAL).strip("[]"), port=int(match[2]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str) -> None:
        """:param path: of the socket."""
        super().__init__("localhost", timeout=ASK_S)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ASK_S)
        self.sock.connect(self._path)


def ask(address: AdminAddress) -> dict[str, Any]:
    """Ask a gateway how it is.

    :returns: its whole status.
    :raises SetupError: it does not answer, or whoever does is no gateway; one line says what to do.
    """
    if address.path:
        connection: http.client.HTTPConnection = UnixConnection(address.path)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=ASK_S)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        text = answer.read(LARGEST_ANSWER + 1)
        found = json.loads(text) if answer.status == http.client.OK and len(text) <= LARGEST_ANSWER else None
    except TimeoutError as error:
        raise SetupError(
            f"{address}: no answer within {ASK_S:.0f} s; the gateway hangs, or a firewall is between"
        ) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise SetupError(
            f"{address}: nobody answers: {why}; is the gateway running with --admin {address}?"
        ) from error
    except (http.client.HTTPException, ValueError, RecursionError) as error:
        raise SetupError(f"{address}: whoever answers there is no gateway") from error
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise SetupError(f"{address}: whoever answers there is no gateway")
    return found
