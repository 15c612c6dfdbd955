"""
How log lines look: the level first, as operators of KWIC 5 know them, and nothing else on standard output, where systemd or Docker add the time. A
log file gets the time in front.

    INFO  [wsn#8 172.34.0.2:38192] OPENED: (#00000008: kwic wsn, client, …)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatTime,
)
from twisted.python.logfile import LogFile

_NAMES = {"debug": "DEBUG", "info": "INFO", "warn": "WARN", "error": "ERROR", "critical": "ERROR"}
#: Twisted says these at level info; they are no news to an operator.
_QUIET = (
    "log_legacy",
    "twisted.internet",
    "twisted.protocols",
    "twisted.application.runner",
    "twisted.web",
    "autobahn",
    "txaio",
)
#: Bytes after which a log file is put aside.
ROTATE_BYTES = 50_000_000


def format_line(event: LogEvent) -> str | None:
    """One event as one line; a failure's traceback goes below it."""
    if _is_noise(event):
        return None
    text = eventAsText(event, includeTimestamp=False, includeSystem=False).rstrip("\n")
    level = _NAMES.get(getattr(event.get("log_level"), "name", "info"), "INFO")
    return f"{level:<5} {text}\n"


def format_dated_line(event: LogEvent) -> str | None:
    """One event as one line, with its time."""
    line = format_line(event)
    return None if line is None else f"{formatTime(event.get('log_time'))} {line}"


def _is_noise(event: LogEvent) -> bool:
    level = event.get("log_level", LogLevel.info)
    return level <= LogLevel.info and str(event.get("log_namespace", "")).startswith(_QUIET)


def make_observer(*, logfile: str | None, level: str) -> ILogObserver:
    """
    What writes the log.

    :param logfile: a path, which is rotated; None or `-` for standard output.
    :param level: the lowest level that is written: debug, info, warn or error.
    """
    if logfile in (None, "", "-"):
        stream: Any = _Flushed(sys.stdout)
        observer = FileLogObserver(stream, format_line)
    else:
        rotated: Any = LogFile.fromFullPath(logfile, rotateLength=ROTATE_BYTES, maxRotatedFiles=9)
        observer = FileLogObserver(rotated, format_dated_line)
    wanted: Callable[[LogEvent], Any] = LogLevelFilterPredicate(LogLevel.lookupByName(level))
    return FilteringLogObserver(observer, [wanted])  # type: ignore[list-item]


class _Flushed:
    """A stream whose lines are seen at once, also through a pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def flush(self) -> None:
        self._stream.flush()
