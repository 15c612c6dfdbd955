"""What the load reports, as it comes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from test.lab.load import OK
from test.lab.machine import Machine
from test.lab.verdict import Probe, Stream


class Feed:
    """The load program on its machine, and everything that it has reported.

    :param machine: where it runs.
    :param targets: instance → (address, port).
    :param names: address → instance, for the far ends.
    :param controls: back end → (address, port), connected to directly.
    """

    def __init__(
        self,
        machine: Machine,
        targets: Mapping[str, tuple[str, int]],
        names: Mapping[str, str],
        controls: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self._machine = machine
        self.targets = targets
        self._names = names
        self._controls = controls or {}
        self.probes: list[Probe] = []
        self.controls: list[Probe] = []
        self.streams: list[Stream] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, *, rate: float, seconds: float, log: Path, more: Sequence[str] = ()) -> None:
        """Start the load.

        :param rate: new connections a second.
        :param seconds: its end, at the latest.
        :param log: where it complains.
        :param more: further options.
        """
        aims = [f"--target={name}={host}:{port}" for name, (host, port) in self.targets.items()]
        aims += [f"--control={name}={host}:{port}" for name, (host, port) in self._controls.items()]
        argv = [sys.executable, "-m", "test.lab.load", f"--rate={rate}", f"--seconds={seconds}", *aims, *more]
        # before everything else in the queue for the processor: its own delays would be counted as stalls
        self._process = subprocess.Popen(
            self._machine.inside(["nice", "-n", "-5", *argv]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("ab"),
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether the load goes on."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """No new connections; wait for what is open."""
        if self._process is None or self._reader is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(60)
        self._process.kill()
        self._process.wait()
        self._process = None

    def served_since(self, since_s: float) -> dict[str, float]:
        """When each target first served a connection that was begun after a moment.

        :param since_s: the moment.
        :returns: instance → when the echo came; without those that have not served.
        """
        served: dict[str, float] = {}
        for probe in reversed(self.probes):
            if probe.end_s < since_s - 20:
                break
            if probe.start_s >= since_s and probe.outcome == OK:
                served[probe.target] = min(probe.end_s, served.get(probe.target, probe.end_s))
        return served

    def between(self, start_s: float, end_s: float) -> tuple[list[Probe], list[Stream]]:
        """Connections that began, and streams that ended, in a time."""
        return (
            [probe for probe in list(self.probes) if start_s <= probe.start_s < end_s],
            [stream for stream in list(self.streams) if start_s <= stream.end_s < end_s],
        )

    def direct_s(self, start_s: float, end_s: float) -> float:
        """The longest stall of a direct connection that began in a time."""
        return max(
            (probe.stall_s for probe in list(self.controls) if start_s <= probe.start_s < end_s), default=0.0
        )

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, target, start, *rest = json.loads(line)
            if kind in ("probe", "control"):
                stall, outcome, far, lag = rest
                (self.probes if kind == "probe" else self.controls).append(
                    Probe(target=target, start_s=start, stall_s=stall, outcome=outcome, exit=self._names.get(far, far), lag_s=lag)
                )  # fmt: skip
            else:
                end, outcome, far, sent, received = rest
                self.streams.append(
                    Stream(target=target, start_s=start, end_s=end, outcome=outcome, exit=self._names.get(far, far),
                           sent=sent, received=received)
                )  # fmt: skip
