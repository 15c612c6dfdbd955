"""The echo service when its gateway stops: its clients are clients like others."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from test.service.gateway_case import GatewayCase, Talker

ADDRESS = "10.0.0.7"
PORT = 7000
GRACE_S = 20.0


class StopTests(GatewayCase):
    """A gateway that only echoes is told to stop."""

    def start_echo(self, more: str = "") -> None:
        self.gateway = self.start(
            "gw",
            ADDRESS,
            f"<service><name>E</name><accept>tcp://{{ip}}:{PORT}</accept><type>echo</type>{more}</service>",
            grace_s=GRACE_S,
        )

    def stop(self) -> Deferred[Any]:
        """Tell it, and let the news spread."""
        stopped = self.gateway.stopService()
        self.run_for(0.1)
        return stopped

    def ended(self, stopped: Deferred[Any]) -> None:
        """It has, and nothing of it goes on."""
        self.successResultOf(stopped)
        self.run_for(60)
        self.assertEqual(self.network.hosts["gw"].getDelayedCalls(), [])

    def test_finishes(self) -> None:
        """A client may say what it has to say, no new one is taken, and the gateway ends as soon as it has left."""
        self.start_echo()
        client = self.served(ADDRESS, PORT)
        stopped = self.stop()
        self.assertEqual(len(self.lines("for 1 connections to finish")), 1)
        late = self.connect(ADDRESS, PORT)
        self.wait(lambda: late.lost)
        self.assertEqual(late.how_it_ended, "ConnectionRefusedError")
        self.run_for(GRACE_S / 2)
        client.say(b"last words")
        self.hears(client, b"last words")
        self.assertNoResult(stopped)
        client.transport.loseWriteConnection()
        self.hears_end(client)
        self.run_for(1)
        self.ended(stopped)

    def test_grace_is_over(self) -> None:
        """A client that does not leave is reset when the grace is over, not before."""
        self.start_echo()
        client = self.served(ADDRESS, PORT)
        stopped = self.stop()
        self.run_for(GRACE_S - 0.2)
        self.assertEqual(client.how_it_ended, "")
        self.is_reset(client, 0.2)
        self.run_for(0.1)
        self.assertEqual(len(self.warnings("the grace is over: 1 connections are cut")), 1)
        self.ended(stopped)

    def test_told_again(self) -> None:
        """A second signal ends every client at once, one that is sent at a limited rate too."""
        self.start_echo(
            "<accept-options><tcp.maximum.outbound.rate>10kB/s</tcp.maximum.outbound.rate></accept-options>"
        )
        client = self.connect(ADDRESS, PORT, b"x" * 100_000)
        self.wait(lambda: client.heard)
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.gateway.hurry()
        self.is_reset(client, 0.1)
        self.run_for(0.1)
        self.ended(stopped)

    def test_counted(self) -> None:
        """A client counts as one as long as it is connected, whichever way it leaves."""
        self.start_echo()
        clients: list[Talker] = [self.served(ADDRESS, PORT) for _ in range(3)]
        self.assertEqual(len(self.gateway.context.relays), 3)
        clients[0].transport.loseConnection()
        clients[1].transport.abortConnection()
        self.run_for(1)
        self.assertEqual(len(self.gateway.context.relays), 1)
        clients[2].transport.loseConnection()
        self.run_for(1)
        self.ended(self.stop())
