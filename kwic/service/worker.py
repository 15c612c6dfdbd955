"""
A worker: one of several processes that are one instance together (`--workers`).

Each is a gateway of its own that inherits the listening sockets from the supervisor – so one that is dead or frozen takes no client away –, is linked with them as members of a cluster are, over sockets in a
private folder, and is supervised over a channel: a socket that it inherits. It says there that it is ready, that it lives, and how it is when it is asked;
when the channel ends, the supervisor is gone, and the worker stops.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from kwic.errors import SetupError

#: Seconds between two signs of life.
BEAT_S = 1.0
#: The file descriptor of the channel in a worker; those of the listening sockets follow.
CHANNEL = 3
#: The environment variable that names these.
SOCKETS = "KWIC_SOCKETS"
#: One line on the channel: the status of 10 000 tunnels is a tenth of it.
LINE_MAXIMUM_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Which of the workers a process is."""

    number: int
    """From 1."""

    count: int
    """How many there are."""

    folder: Path
    """Where their sockets are; nobody else may look into it."""

    sockets: dict[tuple[str, int], int] = field(default_factory=dict, compare=False)
    """The listening sockets that it inherits, by address and port: their file descriptors, until they are taken."""

    @classmethod
    def parse(cls, text: str, sockets: str = "") -> Worker:
        """
        Read `NUMBER/COUNT:FOLDER`, as the supervisor writes it.

        :param sockets: as `listed` writes them.
        :raises SetupError: it is not of that form.
        """
        numbers, _, folder = text.partition(":")
        number, _, count = numbers.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 0 < int(number) <= int(count) and folder):
            raise SetupError(f"--worker {text}: this option is for the processes that --workers starts")
        inherited = {(host, port): descriptor for host, port, descriptor in json.loads(sockets or "[]")}
        return cls(number=int(number), count=int(count), folder=Path(folder), sockets=inherited)

    def take(self, host: str, port: int) -> int | None:
        """:returns: the file descriptor of the socket that listens there already, once; None when there is none."""
        return self.sockets.pop((host, port), None)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}:{self.folder}"

    @property
    def is_first(self) -> bool:
        """Whether it has the fixed ports of which there can be only one."""
        return self.number == 1

    def node(self, name: str) -> str:
        """What it is called by peers, given the name of the instance."""
        return f"{name}#{self.number}"

    def socket_of(self, number: int) -> str:
        """Where one of them takes the links of the others."""
        return str(self.folder / f"{number}.link")


def listed(sockets: Iterable[tuple[str, int]]) -> tuple[str, dict[int, int]]:
    """
    Number the file descriptors of inherited sockets.

    :param sockets: the address and port of each.
    :returns: the value of `SOCKETS`, and the position of each socket by its file descriptor in the worker.
    """
    numbered = [(host, port, CHANNEL + at) for at, (host, port) in enumerate(sockets, 1)]
    return json.dumps(numbered), {descriptor: at for at, (_, _, descriptor) in enumerate(numbered)}


class Channel(LineOnlyReceiver):
    """One end of the channel: a JSON object on each line."""

    delimiter = b"\n"
    MAX_LENGTH = LINE_MAXIMUM_BYTES
    transport: Any

    def __init__(self, heard: Callable[[dict[str, Any]], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one."""
        self.transport.write(json.dumps(message).encode() + b"\n")

    def lineReceived(self, line: bytes) -> None:
        """One has come."""
        self._heard(json.loads(line))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other process is gone."""
        self._lost()


def adopt(reactor: Any, number: int, channel: Channel) -> None:
    """
    Speak on an inherited or made socket.

    :param number: its file descriptor, which is closed here.
    """
    ours = socket.socket(fileno=number)
    try:
        ours.setblocking(False)
        reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Only(channel))
    finally:
        # The reactor has a descriptor of its own for it.
        ours.close()


class _Only(Factory):
    """Makes the one protocol."""

    noisy = False

    def __init__(self, protocol: Channel) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Channel:
        return self._protocol


class Supervised(Service):
    """
    The end of the channel in a worker.

    :param reactor: stopped when the supervisor is gone.
    :param pages: what the supervisor may ask for: makes each, by its name.
    """

    def __init__(self, reactor: Any, pages: Mapping[str, Callable[[], Any]]) -> None:
        self._reactor = reactor
        self._pages = pages
        self._channel = Channel(self._heard, self._lost)
        self._beat: Any = None

    def startService(self) -> None:
        """Say that we are ready, and go on saying that we live."""
        super().startService()
        adopt(self._reactor, CHANNEL, self._channel)
        self._channel.say({"ready": True})
        self._live()

    def _live(self) -> None:
        self._beat = self._reactor.callLater(BEAT_S, self._live)
        self._channel.say({"alive": True})

    def _heard(self, message: dict[str, Any]) -> None:
        make = self._pages.get(message.get("ask", ""))
        self._channel.say({"id": message.get("id"), "answer": None if make is None else make()})

    def _lost(self) -> None:
        if self._beat is not None and self._beat.active():
            self._beat.cancel()
        if self.running:
            try:
                self._reactor.stop()
            except ReactorNotRunning:
                # We stop already.
                pass
