"""docs/quickstart.md does what it says: its own commands and files are what runs here."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from kwic.cli.demo.echo import say
from kwic.cli.demo.process import SOURCE_ROOT
from test.integration.gateways import CLIENT_S, GatewayTestCase
from test.integration.servers import PlainServer, echo


class QuickstartTests(GatewayTestCase):
    """The quick start."""

    hosts = {
        "cloud.example.com": (11,),
        "office.example.org": (21,),
        "postgres.office": (31,),
        "api": (32,),
    }

    def test_as_it_is_written(self) -> None:
        """The commands and files of the page give a tunnel that carries clients both ways."""
        page = (SOURCE_ROOT / "docs" / "quickstart.md").read_text()
        folder = self.folder.absolute()
        (certs,) = re.findall(r"^kwic (certs .*)$", page, re.MULTILINE)
        command = [sys.executable, "-m", "kwic.cli.main", *shlex.split(certs)]
        environ = {"PYTHONPATH": str(SOURCE_ROOT)}
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=60)
        texts = re.findall(r"^```xml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        names = re.findall(r"^twistd -n kwic --config (.*)$", page, re.MULTILINE)
        for name, text in zip(names, texts, strict=True):
            (folder / name).write_text(text)
        for host, port in (("postgres.office", 5432), ("api", 8000)):
            self.addCleanup(PlainServer((self.address(host), port), echo).close)
        for host, name in zip(("cloud.example.com", "office.example.org"), names, strict=True):
            self.launch(host, folder / name)
        self.wait_answering("cloud.example.com", "office.example.org")
        self.wait_joined("cloud.example.com", agents=1)
        for host, port in (("cloud.example.com", 15432), ("office.example.org", 18000)):
            self.assertIs(say("hello", self.address(host), port, timeout_s=CLIENT_S).error, None, host)
