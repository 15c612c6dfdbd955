"""A line between two network namespaces: a router in a third one holds packets up, and lets only so many through.

The packets wait *between* the two ends, in the router's forwarding, so that what either kernel does about its own queues is as on a real line: delay by
the laboratory's program (`test/lab/delay.py`), because not every kernel has `netem`; the rate by `tbf`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.daemon import Daemon
from bench.errors import SetupError

ROOT = Path(__file__).resolve().parents[1]

NEAR, FAR = "10.79.1.2", "10.79.2.2"
"""The addresses of the two ends; the router's in either network ends with 1."""

QUEUE = 7
"""The netfilter queue of the delay program."""

PROGRAMS = ("ip", "iptables", "nsenter", "unshare", "sysctl")
READY_S = 5.0
PRIORITY = 5
"""Of the delay program, real-time: what else the machine does is not to lengthen the line."""

FRAME_BYTES = 1514


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a line is like.

    :param delay_s: each way.
    :param mbit: what it carries each way, in 10^6 bits a second; None is as much as the machine can.
    :param queue_bytes: what may wait in the router each way before it drops; only with a rate.
    :param congestion: the congestion control of both ends; None is the machine's own.
    """

    delay_s: float
    mbit: int | None = None
    queue_bytes: int = 0
    congestion: str | None = None


def missing() -> str | None:
    """Why no line can be laid here, in a few words; None when it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or "no network namespaces" if tried.returncode else None


class Place:
    """One end of a line, or the router.

    :param name: for messages and logs.
    :param folder: for its log.
    :param address: of an end, in the line's network.
    """

    def __init__(self, name: str, folder: Path, address: str = "") -> None:
        self.address = address
        # A namespace without a name: it is gone when nothing runs in it any more, however the bench ends.
        self.holder = Daemon(
            f"the namespace {name}", ["unshare", "--net", "sleep", "infinity"], log=folder / f"{name}.log"
        )

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before a command to have it run here."""
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--")

    def open(self) -> None:
        """Begin.

        :raises SetupError: the system forbids it.
        """
        self.holder.start()
        namespace, deadline = Path(f"/proc/{self.holder.pid}/ns/net"), time.monotonic() + READY_S
        while self.holder.is_alive and namespace.readlink() == Path("/proc/self/ns/net").readlink():
            if time.monotonic() > deadline:
                raise SetupError(f"no network namespace within {READY_S:.0f} s: {self.holder.tail()}")
            time.sleep(0.01)
        if not self.holder.is_alive:
            raise SetupError(f"no network namespace: {self.holder.tail()}")
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str) -> str:
        """Run a command here to its end.

        :returns: what it printed.
        :raises SetupError: it failed.
        """
        done = subprocess.run(
            [*self.prefix, *command], capture_output=True, text=True, check=False, timeout=30
        )
        if done.returncode:
            raise SetupError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return done.stdout


class Line:
    """Both ends and what lies between them, laid as a context manager.

    :param folder: for logs.
    :param shape: what the line is like.
    """

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.shape = shape
        self.near = Place("near", folder, NEAR)
        self.far = Place("far", folder, FAR)
        self._router = Place("router", folder)
        self._log = folder / "delay.log"
        self._delay: Daemon | None = None

    def __enter__(self) -> Self:
        reason = missing()
        if reason is not None:
            raise SetupError(reason)
        try:
            for place in (self._router, self.near, self.far):
                place.open()
            for number, end in enumerate((self.near, self.far)):
                self._join(end, f"port{number}")
            self._router.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
            self._hold_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._delay is not None:
            self._delay.stop()
        for place in (self.near, self.far, self._router):
            place.holder.stop()

    def congestion(self) -> str:
        """The congestion control that the ends use."""
        return (
            self.shape.congestion or self.near.run("sysctl", "-n", "net.ipv4.tcp_congestion_control").strip()
        )

    def _join(self, end: Place, port: str) -> None:
        gate = end.address.rpartition(".")[0] + ".1"
        peer = ("type", "veth", "peer", "name", "eth0", "netns", str(end.holder.pid))
        self._router.run("ip", "link", "add", port, *peer)
        for place, device, address in ((self._router, port, gate), (end, "eth0", end.address)):
            place.run("ip", "addr", "add", f"{address}/24", "dev", device)
            place.run("ip", "link", "set", device, "up")
        # A property of the route: not every kernel lets a namespace have another default than the machine's.
        congestion = ("congctl", self.shape.congestion) if self.shape.congestion else ()
        end.run("ip", "route", "add", "default", "via", gate, *congestion)
        if self.shape.mbit:
            self._router.run(
                *("tc", "qdisc", "add", "dev", port, "root", "tbf", "rate", f"{self.shape.mbit}mbit"),
                *("burst", str(2 * FRAME_BYTES), "limit", str(self.shape.queue_bytes)),
            )

    def _hold_up(self) -> None:
        """Start the delay program in the router, and send it what is forwarded."""
        command = [sys.executable, "-m", "test.lab.delay", str(QUEUE), str(self.shape.delay_s)]
        self._delay = Daemon(
            "the delay", [*self._router.prefix, *command], log=self._log, folder=ROOT, environ=os.environ
        )
        self._delay.start()
        deadline = time.monotonic() + READY_S
        while "queueing" not in self._delay.tail():
            if not self._delay.is_alive or time.monotonic() > deadline:
                raise SetupError(f"packets cannot be held up here (netfilter queue): {self._delay.tail()}")
            time.sleep(0.02)
        try:
            os.sched_setscheduler(self._delay.pid, os.SCHED_RR, os.sched_param(PRIORITY))
        except OSError:
            pass  # an ordinary program then: the delay is a little longer while the machine is busy
        queue = ("-j", "NFQUEUE", "--queue-num", str(QUEUE))
        self._router.run("iptables", "-w", "-t", "mangle", "-A", "FORWARD", *queue)
