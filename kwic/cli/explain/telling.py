"""Tells the story of an instance from its configuration alone, in the way the running gateway reads it.

:mod:`kwic.config.ends` says what is listened at and dialled, :mod:`kwic.service.sockets` what shares a socket; so what is
told is what happens.
"""

from __future__ import annotations

from collections.abc import Mapping

from kwic.cli.explain.doors import cluster_facts, doors
from kwic.cli.explain.story import Chapter, Story
from kwic.cli.explain.view import View
from kwic.cli.explain.ways import Ways
from kwic.cli.holdings import Holdings
from kwic.cli.offline_names import OfflineNames
from kwic.config.model import GatewayConfig


def tell(
    config: GatewayConfig, holdings: Holdings, names: OfflineNames, environ: Mapping[str, str], now_s: float
) -> Story:
    """Tell the story of an instance.

    :param holdings: what its stores hold, as far as they are here.
    :param environ: of the process: HTTP proxies are looked for there.
    :param now_s: the time, in seconds since the epoch.
    :raises SetupError: names that share an address cannot share it.
    """
    view = View(config, holdings, names, environ, now_s)
    ways = Ways(view)
    return Story(
        config=config,
        doors=tuple(doors(view)),
        chapters=tuple(
            Chapter(
                service=service,
                ways_in=tuple(ways.ways_in(service)),
                ways_out=tuple(ways.ways_out(service)),
            )
            for service in config.services
        ),
        cluster=tuple(cluster_facts(view)),
    )
