"""`kwic status`: a running gateway as it sees itself: who is joined to whom."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence

from twisted.python import usage

from kwic.cli.config_options import VerbOptions, options_first
from kwic.cli.status.admin import AdminAddress, ask
from kwic.cli.status.page import page
from kwic.errors import SetupError

VARIABLE = "KWIC_ADMIN"
"""The environment variable that says where to ask."""
INTERVAL_S = 1.0
"""Between two looks of --watch."""
NOT_WELL = 1
"""The exit status when the gateway does not answer, or takes no more clients."""
CLEAR = "\x1b[H\x1b[J"


class Options(VerbOptions):
    """The words after `kwic status`."""

    synopsis = "kwic status [--admin WHERE] [options]"
    about = f"""\
Asks a running gateway how it is, and shows it: its listeners, its services with their clients, its tunnels
with the instance at the other end, the time of a round trip and the names in them, and the other members of
its cluster.

The gateway answers where it was told to: twistd kwic --admin WHERE. Without --admin here, the environment
variable {VARIABLE} says where.
Exit status: 0 well, 1 it does not answer or is draining, 2 called wrongly.
"""
    examples = (
        ("kwic status --admin 127.0.0.1:8900", "one look"),
        ("kwic status --admin unix:/run/kwic/admin.sock --watch", "once a second, until Ctrl-C"),
        ("kwic status --admin http://10.0.0.7:8900 --json | jq .tunnels", "for machines"),
    )
    optParameters = [["admin", "a", None, "HOST:PORT, a URL, or unix:PATH."]]
    optFlags = [
        ["json", "j", "Print what the gateway says as it is: one JSON object."],
        ["watch", "w", "Look once a second, until Ctrl-C."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As its base; the address may also stand alone."""
        super().parseOptions(options_first(self, options))

    def parseArgs(self, *where: str) -> None:
        """Twisted hands over what is left when the options are taken out."""
        if len(where) > 1 or (where and self["admin"]):
            raise usage.UsageError("one gateway at a time")
        self["admin"] = self["admin"] or (where[0] if where else os.environ.get(VARIABLE))

    def postOptions(self) -> None:
        """:raises UsageError: nobody can be asked."""
        if not self["admin"]:
            raise usage.UsageError(f"say where the gateway answers: --admin HOST:PORT, or {VARIABLE}")
        try:
            self["address"] = AdminAddress.parse(self["admin"])
        except SetupError as error:
            raise usage.UsageError(str(error)) from error


def run(options: Options, pause: Callable[[float], None] = time.sleep) -> int:
    """Do what was asked.

    :param pause: waits for so many seconds between two looks.
    :returns: the exit status.
    """
    if not options["watch"]:
        return look(options, sys.stderr.write)
    while True:
        if sys.stdout.isatty():
            sys.stdout.write(CLEAR)
        look(options, sys.stdout.write)
        sys.stdout.write("\n")
        sys.stdout.flush()
        pause(INTERVAL_S)


def look(options: Options, complain: Callable[[str], object]) -> int:
    """Ask once, and print the answer.

    :param complain: takes what went wrong.
    :returns: the exit status.
    """
    try:
        found = ask(options["address"])
    except SetupError as error:
        complain(f"kwic status: {error}\n")
        return NOT_WELL
    if options["json"]:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for line in page(found):
            print(line)
    return NOT_WELL if found.get("draining") else 0
