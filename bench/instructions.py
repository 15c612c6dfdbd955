"""Counts the instructions that processes execute, where the machine's counters can be read (perf stat): it hardly varies."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.errors import MeasureError
from bench.pair import Pair, program

EVENT = "instructions"
ATTACH_S = 0.3
"""How long perf may take to attach to the processes; there is no sign that it has."""

END_S = 5.0


@dataclass(kw_only=True)
class Count:
    """What was counted; known when the block has ended."""

    value: float = 0.0


def parse_count(text: str, event: str = EVENT) -> float | None:
    """Reads what `perf stat -x ,` wrote.

    :param text: lines of comma-separated values, comments among them.
    :param event: which event.
    :returns: its count; None when it was not counted or not supported.
    """
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].split(":")[0] == event:
            try:
                return float(fields[0])
            except ValueError:
                return None
    return None


def are_counted() -> bool:
    """Whether this machine counts instructions, and lets us read them."""
    perf = program("perf")
    if perf is None:
        return False
    try:
        done = subprocess.run(
            [perf, "stat", "-x", ",", "-e", EVENT, "true"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(parse_count(done.stderr))


@contextmanager
def counted(pair: Pair, event: str = EVENT) -> Iterator[Count]:
    """Counts what both gateways execute while the block runs.

    :param pair: one that runs.
    :param event: what to count.
    :raises MeasureError: when perf gives no number.
    """
    pids = [str(stat.pid) for gateway in pair.gateways for stat in gateway.family()]
    found = Count()
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(_command(event, pids), stdin=subprocess.DEVNULL, stderr=output) as perf:
            try:
                time.sleep(ATTACH_S)
                yield found
                perf.send_signal(signal.SIGINT)
                perf.wait(END_S)
            except subprocess.TimeoutExpired as error:
                raise MeasureError("perf did not end") from error
            finally:
                perf.kill()
        output.seek(0)
        text = output.read()
    value = parse_count(text, event)
    if not value:
        raise MeasureError(f"perf counted no {event}: {text.strip()[-200:]}")
    found.value = value


def _command(event: str, pids: Sequence[str]) -> list[str]:
    return [program("perf") or "perf", "stat", "-x", ",", "-e", event, "-p", ",".join(pids)]
