"""The scenario `forward-proxy` as it stands in etc/, through a real squid, and what squid's refusals look like."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from kwic.cli.demo.echo import say
from test.integration.certificates import stores
from test.integration.gateways import CLIENT_S, ETC, STOP_S, GatewayTestCase
from test.integration.servers import PlainServer, echo
from test.integration.squid import SKIP, Squid

TLS_PORT, PROXY_PORT = "8443", 3128
CLOUD = ETC / "forward-proxy" / "cloud-config.xml"
ONPREM = ETC / "forward-proxy" / "onprem-config.xml"
DIRECT = "direct.example.com"
"""Another name of the cloud, which on-prem is reached without squid, and which squid does not know."""


class ForwardProxyTests(GatewayTestCase):
    """A site that gets out through squid only, and does not even resolve the cloud's name."""

    skip = SKIP
    hosts = {
        "example.com": (11,),
        DIRECT: (11,),
        "onprem": (21,),
        "server-a": (31,),
        "server-b": (32,),
        "squid": (41,),
    }
    hidden_on_prem = ("example.com", "server-b")

    def _options(self, host: str, defines: Mapping[str, str]) -> list[str]:
        """On-prem, the names of the cloud mean nothing."""
        options = super()._options(host, defines)
        if host == "onprem":
            hidden = tuple(f"--resolve={name}=" for name in self.hidden_on_prem)
            options = [option for option in options if not option.startswith(hidden)]
        return options

    def start_squid(self, **how: object) -> Squid:
        """Squid between the sides; it resolves the cloud's name."""
        given: dict[str, object] = {
            "ports": (int(TLS_PORT),),
            "hosts": {"example.com": self.address("example.com")},
        }
        squid = Squid(self.address("squid"), PROXY_PORT, **{**given, **how})  # type: ignore[arg-type]
        self.addCleanup(squid.close)
        return squid

    def start_cloud(self, config: Path = CLOUD) -> None:
        """The cloud's side, with both servers."""
        self.addCleanup(PlainServer((self.address("server-a"), 5551), echo).close)
        self.addCleanup(PlainServer((self.address("server-b"), 6661), echo).close)
        self.run_gateway("example.com", config, tls_port=TLS_PORT, stores=stores())

    def start_onprem(self, **defines: str) -> None:
        """The on-prem side, told of the proxy with `-D`."""
        self.launch_onprem(**{"http.proxyHost": "squid", "http.proxyPort": str(PROXY_PORT), **defines})

    def launch_onprem(self, config: Path = ONPREM, **defines: str) -> None:
        """The on-prem side, told of the proxy by its environment, or not at all."""
        self.launch("onprem", config, tls_port=TLS_PORT, stores=stores(), **defines)

    def check_both_ways(self) -> None:
        """A reaches its server on-prem, B its server in the cloud."""
        self.wait_joined("example.com", agents=1)
        for host, port in (("example.com", 5551), ("onprem", 6661)):
            heard = say("hello", self.address(host), port, timeout_s=CLIENT_S)
            self.assertIs(heard.error, None, f"{host}:{port}")

    def test_both_ways(self) -> None:
        """Tunnels and services go through squid; TLS is verified end to end."""
        squid = self.start_squid()
        self.start_cloud()
        self.start_onprem()
        self.check_both_ways()
        line = self.wait_for_line("onprem", r"^INFO  \[proxy#\d+ 127[\d.:]+\] OPENED: .*, client, ")
        self.assertIn(f"http://squid:{PROXY_PORT} => http://", line)
        self.check_asked(squid, "example.com")

    def test_gateway_opts(self) -> None:
        """The properties of GATEWAY_OPTS select it, as in the tutorials; what else stands there is ignored, each with a line."""
        squid = self.start_squid()
        self.start_cloud()
        opts = f"-Dhttp.proxyHost=squid '-Dhttp.proxyPort={PROXY_PORT}' -Xmx1g"
        self.environs = {"onprem": {"GATEWAY_OPTS": opts}}
        self.launch_onprem()
        self.check_both_ways()
        self.wait_for_line("onprem", r"warning: .*GATEWAY_OPTS.*-Xmx1g")
        self.check_asked(squid, "example.com")

    def test_environment(self) -> None:
        """So does HTTPS_PROXY, but for the hosts of NO_PROXY: these are dialled directly."""
        squid = self.start_squid()
        common, direct = (
            "wss://${gateway.host}:${tls-port:443}/serviceB",
            f"wss://{DIRECT}:{TLS_PORT}/serviceB",
        )
        files = []
        for config in (CLOUD, ONPREM):
            self.assertIn(common, config.read_text())
            files.append((self.folder / config.name).absolute())
            files[-1].write_text(config.read_text().replace(common, direct))
        self.start_cloud(files[0])
        environ = {"HTTPS_PROXY": f"http://squid:{PROXY_PORT}", "NO_PROXY": f"elsewhere.test,{DIRECT}"}
        self.environs = {"onprem": environ}
        self.launch_onprem(files[1])
        self.check_both_ways()
        self.check_asked(squid, "example.com")

    def check_asked(self, squid: Squid, *hosts: str) -> None:
        """Squid was asked for these hosts by name, and for no others."""
        self.processes["onprem"].stop(STOP_S)  # squid logs a tunnel when it ends
        asked = {f"{host}:{TLS_PORT}" for host in hosts}
        found = functools.partial(re.findall, r"CONNECT (\S+)")
        self.wait_for("squid was asked", lambda: set(found("\n".join(squid.served))) == asked)

    def test_credentials(self) -> None:
        """A squid that asks for credentials gets them."""
        self.start_squid(credentials=("onprem", "s3cret"))
        self.start_cloud()
        self.start_onprem(**{"http.proxyUser": "onprem", "http.proxyPassword": "s3cret"})
        self.check_both_ways()
        self.assertNotIn("s3cret", self.processes["onprem"].log_text())

    def test_credentials_missing(self) -> None:
        """Without them the operator reads that squid wants some."""
        self.start_squid(credentials=("onprem", "s3cret"))
        self.start_onprem()
        self.wait_for_line("onprem", rf"proxy squid:{PROXY_PORT} wants credentials \(407 ")

    def test_forbidden(self) -> None:
        """A port that squid's rules do not allow is reported as squid's rule."""
        self.start_squid(ports=(1,))
        self.start_onprem()
        self.wait_for_line("onprem", rf"proxy squid:{PROXY_PORT} does not allow connections to .*\(403 ")

    def test_cloud_down(self) -> None:
        """A cloud that is down is reported as what squid makes of it, and is reached once it is there."""
        self.start_squid()
        self.start_onprem()
        self.wait_for_line("onprem", rf"proxy squid:{PROXY_PORT} opened no connection to .*\(503 ")
        self.start_cloud()
        self.check_both_ways()

    def test_squid_down(self) -> None:
        """A squid that is down is not a cloud that is down, and is used once it is there."""
        self.start_cloud()
        self.start_onprem()
        self.wait_for_line("onprem", rf"connection refused to proxy squid:{PROXY_PORT}")
        self.start_squid()
        self.check_both_ways()
