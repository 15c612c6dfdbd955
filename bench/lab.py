"""What every pair of one run shares: the load client, its sink, the certificates, a folder, free ports, the cores."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bench.certificates import Certificates
from bench.daemon import Daemon
from bench.errors import SetupError
from bench.loadgen import Loadgen
from bench.ports import FreePorts
from bench.roundtrip import answers

SINK_READY_S = 5.0


class Lab:
    """The bench itself, laid out and cleared away as a context manager.

    :param cores: the numbers of the cores that everything runs on.
    :param keep: a folder for configuration files and logs that stays; None is a temporary one that does not.
    """

    def __init__(self, *, cores: Sequence[int], keep: Path | None = None) -> None:
        self.cores = tuple(cores)
        self.ports = FreePorts()
        self._keep = keep

    def __enter__(self) -> Self:
        self.folder = self._keep or Path(tempfile.mkdtemp(prefix="kwic-bench-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.loadgen = Loadgen.build(self.folder)
            self.certificates = Certificates.make(self.folder / "certificates")
            self.sink_port = self.ports.one()
            self.sink = self.loadgen.sink(self.sink_port, self.folder / "sink.log")
            os.sched_setaffinity(0, self.cores)
            self.sink.start()
            self._wait_for_sink()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "sink"):
            self.sink.stop()
        if self._keep is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def place(self, name: str) -> Path:
        """A folder of its own for a pair's files.

        :param name: the pair's.
        """
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @contextmanager
    def only_on(self, cores: Sequence[int], daemons: Sequence[Daemon]) -> Iterator[None]:
        """Runs the clients, the sink and some programs on some cores while the block runs.

        :param cores: the cores.
        :param daemons: the programs.
        """
        moved = [self.sink, *daemons]
        try:
            os.sched_setaffinity(0, cores)
            for daemon in moved:
                daemon.pin(cores)
            yield
        finally:
            os.sched_setaffinity(0, self.cores)
            for daemon in moved:
                daemon.pin(self.cores)

    def _wait_for_sink(self) -> None:
        deadline = time.monotonic() + SINK_READY_S
        while not answers(self.sink_port):
            if time.monotonic() > deadline or not self.sink.is_alive:
                raise SetupError(f"the sink did not start: {self.sink.tail()}")
