"""Strangers at every port: garbage, endless heads, handshakes that are never finished. Each costs bounded time and memory."""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from pathlib import Path

from kwic.cli.demo.echo import say
from test.integration.certificates import demo_pki, stores
from test.integration.gateways import ADMIN_PORT, CLIENT_S, ETC, GatewayTestCase
from test.integration.servers import PlainServer, echo

WS_PORT, TLS_PORT = "8080", "8443"
BOUND_S = 13.0
"""No stranger is kept longer: 10 s is how long a client of a reverse service may wait for a path."""

MEMORY_BYTES = 24 << 20
"""How much a gateway may have grown after all of them."""

ENDLESS_BYTES = 8 << 20


def head(path: str, port: str, *lines: str) -> bytes:
    """The head of a GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: example.com:{port}", *lines, "", ""]).encode()


UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


class HostileTests(GatewayTestCase):
    """Strangers."""

    hosts = {"example.com": (11,), "onprem": (21,), "server-a": (31,), "server-b": (32,)}

    def stranger(self, port: str | int, said: bytes) -> socket.socket:
        """Somebody who says something and then nothing more."""
        client = self.connect("example.com", int(port))
        try:
            client.sendall(said)
        except OSError:
            pass  # shown out before all was said: as well
        return client

    def inside(self, said: bytes) -> socket.socket:
        """Somebody with a certificate that fits, who says something within TLS and then nothing more."""
        pki = demo_pki()
        context = ssl.create_default_context(cafile=str(pki.ca()))
        context.load_cert_chain(pki.certificate("onprem"), pki.key("onprem"))
        client = context.wrap_socket(
            self.connect("example.com", int(TLS_PORT)), server_hostname="example.com"
        )
        self.addCleanup(client.close)
        try:
            client.sendall(said)
        except OSError:
            pass  # shown out before all was said: as well
        client.setblocking(False)
        return client

    def shown_out(self, strangers: dict[str, socket.socket]) -> dict[str, bytes]:
        """Wait until all were shown out; what each was told."""
        told = dict.fromkeys(strangers, b"")
        names = {client: name for name, client in strangers.items()}
        deadline = time.monotonic() + BOUND_S
        while names:
            ready, _, _ = select.select(list(names), [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.fail(f"still there after {BOUND_S:g} s: {', '.join(names.values())}")
            for client in ready:
                try:
                    more = client.recv(65536)
                except ssl.SSLWantReadError:
                    continue
                except OSError:
                    more = b""
                told[names[client]] += more
                if not more:
                    del names[client]
        return told

    def memory_bytes(self, host: str) -> int:
        """The resident memory of a gateway."""
        status = Path(f"/proc/{self.processes[host].pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024

    def test_clear(self) -> None:
        """At the ports of a gateway without TLS, strangers are told what is wrong and shown out; all goes on as before."""
        self.run_gateway("example.com", ETC / "simple" / "cloud-config.xml", ws_port=WS_PORT)
        before = self.memory_bytes("example.com")
        strangers = {
            "silence": self.stranger(WS_PORT, b""),
            "half a head": self.stranger(WS_PORT, b"GET /kwic HTTP/1.1\r\nHos"),
            "garbage": self.stranger(WS_PORT, os.urandom(1 << 16)),
            "TLS": self.stranger(WS_PORT, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500)),
            "endless head": self.stranger(
                WS_PORT, head("/kwic", WS_PORT)[:-2] + b"X: y\r\n" * (ENDLESS_BYTES // 6)
            ),
            "endless line": self.stranger(WS_PORT, b"GET /" + b"x" * ENDLESS_BYTES),
            "plain GET": self.stranger(WS_PORT, head("/kwic", WS_PORT)),
            "unknown path": self.stranger(WS_PORT, head("/nowhere", WS_PORT, *UPGRADE)),
            "two hosts": self.stranger(WS_PORT, head("/kwic", WS_PORT, "Host: other", *UPGRADE)),
            "other version": self.stranger(
                WS_PORT, head("/kwic", WS_PORT, *UPGRADE).replace(b"Version: 13", b"Version: 12")
            ),
            "foreign page": self.stranger(
                WS_PORT, head("/serviceB", WS_PORT, "Origin: http://evil.test", *UPGRADE)
            ),
            "no tunnel inside": self.stranger(
                WS_PORT,
                head("/kwic", WS_PORT, "Sec-WebSocket-Protocol: kwic.1", *UPGRADE)
                + b"\x82\xff"
                + os.urandom(99),
            ),
            "client without a path": self.stranger(5551, os.urandom(1 << 20)),
            "silence at the admin port": self.stranger(ADMIN_PORT, b""),
            "half a head at the admin port": self.stranger(ADMIN_PORT, b"GET /status HTTP/1.1\r\nHos"),
            "garbage at the admin port": self.stranger(ADMIN_PORT, os.urandom(1 << 16)),
            "endless head at the admin port": self.stranger(
                ADMIN_PORT, b"GET /status HTTP/1.1\r\n" + b"X: y\r\n" * (ENDLESS_BYTES // 6)
            ),
            "large POST at the admin port": self.stranger(
                ADMIN_PORT,
                b"POST /status HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * ENDLESS_BYTES,
            ),
        }
        told = self.shown_out(strangers)
        for name, status in {
            "endless head": b" 431 ",
            "endless line": b" 431 ",
            "plain GET": b" 426 ",
            "unknown path": b" 404 ",
            "two hosts": b" 400 ",
            "other version": b" 426 ",
            "foreign page": b" 403 ",
            "endless head at the admin port": b" 431 ",
            "large POST at the admin port": b" 405 ",
        }.items():
            if name.startswith(("endless", "large")) and not told[name]:
                continue  # they were still talking: what we said may have been lost in the reset
            self.assertIn(status, told[name][:20], name)
        self.assertNotIn(b"<html", b"".join(told.values()).lower())
        self.assertLess(self.memory_bytes("example.com") - before, MEMORY_BYTES)
        self.check_still_serving()

    def check_still_serving(self) -> None:
        """A client of a tunnel is served."""
        self.addCleanup(PlainServer((self.address("server-a"), 5551), echo).close)
        self.run_gateway("onprem", ETC / "simple" / "onprem-config.xml", ws_port=WS_PORT)
        self.wait_joined("example.com", agents=1)
        self.assertIs(say("hello", self.address("example.com"), 5551, timeout_s=CLIENT_S).error, None)

    def test_tls(self) -> None:
        """At a TLS port likewise, before, in and after the handshake."""
        self.run_gateway("example.com", ETC / "tls" / "cloud-config.xml", tls_port=TLS_PORT, stores=stores())
        before = self.memory_bytes("example.com")
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        told = self.shown_out(
            {
                "silence": self.stranger(TLS_PORT, b""),
                "half a handshake": self.stranger(TLS_PORT, hello + os.urandom(100)),
                "broken handshake": self.stranger(TLS_PORT, hello + os.urandom(1 << 16)),
                "garbage": self.stranger(TLS_PORT, os.urandom(1 << 16)),
                "no TLS": self.stranger(TLS_PORT, head("/kwic", TLS_PORT, *UPGRADE)),
                "gone at once": self.stranger(TLS_PORT, hello),
                "silence inside": self.inside(b""),
                "half a head inside": self.inside(head("/kwic", TLS_PORT)[:-9]),
                "garbage inside": self.inside(os.urandom(1 << 16)),
                "endless head inside": self.inside(
                    head("/kwic", TLS_PORT)[:-2] + b"X: y\r\n" * (ENDLESS_BYTES // 6)
                ),
                "endless line inside": self.inside(b"GET /" + b"x" * ENDLESS_BYTES),
                "plain GET inside": self.inside(head("/kwic", TLS_PORT)),
                "no tunnel inside": self.inside(
                    head("/kwic", TLS_PORT, "Sec-WebSocket-Protocol: kwic.1", *UPGRADE)
                    + b"\x82\xff"
                    + os.urandom(99)
                ),
            }
        )
        self.assertIn(b" 426 ", told["plain GET inside"][:20])
        self.assertIn(b" 101 ", told["no tunnel inside"][:20])
        self.assertLess(self.memory_bytes("example.com") - before, MEMORY_BYTES)
        self.assertIsNotNone(self.status("example.com"))

    def test_many_at_once(self) -> None:
        """Hundreds of silent strangers do not keep a client from being served, and all are shown out."""
        self.run_gateway("example.com", ETC / "simple" / "cloud-config.xml", ws_port=WS_PORT)
        strangers = {f"silence {n}": self.stranger(WS_PORT, b"") for n in range(300)}
        self.check_still_serving()
        self.shown_out(strangers)
