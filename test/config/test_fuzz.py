"""Whatever is in the file: a configuration or a list of problems, soon, and nothing else."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.address import parse_address, parse_bind, parse_etcd
from kwic.config.ciphers import parse_ciphers, unspoken_ciphers
from kwic.config.document import LARGEST_FILE, MOST_ELEMENTS
from kwic.config.model import GatewayConfig
from kwic.config.pair import check_pair
from kwic.config.problem import BadValueError, ConfigError, Report, Severity
from kwic.config.properties import DEEPEST, Properties, parse_gateway_opts
from kwic.config.reader import read_text
from kwic.config.service_types import REFUSED_TYPES, TYPES
from kwic.config.tls_names import parse_protocols, unsafe_protocols
from kwic.config.units import parse_rate, parse_size, parse_time_s
from test.config.test_corpus import INVALID, VALID
from test.config.test_etc import ETC
from test.config.test_pair import PAIRS
from test.config.text import echo, gateway

SEEDS = [path.read_bytes() for path in (*VALID, *INVALID, *sorted(ETC.rglob("*.xml")))]
FITTING = [path.read_bytes() for path in (*VALID, *sorted(ETC.rglob("*.xml")))]
FITTING += [path.read_bytes() for folder in PAIRS for path in sorted(folder.glob("*.xml"))]
VALUE = re.compile(rb"<(?P<tag>[a-z.-]+)>(?P<value>[^<>]+)</(?P=tag)>")
VALUES = sorted(
    {(found["tag"], found["value"]) for data in SEEDS + FITTING for found in VALUE.finditer(data)}
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = [
    *(
        "tcp://127.0.0.1:7000",
        "ws://example.com/b",
        "wss://example.com/b",
        "pipe://a",
        "socks://cloud",
        "ssl://a:1",
    ),
    *(
        "tcp://@eth0:5551",
        "udp://224.0.0.1:1",
        "reverse",
        "forward",
        "required",
        "none",
        "55 seconds",
        "128k",
        "443",
    ),
    *(
        "${hostname}",
        "${x:${y:z}}",
        "$${",
        "*",
        "",
        "enabled",
        "etcd://a,b",
        *TYPES,
        *list(REFUSED_TYPES)[:2],
    ),
]
TAGS = [
    *(
        "service",
        "name",
        "accept",
        "connect",
        "balance",
        "type",
        "properties",
        "property",
        "value",
        "security",
    ),
    *(
        "accept-options",
        "connect-options",
        "service-defaults",
        "cluster",
        "keystore",
        "file",
        "pipe.transport",
    ),
    *(
        "socks.mode",
        "socks.transport",
        "ssl.verify-client",
        "tcp.bind",
        "http.transport",
        "authorization-constraint",
    ),
    *(
        "require-role",
        "cross-site-constraint",
        "allow-origin",
        "description",
        "prepared.connection.count",
        "realm",
    ),
]


@st.composite
def damaged(draw: DrawFn) -> bytes:
    """A file of the corpus with pieces of it, or of another one, flipped, cut, doubled and moved."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(("flip", "cut", "double", "noise", "graft"))):
            case "flip" if start < len(data):
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = data[start:end]
            case "noise":
                data[start:end] = draw(st.binary(max_size=12))
            case _:
                other = draw(st.sampled_from(SEEDS))
                begin = draw(st.integers(0, len(other)))
                data[start:end] = other[begin : begin + 60]
    return bytes(data)


@st.composite
def swapped(draw: DrawFn) -> bytes:
    """A file that is valid but for a few values, which are those of other elements, of this file or of another one."""
    data = draw(st.sampled_from(FITTING))
    for _ in range(draw(st.integers(1, 5))):
        spots = list(VALUE.finditer(data))
        if not spots:
            break
        spot = draw(st.sampled_from(spots))
        same = [value for tag, value in VALUES if tag == spot["tag"]]
        value = draw(st.sampled_from(same if draw(st.booleans()) else [value for _, value in VALUES]))
        data = data[: spot.start("value")] + value + data[spot.end("value") :]
    return data


def elements(depth: int = 4) -> st.SearchStrategy[str]:
    """Well-formed elements with the right names in the wrong places."""
    text = st.sampled_from(WORDS)
    inner = text if depth == 0 else st.lists(elements(depth - 1), max_size=5).map("".join) | text
    return st.tuples(st.sampled_from(TAGS), inner).map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0]}>\n")


class FuzzTests(SynchronousTestCase):
    """The reader under abuse."""

    def read(self, data: bytes, file: str = "fuzz.xml") -> GatewayConfig | None:
        """:returns: a configuration; None when there are problems. Either has what belongs to it."""
        try:
            config = read_text(data, file, environ={"PATH": "/bin"})
        except ConfigError as error:
            self.assertTrue(any(problem.severity is Severity.ERROR for problem in error.problems))
            self.assertLessEqual(len(error.problems), Report.LIMIT + 1)
            for problem in error.problems:
                self.assertTrue(problem.message)
                self.assertNotIn("\n", problem.render())
                self.assertLess(len(problem.render()), 2000)
            return None
        self.assertIsInstance(config, GatewayConfig)
        self.assertFalse([problem for problem in config.warnings if problem.severity is Severity.ERROR])
        return config

    @QUICK
    @given(st.binary(max_size=400))
    def test_random_bytes(self, data: bytes) -> None:
        """Bytes that mean nothing are refused."""
        self.read(data)

    @settings(QUICK, max_examples=600)
    @given(damaged())
    def test_damaged_files(self, data: bytes) -> None:
        """Real files with damage are read or refused."""
        self.read(data)

    @settings(QUICK, max_examples=600)
    @given(swapped())
    def test_swapped_values(self, data: bytes) -> None:
        """Files with values of other elements are read or refused."""
        self.read(data)

    @settings(QUICK, max_examples=400)
    @given(st.lists(swapped() | st.sampled_from(FITTING), min_size=2, max_size=4))
    def test_files_together(self, files: list[bytes]) -> None:
        """Whatever is valid by itself can be held against each other; each problem stands in one of the files."""
        read = [self.read(data, f"{number}.xml") for number, data in enumerate(files)]
        for problem in check_pair([config for config in read if config is not None]):
            self.assertTrue(problem.message)
            self.assertNotIn("\n", problem.render())
            self.assertIsNotNone(problem.place)

    @settings(QUICK, max_examples=300)
    @given(st.lists(elements(), max_size=8).map("".join))
    def test_right_names_in_wrong_places(self, body: str) -> None:
        """Well-formed nonsense is read or refused."""
        self.read(gateway(body).encode())

    @settings(QUICK, max_examples=300)
    @given(st.text(max_size=60) | st.sampled_from(WORDS))
    def test_values(self, text: str) -> None:
        """Every parser of a value gives one, or says why not."""
        parsers = (
            *(parse_address, parse_bind, parse_etcd, parse_rate, parse_size, parse_time_s, parse_protocols),
            *(parse_ciphers, unsafe_protocols, unspoken_ciphers),
            Properties(defines={"a": "b"}, environ={}, hostname="h").resolve,
        )
        for parse in parsers:
            for value in (text, f"tcp://{text}", f"ws://{text}", f"pipe://{text}", f"${{{text}", f"{text}:1"):
                with contextlib.suppress(BadValueError):
                    parse(value)

    @QUICK
    @given(st.text(max_size=80))
    def test_gateway_opts(self, text: str) -> None:
        """GATEWAY_OPTS gives properties and warnings, or an error."""
        with contextlib.suppress(ConfigError):
            parse_gateway_opts(text)


class LimitTests(SynchronousTestCase):
    """What is too much is refused for being too much, before it costs anything."""

    def refusal(self, data: bytes) -> str:
        """The last thing said about a file."""
        return self.assertRaises(ConfigError, read_text, data, "big.xml").problems[-1].message

    def test_large_file(self) -> None:
        """A file beyond the limit is not parsed."""
        self.assertIn("larger than", self.refusal(b" " * (LARGEST_FILE + 1)))

    def test_many_elements(self) -> None:
        """Parsing stops at the element that is too many."""
        body = "<service/>" * (MOST_ELEMENTS + 1)
        self.assertIn("more than", self.refusal(gateway(body).encode()))

    def test_many_mistakes(self) -> None:
        """After enough problems the others are only counted."""
        for body in ("<nonsense/>" * 5000, "<service/>" * 5000, "<service><accept-options>" + "<x/>" * 5000):
            closing = "</accept-options></service>" if "accept-options" in body else ""
            problems = self.assertRaises(
                ConfigError, read_text, gateway(body + closing).encode(), "x"
            ).problems
            self.assertLessEqual(len(problems), Report.LIMIT + 1)
            self.assertEqual(problems[-1].message, "these are the first 200 problems, there may be more")

    def test_values_that_double(self) -> None:
        """Properties that repeat each other end at the limit, not in a full memory."""
        items = "".join(
            f"<property><name>p{index}</name><value>{f'${{p{index - 1}}}' * 10 if index else 'ha'}</value></property>"
            for index in range(14)
        )
        self.assertIn("longer than 8192", self.refusal(gateway(f"<properties>{items}</properties>").encode()))

    def test_values_that_nest(self) -> None:
        """Defaults inside defaults, and properties behind properties, end at the limit too."""
        for depth, said in ((DEEPEST, ""), (DEEPEST + 1, "16 deep"), (500, "16 deep")):
            nested = "${a:" * depth + "x" + "}" * depth
            data = gateway(echo(name=nested)).encode()
            if said:
                self.assertIn(said, self.refusal(data))
            else:
                self.assertEqual(read_text(data, "x").services[0].name, "x")
        chain = "".join(
            f"<property><name>p{index}</name><value>${{p{index + 1}}}</value></property>"
            for index in range(2000)
        )
        self.assertIn(
            "there may be more", self.refusal(gateway(f"<properties>{chain}</properties>").encode())
        )

    def test_file_that_is_not_there(self) -> None:
        """A file that cannot be opened is one problem, without a place."""
        from kwic.config.reader import read_config

        error = self.assertRaises(
            ConfigError, read_config, Path("/nonexistent/x.xml"), defines={}, environ={}, hostname="h"
        )
        self.assertEqual(str(error), "error: /nonexistent/x.xml cannot be read: No such file or directory")
