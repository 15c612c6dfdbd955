"""Our C client and sink: built here, run with bounds on count and time, its JSON lines read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.daemon import Daemon
from bench.errors import MeasureError, SetupError

SOURCE = Path(__file__).with_name("loadgen.c")

Target = int | str
"""Where the client connects to, or the sink listens: a port on loopback, or `ADDRESS:PORT`."""

SPARE_S = 15.0
"""How much longer than its own limit a client may take before it is killed."""


@dataclass(frozen=True, kw_only=True)
class Bulk:
    """Bytes moved one way.

    :param bytes_moved: how many, over all streams.
    :param mb_per_s: 10^6 bytes a second, until the far end has acknowledged the last.
    """

    bytes_moved: int
    mb_per_s: float


@dataclass(frozen=True, kw_only=True)
class RoundTrips:
    """Round trips of small messages, in microseconds."""

    count: int
    p50_us: float
    p99_us: float
    p95_us: float = 0.0
    most_us: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Streams that never end, looked at for a while.

    :param seconds: how long.
    :param each: the bytes that each moved meanwhile.
    """

    seconds: float
    each: tuple[int, ...]

    @property
    def mb_per_s(self) -> float:
        """All of them together, 10^6 bytes a second."""
        return sum(self.each) / self.seconds / 1e6

    @property
    def fairness(self) -> float:
        """The slowest as a part of the fastest."""
        return min(self.each) / max(max(self.each), 1)


@dataclass(frozen=True, kw_only=True)
class Connects:
    """Connections that were opened, gave one byte back, and were closed."""

    count: int
    per_s: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Clients that were opened, each with one byte back, and now say nothing.

    :param count: how many.
    :param opening_s: how long it took to open them, one after the other.
    """

    count: int
    opening_s: float


def parse_lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects that loadgen printed.

    :param text: its output, one object a line.
    :raises MeasureError: when it reports an error or printed something else.
    """
    objects = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError as error:
            raise MeasureError(f"the load client printed {line!r}") from error
        if not isinstance(found, dict):
            raise MeasureError(f"the load client printed {line!r}")
        if "error" in found:
            raise MeasureError(f"the load client could not go on: {found['error']}")
        objects.append(found)
    return objects


def bulk_of(found: dict[str, Any], streams: int, bytes_per_stream: int) -> Bulk:
    """What an upload, download or verify line says, once nothing is missing from it.

    :param found: the line.
    :param streams: how many streams were asked for.
    :param bytes_per_stream: how much on each.
    :raises MeasureError: when bytes were lost, damaged or late.
    """
    if found["bad"] or found["unfinished"] or found["bytes"] != streams * bytes_per_stream:
        raise MeasureError(
            f"{found['mode']} of {streams} × {bytes_per_stream} bytes: {found['bytes']} arrived in {found['secs']:.1f} s, "
            f"{found['bad']} streams bad, {found['unfinished']} unfinished"
        )
    return Bulk(bytes_moved=found["bytes"], mb_per_s=found["MBps"])


def connects_of(found: dict[str, Any], total: int) -> Connects:
    """What a connrate line says.

    :param found: the line.
    :param total: how many were asked for; fewer is fine when the time was up, failed ones are not.
    :raises MeasureError: when connections failed.
    """
    if found["bad"] or not found["done"]:
        raise MeasureError(f"{found['bad']} of {total} connections failed, {found['done']} succeeded")
    return Connects(count=found["done"], per_s=found["per_s"], p50_us=found["p50_us"], p99_us=found["p99_us"])


class Loadgen:
    """The program, built.

    :param binary: where it is.
    :param prefix: what goes before its command line, to have it run elsewhere.
    """

    def __init__(self, binary: Path, prefix: Sequence[str] = ()) -> None:
        self._binary = str(binary)
        self._prefix = tuple(prefix)

    def within(self, prefix: Sequence[str]) -> Loadgen:
        """The same program elsewhere.

        :param prefix: what goes before its command line.
        """
        return Loadgen(Path(self._binary), prefix)

    @classmethod
    def build(cls, folder: Path) -> Loadgen:
        """Compiles it.

        :param folder: where the program is put.
        :raises SetupError: without a C compiler, or when it refuses.
        """
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise SetupError(
                "no C compiler: the load client is C; install one (Debian: apt-get install gcc libc6-dev)"
            )
        binary = folder / "loadgen"
        done = subprocess.run(
            [*compiler.split(), "-O2", "-o", str(binary), str(SOURCE)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SetupError(f"{compiler} could not build {SOURCE}: {done.stderr.strip()[-500:]}")
        return cls(binary)

    def sink(self, port: Target, log: Path) -> Daemon:
        """The server that echoes, swallows and pours; not started yet.

        :param port: where it listens.
        :param log: the file for what it prints.
        """
        return Daemon("the sink", [*self._prefix, self._binary, "sink", str(port)], log=log)

    def bulk(self, direction: str, port: int, streams: int, bytes_per_stream: int, limit_s: float) -> Bulk:
        """Moves bytes one way.

        :param direction: `upload` or `download`.
        :param port: where it connects to.
        :param streams: how many connections at once.
        :param bytes_per_stream: how much on each.
        :param limit_s: when to give up.
        :raises MeasureError: when not all arrived.
        """
        found = self._run(limit_s, direction, port, streams, bytes_per_stream, limit_s)[0]
        return bulk_of(found, streams, bytes_per_stream)

    def verify(self, port: int, streams: int, bytes_per_stream: int, limit_s: float) -> None:
        """Moves a pattern up and then down, each byte checked where it arrives.

        :raises MeasureError: when a byte is missing or wrong.
        """
        for found in self._run(2 * limit_s, "verify", port, streams, bytes_per_stream, limit_s):
            bulk_of(found, streams, bytes_per_stream)

    def flows(
        self, port: Target, streams: int, *, upward: bool, warm_s: float, seconds: float, limit_s: float
    ) -> Flows:
        """Keeps streams busy that never end, and looks at what arrives in the middle.

        :param streams: how many.
        :param upward: whether the client sends; what has arrived is told by the sink then.
        :param warm_s: how long they have to get up to speed.
        :param seconds: how long they are looked at after that.
        :param limit_s: when to give up.
        """
        wanted = ("flows", port, streams, warm_s, seconds, int(upward), limit_s)
        found = self._run(limit_s, *wanted)[0]
        return Flows(seconds=found["secs"], each=tuple(found["each"]))

    def ping(
        self,
        port: Target,
        count: int,
        size: int,
        limit_s: float,
        *,
        gap_s: float = 0.0,
        streams: int = 1,
    ) -> RoundTrips:
        """Round trips, each after the other.

        :param count: at most so many.
        :param size: bytes a message.
        :param limit_s: or for so long.
        :param gap_s: the pause between two.
        :param streams: over how many connections, in turns.
        """
        found = self._run(limit_s, "ping", port, streams, count, size, limit_s, int(gap_s * 1e6))[0]
        times = {name: found[name] for name in ("count", "p50_us", "p95_us", "p99_us")}
        return RoundTrips(**times, most_us=found["max_us"])

    def connects(self, port: int, at_once: int, total: int, limit_s: float) -> Connects:
        """Opens, asks one byte back, closes; several at once.

        :param at_once: how many at any moment.
        :param total: how many in all, unless the time is up before.
        :raises MeasureError: when one fails.
        """
        return connects_of(self._run(limit_s, "connrate", port, at_once, total, limit_s)[0], total)

    @contextmanager
    def idle(
        self, port: int, count: int, limit_s: float, *, hold_s: float = 60.0, ports: int = 1
    ) -> Iterator[Idle]:
        """Clients that are connected and silent while the block runs; at its end each must still give a byte back.

        :param port: where they connect to.
        :param count: how many.
        :param limit_s: how long opening may take.
        :param hold_s: when they give up waiting for the block's end.
        :param ports: over how many ports, counted up from the first, they are spread.
        :raises MeasureError: when one cannot be opened, or is dead afterwards.
        """
        arguments = [str(item) for item in ("idle", port, count, hold_s, limit_s, ports)]
        with subprocess.Popen(
            [*self._prefix, self._binary, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdin is not None and process.stdout is not None
                opened = parse_lines(process.stdout.readline())
                if not opened or opened[0]["ok"] != count:
                    served = opened[0]["ok"] if opened else 0
                    raise MeasureError(
                        f"only {served} of {count} idle clients were served in {limit_s:.0f} s"
                    )
                yield Idle(count=count, opening_s=opened[0]["secs"])
                rest, _ = process.communicate("\n", timeout=limit_s + hold_s + SPARE_S)
                served = parse_lines(rest)[0]["ok"]
                if served != count:
                    raise MeasureError(f"only {served} of {count} idle clients were still served afterwards")
            except subprocess.TimeoutExpired as error:
                raise MeasureError(
                    f"{count} idle clients did not end within {limit_s + hold_s:.0f} s"
                ) from error
            finally:
                process.kill()

    def _run(self, limit_s: float, *arguments: object) -> list[dict[str, Any]]:
        command = [*self._prefix, self._binary, *map(str, arguments)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_s + SPARE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MeasureError(
                f"{' '.join(map(str, arguments))} did not end within {limit_s + SPARE_S:.0f} s"
            ) from error
        found = parse_lines(done.stdout)
        if not found:
            raise MeasureError(
                f"{' '.join(map(str, arguments))} said nothing and ended with status {done.returncode}"
            )
        return found
