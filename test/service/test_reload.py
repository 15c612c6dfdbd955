"""What is checked before the start, said once a day, and read again on SIGHUP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from kwic.config.problem import ConfigError
from kwic.errors import SetupError
from kwic.service.context import Context
from kwic.service.gateway import REMIND_S
from kwic.transport.demo_pki import DemoPlan, make_demo_pki
from kwic.transport.stores import StoreFormat
from test.service.gateway_case import GatewayCase
from test.service.test_clients import proxy
from test.service.tls_case import HOST, TlsCase

CLOUD, ONPREM = "10.0.0.7", "10.0.1.7"
DAY_S = 86_400.0


class StoreCase(TlsCase):
    """Stores of the test's own."""

    def stores(self, side: str, days: float = 30, ago_days: float = 0) -> str:
        """What stands in the file, for certificates made some days ago for so many days."""
        folder = Path(self.mktemp()).absolute()
        plan = DemoPlan(hosts=(HOST,), clients={"onprem": "onprem"}, days=days, formats=(StoreFormat.PEM,))
        pki = make_demo_pki(folder, plan, now_s=time.time() - ago_days * DAY_S)
        stores = {"keystore": pki.keystore(side), "truststore": pki.truststore(side)}
        inner = "".join(
            f"<{name}><type>PEM</type><file>{path}</file></{name}>" for name, path in stores.items()
        )
        return f"<security>{inner}</security>"


class CheckTests(StoreCase):
    """Errors of the start, not of the first connection."""

    REVERSE = (
        "<accept-options><pipe.transport>socks+ssl://cloud</pipe.transport><socks.mode>reverse</socks.mode>"
        "<socks.transport>{}</socks.transport></accept-options>"
    )

    def test_expired_client_certificate(self) -> None:
        """Whoever only dials with TLS is told at once that its own certificate has expired: over WebSocket, SOCKS, and to a server."""
        expired = self.stores("onprem", days=5, ago_days=10)
        for service in (
            proxy("A", "tcp://{ip}:1", f"wss://{HOST}/a"),
            proxy("A", "pipe://a", "tcp://server:9", self.REVERSE.format(f"wss://{HOST}/kwic")),
            proxy("A", "pipe://a", "tcp://server:9", self.REVERSE.format(f"ssl://{HOST}:1443")),
            proxy("A", "tcp://{ip}:1", f"ssl://{HOST}:7443"),
        ):
            with self.assertRaises(SetupError) as caught:
                self.make("onprem", ONPREM, expired + service)
            self.assertIn("expired", str(caught.exception))

    def test_every_missing_key(self) -> None:
        """All that the stores lack is said at once, whatever has expired: for listeners, for dialling, and for the cluster."""
        expired = self.stores("cloud", days=5, ago_days=10)
        services = (
            proxy("A", f"wss://{HOST}:8001/a", "tcp://server:9")
            + proxy("B", "ssl://other.test:8002", "tcp://server:9")
            + "<cluster><name>c</name><accept>tcp://{ip}:7000</accept><connect>tcp://{ip}:7000</connect></cluster>"
        )
        with self.assertRaises(ConfigError) as caught:
            self.make("cloud", CLOUD, expired + services)
        found = sorted(problem.message for problem in caught.exception.problems)
        cluster, first, second = found
        self.assertTrue(cluster.startswith("cluster: "), found)
        self.assertTrue(first.startswith("service “A”: "), found)
        self.assertTrue(second.startswith("service “B”: "), found)
        self.assertTrue(all(problem.place is not None for problem in caught.exception.problems))

    def test_no_tls_no_matter(self) -> None:
        """A certificate that nobody uses may be as old as it likes."""
        self.make("onprem", ONPREM, self.stores("onprem", days=5, ago_days=10) + proxy("A", "tcp://{ip}:1"))


class ReminderTests(StoreCase):
    """Certificates that end soon."""

    def test_once_a_day(self) -> None:
        """A certificate that ends soon is warned of when it is read, and then once a day."""
        self.network.names[HOST] = (CLOUD,)
        self.start(
            "cloud", CLOUD, self.stores("cloud", days=5) + proxy("A", f"ssl://{HOST}:7443", "tcp://server:9")
        )
        first = len(self.warnings("expire"))
        self.assertGreater(first, 0)
        self.run_for(REMIND_S - 1)
        self.assertEqual(len(self.warnings("expire")), first)
        self.run_for(2 * REMIND_S)
        self.assertEqual(len(self.warnings("expire")), 3 * first)


class ThreadTests(StoreCase):
    """Reading stores takes time."""

    def test_in_a_thread(self) -> None:
        """Stores are opened in a thread, taken over when they are read, and clients are served meanwhile."""
        self.network.names[HOST] = (CLOUD,)
        self.serve("server", "10.0.1.9", 9)
        gateway = self.start(
            "cloud", CLOUD, self.stores("cloud") + proxy("A", "tcp://{ip}:7000", "tcp://server:9")
        )
        began: list[tuple[Deferred[Any], Any]] = []

        def in_thread(context: Context, call: Any, *args: Any) -> Deferred[Any]:
            waiting: Deferred[Any] = Deferred()
            began.append((waiting, call))
            return waiting

        self.patch(Context, "in_thread", in_thread)
        done = gateway.reload()
        self.assertEqual(len(began), 1)
        self.served(CLOUD, 7000)
        self.assertNoResult(done)
        waiting, call = began.pop()
        waiting.callback(call())
        self.assertEqual(len(self.lines("the stores were read again")), 1)
        waiting, call = began.pop()  # the addresses
        waiting.errback(SetupError("no name server"))
        self.successResultOf(done)
        self.assertEqual(len(self.lines("the listeners stay as they are: no name server")), 1)

    def test_bad_store(self) -> None:
        """Each store that cannot be read is an error in the log; the old ones stay in use."""
        self.network.names[HOST] = (CLOUD,)
        text = self.stores("cloud")
        gateway = self.start("cloud", CLOUD, text + proxy("A", f"ssl://{HOST}:7443", "tcp://server:9"))
        for broken, lines in ((1, 1), (2, 1 + 2)):
            Path(text.split("<file>")[broken].split("</file>")[0]).write_text("nothing")
            self.successResultOf(gateway.reload())
            self.assertEqual(len(self.lines("the old ones stay in use: cloud.xml:1:")), lines)


class NoSecurityTests(GatewayCase):
    """A gateway without stores."""

    def test_reload(self) -> None:
        """A reload looks at the addresses only."""
        gateway = self.start("gw", CLOUD, proxy("A", "tcp://{ip}:7000", "tcp://server:9"), credentials=None)
        self.successResultOf(gateway.reload())
        self.assertEqual(self.lines("the stores were"), [])
