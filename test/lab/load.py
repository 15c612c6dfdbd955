"""The clients of the laboratory: a steady load of new connections, and streams with checked bytes.

``python -m test.lab.load --rate 100 --seconds 60 --target cloud1=172.34.0.11:5551 …`` writes one JSON list a line:
``["probe", target, start, stall, outcome, exit, lag]`` and ``["stream", target, start, end, outcome, exit, sent, received]``
``control`` in place of ``probe`` is a connection to a back end that bypasses the gateway (times on the monotonic clock, which all namespaces share). It is an open loop: a slow answer never delays the next connection.
It ends after ``--seconds``, or when its standard input is closed, and waits for what is still open, within limits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from test.lab.echo import PEER_BYTES
from test.lab.pattern import Pattern

PROBE_LIMIT_S = 15.0  # a client gives up; more than `socks.timeout`, which is 10 s
STREAM_IDLE_LIMIT_S = 30.0  # a stream in which nothing moves is stuck
OPEN_MAXIMUM = 3000  # connections at once; beyond it the load itself has failed
TOKEN_BYTES = 16
STEP_S = 0.05  # a stream sends this often
READ_BYTES = 65536
CONTROL_EVERY_S = 0.04

OK, REFUSED, UNREACHABLE, UNANSWERED = (
    "ok",
    "refused",
    "unreachable",
    "unanswered",
)  # before the connection stood
RESET, CLOSED, SILENT, WRONG, SHED = "reset", "closed", "silent", "wrong", "shed"  # after it


@dataclass(frozen=True, kw_only=True)
class Target:
    """One listener.

    :param name: of the instance.
    """

    name: str
    address: tuple[str, int]


class BrokenError(Exception):
    """A connection that did not do what it should; its text is the outcome."""


def report(*fields: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def connected(target: Target, limit_s: float) -> socket.socket:
    """A new connection.

    :raises BrokenError: there is none.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with asyncio.timeout(limit_s):
            await asyncio.get_running_loop().sock_connect(sock, target.address)
    except ConnectionRefusedError:
        sock.close()
        raise BrokenError(REFUSED) from None
    except TimeoutError:
        sock.close()
        raise BrokenError(UNANSWERED) from None
    except OSError:
        sock.close()
        raise BrokenError(UNREACHABLE) from None
    return sock


async def received(sock: socket.socket, length: int) -> bytes:
    """So many bytes.

    :raises BrokenError: the other side ended, in one way or the other.
    """
    data = b""
    while len(data) < length:
        try:
            more = await asyncio.get_running_loop().sock_recv(sock, length - len(data))
        except OSError:
            raise BrokenError(RESET) from None
        if not more:
            raise BrokenError(CLOSED)
        data += more
    return data


async def conversation(target: Target) -> str:
    """Connect, send a token, expect it back; the connection's whole life.

    :returns: the address from which the back end was reached.
    :raises BrokenError: it did not work.
    """
    token = os.urandom(TOKEN_BYTES)
    sock = await connected(target, PROBE_LIMIT_S)
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            await asyncio.get_running_loop().sock_sendall(sock, token)
            answer = await received(sock, PEER_BYTES + TOKEN_BYTES)
    except TimeoutError:
        raise BrokenError(SILENT) from None
    except OSError:
        raise BrokenError(RESET) from None
    finally:
        sock.close()
    if answer[PEER_BYTES:] != token:
        raise BrokenError(WRONG)
    return answer[:PEER_BYTES].decode("ascii", "replace").strip()


async def probe(target: Target, lag_s: float, kind: str = "probe") -> None:
    """One new connection, reported."""
    start, outcome, exit_address = time.monotonic(), OK, ""
    try:
        exit_address = await conversation(target)
    except BrokenError as broken:
        outcome = str(broken)
    report(kind, target.name, start, time.monotonic() - start, outcome, exit_address, round(lag_s, 4))


class Stream:
    """One long connection: sends its pattern at a steady rate, and checks every byte that comes back.

    :param rate: in bytes a second.
    :param life_s: when to send FIN; all bytes, then FIN, are expected back.
    """

    def __init__(self, target: Target, rate: int, life_s: float) -> None:
        self.target = target
        self.rate = rate
        self.life_s = life_s
        self.sent = 0
        self.back = 0
        self.exit_address = ""
        self._pattern = Pattern(random.getrandbits(64))

    async def live(self) -> None:
        """Its whole life, reported."""
        start, outcome = time.monotonic(), OK
        try:
            sock = await connected(self.target, PROBE_LIMIT_S)
            try:
                await self._exchange(sock)
            finally:
                sock.close()
        except BrokenError as broken:
            outcome = str(broken)
        report(
            "stream",
            self.target.name,
            start,
            time.monotonic(),
            outcome,
            self.exit_address,
            self.sent,
            self.back,
        )

    async def _exchange(self, sock: socket.socket) -> None:
        sender = asyncio.create_task(self._send(sock))
        try:
            await self._receive(sock)
            if not sender.done() or self.back < self.sent:
                raise BrokenError(CLOSED)  # an orderly end with bytes missing
        except TimeoutError:
            raise BrokenError(SILENT) from None
        except BrokenError as broken:
            # The kernel tells of a reset once. When it told the sender, the next read finds an end that was none. (Of a reset behind
            # an orderly end the sender is told that the pipe is broken.)
            if (
                str(broken) == CLOSED
                and sender.done()
                and isinstance(sender.exception(), ConnectionResetError)
            ):
                raise BrokenError(RESET) from None
            raise
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _receive(self, sock: socket.socket) -> None:
        """Check what comes back, until the end."""
        async with asyncio.timeout(STREAM_IDLE_LIMIT_S):
            self.exit_address = (await received(sock, PEER_BYTES)).decode("ascii", "replace").strip()
        while data := await self._more(sock):
            if data != self._pattern.at(self.back, len(data)) or self.back + len(data) > self.sent:
                raise BrokenError(WRONG)
            self.back += len(data)

    async def _more(self, sock: socket.socket) -> bytes:
        async with asyncio.timeout(STREAM_IDLE_LIMIT_S):
            try:
                return await asyncio.get_running_loop().sock_recv(sock, min(READ_BYTES, 65521))
            except OSError:
                raise BrokenError(RESET) from None

    async def _send(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        step = max(1, int(self.rate * STEP_S))
        end = loop.time() + self.life_s
        while loop.time() < end:
            data = self._pattern.at(self.sent, step)
            self.sent += step  # before the wait: its first bytes may come back during it
            await loop.sock_sendall(sock, data)
            await asyncio.sleep(STEP_S)
        sock.shutdown(socket.SHUT_WR)


class Load:
    """All clients."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.targets: list[Target] = options.target
        self.options = options
        self._open: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    def _start(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(life)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def run(self) -> None:
        """Until the end that was set, or the end of standard input."""
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._ended.set)
        streams = [
            asyncio.create_task(self._stream_after_stream(target, number))
            for target in self.targets
            for number in range(self.options.streams)
        ]
        control = asyncio.create_task(self._control())
        await self._connections()
        self._ended.set()
        await control
        await asyncio.wait([*self._open, *streams], timeout=PROBE_LIMIT_S + self.options.stream_life) if (
            self._open or streams
        ) else None

    async def _connections(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time() + 0.2
        for number in range(int(self.options.seconds * self.options.rate)):
            due = start + number / self.options.rate
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if self._ended.is_set():
                return
            target = self.targets[number % len(self.targets)]
            if len(self._open) < OPEN_MAXIMUM:
                self._start(probe(target, loop.time() - due))
            else:
                report("probe", target.name, time.monotonic(), 0.0, SHED, "", 0.0)

    async def _control(self) -> None:
        """Connections that go to the back ends directly: a pause of theirs is the computer's, not the gateway's."""
        number = 0
        while self.options.control and not self._ended.is_set():
            target = self.options.control[number % len(self.options.control)]
            number += 1
            if len(self._open) < OPEN_MAXIMUM:
                self._start(probe(target, 0.0, "control"))
            await asyncio.sleep(CONTROL_EVERY_S)

    async def _stream_after_stream(self, target: Target, number: int) -> None:
        await asyncio.sleep(number * self.options.stream_life / max(1, self.options.streams))
        while not self._ended.is_set():
            born = time.monotonic()
            await Stream(target, self.options.stream_rate, self.options.stream_life).live()
            await asyncio.sleep(max(0.0, born + 0.25 - time.monotonic()))  # a dead listener is not hammered


def target_of(text: str) -> Target:
    """``name=host:port``."""
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    return Target(name=name, address=(host, int(port)))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", type=target_of, required=True)
    parser.add_argument(
        "--control", action="append", type=target_of, default=[], help="a back end, connected to directly"
    )
    parser.add_argument("--rate", type=float, default=100, help="new connections a second, over all targets")
    parser.add_argument("--seconds", type=float, default=60, help="the end, at the latest")
    parser.add_argument("--streams", type=int, default=1, help="long streams at a time, to each target")
    parser.add_argument(
        "--stream-rate", type=int, default=100_000, help="bytes a second, each way, each stream"
    )
    parser.add_argument("--stream-life", type=float, default=5, help="seconds")
    options = parser.parse_args()

    async def run() -> None:
        await Load(options).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
