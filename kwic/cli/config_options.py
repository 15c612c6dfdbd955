"""What all commands that read a configuration file have in common: ``-D``, ``--resolve``, ``GATEWAY_OPTS``, the reading itself."""

from __future__ import annotations

import getopt
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from twisted.python import usage

from kwic import __version__
from kwic.config.model import GatewayConfig
from kwic.config.problem import Problem
from kwic.config.properties import parse_gateway_opts
from kwic.config.reader import read_config
from kwic.policy.forward_proxy import unusable_proxies
from kwic.transport.tls_options import ciphers_are_left


class VerbOptions(usage.Options):
    """The options of a verb whose help teaches: what it does, what can be said, what others have said."""

    synopsis: str
    longdesc = ""  # Twisted would show it behind the options, in one paragraph
    about = ""
    """What the verb does, in lines."""
    examples: Sequence[tuple[str, str]] = ()
    """What to type, and what it is for."""

    def getUsage(self, width: int | None = None) -> str:
        """:returns: the help below the synopsis."""
        lines = ["", self.about.strip(), "", str(super().getUsage(width)).rstrip()]
        for command, what in self.examples:
            lines += ["", f"  # {what}", f"  {command}"]
        return "\n".join([*lines, ""])

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"KWIC {__version__}")
        raise SystemExit(0)


class ConfigOptions(VerbOptions):
    """The options of a command that reads configuration files."""

    def __init__(self) -> None:
        super().__init__()
        self.defines: dict[str, str] = {}
        """The properties of the command line."""
        self.resolves: list[str] = []
        """For :meth:`kwic.transport.resolver.FixedNames.parse`."""

    def opt_define(self, definition: str) -> None:
        """NAME=VALUE: a property for ${NAME} in the configuration. May be given several times."""
        name, equals, value = definition.partition("=")
        if not name or not equals:
            raise usage.UsageError(f"-D {definition}: write -D NAME=VALUE")
        self.defines[name] = value

    opt_D = opt_define

    def opt_resolve(self, definition: str) -> None:
        """HOST=ADDR[,ADDR]: the addresses of a host name, instead of asking a name server; @eth0=ADDR stands in for an interface."""
        self.resolves.append(definition)


def options_first(parser: usage.Options, words: Sequence[str] | None) -> list[str]:
    """:returns: the words with the options in front, where Twisted's parser wants them.

    :param words: as typed; None for those of the process.
    :raises UsageError: an option is unknown, or lacks its value.
    """
    typed = list(sys.argv[1:] if words is None else words)
    try:
        options, arguments = getopt.gnu_getopt(typed, parser.shortOpt, parser.longOpt)
    except getopt.error as error:
        raise usage.UsageError(str(error)) from error
    first = [word for name, value in options for word in ((name, value) if value else (name,))]
    return [*first, "--", *arguments]


def merged_defines(
    defines: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """The properties of the command line over those of ``GATEWAY_OPTS``.

    :returns: the properties, and a warning for each thing in ``GATEWAY_OPTS`` that is none.
    :raises ConfigError: it cannot be read.
    """
    given, warnings = parse_gateway_opts(environ.get("GATEWAY_OPTS", ""))
    return {**given, **defines}, warnings


def load_config(path: Path, defines: Mapping[str, str], environ: Mapping[str, str]) -> GatewayConfig:
    """Reads a file as a gateway on this machine would.

    :param defines: every property from outside the file.
    :param environ: the environment.
    :raises ConfigError: all that keeps a gateway from starting with the file.
    """
    checks = (ciphers_are_left, partial(unusable_proxies, environ=environ))
    return read_config(path, defines=defines, environ=environ, hostname=socket.gethostname(), checks=checks)
