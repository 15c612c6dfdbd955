"""`kwic status` as it is typed, and the page that it shows."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import UnixStreamServer
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from kwic.cli import status
from kwic.cli.main import main
from kwic.cli.status import admin
from kwic.cli.status.admin import AdminAddress, ask
from kwic.cli.status.page import duration, page
from kwic.errors import SetupError
from kwic.service.assembly import assemble
from kwic.service.context import Context
from kwic.service.status import status as status_of
from kwic.transport.resolver import FixedNames
from test.cli.files import FilesTestCase
from test.config.test_etc import load

STATUS: dict[str, Any] = {
    "version": "6.0.0",
    "node": "cloud1",
    "instance": "698cbfdc-73b9-40a9-b270-1740d23b26a5",
    "config": "/etc/kwic/cloud.xml",
    "draining": False,
    "uptime_s": 11530.4,
    "clients": 3,
    "listeners": [
        {"address": "172.34.0.7:5551", "listening": True, "accepts": "tcp://@eth0:5551"},
        {"address": "0.0.0.0:443", "listening": True, "accepts": "wss://cloud1.example.com:443/kwic"},
    ],
    "services": [
        {
            "name": "proxy service A",
            "type": "proxy",
            "accepts": ["tcp://@eth0:5551"],
            "connects": ["pipe://serviceA"],
            "waiting": 1,
            "served": 82,
            "failed": 0,
            "paths": 2,
        },
        {
            "name": "proxy service C",
            "type": "proxy",
            "accepts": ["tcp://@eth0:7771"],
            "connects": ["pipe://serviceC"],
            "waiting": 0,
            "served": 0,
            "failed": 4,
            "paths": 0,
        },
        {"name": "balancer", "type": "balancer", "accepts": ["wss://example.com:443/b"]},
    ],
    "tunnels": [
        {
            "direction": "in",
            "peer": "onprem1",
            "peer_instance": "a6f67123",
            "uri": "wss://cloud1.example.com:443/kwic",
            "up_s": 45.1,
            "rtt_ms": 11.93,
            "streams": 3,
            "clients": 1,
            "bytes_in": 12345,
            "suspect": False,
            "draining": False,
            "names": ["serviceA"],
        },
        {
            "direction": "out",
            "peer": "onprem2",
            "peer_instance": "b6f67123",
            "uri": "wss://onprem2.example.org:443/b",
            "up_s": 86400,
            "rtt_ms": None,
            "streams": 2,
            "clients": 2,
            "bytes_in": 0,
            "suspect": True,
            "draining": False,
            "names": [],
        },
    ],
    "names": {"serviceA": ["onprem1 at 10.0.0.1"], "serviceC": []},
    "members": [
        {
            "node": "cloud2",
            "instance": "0b924088",
            "suspect": False,
            "leaving": True,
            "load": 1,
            "names": {"serviceA": 1},
        }
    ],
}
PAGE = """\
cloud1: up, 3 clients
  up for    3 h 12 min
  from      /etc/kwic/cloud.xml
  version   6.0.0
  instance  698cbfdc-73b9-40a9-b270-1740d23b26a5

Listeners
  172.34.0.7:5551    tcp://@eth0:5551
  0.0.0.0:443        wss://cloud1.example.com:443/kwic

Services
  proxy service A  proxy     82 served, 1 waiting, 2 paths  tcp://@eth0:5551 → pipe://serviceA
  proxy service C  proxy     4 failed, NO PATH              tcp://@eth0:7771 → pipe://serviceC
  balancer         balancer                                 wss://example.com:443/b

Tunnels (→ dialled from here, ← from there)
  ← onprem1  11.9 ms  1 client   45 s         wss://cloud1.example.com:443/kwic  serviceA
  → onprem2           2 clients  1 d   QUIET  wss://onprem2.example.org:443/b

Names offered here
  serviceA  by onprem1 at 10.0.0.1
  serviceC  by NOBODY

Members of the cluster
  cloud2  1 client  leaving  serviceA
"""


class PageTests(SynchronousTestCase):
    """`page`"""

    maxDiff = None

    def show(self, **changes: Any) -> str:
        return "\n".join([*page({**STATUS, **changes}), ""])

    def test_golden(self) -> None:
        """Everything that a gateway says, under headings."""
        self.assertEqual(self.show(), PAGE)

    def test_draining(self) -> None:
        """A gateway that takes no more clients says so first."""
        self.assertTrue(
            self.show(draining=True).startswith("cloud1: DRAINING: takes no new clients, 3 clients\n")
        )

    def test_deaf(self) -> None:
        """So does one that does not listen where it should."""
        deaf = [{"address": "10.0.0.1:1", "listening": False, "accepts": "tcp://@eth1:1"}]
        shown = self.show(listeners=deaf)
        self.assertTrue(shown.startswith("cloud1: up, NOT LISTENING at 10.0.0.1:1, 3 clients\n"))
        self.assertIn("\n  10.0.0.1:1  NOT LISTENING  tcp://@eth1:1\n", shown)

    def test_another_version(self) -> None:
        """What another version leaves out is left out here; what it adds is passed over."""
        self.assertEqual(list(page({})), ["?: up, 0 clients"])
        self.assertEqual(
            list(page({"node": "a", "weather": "fine", "tunnels": 3, "names": 4, "members": [5, {}]})),
            [
                "a: up, 0 clients",
                "",
                "Members of the cluster",
                "  ?  0 clients",
            ],
        )

    def test_names_cannot_reach_the_terminal(self) -> None:
        """A node may call itself anything."""
        shown = self.show(node="\x1b[2Jevil\n", names={"a\x07" * 200: ["b\r"]})
        self.assertNotIn("\x1b", shown)
        self.assertNotIn("\x07", shown)
        self.assertTrue(shown.startswith("\ufffd[2Jevil\ufffd: up"))
        self.assertLess(max(map(len, shown.splitlines())), 200)

    def test_duration(self) -> None:
        """The two largest units say enough."""
        for seconds, text in (
            (0, "0 s"),
            (-1, "0 s"),
            (59.9, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3600, "1 h"),
            (3661, "1 h 1 min"),
            (86400, "1 d"),
            (86461, "1 d"),
            (90061, "1 d 1 h"),
            (1e9, "11574 d 1 h"),
        ):
            self.assertEqual(duration(seconds), text)

    @given(
        st.dictionaries(
            st.sampled_from([*STATUS, "x"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(),
                lambda inner: (
                    st.lists(inner)
                    | st.dictionaries(st.sampled_from(["names", "node", "rtt_ms", "up_s", "peer"]), inner)
                ),
            ),
        )
    )
    def test_anything(self, found: dict[str, Any]) -> None:
        """Whatever a gateway says, there is a page, and every line of it is printable."""
        self.assertTrue(all(line.isprintable() for line in page(found)))

    def test_a_gateway_of_ours(self) -> None:
        """What a gateway of this version says is all there."""
        reactor = MemoryReactorClock()
        names = FixedNames.parse(["@eth0=127.0.0.1", "example.com=127.0.0.1"])
        gateway = assemble(
            load("simple/cloud-config.xml"), Context(reactor=reactor, names=names, node="here")
        )
        shown = "\n".join(page(json.loads(json.dumps(status_of(gateway)))))
        self.assertIn("here: up, NOT LISTENING at 127.0.0.1:5551, ", shown)
        self.assertIn("\n  proxy service A  proxy  NO PATH  tcp://@eth0:5551 → pipe://serviceA\n", shown)
        self.assertIn("ws://example.com:80/serviceB → tcp://server-b:6661", shown)


class AdminAddressTests(SynchronousTestCase):
    """`AdminAddress.parse`"""

    def test_forms(self) -> None:
        """Everything that may stand behind --admin, here and at twistd, and a URL copied from elsewhere."""
        for text, wanted in (
            ("127.0.0.1:8900", "127.0.0.1:8900"),
            ("cloud1.example.com:8900", "cloud1.example.com:8900"),
            ("[::1]:8900", "[::1]:8900"),
            ("http://[fe80::1%eth0]:8900/", "[fe80::1%eth0]:8900"),
            ("http://10.0.0.7:8900/status", "10.0.0.7:8900"),
            (":8900", "127.0.0.1:8900"),
            ("8900", "127.0.0.1:8900"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ):
            self.assertEqual(str(AdminAddress.parse(text)), wanted)

    def test_nonsense(self) -> None:
        """Anything else is told."""
        for text in (
            "",
            "localhost",
            "a:0",
            "a:65536",
            "unix:",
            "https://a:1",
            "http://a:1/metrics",
            "a b:1",
            "::1:8900",
        ):
            error = self.assertRaises(SetupError, AdminAddress.parse, text)
            self.assertIn("write HOST:PORT", str(error))


class Answering:
    """Something that answers, in a thread."""

    def __init__(self, make: Callable[[Any], Any], answer: bytes, code: int = 200) -> None:
        class Handler(BaseHTTPRequestHandler):
            paths: list[str] = []

            def do_GET(self) -> None:
                self.paths.append(self.path)
                self.send_response(code)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def address_string(self) -> str:
                return ""

            def log_message(self, *args: Any) -> None:
                pass

        self.paths = Handler.paths
        self.server = make(Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class AskTests(FilesTestCase):
    """`ask`, over real sockets."""

    def answering(self, answer: bytes, code: int = 200) -> AdminAddress:
        """:returns: where somebody answers so."""
        there = Answering(lambda handler: HTTPServer(("127.0.0.1", 0), handler), answer, code)
        self.addCleanup(there.stop)
        return AdminAddress(host="127.0.0.1", port=there.server.server_port)

    def refused(self, address: AdminAddress) -> str:
        return str(self.assertRaises(SetupError, ask, address))

    def test_tcp(self) -> None:
        """A gateway on a port."""
        self.assertEqual(ask(self.answering(json.dumps(STATUS).encode())), STATUS)

    def test_unix(self) -> None:
        """A gateway on a socket in the file system."""
        path = os.path.relpath(self.folder / "a.sock")  # such paths are short
        there = Answering(lambda handler: UnixStreamServer(path, handler), json.dumps(STATUS).encode())
        self.addCleanup(there.stop)
        self.assertEqual(ask(AdminAddress(path=path)), STATUS)
        self.assertEqual(there.paths, ["/status"])

    def test_nobody(self) -> None:
        """Nobody is there."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            refused = self.refused(AdminAddress(host="127.0.0.1", port=port))
        self.assertIn(
            f"127.0.0.1:{port}: nobody answers: Connection refused; is the gateway running with", refused
        )
        self.assertIn("No such file", self.refused(AdminAddress(path=str(self.folder / "a"))))

    def test_silent(self) -> None:
        """Somebody is there and says nothing."""
        self.patch(admin, "ASK_S", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            refused = self.refused(AdminAddress(host="127.0.0.1", port=silent.getsockname()[1]))
        self.assertIn("no answer within", refused)

    def test_others(self) -> None:
        """Whoever is no gateway is told from one, whatever it says."""
        self.patch(admin, "LARGEST_ANSWER", 1000)
        for answer, code in (
            (b"<html>", 200),
            (b"[1]", 200),
            (b"{}", 404),
            (b"", 200),
            (b"[" * 900, 200),
            (b"\xff", 200),
            (b'{"a": "' + b"a" * 1000 + b'"}', 200),
        ):
            self.assertIn("is no gateway", self.refused(self.answering(answer, code)), answer)


class CommandTests(FilesTestCase):
    """The command."""

    def setUp(self) -> None:
        super().setUp()
        self.answers: list[dict[str, Any] | Exception] = []
        self.asked: list[str] = []

        def answer(address: AdminAddress) -> dict[str, Any]:
            self.asked.append(str(address))
            found = self.answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        self.patch(status, "ask", answer)

    def wrong(self, *words: str) -> str:
        return str(self.assertRaises(usage.UsageError, status.Options().parseOptions, list(words)))

    def test_well(self) -> None:
        """A gateway that is well gives a page and 0."""
        self.answers = [STATUS]
        self.assertEqual(self.type(status, "--admin", "127.0.0.1:8900"), (0, PAGE, ""))
        self.assertEqual(self.asked, ["127.0.0.1:8900"])

    def test_draining(self) -> None:
        """One that is leaving gives a page and 1."""
        self.answers = [{**STATUS, "draining": True}]
        code, out, _ = self.type(status, "-a", "8900")
        self.assertEqual(code, 1)
        self.assertIn("DRAINING", out)

    def test_unreachable(self) -> None:
        """One that does not answer gives a line and 1."""
        self.answers = [SetupError("there: nobody answers")]
        self.assertEqual(self.type(status, "8900"), (1, "", "kwic status: there: nobody answers\n"))

    def test_json(self) -> None:
        """Machines get all of it as it is."""
        self.answers = [STATUS]
        code, out, _ = self.type(status, "--json", "unix:/a")
        self.assertEqual((code, json.loads(out)), (0, STATUS))

    def test_environment(self) -> None:
        """The environment may say where, and is overruled."""
        self.patch(os, "environ", {"KWIC_ADMIN": "10.0.0.1:1"})
        self.answers = [STATUS, STATUS, STATUS]
        self.type(status)
        self.type(status, "--admin", "10.0.0.2:2")
        self.type(status, "10.0.0.3:3")
        self.assertEqual(self.asked, ["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"])

    def test_watch(self) -> None:
        """Looked at again and again, also while it does not answer, on a screen that is cleared each time."""

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        def pause(seconds: float) -> None:
            self.assertEqual(seconds, 1.0)
            if not self.answers:
                raise KeyboardInterrupt

        for out, clear in ((io.StringIO(), ""), (Terminal(), "\x1b[H\x1b[J")):
            self.answers = [STATUS, SetupError("there: nobody answers")]
            self.patch(sys, "stdout", out)
            options = status.Options()
            options.parseOptions(["--watch", "8900"])
            self.assertRaises(KeyboardInterrupt, status.run, options, pause)
            self.assertEqual(out.getvalue(), f"{clear}{PAGE}\n{clear}kwic status: there: nobody answers\n\n")

    def test_wrong_calls(self) -> None:
        """What makes no sense is told."""
        self.assertIn("say where the gateway answers: --admin HOST:PORT, or KWIC_ADMIN", self.wrong())
        self.assertIn("one gateway at a time", self.wrong("8900", "8901"))
        self.assertIn("one gateway at a time", self.wrong("8900", "-a", "8901"))
        self.assertIn("write HOST:PORT", self.wrong("nonsense"))

    def test_help_teaches(self) -> None:
        """The help has examples on lines of their own."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.assertRaises(SystemExit, main, ["status", "--help"])
        self.assertIn("\n  kwic status --admin 127.0.0.1:8900\n", out.getvalue())
