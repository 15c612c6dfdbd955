"""What a client leaves behind: nothing that only the garbage collector finds, which would take its time from those who are still there."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from unittest import skipUnless

from kwic.cli.demo.echo import say
from test.integration.gateways import CLIENT_S
from test.integration.test_tls import TlsTestCase

SIDES = ("example.com", "onprem")
CLIENTS = 20
OF_CLIENTS = (
    "kwic.policy.attempts.",
    "kwic.policy.choice.",
    "kwic.service.dial.",
    "kwic.transport.deadlines.",
    "kwic.transport.lean_",
    "kwic.transport.leg.",
    "kwic.transport.negotiation.",
    "kwic.transport.relay.",
    "kwic.transport.stream.",
    "kwic.wire.",
)
"""Where the classes are whose objects belong to a client; a tunnel that could not be dialled leaves others, with the frames of its exception."""
#: Put where Python imports it at the start: writes down what is in cycles when the signal comes.
SITE = """\
import collections, gc, signal

def write_down(*signalled):
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    found = collections.Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    gc.garbage.clear()
    gc.set_debug(0)
    with open(FILE + ".part", "w", encoding="utf-8") as file:
        file.write("".join(f"{count} {name}\\n" for name, count in found.items()))
    os.rename(FILE + ".part", FILE)

import os
FILE = os.environ["KWIC_TEST_CYCLES"]
signal.signal(signal.SIGRTMIN + 5, write_down)
"""


@skipUnless(sys.platform == "linux", "it needs a signal that nobody uses")
class CycleTests(TlsTestCase):
    """Both sides of the scenario `tls`."""

    maxDiff = None

    def garbage(self, host: str) -> dict[str, int]:
        """Our objects that are in cycles which nobody refers to, by class."""
        found = self.files[host]
        found.unlink(missing_ok=True)
        os.kill(self.processes[host].pid, signal.SIGRTMIN + 5)
        self.wait_for(f"{host} to write down what is in cycles", found.exists)
        lines = [line.split(" ") for line in found.read_text().splitlines()]
        return {name: int(count) for count, name in lines if name.startswith(OF_CLIENTS)}

    def run_both(self) -> None:
        """Both sides, joined; what their start left is collected."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
        self.files = {host: folder / f"{host}.txt" for host in SIDES}
        path = os.pathsep.join((str(folder), str(Path(__file__).parents[2])))
        self.environs = {
            host: {"PYTHONPATH": path, "KWIC_TEST_CYCLES": str(file)} for host, file in self.files.items()
        }
        self.run_side("onprem", "tls", "onprem-config.xml")
        self.run_side("example.com", "tls", "cloud-config.xml")
        self.wait_answering(*SIDES)
        self.wait_joined("example.com", agents=1)
        for host in SIDES:
            self.garbage(host)

    def test_served(self) -> None:
        """Clients that were served leave none, on either side."""
        self.echo_server("server-a", 5551)
        self.run_both()
        for _ in range(CLIENTS):
            self.check_echo("example.com", 5551)
        for host in SIDES:
            self.assertEqual(self.garbage(host), {}, host)

    def test_not_served(self) -> None:
        """One that found nobody leaves none where it came in; on the other side there is an exception with its frames."""
        self.run_both()
        say("hello", self.address("example.com"), 5551, timeout_s=CLIENT_S)
        self.assertEqual(self.garbage("example.com"), {})
