"""Whatever can be started from can be explained and checked."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.check.certificates import Instance
from kwic.cli.check.handshakes import Rehearsals
from kwic.cli.explain import as_dot, as_svg, text
from kwic.cli.explain.story import Story
from kwic.cli.explain.telling import tell
from kwic.cli.holdings import Holdings
from kwic.cli.offline_names import OfflineNames
from kwic.config.model import GatewayConfig
from kwic.config.problem import ConfigError
from kwic.config.reader import read_text
from kwic.transport.resolver import FixedNames
from kwic.transport.tls_options import ciphers_are_left
from test.config.test_fuzz import FITTING, QUICK, swapped
from test.transport.tls_ends import NOW_S

NAMES = OfflineNames.of(FixedNames.parse(["@eth0=172.34.0.7,fe80::7%eth0", "example.com=172.34.0.7"]))


class FuzzTests(SynchronousTestCase):
    """Valid files with values of other elements."""

    def read(self, files: list[bytes]) -> list[GatewayConfig]:
        """:returns: what those are that can be started from."""
        found = []
        for number, data in enumerate(files):
            with contextlib.suppress(ConfigError):
                found.append(read_text(data, f"{number}.xml", checks=[ciphers_are_left]))
        return found

    @settings(QUICK, max_examples=300)
    @given(st.lists(swapped() | st.sampled_from(FITTING), min_size=1, max_size=3))
    def test_explain(self, files: list[bytes]) -> None:
        """Each has a picture, words, and drawings that can be drawn."""
        stories: list[Story] = []
        for config in self.read(files):
            # Two names that turn out to be one address are found when names are resolved.
            with contextlib.suppress(ConfigError):
                stories.append(tell(config, Holdings(), NAMES, {"HTTPS_PROXY": "http://squid:3128"}, NOW_S))
        for line in (*text(stories), *as_dot(stories)):
            self.assertNotIn("\n", line)
        if stories:
            ET.fromstring("\n".join(as_svg(stories)))

    @settings(QUICK, max_examples=300)
    @given(st.lists(swapped() | st.sampled_from(FITTING), min_size=2, max_size=3))
    def test_check(self, files: list[bytes]) -> None:
        """Without stores no handshake can be held, and nothing is said about one."""
        instances = [Instance(config=config, holdings=Holdings()) for config in self.read(files)]
        rehearsals = Rehearsals(instances, NOW_S)
        found = [problem for problem in rehearsals.problems() if "has no keystore" not in problem.message]
        self.assertEqual((found, rehearsals.count), ([], 0))
