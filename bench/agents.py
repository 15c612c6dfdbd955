"""Many agents in one process: `python -m bench.agents CONFIG COUNT HOST=ADDRESS`.

Each is a whole gateway with credentials, back-off and tunnel of its own, from one file; only the process is shared. Whenever their number changes, a
line of JSON says how many have a tunnel, and how many TLS handshakes there were so far.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from OpenSSL._util import lib

from kwic.cli.config_options import load_config
from kwic.service.assembly import assemble
from kwic.service.context import Context
from kwic.service.gateway import Gateway
from kwic.service.uplink import Uplink
from kwic.transport.lean_reactor import lighten
from kwic.transport.resolver import FixedNames, FixedResolver
from kwic.transport.tls import Credentials
from kwic.transport.tunnel import Tunnel

BETWEEN_S = 0.005
"""Between the starts of two agents: they are not to be one wave before they are cut."""

LOOK_S = 0.2


class Agents:
    """All of them.

    :param reactor: the one for all.
    :param gateways: one each.
    """

    def __init__(self, reactor: Any, gateways: list[Gateway]) -> None:
        self._reactor = reactor
        self._gateways = gateways
        self._tunnels: dict[Uplink, Tunnel] = {}
        self._resumed = self._full = 0
        self._said: tuple[int, int, int] | None = None

    def start(self) -> None:
        """One after the other."""
        for number, gateway in enumerate(self._gateways):
            self._reactor.callLater(number * BETWEEN_S, gateway.startService)
        self._look()

    def _look(self) -> None:
        self._reactor.callLater(LOOK_S, self._look)
        up = 0
        for gateway in self._gateways:
            for uplink in gateway.uplinks:
                for peer in uplink.tunnels:
                    up += 1
                    self._met(uplink, peer.tunnel)
        now = (up, self._resumed, self._full)
        if now != self._said:
            self._said = now
            found = {"at_s": time.monotonic(), "up": up, "resumed": self._resumed, "full": self._full}
            print(json.dumps(found), flush=True)

    def _met(self, uplink: Uplink, tunnel: Tunnel) -> None:
        """Look at the handshake of a tunnel that is new."""
        if self._tunnels.get(uplink) is tunnel:
            return
        self._tunnels[uplink] = tunnel
        # What resumes is known to OpenSSL, and not told by pyOpenSSL.
        connection = tunnel.transport.below._tlsConnection  # noqa: SLF001
        if lib.SSL_session_reused(connection._ssl):  # noqa: SLF001
            self._resumed += 1
        else:
            self._full += 1


def main() -> None:
    """Run them until killed."""
    from twisted.internet import reactor

    path, count, host = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    names = FixedNames.parse([host])
    config = load_config(path, {}, {})
    reactor.installNameResolver(FixedResolver(names, reactor.nameResolver))  # type: ignore[attr-defined]
    gateways = []
    for number in range(count):
        credentials = Credentials.from_security(config.security)
        context = Context(reactor=reactor, credentials=credentials, names=names, node=f"agent-{number}")
        gateways.append(assemble(config, context))
    lighten(reactor)
    agents = Agents(reactor, gateways)
    reactor.callWhenRunning(agents.start)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
