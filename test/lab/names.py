"""The name server of the laboratory: A records from a hosts file, at once, late or never. ``python -m test.lab.names HOSTS MODE``.

MODE is a file that holds the delay in seconds, or ``never``; it is read at every question, so that a fault is a line in a file.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
import sys
from pathlib import Path

PORT = 53
TTL_S = 1  # nothing should be cached below the gateway
A, AAAA, IN = 1, 28, 1
NAME_ERROR, NO_ERROR = 3, 0


def question(data: bytes) -> tuple[str, int, int]:
    """The name and type asked for.

    :param data: a DNS message.
    :returns: name (lower case), type, and where the question ends.
    :raises ValueError: it is no plain question.
    """
    labels, at = [], 12
    while at < len(data) and (length := data[at]):
        if length > 63 or at + 1 + length > len(data):
            raise ValueError("not a plain name")
        labels.append(data[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    if at + 5 > len(data):
        raise ValueError("cut short")
    (kind,) = struct.unpack_from(">H", data, at + 1)
    return ".".join(labels), kind, at + 5


def answer(data: bytes, hosts: dict[str, list[str]]) -> bytes:
    """The answer to a question.

    :param data: the question.
    :param hosts: name → IPv4 addresses.
    """
    name, kind, end = question(data)
    addresses = hosts.get(name, []) if kind == A else []
    code = NO_ERROR if name in hosts else NAME_ERROR
    head = data[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(addresses), 0, 0)
    records = [
        b"\xc0\x0c" + struct.pack(">HHLH", A, IN, TTL_S, 4) + ipaddress.IPv4Address(address).packed
        for address in addresses
    ]
    return head + data[12:end] + b"".join(records)


def read_hosts(path: Path) -> dict[str, list[str]]:
    """Name → addresses of a hosts file."""
    hosts: dict[str, list[str]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        address, *names = line.split()
        for name in names:
            hosts.setdefault(name.lower(), []).append(address)
    return hosts


class NameServer(asyncio.DatagramProtocol):
    """Answers on UDP as the mode file says."""

    def __init__(self, hosts: dict[str, list[str]], mode: Path) -> None:
        self._hosts = hosts
        self._mode = mode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        mode = self._mode.read_text(encoding="ascii").strip()
        if mode == "never":
            return
        try:
            found = answer(data, self._hosts)
        except (ValueError, UnicodeDecodeError):
            return
        asyncio.get_running_loop().call_later(float(mode), self._transport.sendto, found, addr)  # type: ignore[attr-defined]


async def run(hosts: Path, mode: Path) -> None:
    """Answer until killed."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(
        lambda: NameServer(read_hosts(hosts), mode), local_addr=("0.0.0.0", PORT)
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
