"""`kwic explain` as it is typed, and what it says and draws."""

from __future__ import annotations

import io
import os
import socket
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from kwic.cli import explain
from kwic.cli.columns import columns
from kwic.cli.explain import Options, as_dot, as_svg, told
from kwic.cli.explain.boxes import picture
from kwic.cli.explain.graph import IN, OUT, SERVICE, WHO, Graph
from kwic.cli.explain.journey import Journeys
from kwic.cli.explain.layout import LETTER, Layout
from kwic.cli.explain.story import Dialled, Story
from kwic.cli.explain.telling import tell
from kwic.cli.explain.text import WIDTH, in_words
from kwic.cli.holdings import Holdings
from kwic.cli.main import main
from kwic.cli.offline_names import OfflineNames
from kwic.config.model import GatewayConfig
from kwic.config.problem import ConfigError
from kwic.transport.listen import has_ipv6
from kwic.transport.resolver import FixedNames
from test.cli.files import FilesTestCase, StoresTestCase, security_of
from test.config.test_corpus import VALID, read_file
from test.config.test_etc import ETC, load
from test.config.test_pair import PAIRS
from test.config.text import echo, options, proxy, read, reverse
from test.transport.tls_ends import NOW_S

GOLDEN = Path(__file__).parent / "golden"
NAMES = OfflineNames.of(FixedNames.parse(["@eth0=172.34.0.7"]))
FORWARD = options(pipe_transport="socks://onprem", socks_transport="ws://onprem/kwic")


def story_of(config: GatewayConfig, **environ: str) -> Story:
    """The story of a configuration, without stores, wherever it is told."""
    return tell(config, Holdings(), NAMES, environ, NOW_S)


def every_story() -> list[Story]:
    """Those of all examples and of all valid files."""
    found = [load(str(path.relative_to(ETC))) for path in sorted(ETC.rglob("*.xml"))]
    found += [read_file(path) for path in VALID]
    found += [read_file(path) for folder in PAIRS for path in sorted(folder.glob("*.xml"))]
    stories = []
    for config in found:
        try:
            stories.append(story_of(config))
        except ConfigError:  # an interface that the file calls by two names
            continue
    return stories


class GoldenTests(FilesTestCase):
    """Whole answers."""

    def test_golden(self) -> None:
        """The examples, one side and both, are told as they were."""
        self.patch(sys, "stdout", io.StringIO())
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(ETC.parent)  # a path of another length would break the lines elsewhere
        for name, files, words in (
            ("simple-cloud", ["simple/cloud"], []),
            ("ha-both", ["ha/cloud", "ha/onprem"], ["-Dcloud-node-hostname=cloud1.example.com"]),
            (
                "forward-proxy-onprem",
                ["forward-proxy/onprem"],
                ["-Dhttp.proxyHost=squid", "-Dhttp.proxyPort=3128"],
            ),
        ):
            paths = [f"etc/{file}-config.xml" for file in files]
            status, out, err = self.type(
                explain, *paths, *words, "--no-stores", "--resolve", "@eth0=172.34.0.7"
            )
            self.assertEqual((status, err), (0, ""))
            path = GOLDEN / f"explain-{name}.txt"
            if os.environ.get("KWIC_GOLDEN"):
                path.write_text(out, encoding="utf-8")
            self.assertEqual(out, path.read_text(encoding="utf-8"), name)

    def setUp(self) -> None:
        super().setUp()
        if golden := _GOLDEN:
            self.patch(os, "environ", {"KWIC_GOLDEN": golden})


_GOLDEN = os.environ.get("KWIC_GOLDEN")
"""Set it to write the golden files anew."""


class StoryTests(SynchronousTestCase):
    """What is told."""

    def test_interface_with_several_addresses(self) -> None:
        """The addresses of one interface are one door; one without an address says how to give it one."""
        names = OfflineNames.of(FixedNames.parse(["@eth0=10.0.0.1,fe80::1%eth0"]))
        config = read(
            proxy("tcp://@eth0:1"), proxy("tcp://@eth1:2", name="B"), proxy("tcp://host:3", name="C")
        )
        doors = tell(config, Holdings(), names, {}, NOW_S).doors
        self.assertEqual(
            [door.addresses for door in doors],
            [("10.0.0.1:1", "[fe80::1%eth0]:1"), ("@eth1:2",), ("host:3",)],
        )
        self.assertEqual(doors[0].unknown, "")
        self.assertIn("--resolve @eth1=ADDR", doors[1].unknown)
        self.assertIn("--look-up", doors[2].unknown)

    def test_wildcard(self) -> None:
        """Every address means both families, also where a machine without IPv6 is asked."""

        def refuse(*_: object) -> None:
            raise OSError

        has_ipv6.cache_clear()
        self.addCleanup(has_ipv6.cache_clear)
        self.patch(socket, "socket", refuse)
        self.assertFalse(FixedNames().ipv6)
        names = OfflineNames.of(FixedNames())
        config = read(proxy("tcp://@eth0:7", accept_options=options(tcp_bind="7")))
        doors = tell(config, Holdings(), names, {}, NOW_S).doors
        self.assertEqual([door.addresses for door in doors], [("0.0.0.0:7", "[::]:7")])

    def test_bind(self) -> None:
        """What a bind option moves is shown where it would be."""
        config = read(proxy("ws://cloud/a", accept_options=options(tcp_bind="10.0.0.9:8080")))
        story = story_of(config)
        self.assertEqual(story.doors[0].addresses, ("10.0.0.9:8080",))
        self.assertEqual(story.doors[0].answers[0].at, "cloud:80/a")

    def test_who_dials(self) -> None:
        """In reverse mode the cloud is dialled and the agent dials; in forward mode it is the other way around."""
        tunnel = reverse("ws://cloud/kwic")
        cases = (
            (proxy(connect="pipe://a", connect_options=tunnel), "out", Dialled.BY_OTHERS),
            (proxy("pipe://a", accept_options=tunnel), "in", Dialled.BY_US),
            (proxy(connect="pipe://a", connect_options=FORWARD), "out", Dialled.BY_US),
            (proxy("pipe://a", accept_options=FORWARD), "in", Dialled.BY_OTHERS),
        )
        for text, side, dialled in cases:
            (chapter,) = story_of(read(text)).chapters
            (way,) = chapter.ways_out if side == "out" else chapter.ways_in
            self.assertEqual((way.is_tunnel, way.dialled), (True, dialled), text)

    def test_http_proxy(self) -> None:
        """The proxy on the way is named, also one that cannot be used."""
        config = read(proxy(connect="ws://cloud/a"))
        (way,) = story_of(config, HTTP_PROXY="http://squid:3128").chapters[0].ways_out
        self.assertIn(("through", "the HTTP proxy squid:3128"), way.facts)
        (way,) = story_of(config, HTTP_PROXY="ftp://squid").chapters[0].ways_out
        self.assertIn("nothing: HTTP_PROXY names a ftp proxy", dict(way.facts)["through"])

    def test_what_is_allowed(self) -> None:
        """Constraints, rates, browsers and silence are told where they count."""
        rest = (
            "<authorization-constraint><require-role>tenant101</require-role></authorization-constraint>"
            "<cross-site-constraint><allow-origin>https://a.example.com</allow-origin></cross-site-constraint>"
        )
        config = read(
            "<security><keystore><file>k</file></keystore></security>",
            proxy(
                "wss://cloud/a",
                accept_options=options(
                    ssl_verify__client="optional",
                    tcp_maximum_outbound_rate="5kB/s",
                    ws_inactivity_timeout="9 s",
                ),
                rest=rest,
            ),
            proxy(
                "wss://cloud/b",
                name="B",
                rest="<authorization-constraint><require-valid-user/></authorization-constraint>",
            ),
        )
        first, second = (dict(chapter.ways_in[0].facts) for chapter in story_of(config).chapters)
        self.assertEqual(first["allowed"], "clients whose certificate names “tenant101”")
        self.assertEqual(first["at most"], "5000 B/s to each client")
        self.assertIn("https://a.example.com", first["browsers"])
        self.assertIn("after 9 s", first["silence"])
        self.assertIn("anybody; who shows a certificate must have it from a public CA", first["who"])
        self.assertEqual(second["allowed"], "clients with any certificate that verifies")

    def test_encryption_elsewhere(self) -> None:
        """TLS that something in between puts on or takes off is not ours."""
        tls = options(ssl_encryption="disabled")
        config = read(proxy("wss://cloud/a", "ssl://server:1", accept_options=tls, connect_options=tls))
        story = story_of(config)
        self.assertIn("something in front of it takes the TLS off", story.doors[0].tls)
        self.assertIn("ssl.encryption disabled", dict(story.chapters[0].ways_out[0].facts)["TLS"])
        self.assertFalse(story.chapters[0].ways_out[0].secure)

    def test_names_that_meet(self) -> None:
        """Names that cannot share an address are told as when the gateway starts."""
        config = read(proxy("tcp://one:1"), proxy("tcp://two:1", name="B"))
        names = OfflineNames.of(FixedNames.parse(["one=10.0.0.1", "two=10.0.0.1"]))
        error = self.assertRaises(ConfigError, tell, config, Holdings(), names, {}, NOW_S)
        self.assertIn("cannot be told apart", str(error))

    def test_cluster(self) -> None:
        """Members without keys, and without anybody to look for, are told."""
        cluster = '<cluster kwic:insecure="true"><name>c</name><accept>tcp://@eth0:1</accept>{}</cluster>'
        facts = dict(story_of(read(proxy(), cluster.format("<connect>tcp://cloud2:1</connect>"))).cluster)
        self.assertEqual(facts["listens"], "172.34.0.7:1")
        self.assertEqual(facts["looks at"], "tcp://cloud2:1")
        self.assertIn("whoever can reach it", facts["TLS"])
        alone = "<cluster><name>c</name><connect>etcd://etcd1</connect></cluster>"
        facts = dict(story_of(read(proxy(), alone)).cluster)
        self.assertEqual(facts["looks at"], "etcd://etcd1:2379")
        self.assertIn("nowhere", facts["listens"])
        self.assertNotIn("TLS", facts)


class PapersTests(StoresTestCase):
    """Who is shown and who is trusted."""

    def facts(self, security: str, service: str) -> tuple[dict[str, str], dict[str, str]]:
        """:returns: the facts of the first way in and the first way out."""
        options_ = Options()
        options_.parseOptions([self.write("a.xml", security, service)])
        (story,) = told(options_)
        (chapter,) = story.chapters
        return dict(chapter.ways_in[0].facts), dict(chapter.ways_out[0].facts)

    def test_names(self) -> None:
        """Certificates are called by their names when the stores are here."""
        entries = self.scene.server("cloud", "b", "c", "d", "e"), self.scene.client()
        security = self.scene.security("a", *entries, trusted=[self.scene.client_ca.certificate])
        way_in, way_out = self.facts(
            security_of(security),
            proxy("wss://cloud/a", "ssl://server:1", accept_options=options(ssl_verify__client="required")),
        )
        self.assertRegex(
            way_in["TLS"], r"^1\.3 or 1\.2; we show CN=server \(for cloud, b, c and 2 others\), good until \d"
        )
        self.assertEqual(way_in["who"], "only those with a certificate from CN=Test Client CA")
        self.assertIn("must prove to be server, by a certificate from CN=Test Client CA", way_out["TLS"])
        self.assertRegex(
            way_out["who"], r"^we show CN=tenant101, good until \d{4}-\d\d-\d\d, if we are asked$"
        )

    def test_nothing_to_show(self) -> None:
        """What is not there cannot be shown, and why is told."""
        for entries, client in (
            ((), "no certificate: there is no keystore"),
            ((self.scene.server("cloud"),), "no certificate: none in the keystore is meant for clients"),
            (
                (self.scene.client(starts=-9, days=-1),),
                "nothing: keystore-a.jks: the certificate CN=tenant101",
            ),
        ):
            security = self.scene.security("a", *entries)
            way_out = self.facts(security_of(security), proxy(connect="ssl://server:1"))[1]
            self.assertIn(f"we show {client}", self.plain(way_out["who"]))
            self.assertIn("a public CA that this system trusts", way_out["TLS"])
        way_in = self.facts(security_of(security), proxy("wss://cloud/a"))[0]
        self.assertIn("we show nothing: keystore-a.jks: no certificate for cloud", self.plain(way_in["TLS"]))


class PictureTests(SynchronousTestCase):
    """All pictures of all valid files."""

    def test_fits_the_terminal(self) -> None:
        """No line below the file's name is wider than 100 columns, and all lines of a row are equally long."""
        for story in every_story():
            title, *lines = picture(story)
            self.assertEqual(title, story.config.file)
            for line in lines:
                self.assertLessEqual(columns(line), 100, line)
                if line[:1] in "┌│├└":
                    self.assertEqual(columns(line), 100, line)

    def test_no_line_is_too_long(self) -> None:
        """Words go on below, but no name is broken."""
        for story in every_story():
            for line in in_words(story, Journeys([story])):
                self.assertTrue(columns(line) <= WIDTH or len(line.split()) <= 2, line)

    def test_wide_letters(self) -> None:
        """Letters of two columns do not break the boxes."""
        for line in picture(story_of(read(echo(name="名前名前名前名前名前名前名前")))):
            if line[:1] in "┌│├└":
                self.assertEqual(columns(line), 100, line)

    def test_nothing_overlaps(self) -> None:
        """Boxes stand apart, text stays inside them, and lines end at their borders, inside the drawing."""
        for story in every_story():
            layout = Layout(Graph(story), 0, 0)
            boxes = list(layout.boxes.values())
            for number, box in enumerate(boxes):
                self.assertLessEqual(max(columns(line) for line in box.head) * LETTER, box.width - 10)
                for other in boxes[number + 1 :]:
                    apart = (
                        box.x + box.width < other.x
                        or other.x + other.width < box.x
                        or box.y + box.height < other.y
                        or other.y + other.height < box.y
                    )
                    self.assertTrue(apart, f"{story.config.file}: {box.node.title} and {other.node.title}")
            for edge in layout.graph.edges:
                left, right = layout.boxes[edge.left], layout.boxes[edge.right]
                self.assertLess(left.x + left.width, right.x)
                self.assertEqual(
                    sorted({WHO, IN, SERVICE, OUT}).index(right.node.column), left.node.column + 1, edge
                )
                for box, port in ((left, edge.left_port), (right, edge.right_port)):
                    self.assertTrue(box.y < box.middle(port) < box.y + box.height)
                    self.assertLessEqual(box.y + box.height, layout.bottom)
                    self.assertLessEqual(box.x + box.width, layout.right + 0.01)

    def test_svg_is_xml(self) -> None:
        """Each drawing is well-formed, in ASCII, and has every service in it."""
        for story in every_story():
            text = "\n".join(as_svg([story]))
            self.assertTrue(text.isascii())
            root = ET.fromstring(text)
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            texts = "".join("".join(item.itertext()) for item in root.iter()).replace(" ", "")
            for service in story.config.services:
                self.assertIn("".join(service.name.split()), texts)

    def test_dot_is_balanced(self) -> None:
        """Names of any kind leave quotes, brackets and the parts of records where they were."""
        name = 'a "b" {c|d} &lt;e&gt; \\n'
        lines = list(as_dot([story_of(read(echo(name=name), proxy("ws://h:1/x", name="B")))]))
        text = "\n".join(lines)
        self.assertIn('label="a \\"b\\" \\{c\\|d\\} \\<e\\> \\\\n\\l(echo)\\l"', text)
        for story in every_story():
            for line in as_dot([story]):
                bare = line.replace("\\\\", "").replace('\\"', "")
                self.assertEqual(bare.count('"') % 2, 0, line)
        self.assertEqual((lines[0], lines[-1]), ("digraph kwic {", "}"))

    def test_both_directions(self) -> None:
        """A line points to who is dialled, and tunnels are thick."""
        tunnel = reverse("ws://cloud/kwic")
        cloud = "\n".join(as_dot([story_of(read(proxy(connect="pipe://a", connect_options=tunnel)))]))
        self.assertEqual(cloud.count("dir=back"), 1)
        self.assertEqual(cloud.count("penwidth=3"), 2)  # the agents at the door, and the service's way out
        agent = "\n".join(as_dot([story_of(read(proxy("pipe://a", accept_options=tunnel)))]))
        self.assertEqual((agent.count("dir=back"), agent.count("penwidth=3")), (1, 1))


class CommandTests(FilesTestCase):
    """What can be said."""

    def wrong(self, *words: str) -> str:
        return str(self.assertRaises(usage.UsageError, Options().parseOptions, list(words)))

    def test_formats(self) -> None:
        """Text, Graphviz and a drawing."""
        path = self.write("a.xml", echo())
        for name, beginning in (("text", "a.xml\n┌"), ("dot", "digraph"), ("svg", "<svg ")):
            status, out, err = self.type(explain, path, "-f", name)
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith(beginning), out)

    def test_terminal_without_boxes(self) -> None:
        """Where there are no such letters, boxes are drawn with what there is."""

        class Old(io.StringIO):
            encoding = "ascii"

        self.patch(sys, "stdout", Old())
        options_ = Options()
        options_.parseOptions([self.write("a.xml", echo())])
        self.assertEqual(explain.run(options_), 0)
        self.assertIn("+------", sys.stdout.getvalue())
        self.assertTrue(sys.stdout.getvalue().isascii())
        self.assertFalse(explain.knows_boxes("nosuch"))
        self.assertTrue(explain.knows_boxes(None))

    def test_file_that_is_wrong(self) -> None:
        """What a gateway cannot start from cannot be explained, and why is told."""
        status, out, err = self.type(explain, self.write("a.xml", proxy("tcp://${x}:1")))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("a.xml:2:", err)
        self.assertIn("has no value", err)

    def test_wrong_store(self) -> None:
        """A damaged store does not keep a file from being explained: `kwic check` tells about it."""
        (self.folder / "k").write_bytes(b"nonsense")
        status, out, _ = self.type(
            explain,
            self.write(
                "a.xml", "<security><keystore><file>k</file></keystore></security>", proxy("wss://h/a")
            ),
        )
        self.assertEqual(status, 0)
        self.assertIn("the certificate for h in k", " ".join(out.split()))

    def test_wrong_calls(self) -> None:
        """What makes no sense is told."""
        path = self.write("a.xml", echo())
        self.assertIn("say which", self.wrong())
        self.assertIn("there is no such file", self.wrong("nosuch.xml"))
        self.assertIn("use text, dot, svg", self.wrong(path, "--format", "png"))
        self.assertIn("write HOST=ADDR", self.wrong(path, "--resolve", "a"))

    def test_look_up(self) -> None:
        """Name servers are asked when that is asked for; who has no answer stays a name."""
        path = self.write("a.xml", echo("tcp://localhost:7"), echo("tcp://nosuch.invalid:8", name="B"))
        out = self.type(explain, path)[1]
        self.assertIn("  localhost:7: TCP, no TLS", out)
        out = self.type(explain, path, "--look-up")[1]
        self.assertIn("127.0.0.1:7", out)
        self.assertIn("  nosuch.invalid:8: TCP, no TLS", out)

    def test_help_teaches(self) -> None:
        """The help has examples on lines of their own."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.assertRaises(SystemExit, main, ["explain", "--help"])
        self.assertIn("\n  kwic explain cloud.xml --format svg > cloud.svg\n", out.getvalue())
        self.assertTrue(all(len(line) <= 110 for line in out.getvalue().splitlines()))


class JourneyTests(FilesTestCase):
    """Paths through several instances."""

    def both(self, *words: str) -> str:
        tunnel = reverse("ws://cloud/kwic")
        cloud = self.write("cloud.xml", proxy(connect="pipe://a", name="A", connect_options=tunnel))
        onprem = self.write(
            "onprem.xml",
            proxy("pipe://a", "tcp://server:9", name="A2", accept_options=tunnel),
            proxy("tcp://127.0.0.1:5", "tcp://127.0.0.1:7000", name="C"),
        )
        return self.said(cloud, onprem, *words)

    def said(self, *words: str) -> str:
        """What is said about files, without its line breaks: they depend on where the files are."""
        return " ".join(self.type(explain, *words)[1].split())

    def test_to_the_server(self) -> None:
        """With the other side's file a client is followed to the server, also through a plain port."""
        out = self.both()
        self.assertIn(" 3. at A2 of onprem.xml they are connected to tcp://server:9 TLS none ", out)
        self.assertIn(" 3. at A of cloud.xml they go through the tunnel of an agent that offers “a”", out)
        self.assertNotIn("its own file names", out)

    def test_circle(self) -> None:
        """Who goes around in circles is followed once."""
        path = self.write(
            "a.xml",
            proxy("ws://a:1/x", "ws://a:1/y", name="A"),
            proxy("ws://a:1/y", "ws://a:1/x", name="B"),
        )
        out = self.said(path)
        self.assertEqual(out.count(" 4. so they come to A, as above"), 1)
        self.assertEqual(out.count(" 4. so they come to B, as above"), 1)

    def test_through_a_balancer(self) -> None:
        """Clients of a balancer are followed to the members of all files."""
        balancer = "<service><name>LB</name><accept>wss://h/b</accept><type>balancer</type></service>"
        member = "<service><name>B{0}</name><accept>wss://h{0}/b</accept><connect>tcp://server{0}:9</connect><balance>wss://h/b</balance><type>proxy</type></service>"
        keys = "<security><keystore><file>k</file></keystore></security>"
        cluster = "<cluster><name>c</name><accept>tcp://localhost:1</accept></cluster>"
        files = [
            self.write(f"{n}.xml", keys, *([balancer] if n == 1 else []), member.format(n), cluster)
            for n in (1, 2)
        ]
        out = self.said(*files)
        self.assertIn(
            " 3. at B1 they are connected to tcp://server1:9 TLS none 3. at B2 of 2.xml they are ", out
        )

    def test_pipes_inside(self) -> None:
        """A pipe that stays inside leads to its other end."""
        path = self.write(
            "a.xml", proxy(connect="pipe://p", name="A"), proxy("pipe://p", "tcp://server:9", name="B")
        )
        out = self.said(path)
        self.assertIn(
            " 2. they go to service “B” of this process, through pipe://p 3. at B they",
            out,
        )
        self.assertIn(" 1. clients come from service “A” of this process, through pipe://p ", out)
