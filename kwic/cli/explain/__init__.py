"""`kwic explain`: what a configuration does, in words and as a picture, before anything is started."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.python import usage

from kwic.cli.columns import printable
from kwic.cli.config_options import ConfigOptions, load_config, merged_defines, options_first
from kwic.cli.explain.boxes import PLAIN, picture
from kwic.cli.explain.dot import dot
from kwic.cli.explain.graph import Graph
from kwic.cli.explain.journey import Journeys
from kwic.cli.explain.story import Story
from kwic.cli.explain.svg import svg
from kwic.cli.explain.telling import tell
from kwic.cli.explain.text import in_words
from kwic.cli.holdings import Holdings, read_holdings
from kwic.cli.offline_names import OfflineNames
from kwic.config.problem import ConfigError
from kwic.errors import SetupError
from kwic.transport.resolver import FixedNames

FORMATS = ("text", "dot", "svg")
FAILED = 1


class Options(ConfigOptions):
    """The words after `kwic explain`."""

    synopsis = "kwic explain FILE… [options]"
    about = """\
Says what a configuration does: every address that it listens at and what answers there, and for each service
the path of its clients, hop by hop, with TLS and identity at each. First a picture, then words.

With the files of both sides a path is followed through the other instance to the server. Interfaces are those
of this machine, or given with --resolve; names of hosts stay names unless --look-up asks name servers. The
stores of the file are read when they are here, to say who is shown and who is trusted.
Exit status: 0 done, 1 a file cannot be started from, 2 called wrongly.
"""
    examples = (
        ("kwic explain cloud-config.xml -D cloud-node-hostname=cloud1.example.com", "one side"),
        ("kwic explain cloud.xml onprem.xml --resolve @eth0=10.0.0.7", "both sides, paths from end to end"),
        ("kwic explain cloud.xml --format svg > cloud.svg", "a picture for a document"),
        ("kwic explain cloud.xml --format dot | dot -Tpdf > cloud.pdf", "the same, drawn by Graphviz"),
    )
    optParameters = [["format", "f", "text", "text, dot (Graphviz) or svg."]]
    optFlags = [
        ["look-up", None, "Ask name servers for the hosts that are listened at."],
        ["no-stores", None, "Do not look into keystores and truststores."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.files: list[Path] = []
        self.names = FixedNames()

    def parseArgs(self, *files: str) -> None:
        """Twisted hands over what is left when the options are taken out."""
        self.files = [Path(file) for file in files]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As its base, but options may also stand behind the files."""
        super().parseOptions(options_first(self, options))

    def postOptions(self) -> None:
        """:raises UsageError: what is said makes no sense."""
        if not self.files:
            raise usage.UsageError("say which configuration file")
        for file in self.files:
            if not file.is_file():
                raise usage.UsageError(f"{file}: there is no such file")
        if self["format"] not in FORMATS:
            raise usage.UsageError(f"--format {self['format']}: use {', '.join(FORMATS)}")
        try:
            self.names = FixedNames.parse(self.resolves)
        except SetupError as error:
            raise usage.UsageError(str(error)) from error


def run(options: Options) -> int:
    """Do what was asked. :returns: the exit status."""
    try:
        stories = told(options)
    except ConfigError as error:
        for problem in error.problems:
            print(problem.render(), file=sys.stderr)
        return FAILED
    lines = {"text": text, "dot": as_dot, "svg": as_svg}[options["format"]](stories)
    is_plain = options["format"] == "text" and not knows_boxes(sys.stdout.encoding)
    for line in lines:
        shown = printable(line)
        print(shown.translate(PLAIN) if is_plain else shown)
    return 0


def knows_boxes(encoding: str | None) -> bool:
    """:returns: whether an encoding has letters to draw with; None is text that is not encoded at all."""
    try:
        "┌═▶".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def told(options: Options) -> list[Story]:
    """Read the files. :raises ConfigError: a gateway could not start with one of them."""
    now_s, environ = time.time(), dict(os.environ)
    defines, _ = merged_defines(options.defines, environ)
    names = OfflineNames.of(options.names, own_interfaces=True, look_up=bool(options["look-up"]))
    stories = []
    for file in options.files:
        config = load_config(file, defines, environ)
        holdings = Holdings() if options["no-stores"] else read_holdings(config, now_s)
        stories.append(tell(config, holdings, names, environ, now_s))
    return stories


def text(stories: Sequence[Story]) -> Iterator[str]:
    """:returns: pictures and words, one instance after the other."""
    journeys = Journeys(stories)
    for number, story in enumerate(stories):
        if number:
            yield ""
        yield from picture(story)
        yield ""
        yield from in_words(story, journeys)


def as_dot(stories: Sequence[Story]) -> Iterator[str]:
    """:returns: the lines of a drawing for Graphviz."""
    return dot([Graph(story) for story in stories])


def as_svg(stories: Sequence[Story]) -> Iterator[str]:
    """:returns: the lines of a drawing."""
    return svg([Graph(story) for story in stories])
