"""Problems, and lines made from them and into them."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import GatewayConfig
from kwic.config.problem import ConfigError, Place, Problem, Severity, reasons, refusal
from kwic.config.reader import read_text
from kwic.errors import SetupError
from test.config.text import echo, gateway

PLACE = Place(file="cloud.xml", line=12, column=7, path="gateway-config/security/keystore/file")


class ProblemTests(SynchronousTestCase):
    """What is wrong, in one line each."""

    def test_from_a_line(self) -> None:
        """A line says what is wrong, and behind a semicolon what to do about it."""
        found = refusal(PLACE, "/k.pw: there is no such file; check the path", "cluster: ")
        self.assertEqual(
            found,
            Problem(place=PLACE, message="cluster: /k.pw: there is no such file", hint="check the path"),
        )
        bare = refusal(PLACE, SetupError("it is old"), severity=Severity.WARNING)
        self.assertEqual(
            bare.render(), "cloud.xml:12:7: warning: it is old [gateway-config/security/keystore/file]"
        )

    def test_reasons(self) -> None:
        """A configuration has a line for each problem, everything else one."""
        problems = (Problem(place=None, message="a"), Problem(place=None, message="b", hint="c"))
        self.assertEqual(reasons(ConfigError(problems)), ("error: a", "error: b; c"))
        self.assertEqual(reasons(SetupError("d")), ("d",))


class CheckTests(SynchronousTestCase):
    """What else must be so, known to the caller alone."""

    def test_checks_of_the_caller(self) -> None:
        """They see the configuration, and what they find is told in one run with all else."""
        found = Problem(place=None, message="not on this machine")

        def check(config: GatewayConfig) -> Iterator[Problem]:
            yield from [found] * len(config.services)

        data = gateway(echo(), echo("tcp://127.0.0.1", name="B")).encode()
        error = self.assertRaises(ConfigError, read_text, data, "a.xml", checks=[check])
        self.assertEqual(error.problems[0], found)
        self.assertIn("has no port", error.problems[-1].message)
        self.assertEqual(read_text(gateway().encode(), "a.xml", checks=[check]).services, ())
