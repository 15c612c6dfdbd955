"""
What an operator, a health check or Prometheus may ask a running gateway: `/status` (JSON), `/health` and `/metrics`.

Served on its own address, which must not be reachable for strangers: there is no login. Rejected: serving it on a public listener under a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from kwic.errors import SetupError
from kwic.service.admin_pages import Page, Pages
from kwic.service.gateway import Gateway
from kwic.service.status import health, metrics, status

_ADDRESS = re.compile(r"(?:tcp:)?\[?([^\]]*?)\]?:(\d{1,5})\Z")
_LARGEST_PORT = 65535
JSON = "application/json"
#: The text format of Prometheus.
METRICS = "text/plain; version=0.0.4"


class Admin(Service):
    """
    The administrative listener.

    :param reactor: listens.
    :param address: `HOST:PORT` or `unix:PATH`.
    :param pages: what may be asked for.
    :raises SetupError: when the address is neither.
    """

    log = Logger()

    def __init__(self, reactor: Any, address: str, pages: Mapping[str, Page]) -> None:
        self._reactor = reactor
        self._pages = pages
        self._address = address
        self._listening: Any = None
        match = _ADDRESS.match(address)
        if not address.startswith("unix:") and (match is None or int(match[2]) > _LARGEST_PORT):
            raise SetupError(f"--admin {address}: write HOST:PORT or unix:PATH")
        self._tcp = match

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises SystemExit: when the address cannot be listened on.
        """
        reactor = self._reactor
        try:
            if self._tcp is None:
                path = self._address.removeprefix("unix:")
                self._listening = reactor.listenUNIX(path, self._site(), mode=0o600, wantPID=True)
            else:
                host, port = self._tcp[1], int(self._tcp[2])
                self._listening = reactor.listenTCP(port, self._site(), interface=host)
        except (CannotListenError, OSError) as error:
            # An OSError: the lock beside a UNIX socket cannot be made.
            reason = error.socketError if isinstance(error, CannotListenError) else error
            self.log.critical(
                "--admin {address}: cannot listen there: {error}", address=self._address, error=reason
            )
            raise SystemExit(1) from error

    def _site(self) -> Pages:
        return Pages(self._reactor, self._pages)

    def stopService(self) -> Any:
        """Stop listening."""
        Service.stopService(self)
        listening, self._listening = self._listening, None
        return None if listening is None else listening.stopListening()


def pages_of(gateway: Gateway) -> dict[str, Page]:
    """What one gateway says of itself."""
    return {
        "/status": Page(make=lambda: (200, json.dumps(status(gateway), indent=1) + "\n"), content_type=JSON),
        "/health": Page(make=lambda: health(gateway)),
        "/metrics": Page(make=lambda: (200, metrics(gateway)), content_type=METRICS),
    }
