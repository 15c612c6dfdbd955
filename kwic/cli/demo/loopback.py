"""Whether the addresses and ports that the scenario needs can be had on this machine."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable

from kwic.cli.demo.cast import Player
from kwic.errors import SetupError


def check_network(network: str) -> str:
    """The first three numbers of a block of loopback addresses.

    :param network: like `127.34.0`.
    :returns: the same.
    :raises SetupError: when it is not that.
    """
    try:
        block = ipaddress.IPv4Network(f"{network}.0/24")
    except ValueError:
        block = None
    if block is None or not block.is_loopback:
        raise SetupError(
            f"--network {network}: three numbers of a loopback address are wanted, like 127.34.0 or 127.35.7"
        )
    return network


def check_free(players: Iterable[Player]) -> None:
    """Make sure that every listener of the scenario can be opened.

    :param players: who will listen.
    :raises SetupError: naming every port that is taken, or the address this machine does not have.
    """
    taken = []
    for player in players:
        for port in player.ports:
            problem = _problem(player.address, port)
            if problem == errno.EADDRNOTAVAIL:
                raise SetupError(
                    f"this machine has no address {player.address}: Linux has all of 127.0.0.0/8; elsewhere add"
                    f" each one first, for example `sudo ifconfig lo0 alias {player.address}`"
                )
            if problem == errno.EACCES:
                raise SetupError(
                    f"port {port} may only be opened by root; choose one above 1023 with --tls-port"
                )
            if problem:
                taken.append(f"{player.address}:{port} ({player.name})")
    if taken:
        raise SetupError(
            f"in use by another program: {', '.join(taken)}; end that, or use other addresses with --network 127.35.0"
        )


def _problem(address: str, port: int) -> int | None:
    """The error number of listening there, None when one could."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(1)
        except OSError as e:
            return e.errno
    return None
