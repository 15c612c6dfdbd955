"""The `kwic` command: finds the verb and runs it."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any

from twisted.python import usage

from kwic import __version__

#: Every verb, with its line in the help; `kwic/cli/<verb>.py` has its options and `run`.
VERBS = {
    "demo": "run the high-availability scenario on this machine and walk through it",
    "check": "find what is wrong with a configuration, or between both sides, before anything is started",
    "explain": "say what a configuration does, in words and as a picture",
    "status": "show a running gateway: who is joined to whom",
    "certs": "make the demo certificates, or show what a store holds",
}
USAGE_ERROR = 2
INTERRUPTED, PIPE_CLOSED = 130, 141
"""As a shell reports a command that SIGINT or SIGPIPE has ended."""


def main(arguments: list[str] | None = None) -> None:
    """
    Run the command.

    :param arguments: without the name of the program; None for those of the process.
    :raises SystemExit: always, with the exit status.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter gets a question mark, not half of the answer.
            stream.reconfigure(errors="replace")
    try:
        try:
            status = run(arguments)
        finally:
            # Python itself does so at the end, when it is too late to make anything of an error.
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = PIPE_CLOSED
    raise SystemExit(status)


def run(arguments: list[str]) -> int:
    """:returns: the exit status; some of Twisted's options raise it as a SystemExit."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if arguments else USAGE_ERROR
    if arguments[0] in ("-V", "--version", "version"):
        print(f"kwic {__version__}")
        return 0
    return run_verb(arguments[0], arguments[1:])


def run_verb(verb: str, arguments: list[str]) -> int:
    """:returns: the exit status of a verb: 0 done, 1 it found something wrong, 2 it was called wrongly."""
    if verb not in VERBS:
        print(f"kwic: there is no {verb!r}; there are: {', '.join(VERBS)}", file=sys.stderr)
        return USAGE_ERROR
    module: Any = import_module(f"kwic.cli.{verb}")
    options = module.Options()
    try:
        options.parseOptions(arguments)
    except usage.UsageError as error:
        print(f"kwic {verb}: {error}\n`kwic {verb} --help` says what can be said", file=sys.stderr)
        return USAGE_ERROR
    try:
        return int(module.run(options) or 0)
    except KeyboardInterrupt:
        return INTERRUPTED


def help_text() -> str:
    """The verbs, a line each."""
    lines = [f"  kwic {verb:<8} {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "KWIC joins a cloud and a data centre through a firewall that lets nothing in.",
            "",
            *lines,
            "",
            "`kwic VERB --help` says more about one. A gateway itself is run by twistd:",
            "  twistd -n kwic --config FILE        (twistd kwic --help)",
        ]
    )


if __name__ == "__main__":
    main()
