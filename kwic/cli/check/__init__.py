"""`kwic check`: what is wrong with a configuration, or between the two sides, before anything is started."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from twisted.python import usage

from kwic.cli.check.inspection import NamedFile, Surroundings, inspect
from kwic.cli.check.report import TextReport, as_json
from kwic.cli.config_options import ConfigOptions, options_first
from kwic.config.problem import ConfigError, Severity
from kwic.errors import SetupError
from kwic.transport.resolver import FixedNames

FORMATS = ("text", "json")
PROBLEMS = 1
"""The exit status when there are some."""


class Options(ConfigOptions):
    """The words after `kwic check`."""

    synopsis = "kwic check FILE… [options]"
    about = """\
Finds what is wrong with configuration files, without starting anything and without any network.

One file is checked by itself: every mistake in it, whether its certificates fit its listeners, whether
anybody can satisfy a verify-client. Several files are taken for the instances that work together, cloud and
on-prem, and are also held against each other: do names and addresses meet, have balancers members, do
clusters form; and every TLS handshake between them is rehearsed in memory with the keys of both, so that a
wrong host name, issuer, purpose or date is found here and not at night.

A file that serves several nodes is named once for each, with the properties that differ behind commas:
cloud.xml,cloud-node-hostname=cloud1.example.com

Stores that are not on this machine are a warning. GATEWAY_OPTS counts as it does for a gateway.
Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 called wrongly.
"""
    examples = (
        ("kwic check cloud-config.xml", "one file by itself"),
        ("kwic check cloud.xml onprem.xml -D cloud-node-hostname=cloud1.example.com", "both sides together"),
        (
            "kwic check cloud.xml,node=cloud1 cloud.xml,node=cloud2 onprem.xml -D stores=/tmp/x509/stores",
            "two nodes from one file, and the stores elsewhere than in production",
        ),
        ("kwic check --strict --no-stores --format json etc/*.xml", "for a build"),
    )
    optParameters = [["format", "f", "text", "text, for people, or json, for machines."]]
    optFlags = [
        ["strict", None, "Warnings, too, make the exit status 1."],
        ["no-stores", None, "Do not look into keystores and truststores."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.files: list[NamedFile] = []
        self.names = FixedNames()

    def parseArgs(self, *files: str) -> None:
        """Twisted hands over what is left when the options are taken out."""
        self.files = [named_file(word) for word in files]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As its base, but options may also stand behind the files."""
        super().parseOptions(options_first(self, options))

    def postOptions(self) -> None:
        """:raises UsageError: what is said makes no sense."""
        if not self.files:
            raise usage.UsageError("say which configuration files")
        if self["format"] not in FORMATS:
            raise usage.UsageError(f"--format {self['format']}: use {' or '.join(FORMATS)}")
        try:
            self.names = FixedNames.parse(self.resolves)
        except SetupError as error:
            raise usage.UsageError(str(error)) from error


def named_file(word: str) -> NamedFile:
    """:returns: ``FILE`` or ``FILE,name=value,…``; :raises UsageError: it is neither, or there is no such file."""
    path, *pairs = [word] if Path(word).is_file() else word.split(",")
    defines = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise usage.UsageError(f"{word}: behind the file, write name=value after each comma")
        defines[name] = value
    if not Path(path).is_file():
        raise usage.UsageError(f"{path}: there is no such file")
    return NamedFile(path=Path(path), defines=defines)


def run(options: Options) -> int:
    """Do what was asked. :returns: the exit status."""
    surroundings = Surroundings(
        defines=options.defines,
        environ=dict(os.environ),
        names=options.names,
        now_s=time.time(),
        with_stores=not options["no-stores"],
    )
    try:
        findings = inspect(options.files, surroundings)
    except ConfigError as error:  # GATEWAY_OPTS, before any file
        print(f"kwic check: {error}", file=sys.stderr)
        return PROBLEMS
    if options["format"] == "json":
        print(as_json(findings))
    else:
        for line in TextReport(findings, coloured=is_coloured()).lines():
            print(line)
    failed = findings.count(Severity.ERROR) or (options["strict"] and findings.count(Severity.WARNING))
    return PROBLEMS if failed else 0


def is_coloured() -> bool:
    """:returns: whether the output is a terminal whose user has nothing against colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
